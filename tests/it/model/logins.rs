//! How many sessions a subject has, whatever logins and logouts cross each other (I12); and that a login which began before
//! everything was ended is ended with it (I5).

use sidegate::domain::session::Epochs;
use stateright::{Checker, Model, Property};

use super::show;

#[test]
fn a_subject_never_has_too_many_sessions_and_none_from_before_an_end() {
    let checker = Logins { rule: Rule::Right }.checker().spawn_bfs().join();
    show(&format!("model: logins: {} states", checker.unique_state_count()));
    let found = checker.discoveries();
    let never: Vec<_> = ["I12", "I5"].into_iter().filter(|invariant| found.contains_key(invariant)).collect();
    let missing: Vec<_> = SOMETIMES.into_iter().filter(|event| !found.contains_key(event)).collect();
    assert!(never.is_empty() && missing.is_empty(), "broken: {never:?}, never happened: {missing:?}");
}

#[test]
fn each_wrong_way_to_log_in_breaks_its_invariant() {
    for (rule, invariant) in [(Rule::CountsFirst, "I12"), (Rule::ComparesNothing, "I5")] {
        let checker = Logins { rule }.checker().spawn_bfs().join();
        let path = checker.discovery(invariant).unwrap_or_else(|| panic!("{rule:?} breaks nothing"));
        show(&format!("model: logins, {rule:?}: {invariant} is broken after {} steps", path.into_actions().len()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// One statement compares the counters, inserts, and ends what is too much.
    Right,
    /// What is too much is ended before, in a statement of its own.
    CountsFirst,
    /// The session gets the counters of when it is inserted.
    ComparesNothing,
}

const MOST: usize = 2;
const LOGINS: usize = 4;
const SOMETIMES: [&str; 3] = ["the oldest was ended", "a login was void", "all of them are logged in at once"];

struct Logins {
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    logins: [Login; LOGINS],
    /// Of the living sessions, the oldest first: whose they are, and their counters.
    sessions: Vec<(usize, Epochs)>,
    epoch: u64,
    /// Logins that had read the counters when everything was ended.
    ended: [bool; LOGINS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Login {
    Idle,
    /// It has read the counters, and checks the password.
    Checking(Epochs),
    Counted(Epochs),
    In,
    Out,
    Void,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Proceed(usize),
    Logout(usize),
    EndAll,
}

impl State {
    fn epochs(&self) -> Epochs {
        Epochs { realm: 0, subject: self.epoch }
    }

    fn living(&self) -> impl Iterator<Item = usize> {
        let living = self.sessions.iter().filter(|(_, epochs)| !epochs.is_void_under(self.epochs()));
        living.map(|(login, _)| *login)
    }

    fn end_surplus(&mut self, most: usize) {
        let living: Vec<usize> = self.living().collect();
        for login in living.iter().take(living.len().saturating_sub(most)) {
            self.sessions.retain(|(other, _)| other != login);
            self.logins[*login] = Login::Out;
        }
    }

    fn insert(&mut self, login: usize, epochs: Epochs) {
        self.sessions.push((login, epochs));
        self.logins[login] = Login::In;
    }
}

impl Model for Logins {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State { logins: [Login::Idle; LOGINS], sessions: Vec::new(), epoch: 0, ended: [false; LOGINS] }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (login, stage) in state.logins.iter().enumerate() {
            match stage {
                Login::Idle | Login::Checking(_) | Login::Counted(_) => actions.push(Action::Proceed(login)),
                Login::In => actions.push(Action::Logout(login)),
                Login::Out | Login::Void => {}
            }
        }
        if state.epoch == 0 {
            actions.push(Action::EndAll);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::EndAll => {
                state.epoch += 1;
                state.ended = last.logins.map(|login| !matches!(login, Login::Idle));
            }
            Action::Logout(login) => {
                state.sessions.retain(|(other, _)| *other != login);
                state.logins[login] = Login::Out;
            }
            Action::Proceed(login) => match state.logins[login] {
                Login::Idle => state.logins[login] = Login::Checking(state.epochs()),
                Login::Checking(epochs) if self.rule == Rule::CountsFirst => {
                    state.end_surplus(MOST - 1);
                    state.logins[login] = Login::Counted(epochs);
                }
                Login::Checking(_) if self.rule == Rule::ComparesNothing => {
                    state.insert(login, state.epochs());
                    state.end_surplus(MOST);
                }
                Login::Checking(epochs) | Login::Counted(epochs) if epochs != state.epochs() => {
                    state.logins[login] = Login::Void;
                }
                Login::Checking(epochs) => {
                    state.insert(login, epochs);
                    state.end_surplus(MOST);
                }
                Login::Counted(epochs) => state.insert(login, epochs),
                Login::In | Login::Out | Login::Void => return None,
            },
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I12", |_, state: &State| state.living().count() <= MOST),
            Property::always("I5", |_, state: &State| !state.living().any(|login| state.ended[login])),
            Property::sometimes(SOMETIMES[0], |_, state: &State| {
                state.logins.iter().filter(|login| matches!(login, Login::In | Login::Out)).count() > MOST
            }),
            Property::sometimes(SOMETIMES[1], |_, state: &State| state.logins.contains(&Login::Void)),
            Property::sometimes(SOMETIMES[2], |_, state: &State| {
                state.logins.iter().all(|login| matches!(login, Login::Checking(_)))
            }),
        ]
    }
}
