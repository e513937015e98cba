//! Ends what an operator selects: the same for a command, which has the store only, and for a replica that serves.
//!
//! What is stored is in force on every replica as soon as it has read of it. A replica can also wait until all have: it puts
//! a question behind the last end, and each one that answers has read what stands before it.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use crate::clock::{Stopwatch, rfc3339};
use crate::domain::key_life::Phase;
use crate::domain::keys::KeyId;
use crate::domain::revocation::{ALLOWANCE, Revoked};
use crate::domain::secret::sha256;
use crate::domain::selection::{Selection, Traits};
use crate::domain::session::{Session, SessionId, Subject};
use crate::store::{Replica, Store, StoreError};
use crate::telemetry::Event;

use super::Authority;
use super::keys::KeysError;
use super::keysmith::{Keysmith, Retired, all_phases};

/// Ends things in the store.
pub struct Revoker<'a> {
    pub keysmith: Keysmith<'a>,
    /// Told of each end as soon as it is stored.
    pub hold: &'a (dyn Fn(Revoked) + Send + Sync),
}

/// What was ended; shown as a line or two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Session(SessionId),
    /// It was ended before, not long ago.
    SessionBefore(SessionId),
    Subject {
        subject: Subject,
        sessions: u64,
    },
    Key {
        kid: String,
        successor: Option<String>,
    },
    /// It was retired before.
    KeyBefore(String),
    Matching(Count),
    Everybody {
        realm: String,
    },
}

/// What would be ended; shown as a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preview {
    Session { id: SessionId, subject: Subject },
    Subject { subject: Subject, sessions: u64 },
    Key { kid: String, phase: Phase },
    Matching(Count),
    Everybody { realm: String, count: Count },
}

/// How many sessions, of how many subjects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub sessions: u64,
    pub subjects: u64,
}

/// Why nothing was ended, or not everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    #[error("there is no session {id} in realm {realm}")]
    NoSession { id: SessionId, realm: String },
    #[error("there is no key {0}\n  hint: see `sidegate keys list`")]
    NoKey(String),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("{error}\n  hint: {ended} sessions were ended before that; run it again for the others")]
    Partly { ended: u64, error: StoreError },
}

impl From<StoreError> for RevokeError {
    fn from(error: StoreError) -> Self {
        Self::Keys(error.into())
    }
}

