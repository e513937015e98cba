//! How revocations reach one replica: pages that are late, lost, cut off or repeated, transactions that commit in another
//! order than they took their numbers, ends of its own, and a restart.

use std::sync::atomic::{AtomicUsize, Ordering};

use stateright::{Checker, Model, Property};

use super::show;
use super::state::{Ended, Replica};

/// I7, on any order of events; merging is the program's own.
#[test]
fn whatever_the_feed_does_what_was_read_is_refused() {
    let checker = Feed::new(Rule::Right).checker().spawn_bfs().join();
    let counts = EVENTS.map(|event| checker.model().reached[event as usize].load(Ordering::Relaxed));
    let spelled: Vec<String> = EVENTS.iter().zip(counts).map(|(event, count)| format!("{event:?} {count}")).collect();
    show(&format!("model: feed: {} states: {}", checker.unique_state_count(), spelled.join(", ")));
    assert!(checker.discoveries().is_empty(), "{:?}", checker.discoveries().into_values().next());
    assert!(counts.iter().all(|count| *count > 0), "{spelled:?}");
}

#[test]
fn each_wrong_way_to_follow_lets_something_slip_through() {
    for rule in [Rule::HighestNumber, Rule::LastPageWins, Rule::ReloadClears, Rule::GoesOnAfterACut] {
        let checker = Feed::new(rule).checker().spawn_bfs().join();
        let path = checker.discovery("I7").unwrap_or_else(|| panic!("{rule:?} breaks nothing"));
        show(&format!("model: feed, {rule:?}: I7 is broken after {} steps", path.into_actions().len()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Right,
    /// It goes on after the highest number it has seen; a transaction that took a lower one may commit later.
    HighestNumber,
    /// What comes last is what is held.
    LastPageWins,
    /// What is held is dropped before everything is read again.
    ReloadClears,
    /// A page that was cut off counts as read.
    GoesOnAfterACut,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    CommittedLate,
    PageLost,
    PageCut,
    Reloaded,
    OldPageAfterNews,
}

const EVENTS: [Event; 5] =
    [Event::CommittedLate, Event::PageLost, Event::PageCut, Event::Reloaded, Event::OldPageAfterNews];

/// By their numbers. The counter of one subject is raised under a lock, so of two the lower one commits first.
const ENDS: [Ended; 3] = [Ended::Session(0), Ended::SubjectBelow(1), Ended::SubjectBelow(2)];
/// Some of them, as bits.
type Ends = u8;

struct Feed {
    rule: Rule,
    reached: [AtomicUsize; EVENTS.len()],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    committed: Ends,
    replica: Replica,
    /// What was visible when the last page was read; `None`: it starts from nothing.
    cursor: Option<Ends>,
    /// Read, and not arrived.
    page: Option<Page>,
    /// What it has read, or ended itself.
    told: Ends,
    reloads: u8,
    restarts: u8,
    own: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Page {
    ends: Ends,
    visible: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Commit(usize),
    /// The replica itself has ended it: it knows without a page.
    CommitOwn(usize),
    Read,
    Arrive,
    /// The first end of the page arrives, and then the line is cut.
    Cut,
    Lose,
    /// It stands nowhere any more: the server is another one.
    Reload,
    Restart,
}

impl Feed {
    fn new(rule: Rule) -> Self {
        Self { rule, reached: Default::default() }
    }

    fn reach(&self, event: Event) {
        self.reached[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn ends_after(&self, cursor: Option<Ends>, committed: Ends) -> Ends {
        let seen = cursor.unwrap_or_default();
        match self.rule {
            // All up to the highest.
            Rule::HighestNumber => committed & !u8::MAX.checked_shr(seen.leading_zeros()).unwrap_or(0),
            _ => committed & !seen,
        }
    }

    fn hold(&self, replica: &mut Replica, number: usize) {
        if self.rule == Rule::LastPageWins && matches!(ENDS[number], Ended::SubjectBelow(_)) {
            replica.subject = None;
        }
        replica.hold(ENDS[number]);
    }

    fn arrive(&self, state: &mut State, most: usize) {
        let Some(page) = state.page.take() else { return };
        let numbers: Vec<usize> = (0..ENDS.len()).filter(|number| page.ends & 1 << number != 0).collect();
        if numbers.len() > most {
            self.reach(Event::PageCut);
        }
        if state.told & !page.visible != 0 {
            self.reach(Event::OldPageAfterNews);
        }
        for number in numbers.iter().take(most) {
            self.hold(&mut state.replica, *number);
        }
        if numbers.len() <= most || self.rule == Rule::GoesOnAfterACut {
            state.cursor = Some(page.visible);
            state.told |= page.visible;
        }
    }
}

impl Model for Feed {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let replica = Replica::default();
        vec![State { committed: 0, replica, cursor: None, page: None, told: 0, reloads: 1, restarts: 1, own: 1 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let is_due =
            |number: &usize| state.committed & 1 << number == 0 && (*number < 2 || state.committed & 0b10 != 0);
        for number in (0..ENDS.len()).filter(is_due) {
            actions.push(Action::Commit(number));
            if state.own > 0 {
                actions.push(Action::CommitOwn(number));
            }
        }
        match state.page {
            Some(_) => actions.extend([Action::Arrive, Action::Cut, Action::Lose]),
            None => actions.push(Action::Read),
        }
        if state.reloads > 0 && state.cursor.is_some() {
            actions.push(Action::Reload);
        }
        if state.restarts > 0 {
            actions.push(Action::Restart);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Commit(number) | Action::CommitOwn(number) => {
                if state.committed >> number != 0 {
                    self.reach(Event::CommittedLate);
                }
                state.committed |= 1 << number;
                if matches!(action, Action::CommitOwn(_)) {
                    state.own -= 1;
                    state.told |= 1 << number;
                    self.hold(&mut state.replica, number);
                }
            }
            Action::Read => {
                let ends = self.ends_after(state.cursor, state.committed);
                state.page = Some(Page { ends, visible: state.committed });
            }
            Action::Arrive => self.arrive(&mut state, ENDS.len()),
            Action::Cut => self.arrive(&mut state, 1),
            Action::Lose => {
                self.reach(Event::PageLost);
                state.page = None;
            }
            Action::Reload => {
                self.reach(Event::Reloaded);
                state.reloads -= 1;
                (state.cursor, state.page) = (None, None);
                if self.rule == Rule::ReloadClears {
                    state.replica = Replica::default();
                }
            }
            Action::Restart => {
                state.restarts -= 1;
                (state.cursor, state.page, state.told) = (None, None, 0);
                state.replica = Replica::default();
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("I7", |_, state: &State| {
            (0..ENDS.len())
                .filter(|number| state.told & 1 << number != 0)
                .all(|number| state.replica.knows(ENDS[number]))
        })]
    }
}
