//! Each check finds what it is for, and leaves alone what only looks like it.

use super::super::record::{How, Loss, Span};
use super::*;

const LIMITS: Limits = Limits { nodes: 2, bound: Duration::from_secs(2) };

fn at(seconds: u64) -> Span {
    Span { from: Duration::from_secs(seconds), to: Duration::from_secs(seconds) + Duration::from_millis(10) }
}

fn session(number: u8) -> SessionKey {
    SessionKey([number; 16])
}

fn token(generation: u32, mark: u8) -> Token {
    Token { session: session(1), generation, mark: [mark; 8] }
}

fn refresh(who: Who, seconds: u64, presented: Token, next: Token) -> Refresh {
    Refresh { who, span: at(seconds), presented, outcome: Outcome::Done(next), access_expires: Some(9_000) }
}

fn call(node: usize, seconds: u64, outcome: Outcome<()>) -> Call {
    Call { session: session(1), node, span: at(seconds), outcome, expires_at: Duration::from_secs(100) }
}

fn refused() -> Outcome<()> {
    Outcome::Refused("401 invalid_token".to_owned())
}

fn ended(seconds: u64) -> End {
    End { how: How::Logout, session: session(1), span: at(seconds) }
}

fn lost(seconds: u64, token: Token, answer: &str) -> Loss {
    Loss { token, at: Duration::from_secs(seconds), answer: answer.to_owned() }
}

/// From second 10 on another server, which knows the session up to this generation, and nothing that came after second 8.
fn promoted(generation: i64) -> Era {
    let survivors = HashMap::from([(session(1), generation)]);
    Era { lost_from: Duration::from_secs(8), from: Duration::from_secs(10), survivors }
}

/// An honest session: two refreshes, one of them answered twice, and calls.
fn quiet() -> History {
    History {
        honest: HashMap::from([(session(1), Duration::ZERO)]),
        refreshes: vec![
            refresh(Who::Honest, 1, token(0, 0), token(1, 1)),
            refresh(Who::Honest, 1, token(0, 0), token(1, 1)),
            refresh(Who::Honest, 2, token(1, 1), token(2, 2)),
        ],
        calls: vec![call(0, 2, Outcome::Done(())), call(1, 3, Outcome::Unknown("reset".to_owned()))],
        absolute_ends: HashMap::from([(session(1), 9_000)]),
        ..History::default()
    }
}

