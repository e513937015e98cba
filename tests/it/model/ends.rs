//! Logouts, the revocations that replicas read, and replicas that come and go.

use sidegate::domain::history::Look;

use super::scope::{Event, Rule};
use super::state::{Ended, Ending, Replica, Stage, State, Todo};
use super::world::World;

impl World {
    /// In memory at once, then in the store.
    pub fn logout(state: &mut State, replica: u8) {
        state.left.logouts -= 1;
        state.replicas[usize::from(replica)].hold(Ended::Session(0));
        state.endings.push(Ending { replica, session: Some(0), stored: None });
    }

    /// In the store, then in memory.
    pub fn logout_everywhere(state: &mut State, replica: u8) {
        state.left.logouts_everywhere -= 1;
        state.endings.push(Ending { replica, session: None, stored: None });
    }

    pub fn finish(&self, state: &mut State, index: usize) {
        let ending = state.endings.remove(index);
        match (ending.session, ending.stored) {
            (Some(session), _) => {
                let is_asked = |stage: Stage| matches!(stage, Stage::At { .. });
                if state.requests.iter().any(|request| request.token.session == session && is_asked(request.stage)) {
                    self.reach(Event::LogoutRaced);
                }
                state.store.end_session(session);
                state.told[usize::from(session)] = true;
            }
            (None, None) => {
                state.store.epoch += 1;
                let below = state.store.epoch;
                state.store.revoked.push(Ended::SubjectBelow(below));
                state.endings.push(Ending { stored: Some(below), ..ending });
            }
            (None, Some(below)) => {
                state.replicas[usize::from(ending.replica)].hold(Ended::SubjectBelow(below));
                state.told = [true; 2];
            }
        }
    }

    /// Of one session the replica keeps it in mind; of all nothing has happened.
    pub fn finish_fails(&self, state: &mut State, index: usize) {
        let ending = state.endings.remove(index);
        state.left.faults -= 1;
        if let Some(session) = ending.session {
            self.reach(Event::LogoutNotStored);
            state.replicas[usize::from(ending.replica)].unstored[usize::from(session)] = true;
        }
    }

    pub fn store_missing_ends(state: &mut State, replica: u8) {
        for session in 0..2 {
            let it = &mut state.replicas[usize::from(replica)];
            if std::mem::take(&mut it.unstored[usize::from(session)]) {
                state.store.end_session(session);
            }
        }
    }

    /// Reads a page, and answers its question.
    pub fn follow(&self, state: &mut State, replica: u8) {
        self.read_page(state, replica);
        state.replicas[usize::from(replica)].history.is_asked(state.store.asked);
        Self::answer_question(state, replica);
    }

    /// From where it stands, or everything if the place means nothing on this server.
    pub fn read_page(&self, state: &mut State, replica: u8) {
        let it = &mut state.replicas[usize::from(replica)];
        let from = match it.cursor {
            Some((server, from)) if server == state.store.server => usize::from(from),
            _ => 0,
        };
        for ended in &state.store.revoked[from..] {
            it.hold(*ended);
        }
        it.cursor = Some((state.store.server, state.store.revoked.len().try_into().unwrap()));
        let look = it.history.look_at(&state.store.mark());
        if look == Look::WentBack {
            self.note(state, replica);
        }
    }

    pub fn answer_question(state: &mut State, replica: u8) {
        let history = &mut state.replicas[usize::from(replica)].history;
        if let Some(question) = history.question() {
            history.has_answered(question);
            state.store.heard[usize::from(replica)] = question;
        }
    }

    /// What it had under way and what it held is gone; what was stored is not.
    pub fn crash(&self, state: &mut State, replica: u8) {
        state.left.crashes -= 1;
        state.replicas[usize::from(replica)] = Replica::default();
        let rule = self.scope.rule;
        for request in &state.requests {
            if let Stage::At { replica: there, todo, .. } = request.stage
                && there == replica
            {
                if matches!(todo, Todo::Give(_)) {
                    self.reach(Event::CrashAfterCommit);
                }
                if let Some(row) = &mut state.store.rows[usize::from(request.token.session)] {
                    row.locked = false;
                }
            }
        }
        let is_there = |stage: Stage| matches!(stage, Stage::At { replica: there, .. } if there == replica);
        state.requests.retain(|request| !is_there(request.stage));
        state.endings.retain(|ending| ending.replica != replica);
        for row in state.store.rows.iter_mut().flatten() {
            row.mark = (rule == Rule::RestartForgetsUsed).then_some(row.live);
        }
    }

    /// Under another name: whoever waits for the old one stops when it has been silent long enough, which it has.
    pub fn start(&self, state: &mut State, replica: u8) {
        let it = &mut state.replicas[usize::from(replica)];
        it.up = true;
        state.store.heard[usize::from(replica)] = 0;
        if self.scope.rule == Rule::RestartSkipsTheLoad {
            it.cursor = Some((state.store.server, state.store.revoked.len().try_into().unwrap()));
        }
        if !state.store.revoked.is_empty() {
            self.reach(Event::Reloaded);
        }
        self.follow(state, replica);
    }
}
