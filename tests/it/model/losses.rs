//! A standby that is promoted before it has everything, and what replicas make of it.

use sidegate::domain::history::Rollback;
use sidegate::domain::rotation::AfterRollback;

use super::refresh::{Place, go_on};
use super::scope::{Event, Rule};
use super::state::{Ended, Request, State, Todo, at_on};
use super::world::World;

impl World {
    pub fn fall_behind(state: &mut State) {
        state.left.losses -= 1;
        state.standby = Some(Box::new(state.store.clone()));
    }

    /// What was stored since it fell behind is lost.
    pub fn promote(&self, state: &mut State) {
        let Some(standby) = state.standby.take() else { return };
        let server = state.store.server + 1;
        if standby.turns != state.store.turns {
            self.reach(Event::HistoryLost);
        }
        state.store = *standby;
        state.store.server = server;
        if (0..2).any(|session| state.told[usize::from(session)] && state.store.is_alive(session)) {
            self.reach(Event::RevocationForgotten);
        }
    }

    /// Records a loss. Nobody can have been faster: a page is read and looked at in one step.
    pub fn note(&self, state: &mut State, replica: u8) {
        self.reach(Event::LossNoticed);
        let store = &mut state.store;
        let history = &mut state.replicas[usize::from(replica)].history;
        let rollback = Rollback {
            id: store.server.into(),
            since: at_on(store.known, store.beaten),
            noticed: at_on(store.server, state.now),
            asked: store.asked + 1000,
        };
        history.has_noted(rollback.id);
        store.known = store.server;
        store.beat = store.beat.max(history.beat()) + 1000;
        store.beaten = state.now;
        store.asked = rollback.asked;
        store.rollback = Some(rollback);
    }

    /// Ends again what has been ended before.
    pub fn write_back(&self, state: &mut State, replica: u8) {
        let rollback = state.replicas[usize::from(replica)].history.rollback();
        if self.scope.rule != Rule::NothingWrittenBack {
            for ended in state.replicas[usize::from(replica)].held() {
                self.restore(state, ended);
            }
        }
        state.replicas[usize::from(replica)].history.has_written_back(rollback);
        Self::answer_question(state, replica);
    }

    fn restore(&self, state: &mut State, ended: Ended) {
        let store = &mut state.store;
        let is_there = match ended {
            Ended::Session(session) => {
                store.rows[usize::from(session)] = None;
                store.revoked.contains(&ended)
            }
            Ended::SubjectBelow(below) => {
                store.epoch = store.epoch.max(below);
                store.revoked.iter().any(|held| matches!(held, Ended::SubjectBelow(other) if *other >= below))
            }
        };
        if !is_there {
            self.reach(Event::RevocationRestored);
            store.revoked.push(ended);
        }
    }

    pub fn adopts_at_all(&self) -> bool {
        self.scope.policy.after_rollback == AfterRollback::Adopt
    }

    /// The row may be swapped as it is, once everybody has written back what they held.
    pub fn adopt(&self, state: &mut State, request: Request, place: Place) {
        let store = &state.store;
        let (Some(row), Some(rollback)) = (store.alive(request.token.session), store.rollback) else { return };
        if !rollback.is_written_back(store.heard.iter().copied()) && self.scope.rule != Rule::AdoptsAtOnce {
            // Unavailable: the client asks again.
            return self.reach(Event::AdoptionAwaited);
        }
        let (live, behind) = (row.live, request.token.generation - row.live.generation);
        go_on(state, request, place, Todo::Swap { live, behind, looked: true });
    }
}
