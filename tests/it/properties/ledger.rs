//! What the test knows by itself: every session, what was given out in it, which token followed which, and when.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value};
use sidegate::domain::refresh_token::RefreshToken;
use sidegate::domain::revocation::Revocation;
use sidegate::domain::rotation::{OnRetry, RotationPolicy, SessionState};
use sidegate::domain::session::{Epochs, Origin, RecentRotations, SessionId, TokenHash};
use sidegate::domain::user::User;

use super::invariants::claims;
use super::system::{Answer, IDLE, LONGEST};

/// One session, from outside.
pub struct Line {
    pub id: SessionId,
    pub user: usize,
    pub device: usize,
    pub created: i64,
    pub first: TokenHash,
    /// Every swap that was stored, in order.
    pub turns: Vec<Turned>,
    /// Every refresh token that was given out, in order.
    pub issued: Vec<RefreshToken>,
    /// What each presented token was answered with.
    pub successors: HashMap<TokenHash, TokenHash>,
    pub access: Vec<Access>,
    /// When the newest of them was made.
    pub minted: i64,
    /// In the first access token.
    pub claims: Map<String, Value>,
    /// Why its owner can no longer expect it to last.
    pub trouble: Option<&'static str>,
    pub ended: Option<Ended>,
    /// A reuse was answered with 503: one replica refuses its access tokens already.
    pub suspected: bool,
}

#[derive(Clone, Debug)]
pub struct Access {
    pub text: String,
    pub expires: i64,
}

impl Access {
    pub fn new(text: String) -> Self {
        let expires = claims(&text)["exp"].as_i64().unwrap() * 1000;
        Self { text, expires }
    }
}

#[derive(Clone, Debug)]
pub struct Turned {
    pub presented: TokenHash,
    pub successor: TokenHash,
    pub at: i64,
    pub key: Option<String>,
    /// Which of the tap's statements it was.
    pub index: usize,
}

/// An end that was acknowledged.
#[derive(Clone, Debug)]
pub struct Ended {
    pub why: &'static str,
    /// How many statements the tap had seen by then.
    pub index: usize,
    /// How many ends there were before.
    pub number: usize,
    /// The replica that knows without reading the store.
    pub by: Option<usize>,
}

impl Line {
    /// The live token's hash before statement `index`.
    pub fn live_at(&self, index: usize) -> TokenHash {
        self.turns.iter().rfind(|turn| turn.index < index).map_or(self.first, |turn| turn.successor)
    }

    pub fn live(&self) -> TokenHash {
        self.live_at(usize::MAX)
    }

    pub fn turn_of(&self, token: TokenHash) -> Option<&Turned> {
        self.turns.iter().find(|turn| turn.presented == token)
    }

    /// How many rotations there were since that of `token`, its own included.
    pub fn turns_since(&self, token: TokenHash) -> usize {
        self.turns.iter().rev().position(|turn| turn.presented == token).map_or(0, |place| place + 1)
    }

    pub fn absolute_end(&self) -> i64 {
        self.created + ms(LONGEST)
    }

    pub fn idle_end(&self) -> i64 {
        let last = self.turns.last().map_or(self.created, |turn| turn.at);
        (last + ms(IDLE)).min(self.absolute_end())
    }

    /// Neither ended nor expired.
    pub fn is_alive(&self, now: i64) -> bool {
        self.ended.is_none() && now < self.idle_end()
    }

    pub fn knows(&self, token: TokenHash) -> bool {
        self.first == token || self.turns.iter().any(|turn| turn.successor == token)
    }
}

/// Whether a retry of a rotated token, whose successor is still live, is to be answered with that successor.
pub fn is_entitled(policy: &RotationPolicy, turn: &Turned, key: Option<&str>, now: i64) -> bool {
    let age = now - turn.at;
    match key {
        Some(key) => turn.key.as_deref() == Some(key) && age <= ms(policy.idempotency_window),
        None => policy.on_retry == OnRetry::Repeat && age <= ms(policy.retry_window),
    }
}

/// Whether a rotated token comes too late for any honest retry.
pub fn is_overdue(policy: &RotationPolicy, turn: &Turned, key: Option<&str>, now: i64) -> bool {
    now - turn.at > ms(policy.late_window) && !is_entitled(policy, turn, key, now)
}

/// The row keeps so many rotations and no more.
pub const KEPT: usize = RecentRotations::MOST;

pub fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}

/// Everything the store holds.
#[derive(Debug, Default)]
pub struct Dump {
    /// By line.
    pub sessions: Vec<Option<SessionState>>,
    pub epochs: Vec<Epochs>,
    pub users: Vec<User>,
    pub revocations: Vec<Revocation>,
}

/// One presented token of a session, and what came of it.
pub struct Asked {
    pub line: usize,
    pub presented: RefreshToken,
    pub key: Option<String>,
    pub from: Origin,
    /// Where the session's last refresh had come from.
    pub last_from: Option<Origin>,
    /// The session was alive when the request came.
    pub was_alive: bool,
    /// An honest device sent it and still holds nothing newer.
    pub is_newest: bool,
    /// Something else happened while it was under way.
    pub interrupted: bool,
    /// The store was broken on purpose.
    pub faulty: bool,
    pub now: i64,
    pub answer: Answer,
    pub returned: Option<RefreshToken>,
    /// It turned the ratchet itself.
    pub turned: bool,
    /// The last statement about the row, and the live hash it saw or made.
    pub last: Option<(usize, Option<TokenHash>)>,
    /// The rows of all other sessions, the users and their counters are as before.
    pub others_unchanged: bool,
    /// So is its own row.
    pub row_unchanged: bool,
}

/// What a check looks at.
pub struct Ledger {
    pub policy: RotationPolicy,
    pub lines: Vec<Line>,
    pub dump: Dump,
    pub now: i64,
}
