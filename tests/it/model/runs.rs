//! The right rules: they break nothing, and what matters has happened.
//!
//! Each run is small and looks at one thing together with what can go wrong around it; together they would be too many
//! states. Events are counted by the steps that show them and not as properties of states: a state that remembered them
//! would be another state.

use sidegate::clock::Stopwatch;
use stateright::{Checker, Model};

use super::scope::{Event, Guise, Habits, Invariant, Rule, Scope, adopt, refuse, repeat};
use super::show;
use super::world::World;

/// I1 to I8 and I10 where nobody steals and nobody logs out: I4 says that nobody is refused.
#[test]
fn honest_clients_are_never_refused_for_their_newest_token() {
    let keyed = Scope { claims: HONEST, ticks: 2, ..quiet(Habits { keyed: true, ..client(2, 3, 2) }) };
    let two = [Habits { keyed: true, ..client(2, 2, 2) }, client(1, 1, 1)];
    let plain = [client(2, 3, 2), NOBODY];
    let mut reached = Reached::default();
    reached.run("two clients, doubled messages", Scope { clients: two, doubles: 1, ..keyed.clone() });
    reached.run("statements that fail", Scope { ticks: 1, doubles: 1, faults: 1, ..keyed.clone() });
    reached.run("replicas that crash", Scope { crashes: 1, ..keyed.clone() });
    reached.run("retries without a key, refused", Scope { clients: plain, doubles: 1, ..keyed.clone() });
    let repeated = Scope { policy: repeat(), clients: plain, doubles: 1, faults: 1, ..keyed };
    reached.run("retries without a key, repeated", repeated);
    reached.must_include(&[
        Event::Turned,
        Event::LastGeneration,
        Event::Repeated,
        Event::Mine,
        Event::Late,
        Event::AnswerLost,
        Event::CrashAfterCommit,
    ]);
}

/// I1 to I3, I5, I6, I8, I10. What a thief can share while it asks in time, it shares: no rule of rotation forbids it.
#[test]
fn a_thief_gets_nothing_new_and_is_found() {
    let keyed = Scope { claims: ALWAYS, ticks: 4, ..quiet(Habits { keyed: true, ..client(2, 2, 2) }) };
    let mut reached = Reached::default();
    let everywhere = &[PLAIN, ELSEWHERE, WITH_THE_KEY];
    reached.run("a thief, refused", Scope { abuses: 1, guises: everywhere, ..keyed.clone() });
    let clients = [client(2, 2, 1), NOBODY];
    let twice = [Habits { keyed: true, ..clients[0] }, NOBODY];
    reached.run(
        "a thief who goes on",
        Scope { clients: twice, abuses: 2, guises: &[PLAIN, WITH_THE_KEY], ..keyed.clone() },
    );
    let repeated = Scope { policy: repeat(), clients, ticks: 3, abuses: 2, guises: &[PLAIN], ..keyed };
    reached.run("a thief, repeated", repeated);
    reached.must_include(&[Event::Theft, Event::StolenGiven, Event::Late, Event::Repeated, Event::LastGeneration]);
}

/// I5, I7, I8, I10.
#[test]
fn after_an_end_nothing_is_given_and_every_replica_hears_of_it() {
    let keyed = Scope { claims: ALWAYS, ..quiet(Habits { keyed: true, ..client(1, 2, 1) }) };
    let together = [Habits { at_once: 2, ..keyed.clients[0] }, NOBODY];
    let both = [keyed.clients[0], client(1, 1, 1)];
    let mut reached = Reached::default();
    reached.run("a logout that fails", Scope { clients: together, faults: 1, logouts: 1, ..keyed.clone() });
    reached.run("a logout and a crash", Scope { crashes: 1, logouts: 1, ..keyed.clone() });
    reached.run("everywhere, and a crash", Scope { clients: both, crashes: 1, logouts_everywhere: 1, ..keyed.clone() });
    let thief = Scope { abuses: 1, guises: &[WITH_THE_KEY], logouts: 1, faults: 1, ..keyed };
    reached.run("a logout and a thief", thief);
    reached.must_include(&[
        Event::LogoutRaced,
        Event::LogoutNotStored,
        Event::EndedWhileGiving,
        Event::CrashAfterCommit,
        Event::Reloaded,
        Event::StolenGiven,
    ]);
}

