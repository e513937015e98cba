//! What happened, as those who did it saw it: each operation with the moments it was begun and over, and what came of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sidegate::clock::{Clock, Stopwatch, SystemClock};

use super::token::{SessionKey, Token};

/// The history of one run, written by many.
pub(super) struct Record {
    running: Stopwatch,
    /// The wall clock when it began, in milliseconds.
    began: i64,
    history: Mutex<History>,
}

#[derive(Default)]
pub(super) struct History {
    pub(super) logins: usize,
    /// Sessions of honest clients, which nobody ends, and when they began.
    pub(super) honest: HashMap<SessionKey, Duration>,
    pub(super) refreshes: Vec<Refresh>,
    pub(super) calls: Vec<Call>,
    pub(super) ends: Vec<End>,
    pub(super) losses: Vec<Loss>,
    pub(super) faults: Vec<Fault>,
    pub(super) eras: Vec<Era>,
    /// What the audit of the tables found wrong on the spot.
    pub(super) findings: Vec<String>,
    pub(super) audits: usize,
    /// Refreshes that were stored while their answers were lost with a database.
    pub(super) lost_answers: usize,
    /// From the tables: when each session ends at the latest, in milliseconds of the wall clock.
    pub(super) absolute_ends: HashMap<SessionKey, i64>,
}

/// From the moment before to the moment after, on a clock that never steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

/// What the one who asked knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome<T> {
    Done(T),
    /// A definite no: a 4xx.
    Refused(String),
    /// No answer, or one that says to try again: it may have happened, or may still happen.
    Unknown(String),
}

/// Who presents a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Presents only the newest token it was given.
    Honest,
    /// Presents what was exchanged before, or after the end.
    Thief,
}

#[derive(Clone, Debug)]
pub(super) struct Refresh {
    pub(super) who: Who,
    pub(super) span: Span,
    pub(super) presented: Token,
    pub(super) outcome: Outcome<Token>,
    /// When the new access token ends, in milliseconds of the wall clock.
    pub(super) access_expires: Option<i64>,
}

/// An access token, shown to one replica.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) session: SessionKey,
    pub(super) node: usize,
    pub(super) span: Span,
    pub(super) outcome: Outcome<()>,
    /// When the token says that it ends, on the record's clock.
    pub(super) expires_at: Duration,
}

/// Sessions that were ended, and whoever asked has been told so.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) how: How,
    pub(super) session: SessionKey,
    pub(super) span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Logout,
    LogoutAll,
    Disable,
    Theft,
}

/// An honest client was told that its newest token gives nothing.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    pub(super) token: Token,
    pub(super) at: Duration,
    pub(super) answer: String,
}

/// What the nemesis did.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) what: String,
    /// Until everything works again that it broke, as far as it can be seen from outside.
    pub(super) span: Span,
    /// Which replicas could not hear of the others meanwhile.
    pub(super) deaf: Vec<usize>,
    pub(super) in_flight: usize,
}

/// Another server took over, without the last commits.
#[derive(Clone, Debug)]
pub(super) struct Era {
    /// Nothing that was committed after this was replicated.
    pub(super) lost_from: Duration,
    pub(super) from: Duration,
    /// The generation of each session it knows.
    pub(super) survivors: HashMap<SessionKey, i64>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self { running: Stopwatch::start(), began: SystemClock.now().as_millis(), history: Mutex::default() }
    }

    pub(super) fn now(&self) -> Duration {
        self.running.elapsed()
    }

    pub(super) fn since(&self, from: Duration) -> Span {
        Span { from, to: self.now() }
    }

    /// A moment of the wall clock on this record's.
    pub(super) fn moment(&self, wall_millis: i64) -> Duration {
        Duration::from_millis(u64::try_from(wall_millis - self.began).unwrap_or_default())
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Outcome<T> {
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Done(value) => Outcome::Done(map(value)),
            Self::Refused(answer) => Outcome::Refused(answer),
            Self::Unknown(why) => Outcome::Unknown(why),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}…{:.3} s", self.from.as_secs_f64(), self.to.as_secs_f64())
    }
}
