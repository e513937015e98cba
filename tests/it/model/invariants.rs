//! What must never be. Most of it is seen in a state; the rest at the moment when something is stored or given.

use sidegate::domain::history::Known;
use sidegate::domain::rotation::{OnRetry, Verdict};
use sidegate::domain::session::Epochs;

use super::book::Token;
use super::scope::{Event, IDEMPOTENCY_WINDOW, Invariant, LATE_WINDOW, RETRY_WINDOW};
use super::state::{Replica, Request, State, Turn};
use super::world::{Action, World};

impl World {
    /// Looks at a state and the step to it.
    pub fn look(last: &State, state: &mut State, action: Action) {
        for session in 0..2 {
            Self::look_at_session(state, session);
        }
        if state.replicas.iter().any(|replica| !knows_what_it_has_read(state, replica)) {
            state.breaks(Invariant::I7);
        }
        if let Some(session) = concerns(last, action) {
            let other = 1 - usize::from(session);
            if last.store.rows[other] != state.store.rows[other] || last.told[other] != state.told[other] {
                state.breaks(Invariant::I10);
            }
        }
    }

    fn look_at_session(state: &mut State, session: u8) {
        let index = usize::from(session);
        let Some(row) = state.store.alive(session) else {
            // Where nobody logs out and nobody steals, nobody ends.
            return state.breaks(Invariant::I4);
        };
        let newest = state.clients[index].token;
        let holds_its_own = row.live == newest || row.others.contains(&newest) || state.store.turn_of(newest).is_some();
        let others = row.others.len();
        let settled = state.store.rollback.is_some_and(|rollback| {
            let settled = |history: &Known| history.rollback() == Some(rollback.id) && !history.owes();
            state.store.server == state.store.known
                && state.replicas.iter().filter(|replica| replica.up).all(|replica| settled(&replica.history))
        });
        let remembered = is_remembered(state, session);
        if others > 0 {
            state.breaks(Invariant::I1);
        }
        if state.told[index] {
            state.breaks(Invariant::I5);
        }
        if !holds_its_own {
            state.breaks(Invariant::I8);
        }
        if settled && state.told[index] && remembered {
            state.breaks(Invariant::I9);
        }
    }

    /// Called before the turn is added to the others.
    pub fn must_be_allowed_to_turn(state: &mut State, request: &Request, child: Token) {
        let before = state.store.turn_of(request.token).copied();
        if before.is_some_and(|before| before.child != child) {
            state.breaks(Invariant::I2);
        }
        if before.is_some_and(|before| state.now > before.at + grace(&before, request)) {
            state.breaks(Invariant::I3);
        }
        if state.told[usize::from(request.token.session)] {
            state.breaks(Invariant::I5);
        }
    }

    /// Called before the adopted token turns.
    pub fn adopts(&self, state: &mut State, request: &Request) {
        self.reach(Event::Adopted);
        let session = request.token.session;
        let is_since_the_loss = |turn: &Turn| turn.parent.session == session && turn.server == state.store.server;
        if state.store.turns.iter().any(is_since_the_loss) {
            self.reach(Event::AdoptedOverAnotherLine);
        }
        if state.told[usize::from(session)] && is_remembered(state, session) {
            state.breaks(Invariant::I9);
        }
    }

    pub fn must_be_judged_so(state: &mut State, request: &Request, arrived: u8, verdict: &Verdict) {
        let Some(row) = state.store.alive(request.token.session) else { return };
        let is_ahead = request.token.generation >= row.live.generation && request.token != row.live;
        let used = state.store.turn_of(request.token);
        let is_over = used.is_some_and(|turn| arrived > turn.at + grace(turn, request));
        let is_of_another_line = !is_ahead && used.is_none() && request.token != row.live;
        let is_seen = match verdict {
            Verdict::Ahead | Verdict::Adopt => is_ahead,
            Verdict::Late | Verdict::Reuse(_) => !is_ahead,
            _ => false,
        };
        if is_over && !matches!(verdict, Verdict::Reuse(_)) {
            state.breaks(Invariant::I3);
        }
        if (is_ahead || is_of_another_line) && !is_seen {
            state.breaks(Invariant::I9);
        }
    }

    /// Of a token that is given without a turn.
    pub fn must_be_allowed_to_have(&self, state: &mut State, request: &Request, arrived: u8, given: Token) {
        let live = state.store.alive(request.token.session).map(|row| row.live);
        let turn = state.store.turns.iter().find(|turn| turn.parent == request.token && turn.child == given);
        let is_its_own = turn.is_some_and(|turn| {
            let same_key = request.key.is_some() && turn.key == request.key;
            let plain = request.key.is_none() && self.scope.policy.on_retry == OnRetry::Repeat;
            let age = arrived.saturating_sub(turn.at);
            turn.by == request.id || (same_key && age <= IDEMPOTENCY_WINDOW) || (plain && age <= RETRY_WINDOW)
        });
        if live != Some(given) || !is_its_own {
            state.breaks(Invariant::I6);
        }
        if state.told[usize::from(request.token.session)] {
            state.breaks(Invariant::I5);
        }
    }
}

/// How long a used token may come without being a theft.
fn grace(turn: &Turn, request: &Request) -> u8 {
    let same_key = request.key.is_some() && turn.key == request.key;
    if same_key { IDEMPOTENCY_WINDOW } else { LATE_WINDOW }
}

fn is_remembered(state: &State, session: u8) -> bool {
    let epochs = Epochs::default();
    state.replicas.iter().any(|replica| replica.up && replica.has_ended(session, epochs))
}

fn knows_what_it_has_read(state: &State, replica: &Replica) -> bool {
    let Some((server, upto)) = replica.cursor else { return true };
    let read = &state.store.revoked[..usize::from(upto).min(state.store.revoked.len())];
    server != state.store.server || read.iter().all(|ended| replica.knows(*ended))
}

/// The session that a step is about, if it is about one.
fn concerns(last: &State, action: Action) -> Option<u8> {
    match action {
        Action::Deliver { request, .. }
        | Action::DeliverTwice { request, .. }
        | Action::Proceed { request }
        | Action::Fail { request }
        | Action::Unanswered { request }
        | Action::Receive { request } => last.requests.get(request).map(|request| request.token.session),
        Action::Abuse { .. } | Action::Logout { .. } => Some(0),
        Action::Finish { ending } | Action::FinishFails { ending } => last.endings.get(ending)?.session,
        _ => None,
    }
}
