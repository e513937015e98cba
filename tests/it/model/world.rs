//! What can happen next.

use std::sync::atomic::{AtomicUsize, Ordering};

use sidegate::domain::history::Known;
use sidegate::domain::session::{Epochs, RecentRotations};
use stateright::{Model, Property};

use super::book::Book;
use super::scope::{DELAY, Event, Guise, Invariant, Scope};
use super::state::{Client, Ending, Left, Replica, Request, Row, Stage, State, Store, Todo};

pub struct World {
    pub scope: Scope,
    pub book: Book,
    reached: [AtomicUsize; Event::ALL.len()],
}

/// Requests and endings go by their place, replicas and sessions by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Tick,
    Send {
        client: usize,
    },
    Deliver {
        request: usize,
        replica: u8,
    },
    /// A copy stays underway.
    DeliverTwice {
        request: usize,
        replica: u8,
    },
    Proceed {
        request: usize,
    },
    /// The statement is not carried out.
    Fail {
        request: usize,
    },
    /// It is, and the answer is lost.
    Unanswered {
        request: usize,
    },
    Receive {
        request: usize,
    },
    Lose {
        request: usize,
    },
    Steal,
    Abuse {
        replica: u8,
        guise: Guise,
    },
    Logout {
        replica: u8,
    },
    LogoutEverywhere {
        replica: u8,
    },
    Finish {
        ending: usize,
    },
    FinishFails {
        ending: usize,
    },
    StoreMissingEnds {
        replica: u8,
    },
    Follow {
        replica: u8,
    },
    Crash {
        replica: u8,
    },
    Start {
        replica: u8,
    },
    /// The standby stops to follow.
    FallBehind,
    Promote,
    WriteBack {
        replica: u8,
    },
}

impl World {
    pub fn new(scope: Scope) -> Self {
        Self { scope, book: Book::new(), reached: Default::default() }
    }