impl Revoker<'_> {
    fn store(&self) -> &dyn Store {
        self.keysmith.store
    }

    /// Ends it. A session that begins or moves while all of them are looked through may be missed.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke(&self, selection: &Selection) -> Result<Ended, RevokeError> {
        let audit = self.keysmith.audit;
        Ok(match selection {
            Selection::Session(id) => {
                if !self.store().end_session(*id).await? {
                    return Err(self.no_session(*id));
                }
                (self.hold)(Revoked::Session(*id));
                audit.record(&Event::new("revocation", "session").session(*id));
                Ended::Session(*id)
            }
            Selection::Subject(subject) => {
                let sessions = self.living_of(subject).await?;
                let below = self.store().end_subject(subject).await?;
                (self.hold)(Revoked::SubjectBelow(subject.clone(), below));
                audit.record(&Event::new("revocation", "subject").of(subject));
                Ended::Subject { subject: subject.clone(), sessions }
            }
            Selection::Key(kid) => match self.keysmith.retire(kid).await? {
                Retired::Unknown => return Err(RevokeError::NoKey(kid.clone())),
                Retired::Already => Ended::KeyBefore(kid.clone()),
                Retired::Now { successor } => Ended::Key { kid: kid.clone(), successor },
            },
            Selection::Traits(traits) => Ended::Matching(self.end_matching(traits).await?),
            Selection::Everybody => {
                let below = self.store().end_realm().await?;
                (self.hold)(Revoked::RealmBelow(below));
                audit.record(&Event::new("revocation", "everybody"));
                Ended::Everybody { realm: self.keysmith.realm.to_owned() }
            }
        })
    }

    /// Says what [`Self::revoke`] would end now. Changes nothing.
    ///
    /// # Errors
    /// [`RevokeError`], but for [`RevokeError::Partly`].
    pub async fn preview(&self, selection: &Selection) -> Result<Preview, RevokeError> {
        Ok(match selection {
            Selection::Session(id) => match self.store().session(*id).await? {
                Some(state) => Preview::Session { id: *id, subject: state.session.subject },
                None => return Err(self.no_session(*id)),
            },
            Selection::Subject(subject) => {
                Preview::Subject { subject: subject.clone(), sessions: self.living_of(subject).await? }
            }
            Selection::Key(kid) => {
                let keys = self.store().signing_keys().await?;
                let known = all_phases(&keys).find(|(stored, _)| stored.key.kid == *kid);
                let (_, phase) = known.ok_or_else(|| RevokeError::NoKey(kid.clone()))?;
                Preview::Key { kid: kid.clone(), phase }
            }
            Selection::Traits(traits) => Preview::Matching(self.count(|session| traits.matches(session)).await?),
            Selection::Everybody => {
                Preview::Everybody { realm: self.keysmith.realm.to_owned(), count: self.count(|_| true).await? }
            }
        })
    }

    fn no_session(&self, id: SessionId) -> RevokeError {
        RevokeError::NoSession { id, realm: self.keysmith.realm.to_owned() }
    }

    async fn living_of(&self, subject: &Subject) -> Result<u64, StoreError> {
        Ok(self.store().sessions_of(subject).await?.len() as u64)
    }

    async fn end_matching(&self, traits: &Traits) -> Result<Count, RevokeError> {
        let mut counting = Counting::default();
        let mut pages = Pages::of(self.store());
        let partly = |ended: &Counting, error| match ended.count.sessions {
            0 => RevokeError::from(error),
            ended => RevokeError::Partly { ended, error },
        };
        while let Some(page) = pages.next().await.map_err(|error| partly(&counting, error))? {
            let matching: Vec<&Session> = page.iter().filter(|session| traits.matches(session)).collect();
            if matching.is_empty() {
                continue;
            }
            let ids: Vec<SessionId> = matching.iter().map(|session| session.id).collect();
            let ended = self.store().end_sessions(&ids).await.map_err(|error| partly(&counting, error))?;
            for session in matching {
                (self.hold)(Revoked::Session(session.id));
                let event = Event::new("revocation", "matching").of(&session.subject);
                self.keysmith.audit.record(&event.session(session.id));
                counting.add(session);
            }
            // Some may have ended by themselves meanwhile.
            counting.count.sessions -= ids.len() as u64 - ended;
        }
        Ok(counting.count)
    }

    async fn count(&self, matches: impl Fn(&Session) -> bool) -> Result<Count, StoreError> {
        let mut counting = Counting::default();
        let mut pages = Pages::of(self.store());
        while let Some(page) = pages.next().await? {
            page.iter().filter(|session| matches(session)).for_each(|session| counting.add(session));
        }
        Ok(counting.count)
    }
}

/// All living sessions, some at a time.
struct Pages<'s> {
    store: &'s dyn Store,
    after: Option<SessionId>,
    is_over: bool,
}

impl<'s> Pages<'s> {
    fn of(store: &'s dyn Store) -> Self {
        Self { store, after: None, is_over: false }
    }

    async fn next(&mut self) -> Result<Option<Vec<Session>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.store.living_sessions(self.after, PAGE).await?;
        (self.after, self.is_over) = (page.next, page.next.is_none());
        Ok(Some(page.sessions))
    }
}

/// Few enough that looking at all of them, and ending them, is far from the deadline of a statement.
const PAGE: u32 = 500;

/// Counts without keeping what it has counted: eight bytes for each subject.
#[derive(Default)]
struct Counting {
    count: Count,
    subjects: HashSet<u64>,
}

impl Counting {
    fn add(&mut self, session: &Session) {
        let hash = sha256(session.subject.as_str().as_bytes());
        self.count.sessions += 1;
        self.count.subjects +=
            u64::from(self.subjects.insert(hash.first_chunk().copied().map_or(0, u64::from_be_bytes)));
    }
}

/// Who refuses by now what was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// How many replicas are there.
    pub replicas: usize,
    /// Those that have not said so.
    pub silent: Vec<Replica>,
    pub took: Duration,
}

