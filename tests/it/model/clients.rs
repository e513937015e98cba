//! Honest clients, the thief, and time, which loses what is late.

use sidegate::domain::rotation::OnRetry;

use super::scope::{DELAY, Event, Guise, IDEMPOTENCY_WINDOW, Invariant, RETRY_WINDOW};
use super::state::{Answer, Request, Stage, State};
use super::world::World;

impl World {
    /// How long a client asks again: what it sends last is in time, if it arrives at all.
    fn patience(&self, client: usize) -> u8 {
        if self.scope.clients[client].keyed { IDEMPOTENCY_WINDOW - DELAY } else { RETRY_WINDOW - DELAY }
    }

    pub fn may_send(&self, state: &State, index: usize) -> bool {
        let client = &state.clients[index];
        let in_time = client.asked.is_none_or(|asked| state.now - asked <= self.patience(index));
        let is_its_own = |request: &&Request| !request.thief && request.token == client.token;
        let at_once = state.requests.iter().filter(is_its_own).count();
        let may = in_time && at_once < self.scope.clients[index].at_once.into();
        !client.at_end && client.turns > 0 && client.requests > 0 && may
    }

    pub fn send(&self, state: &mut State, index: usize) {
        let habits = self.scope.clients[index];
        let client = &mut state.clients[index];
        let number = habits.requests - client.requests;
        client.requests -= 1;
        client.asked = client.asked.or(Some(state.now));
        let session = client.token.session;
        state.requests.push(Request {
            id: session * 64 + number * 2,
            thief: false,
            token: client.token,
            key: habits.keyed.then_some(session),
            elsewhere: false,
            sent: state.now,
            stage: Stage::Underway,
        });
    }

    pub fn abuse(&self, state: &mut State, replica: u8, guise: Guise) {
        let Some(token) = state.stolen else { return };
        let id = 128 + self.scope.abuses - state.left.abuses;
        state.left.abuses -= 1;
        let key = guise.key.then_some(token.session);
        let request = Request {
            id,
            thief: true,
            token,
            key,
            elsewhere: guise.elsewhere,
            sent: state.now,
            stage: Stage::Underway,
        };
        self.arrive(state, request, replica);
    }

    /// What is late by now is lost.
    pub fn tick(&self, state: &mut State) {
        let lost = |request: &Request| request.sent + DELAY <= state.now;
        let given = |request: &Request| matches!(request.stage, Stage::Answered(Answer::Given(_)));
        if state.requests.iter().any(|request| lost(request) && given(request)) {
            self.reach(Event::AnswerLost);
        }
        state.requests.retain(|request| request.sent + DELAY > state.now);
        state.now += 1;
        if self.scope.losses > 0 && state.store.known == state.store.server {
            state.store.beat += 1;
            state.store.beaten = state.now;
        }
    }

    pub fn lose(&self, state: &mut State, index: usize) {
        if matches!(state.requests.remove(index).stage, Stage::Answered(Answer::Given(_))) {
            self.reach(Event::AnswerLost);
        }
    }

    pub fn receive(&self, state: &mut State, index: usize) {
        let request = state.requests.remove(index);
        let Stage::Answered(answer) = request.stage else { return };
        let client = &mut state.clients[usize::from(request.token.session)];
        let keeps_its_word = request.key.is_some() || self.scope.policy.on_retry == OnRetry::Repeat;
        match answer {
            Answer::Given(token) => {
                client.token = token;
                client.turns -= 1;
                client.asked = None;
                if client.turns == 0 {
                    self.reach(Event::LastGeneration);
                }
                return;
            }
            Answer::Late if !keeps_its_word => {}
            Answer::Late | Answer::Ended | Answer::Ahead => state.breaks(Invariant::I4),
        }
        state.clients[usize::from(request.token.session)].at_end = true;
    }
}
