//! Everything at one moment. Small, and nothing in it that does not matter for what can still happen.

use std::time::Duration;

use sidegate::domain::history::{Known, Mark, Rollback};
use sidegate::domain::revocation::Held;
use sidegate::domain::session::{Epochs, RecentRotations};
use sidegate::domain::time::Timestamp;

use super::book::{KeyName, SaltName, Token};
use super::scope::Invariant;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub now: u8,
    pub store: Store,
    /// A copy that has stopped to follow.
    pub standby: Option<Box<Store>>,
    pub replicas: [Replica; 2],
    pub clients: [Client; 2],
    /// What the thief has.
    pub stolen: Option<Token>,
    /// In order.
    pub requests: Vec<Request>,
    pub endings: Vec<Ending>,
    pub left: Left,
    /// Sessions whose end somebody was told of.
    pub told: [bool; 2],
    /// What has been found wrong, as bits.
    pub broken: u16,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    pub doubles: u8,
    pub faults: u8,
    pub crashes: u8,
    pub logouts: u8,
    pub logouts_everywhere: u8,
    pub abuses: u8,
    pub losses: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// Two sessions of one subject.
    pub rows: [Option<Row>; 2],
    /// The subject's counter.
    pub epoch: u64,
    /// In the order of their commits.
    pub revoked: Vec<Ended>,
    /// Which server it is on, and on which the realm was last known to be.
    pub server: u8,
    pub known: u8,
    pub beat: u64,
    pub beaten: u8,
    pub rollback: Option<Rollback>,
    pub asked: u64,
    /// What each replica has answered.
    pub heard: [u64; 2],
    /// Every turn that has been stored. No program knows them: they are what the invariants are told.
    pub turns: Vec<Turn>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    pub live: Token,
    pub salt: Option<SaltName>,
    pub recent: RecentRotations,
    pub epochs: Epochs,
    pub rotated: u8,
    /// On which server that was.
    pub server: u8,
    pub elsewhere: bool,
    /// Only wrong rules have more live tokens, and other marks.
    pub others: Vec<Token>,
    pub mark: Option<Token>,
    pub locked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn {
    pub parent: Token,
    pub child: Token,
    pub at: u8,
    pub key: Option<KeyName>,
    pub by: SaltName,
    /// On which server.
    pub server: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ended {
    Session(u8),
    SubjectBelow(u64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Replica {
    pub up: bool,
    pub sessions: [Option<Held>; 2],
    pub subject: Option<Held>,
    /// Ended here, and not stored yet.
    pub unstored: [bool; 2],
    /// The server and the place up to which it has read.
    pub cursor: Option<(u8, u8)>,
    pub history: Known,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    pub token: Token,
    pub turns: u8,
    pub requests: u8,
    /// When it presented this token for the first time.
    pub asked: Option<u8>,
    pub at_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    pub id: SaltName,
    pub thief: bool,
    pub token: Token,
    pub key: Option<KeyName>,
    pub elsewhere: bool,
    pub sent: u8,
    pub stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    Underway,
    At { replica: u8, arrived: u8, todo: Todo },
    Answered(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Todo {
    /// The row must have this token, so many turns behind the presented one.
    Swap {
        live: Token,
        behind: u8,
        looked: bool,
    },
    /// A wrong rule has judged, and writes now.
    Write,
    Read {
        looked: bool,
    },
    End,
    /// The swap is stored.
    Give(Token),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    Given(Token),
    Late,
    Ended,
    Ahead,
}

/// A logout under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ending {
    pub replica: u8,
    /// `None`: all of the subject's.
    pub session: Option<u8>,
    /// The counter that the store has answered with.
    pub stored: Option<u64>,
}

impl State {
    pub fn breaks(&mut self, invariant: Invariant) {
        self.broken |= 1 << invariant as u16;
    }

    pub fn is_broken(&self, invariant: Invariant) -> bool {
        self.broken & 1 << invariant as u16 != 0
    }
}

impl Request {
    /// Not an answer to what its client has had from another request.
    pub fn is_awaited(&self, clients: &[Client; 2]) -> bool {
        let client = &clients[usize::from(self.token.session)];
        !matches!(self.stage, Stage::Answered(_)) || (client.token == self.token && !client.at_end)
    }
}

impl Left {
    /// Whether something may still come that one replica knows of, and the other does not.
    pub fn may_differ(self) -> bool {
        [self.crashes, self.logouts, self.logouts_everywhere, self.abuses, self.losses].iter().any(|left| *left > 0)
    }
}

impl Store {
    /// Whether a refresh with the live token of this session would be stored.
    pub fn is_alive(&self, session: u8) -> bool {
        self.alive(session).is_some()
    }

    pub fn alive(&self, session: u8) -> Option<&Row> {
        self.rows[usize::from(session)].as_ref().filter(|row| !row.epochs.is_void_under(self.epochs()))
    }

    pub fn epochs(&self) -> Epochs {
        Epochs { realm: 0, subject: self.epoch }
    }

    /// The turn that used this token up.
    pub fn turn_of(&self, token: Token) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.parent == token)
    }

    pub fn mark(&self) -> Mark {
        Mark {
            server: self.server.to_string(),
            known: self.known.to_string(),
            beat: self.beat,
            beaten: at(self.beaten),
            rollback: self.rollback,
        }
    }

    pub fn end_session(&mut self, session: u8) {
        if self.rows[usize::from(session)].take().is_some() {
            self.revoked.push(Ended::Session(session));
        }
    }
}

impl Replica {
    /// As the program's set does: what is held already is merged with what is said.
    pub fn hold(&mut self, ended: Ended) {
        let (entry, below) = match ended {
            Ended::Session(session) => (&mut self.sessions[usize::from(session)], 0),
            Ended::SubjectBelow(below) => (&mut self.subject, below),
        };
        // All is over long before any of it may be forgotten.
        let said = Held { below, until: Timestamp::default() };
        *entry = Some(entry.map_or(said, |held| held.merged(said)));
    }

    /// Whether it refuses what this has ended.
    pub fn knows(&self, ended: Ended) -> bool {
        match ended {
            Ended::Session(session) => self.sessions[usize::from(session)].is_some(),
            Ended::SubjectBelow(below) => self.subject.is_some_and(|held| held.below >= below),
        }
    }

    pub fn has_ended(&self, session: u8, epochs: Epochs) -> bool {
        let subject = self.subject.map_or(0, |held| held.below);
        epochs.is_void_under(Epochs { realm: 0, subject }) || self.sessions[usize::from(session)].is_some()
    }

    /// All that it holds.
    pub fn held(&self) -> Vec<Ended> {
        let sessions = (0..2).filter(|session| self.sessions[usize::from(*session)].is_some()).map(Ended::Session);
        sessions.chain(self.subject.map(|held| Ended::SubjectBelow(held.below))).collect()
    }
}

/// Within a tick, what happens on a server happens after all that happened on the one before.
pub fn at_on(server: u8, tick: u8) -> Timestamp {
    at(tick).plus(Duration::from_millis(server.into()))
}

pub fn at(tick: u8) -> Timestamp {
    Timestamp::from_secs(1_000 + i64::from(tick))
}