impl Authority {
    /// Ends what is selected, here at once.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke(&self, selection: &Selection) -> Result<Ended, RevokeError> {
        let audit = self.audit.of_operator();
        let revoker = Revoker { keysmith: self.keysmith(&audit), hold: &|revoked| self.hold(revoked) };
        let ended = match revoker.revoke(selection).await {
            // Whoever asks again, to wait again, is not told that there was nothing.
            Err(RevokeError::NoSession { id, .. }) if self.revocations.holds(id) => Ended::SessionBefore(id),
            ended => ended?,
        };
        if let Ended::Key { kid, .. } | Ended::KeyBefore(kid) = &ended {
            self.revocations.ban(KeyId::stored(kid.clone()));
        }
        Ok(ended)
    }

    /// The replicas that are there. One that has not said that it goes counts as there for as long as it could still accept
    /// a token from before it fell silent.
    pub(super) async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        self.store.replicas(self.lifetimes.access + ALLOWANCE).await
    }

    /// Waits until every replica that is there refuses what was ended before this call, or until `patience` is over.
    ///
    /// # Errors
    /// If the store does not answer: nobody knows then.
    pub async fn until_heard(&self, patience: Duration) -> Result<Heard, StoreError> {
        let started = Stopwatch::start();
        let question = self.store.ask().await?;
        let mut pause = FIRST_PAUSE;
        loop {
            let live = self.replicas().await;
            let took = started.elapsed();
            let is_over = took >= patience;
            match live {
                // It may be back before the patience is over.
                Err(error) if is_over => return Err(error),
                Err(_) => {}
                Ok(live) => {
                    let replicas = live.len();
                    let silent: Vec<Replica> = live.into_iter().filter(|replica| replica.heard < question).collect();
                    if silent.is_empty() || is_over {
                        return Ok(Heard { replicas, silent, took });
                    }
                }
            }
            tokio::time::sleep(pause.min(patience.saturating_sub(took))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Most have heard after a few milliseconds; some poll.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(id) => write!(f, "ended session {id}"),
            Self::SessionBefore(id) => write!(f, "session {id} has ended already"),
            Self::Subject { subject, sessions } => {
                write!(f, "ended {sessions} sessions of {subject}{}", nobody(*sessions))
            }
            Self::Key { kid, successor } => {
                if let Some(successor) = successor {
                    writeln!(f, "{successor} signs from now on")?;
                }
                write!(f, "retired {kid}: nothing it signed is accepted any more; sessions go on and clients refresh")
            }
            Self::KeyBefore(kid) => write!(f, "{kid} is retired already"),
            Self::Matching(count) => write!(f, "ended {count}"),
            Self::Everybody { realm } => write!(f, "ended every session of realm {realm}"),
        }
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { id, subject } => write!(f, "would end session {id} of {subject}"),
            Self::Subject { subject, sessions } => {
                write!(f, "would end {sessions} sessions of {subject}{}", nobody(*sessions))
            }
            Self::Key { kid, phase } => match phase {
                Phase::Banned => write!(f, "{kid} is retired already"),
                Phase::Signs => {
                    write!(f, "would retire {kid}, which signs: another key would sign at once, and {GO_ON}")
                }
                Phase::Waiting | Phase::SignsFrom(_) => write!(f, "would retire {kid}, which has signed nothing yet"),
                Phase::VerifiesUntil(until) => {
                    write!(f, "would retire {kid}, which signs no more and verifies until {}; {GO_ON}", rfc3339(*until))
                }
                Phase::Over => write!(f, "would retire {kid}, of which nothing is valid any more"),
            },
            Self::Matching(count) => write!(f, "would end {count}"),
            Self::Everybody { realm, count } => write!(f, "would end every session of realm {realm}: {count}"),
        }
    }
}

const GO_ON: &str = "sessions go on, and clients refresh";

fn nobody(sessions: u64) -> &'static str {
    if sessions == 0 { ": nobody is logged in under that subject" } else { "" }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sessions of {} subjects", self.sessions, self.subjects)
    }
}