/// The first words of what is wrong with it.
fn wrong(change: impl FnOnce(&mut History)) -> Vec<String> {
    let mut history = quiet();
    change(&mut history);
    let names = history.violations(LIMITS).into_iter();
    names.map(|finding| finding.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn nothing_is_wrong_with_a_quiet_history() {
    assert_eq!(wrong(|_| ()), Vec::<String>::new());
}

#[test]
fn a_second_successor_is_found() {
    assert_eq!(wrong(|history| history.refreshes.push(refresh(Who::Honest, 3, token(0, 0), token(1, 9)))), ["I2"]);
    let forgotten = wrong(|history| {
        history.eras.push(promoted(0));
        history.refreshes.push(refresh(Who::Honest, 11, token(0, 0), token(1, 9)));
    });
    assert_eq!(forgotten, Vec::<String>::new());
}

#[test]
fn a_token_of_another_generation_or_session_is_found() {
    assert_eq!(wrong(|history| history.refreshes.push(refresh(Who::Honest, 3, token(2, 2), token(4, 4)))), ["I6"]);
    let other = Token { session: session(2), ..token(3, 3) };
    assert_eq!(wrong(|history| history.refreshes.push(refresh(Who::Honest, 3, token(2, 2), other))), ["I6"]);
}

#[test]
fn a_thief_who_gets_a_token_is_found() {
    let stolen = |seconds| refresh(Who::Thief, seconds, token(1, 1), token(2, 2));
    assert_eq!(wrong(|history| history.refreshes.push(stolen(3))), ["I3"]);
    let forgotten = wrong(|history| {
        history.eras.push(promoted(1));
        history.refreshes.push(stolen(11));
    });
    assert_eq!(forgotten, Vec::<String>::new());
}

#[test]
fn a_lost_session_is_found_unless_a_promoted_server_never_heard_of_it() {
    assert_eq!(wrong(|history| history.losses.push(lost(3, token(2, 2), "400 invalid_grant"))), ["I4"]);
    let after = |answer: &'static str, generation| {
        wrong(move |history| {
            history.eras.push(promoted(generation));
            history.losses.push(lost(11, token(2, 2), answer));
        })
    };
    assert_eq!(after("400 invalid_grant", 1), Vec::<String>::new());
    assert_eq!(after("400 invalid_grant", 2), ["I4"], "the server knew this one");
    assert_eq!(after("401", 1), ["I4"], "and it is told in the right words");
    let younger = wrong(|history| {
        history.honest = HashMap::from([(session(1), Duration::from_secs(11))]);
        history.eras.push(Era { survivors: HashMap::new(), ..promoted(0) });
        history.losses.push(lost(12, token(2, 2), "400 invalid_grant"));
    });
    assert_eq!(younger, ["I4"], "this one has begun on the new server");
}

#[test]
fn a_refresh_after_the_end_is_found() {
    let late = |seconds| refresh(Who::Honest, seconds, token(2, 2), token(3, 3));
    assert_eq!(
        wrong(|history| {
            history.ends.push(ended(4));
            history.refreshes.push(late(5));
        }),
        ["I5"]
    );
    let before = wrong(|history| {
        history.ends.push(ended(6));
        history.refreshes.push(late(5));
    });
    assert_eq!(before, Vec::<String>::new());
}

#[test]
fn an_access_token_accepted_after_the_bound_is_found_on_each_replica() {
    let accepted = |node, seconds| {
        wrong(move |history| {
            history.ends.push(ended(4));
            history.calls.push(call(node, seconds, Outcome::Done(())));
        })
    };
    assert_eq!(accepted(0, 7), ["I7"]);
    assert_eq!(accepted(1, 7), ["I7"]);
    assert_eq!(accepted(1, 5), Vec::<String>::new());
}

#[test]
fn an_end_that_a_promoted_server_does_not_know_is_heard_of_from_those_who_do() {
    let refreshed = |ended_at, seconds| {
        wrong(move |history| {
            history.eras.push(promoted(2));
            history.faults.push(Fault {
                what: "promotion".to_owned(),
                span: Span { from: Duration::from_secs(9), to: Duration::from_secs(10) },
                deaf: vec![0, 1],
                in_flight: 20,
            });
            history.ends.push(ended(ended_at));
            history.refreshes.push(refresh(Who::Honest, seconds, token(2, 2), token(3, 3)));
        })
    };
    assert_eq!(refreshed(8, 11), Vec::<String>::new());
    assert_eq!(refreshed(8, 13), ["I5"], "they have told");
    assert_eq!(refreshed(7, 11), ["I5"], "it was replicated");
}

#[test]
fn the_bound_counts_from_the_moment_a_deaf_replica_can_hear_again() {
    let deaf = |from, to, node| Fault {
        what: "cut".to_owned(),
        span: Span { from: Duration::from_secs(from), to: Duration::from_secs(to) },
        deaf: vec![node],
        in_flight: 0,
    };
    let heard = |faults: &[Fault]| heard_by(Duration::from_secs(4), 0, faults, Duration::from_secs(2)).as_secs();

    assert_eq!(heard(&[]), 6);
    assert_eq!(heard(&[deaf(5, 9, 0)]), 11);
    assert_eq!(heard(&[deaf(10, 12, 0), deaf(5, 9, 0)]), 14);
    assert_eq!(heard(&[deaf(5, 9, 1)]), 6, "another one was deaf");
    assert_eq!(heard(&[deaf(7, 9, 0), deaf(1, 3, 0)]), 6, "before and after");
}

#[test]
fn a_good_access_token_that_is_refused_is_found() {
    assert_eq!(wrong(|history| history.calls.push(call(0, 3, refused()))), ["I4"]);
    assert_eq!(wrong(|history| history.calls.push(call(0, 101, refused()))), Vec::<String>::new());
    let ended = wrong(|history| {
        history.ends.push(ended(2));
        history.calls.push(call(0, 3, refused()));
    });
    assert_eq!(ended, Vec::<String>::new());
}

#[test]
fn an_access_token_that_outlives_its_session_is_found() {
    let late = wrong(|history| history.absolute_ends = HashMap::from([(session(1), 8_999)]));
    assert_eq!(late, ["I11", "I11", "I11"]);
}

#[test]
fn only_calls_that_would_have_been_accepted_are_decisive() {
    let mut history = quiet();
    history.ends.push(ended(4));
    history.calls.extend([call(0, 5, refused()), call(0, 7, refused()), call(1, 101, refused())]);
    assert_eq!(history.decisive_calls(LIMITS, |call| call.expires_at), [1, 0]);
}