/// I9; and I1 to I3, I6 and I7 in what is left of the history.
#[test]
fn lost_history_is_noticed_and_what_was_ended_ends_again() {
    let keyed = Scope { claims: AFTER_A_LOSS, losses: 1, ..quiet(Habits { keyed: true, ..client(2, 3, 1) }) };
    let adopted = Scope { policy: adopt(), ..keyed.clone() };
    let long = [Habits { keyed: true, ..client(3, 4, 1) }, NOBODY];
    let short = [Habits { keyed: true, ..client(1, 2, 1) }, NOBODY];
    let mut reached = Reached::default();
    reached.run("lost, refused", Scope { logouts: 1, ..keyed });
    reached.run("lost, adopted", Scope { logouts: 1, ..adopted.clone() });
    // Honest clients keep their sessions, if nothing of theirs is delivered once more.
    let alone = Scope { clients: long, claims: &[Invariant::I4, Invariant::I9], ..adopted.clone() };
    reached.run("lost, adopted, undisturbed", alone);
    reached.run("lost, and a crash", Scope { clients: short, crashes: 1, logouts: 1, ..adopted.clone() });
    let doubled = Scope { clients: long, doubles: 1, ..adopted.clone() };
    reached.run("lost, adopted, doubled messages", doubled);
    let once_more = [Habits { keyed: true, ..client(3, 3, 1) }, NOBODY];
    reached.run("lost, and a thief", Scope { clients: once_more, abuses: 1, guises: &[PLAIN], ..adopted });
    reached.must_include(&[
        Event::HistoryLost,
        Event::LossNoticed,
        Event::Ahead,
        Event::Adopted,
        Event::AdoptedOverAnotherLine,
        Event::AdoptionAwaited,
        Event::RevocationForgotten,
        Event::RevocationRestored,
        Event::Reloaded,
    ]);
}

/// How often each event was seen, over some runs.
#[derive(Default)]
struct Reached([usize; Event::ALL.len()]);

impl Reached {
    fn run(&mut self, name: &str, scope: Scope) {
        let started = Stopwatch::start();
        let checker = World::new(scope).checker().spawn_bfs().join();
        let counts = Event::ALL.map(|event| checker.model().reached(event));
        let (states, steps, took) = (checker.unique_state_count(), checker.state_count(), started.elapsed());
        show(&format!("model: {name}: {states} states, {steps} steps, {took:.1?}: {}", spelled(&counts)));
        for (sum, count) in self.0.iter_mut().zip(counts) {
            *sum += count;
        }
        if let Some((invariant, path)) = checker.discoveries().into_iter().next() {
            panic!("{name}: {invariant} is broken by {:#?}", path.into_actions());
        }
    }

    fn must_include(&self, events: &[Event]) {
        for event in events {
            assert!(self.0[*event as usize] > 0, "{event:?} has never happened: {}", spelled(&self.0));
        }
    }
}

fn spelled(counts: &[usize; Event::ALL.len()]) -> String {
    let counts = Event::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
    counts.map(|(event, count)| format!("{event:?} {count}")).collect::<Vec<_>>().join(", ")
}

/// One client, and nothing that goes wrong.
pub fn quiet(habits: Habits) -> Scope {
    Scope {
        policy: refuse(),
        rule: Rule::Right,
        claims: &[],
        clients: [habits, NOBODY],
        ticks: 0,
        doubles: 0,
        faults: 0,
        crashes: 0,
        logouts: 0,
        logouts_everywhere: 0,
        abuses: 0,
        guises: &[],
        losses: 0,
    }
}

pub const fn client(turns: u8, requests: u8, at_once: u8) -> Habits {
    Habits { turns, requests, at_once, keyed: false }
}

const NOBODY: Habits = client(0, 0, 0);
pub const PLAIN: Guise = Guise { elsewhere: false, key: false };
const ELSEWHERE: Guise = Guise { elsewhere: true, key: false };
pub const WITH_THE_KEY: Guise = Guise { elsewhere: false, key: true };

/// With logouts and thieves, on a store that keeps what it has.
const ALWAYS: &[Invariant] = &[
    Invariant::I1,
    Invariant::I2,
    Invariant::I3,
    Invariant::I5,
    Invariant::I6,
    Invariant::I7,
    Invariant::I8,
    Invariant::I10,
];

const HONEST: &[Invariant] = &[
    Invariant::I1,
    Invariant::I2,
    Invariant::I3,
    Invariant::I4,
    Invariant::I5,
    Invariant::I6,
    Invariant::I7,
    Invariant::I8,
    Invariant::I10,
];

/// What somebody was told may be lost with it, and the newest token of a client too.
const AFTER_A_LOSS: &[Invariant] =
    &[Invariant::I1, Invariant::I2, Invariant::I3, Invariant::I6, Invariant::I7, Invariant::I9, Invariant::I10];