    pub fn reach(&self, event: Event) {
        self.reached[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many steps showed it.
    pub fn reached(&self, event: Event) -> usize {
        self.reached[event as usize].load(Ordering::Relaxed)
    }

    pub fn first_row(&self, session: u8) -> Row {
        Row {
            live: self.book.first(session),
            salt: None,
            recent: RecentRotations::default(),
            epochs: Epochs::default(),
            rotated: 0,
            server: 1,
            elsewhere: false,
            others: Vec::new(),
            mark: None,
            locked: false,
        }
    }

    /// Those that may serve, and of two that nobody can tell apart one.
    fn replicas(state: &State) -> impl Iterator<Item = u8> {
        let is_busy = |request: &Request| matches!(request.stage, Stage::At { .. });
        let alike = state.replicas[0] == state.replicas[1]
            && state.store.heard[0] == state.store.heard[1]
            && state.endings.is_empty()
            && (!state.left.may_differ() || !state.requests.iter().any(is_busy));
        let may_serve = [state.replicas[0].up, state.replicas[1].up && !alike];
        (0..2).filter(move |replica| may_serve[usize::from(*replica)])
    }

    fn request_actions(state: &State, index: usize, actions: &mut Vec<Action>) {
        let request = &state.requests[index];
        match request.stage {
            Stage::Underway => {
                for replica in Self::replicas(state) {
                    actions.push(Action::Deliver { request: index, replica });
                    if state.left.doubles > 0 && request.id.is_multiple_of(2) {
                        actions.push(Action::DeliverTwice { request: index, replica });
                    }
                }
            }
            Stage::At { todo, .. } => {
                actions.push(Action::Proceed { request: index });
                if state.left.faults > 0 && matches!(todo, Todo::Swap { .. } | Todo::End) {
                    actions.push(Action::Fail { request: index });
                }
                if state.left.faults > 0 && matches!(todo, Todo::Swap { .. }) {
                    actions.push(Action::Unanswered { request: index });
                }
            }
            Stage::Answered(_) => actions.push(Action::Receive { request: index }),
        }
    }

    fn replica_actions(state: &State, replica: u8, actions: &mut Vec<Action>) {
        let it = &state.replicas[usize::from(replica)];
        if !it.up {
            return actions.push(Action::Start { replica });
        }
        if state.left.crashes > 0 {
            actions.push(Action::Crash { replica });
        }
        if it.unstored.contains(&true) {
            actions.push(Action::StoreMissingEnds { replica });
        }
        if it.history.owes() {
            actions.push(Action::WriteBack { replica });
        }
        actions.push(Action::Follow { replica });
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let scope = &self.scope;
        let client = |session: u8| {
            let habits = scope.clients[usize::from(session)];
            let token = self.book.first(session);
            Client { token, turns: habits.turns, requests: habits.requests, asked: None, at_end: false }
        };
        let store = Store {
            rows: [Some(self.first_row(0)), Some(self.first_row(1))],
            epoch: 0,
            revoked: Vec::new(),
            server: 1,
            known: 1,
            beat: 0,
            beaten: 0,
            rollback: None,
            asked: 0,
            heard: [0; 2],
            turns: Vec::new(),
        };
        let mut history = Known::default();
        history.look_at(&store.mark());
        let replica = Replica { up: true, cursor: Some((1, 0)), history, ..Replica::default() };
        let left = Left {
            doubles: scope.doubles,
            faults: scope.faults,
            crashes: scope.crashes,
            logouts: scope.logouts,
            logouts_everywhere: scope.logouts_everywhere,
            abuses: scope.abuses,
            losses: scope.losses,
        };
        vec![State {
            now: 0,
            store,
            standby: None,
            replicas: [replica.clone(), replica],
            clients: [client(0), client(1)],
            stolen: None,
            requests: Vec::new(),
            endings: Vec::new(),
            left,
            told: [false; 2],
            broken: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let is_waiting =
            |request: &Request| request.sent + DELAY > state.now || !matches!(request.stage, Stage::At { .. });
        if state.now < self.scope.ticks && state.requests.iter().all(is_waiting) {
            actions.push(Action::Tick);
        }
        actions.extend((0..2).filter(|client| self.may_send(state, *client)).map(|client| Action::Send { client }));
        for index in 0..state.requests.len() {
            Self::request_actions(state, index, actions);
            // Where time goes on, that is what loses them.
            if self.scope.ticks == 0 && !matches!(state.requests[index].stage, Stage::At { .. }) {
                actions.push(Action::Lose { request: index });
            }
        }
        for replica in 0..2 {
            Self::replica_actions(state, replica, actions);
        }
        for replica in Self::replicas(state) {
            if state.stolen.is_some() && state.left.abuses > 0 {
                actions.extend(self.scope.guises.iter().map(|guise| Action::Abuse { replica, guise: *guise }));
            }
            if state.left.logouts > 0 {
                actions.push(Action::Logout { replica });
            }
            if state.left.logouts_everywhere > 0 {
                actions.push(Action::LogoutEverywhere { replica });
            }
        }
        if state.stolen.is_none() && state.left.abuses > 0 {
            actions.push(Action::Steal);
        }
        for (ending, Ending { stored, .. }) in state.endings.iter().enumerate() {
            actions.push(Action::Finish { ending });
            if state.left.faults > 0 && stored.is_none() {
                actions.push(Action::FinishFails { ending });
            }
        }
        match state.standby {
            Some(_) => actions.push(Action::Promote),
            None if state.left.losses > 0 => actions.push(Action::FallBehind),
            None => {}
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => self.tick(&mut state),
            Action::Send { client } => self.send(&mut state, client),
            Action::Deliver { request, replica } => self.deliver(&mut state, request, replica, false),
            Action::DeliverTwice { request, replica } => self.deliver(&mut state, request, replica, true),
            Action::Proceed { request } => self.proceed(&mut state, request),
            Action::Fail { request } => self.fail(&mut state, request),
            Action::Unanswered { request } => self.unanswered(&mut state, request),
            Action::Lose { request } => self.lose(&mut state, request),
            Action::Receive { request } => self.receive(&mut state, request),
            Action::Steal => state.stolen = Some(state.clients[0].token),
            Action::Abuse { replica, guise } => self.abuse(&mut state, replica, guise),
            Action::Logout { replica } => Self::logout(&mut state, replica),
            Action::LogoutEverywhere { replica } => Self::logout_everywhere(&mut state, replica),
            Action::Finish { ending } => self.finish(&mut state, ending),
            Action::FinishFails { ending } => self.finish_fails(&mut state, ending),
            Action::StoreMissingEnds { replica } => Self::store_missing_ends(&mut state, replica),
            Action::Follow { replica } => self.follow(&mut state, replica),
            Action::Crash { replica } => self.crash(&mut state, replica),
            Action::Start { replica } => self.start(&mut state, replica),
            Action::FallBehind => Self::fall_behind(&mut state),
            Action::Promote => self.promote(&mut state),
            Action::WriteBack { replica } => self.write_back(&mut state, replica),
        }
        state.requests.retain(|request| request.is_awaited(&state.clients));
        state.requests.sort_unstable();
        state.endings.sort_unstable();
        // A copy is as good at any later moment at which it is still the same.
        let is_early = last.standby.as_deref() == Some(&last.store) && state.store == last.store;
        if is_early && action != Action::Promote {
            return None;
        }
        Self::look(last, &mut state, action);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.scope.claims.iter().map(|invariant| property(*invariant)).collect()
    }
}

fn property(invariant: Invariant) -> Property<World> {
    macro_rules! always {
        ($($name:ident),*) => {
            match invariant {
                $(Invariant::$name => Property::always(stringify!($name), |_, state: &State| {
                    !state.is_broken(Invariant::$name)
                }),)*
            }
        };
    }
    always!(I1, I2, I3, I4, I5, I6, I7, I8, I9, I10)
}
