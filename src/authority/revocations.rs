//! Every live revocation of the realm, in memory, asked on every request.
//!
//! The set has no size bound: a cache that is full refuses its newest key, and here that would be forgetting a
//! revocation. It is bounded by time instead: an entry leaves when the last token it could hit has expired. Merging
//! takes the maximum of value and end, so that pages may come twice or in any order, and nothing is ever cleared first.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use moka::Expiry;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;

use crate::clock::{Moment, SharedClock};
use crate::domain::identity::Identity;
use crate::domain::keys::KeyId;
use crate::domain::revocation::{Held, Revocation, Revoked};
use crate::domain::secret::sha256;
use crate::domain::session::{Epochs, SessionId, Subject};
use crate::domain::time::Timestamp;

/// The set of one realm.
#[derive(Debug)]
pub struct Revocations {
    entries: Cache<Key, Entry>,
    realm_epoch: AtomicU64,
    /// Raised after each change that makes more void.
    version: AtomicU64,
    /// Keys whose every signature is void, for good. Few, and most often none.
    banned: RwLock<HashSet<KeyId>>,
    clock: SharedClock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Session(SessionId),
    /// First half of the SHA-256 of the subject: fixed size, and no collision can be found.
    Subject([u8; 16]),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    held: Held,
    /// Of a subject: its name cannot be told from the key.
    subject: Option<Subject>,
}

impl Revocations {
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        let expiry = UntilEnd(SharedClock::clone(&clock));
        let entries = Cache::builder().expire_after(expiry).build();
        Self { entries, realm_epoch: AtomicU64::new(0), version: AtomicU64::new(1), banned: RwLock::default(), clock }
    }

    /// Adds a revocation; keeps the stricter of two.
    pub fn merge(&self, revocation: &Revocation) {
        let (key, below, subject) = match &revocation.revoked {
            Revoked::Session(id) => (Key::Session(*id), 0, None),
            Revoked::SubjectBelow(subject, below) => (subject_key(subject), *below, Some(subject.clone())),
            Revoked::RealmBelow(below) => return self.raise_realm_epoch(*below),
        };
        let said = Held { below, until: revocation.until };
        if said.until <= self.clock.now() {
            return;
        }
        let done = self.entries.entry(key).and_compute_with(|entry| {
            let before = entry.map(|entry| entry.into_value().held);
            let held = before.map_or(said, |before| before.merged(said));
            if before == Some(held) { Op::Nop } else { Op::Put(Entry { held, subject }) }
        });
        if !matches!(done, CompResult::Unchanged(_)) {
            self.raise_version();
        }
    }

    /// Never the same again once something more has become void: what was not void under it, asked after it was read, is not
    /// void as long as it stays. Begins at 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// After the change, so that whoever reads the new version finds what it stands for.
    fn raise_version(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The realm's counter never goes back.
    pub fn raise_realm_epoch(&self, epoch: u64) {
        if self.realm_epoch.fetch_max(epoch, Ordering::AcqRel) < epoch {
            self.raise_version();
        }
    }

    /// Nothing that this key signed is valid any more.
    pub fn ban(&self, key: KeyId) {
        if self.banned.write().unwrap_or_else(PoisonError::into_inner).insert(key) {
            self.raise_version();
        }
    }

    /// Whether something has ended this token before its time.
    #[must_use]
    pub fn void(&self, identity: &Identity) -> bool {
        self.banned.read().unwrap_or_else(PoisonError::into_inner).contains(&identity.key)
            || self.has_ended(identity.session, &identity.subject, identity.epochs)
    }

    /// Whether this session, of this subject and these counters, has been ended.
    #[must_use]
    pub fn has_ended(&self, session: SessionId, subject: &Subject, epochs: Epochs) -> bool {
        let subject = self.entries.get(&subject_key(subject)).map_or(0, |entry| entry.held.below);
        epochs.is_void_under(Epochs { realm: self.realm_epoch(), subject })
            || self.entries.contains_key(&Key::Session(session))
    }

    /// Whether the session has been ended by itself, and not with others.
    #[must_use]
    pub fn holds(&self, session: SessionId) -> bool {
        self.entries.contains_key(&Key::Session(session))
    }

    /// Until when that is held.
    #[must_use]
    pub fn holds_until(&self, session: SessionId) -> Option<Timestamp> {
        self.entries.get(&Key::Session(session)).map(|entry| entry.held.until)
    }

    /// The realm's counter, as far as it is known here.
    #[must_use]
    pub fn realm_epoch(&self) -> u64 {
        self.realm_epoch.load(Ordering::Acquire)
    }

    /// All of sessions and subjects, each kind in an order of its own: whoever writes them does so in the same order.
    #[must_use]
    pub fn held(&self) -> Vec<Revocation> {
        let (mut sessions, mut subjects) = (Vec::new(), Vec::new());
        for (key, Entry { held: Held { below, until }, subject }) in &self.entries {
            match (*key, subject) {
                (Key::Session(id), _) => sessions.push((id, until)),
                (Key::Subject(_), Some(subject)) => subjects.push((subject, below, until)),
                (Key::Subject(_), None) => {}
            }
        }
        sessions.sort_unstable();
        subjects.sort_unstable();
        let sessions = sessions.into_iter().map(|(id, until)| Revocation { revoked: Revoked::Session(id), until });
        let of = |(subject, below, until)| Revocation { revoked: Revoked::SubjectBelow(subject, below), until };
        sessions.chain(subjects.into_iter().map(of)).collect()
    }

    /// The names of the keys that are banned.
    #[must_use]
    pub fn banned(&self) -> Vec<KeyId> {
        self.banned.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    #[must_use]
    pub fn len(&self) -> u64 {
        // The count is of what has settled.
        self.entries.run_pending_tasks();
        self.entries.entry_count()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn subject_key(subject: &Subject) -> Key {
    let mut half = [0; 16];
    half.copy_from_slice(&sha256(subject.as_str().as_bytes())[..16]);
    Key::Subject(half)
}

/// Entries leave at their end.
struct UntilEnd(SharedClock);

impl Expiry<Key, Entry> for UntilEnd {
    fn expire_after_create(&self, _: &Key, entry: &Entry, _: Moment) -> Option<Duration> {
        Some(entry.held.until.since(self.0.now()))
    }

    fn expire_after_update(&self, _: &Key, entry: &Entry, _: Moment, _: Option<Duration>) -> Option<Duration> {
        Some(entry.held.until.since(self.0.now()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};

    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::domain::time::Timestamp;

    fn identity(subject: &str, epochs: Epochs) -> Identity {
        Identity {
            subject: Subject::parse(subject).unwrap(),
            session: SessionId::from_bytes([1; 16]),
            client: String::new(),
            scopes: Vec::new(),
            roles: Vec::new(),
            epochs,
            key: KeyId::stored("key".into()),
            issued: Timestamp::default(),
            expires: Timestamp::default(),
            claims: serde_json::Map::new(),
            vault: None,
            headers: OnceLock::new(),
        }
    }

    fn set() -> Revocations {
        Revocations::new(Arc::new(SystemClock))
    }

    fn soon() -> Timestamp {
        SystemClock.now().plus(Duration::from_mins(1))
    }

    #[test]
    fn each_kind_hits_what_it_names_and_nothing_else() {
        let ann = |realm, subject| identity("ann", Epochs { realm, subject });
        let below = |n| Revoked::SubjectBelow(Subject::parse("ann").unwrap(), n);

        let by_session = set();
        by_session.merge(&Revocation { revoked: Revoked::Session(SessionId::from_bytes([1; 16])), until: soon() });
        assert!(by_session.void(&ann(9, 9)));
        by_session.merge(&Revocation { revoked: Revoked::Session(SessionId::from_bytes([2; 16])), until: soon() });
        let other = Identity { session: SessionId::from_bytes([3; 16]), ..ann(9, 9) };
        assert!(!by_session.void(&other));

        let by_subject = set();
        by_subject.merge(&Revocation { revoked: below(3), until: soon() });
        assert!(by_subject.void(&ann(1, 2)) && !by_subject.void(&ann(1, 3)));
        assert!(!by_subject.void(&identity("bob", Epochs { realm: 1, subject: 2 })));

        let by_realm = set();
        by_realm.merge(&Revocation { revoked: Revoked::RealmBelow(2), until: soon() });
        assert!(by_realm.void(&ann(1, 9)) && !by_realm.void(&ann(2, 0)));
    }

    #[test]
    fn merging_never_weakens_what_is_held() {
        let ann = |subject| identity("ann", Epochs { realm: 1, subject });
        let below = |n| Revoked::SubjectBelow(Subject::parse("ann").unwrap(), n);
        let set = set();
        set.merge(&Revocation { revoked: below(5), until: soon() });
        set.merge(&Revocation { revoked: below(2), until: soon().plus(Duration::from_mins(1)) });
        assert!(set.void(&ann(4)));
        set.raise_realm_epoch(7);
        set.raise_realm_epoch(1);
        assert!(set.void(&identity("bob", Epochs { realm: 6, subject: 0 })));
    }

    #[test]
    fn whatever_makes_more_void_raises_the_version() {
        let set = set();
        let session = |id| Revoked::Session(SessionId::from_bytes([id; 16]));
        let below = |n| Revoked::SubjectBelow(Subject::parse("ann").unwrap(), n);
        let merge = |revoked| set.merge(&Revocation { revoked, until: soon() });
        let twice = Revocation { revoked: session(3), until: soon() };
        let mut last = set.version();
        let mut has_risen = || std::mem::replace(&mut last, set.version()) < set.version();
        assert!(!has_risen());
        for revoked in [session(1), session(2), below(3), below(4), Revoked::RealmBelow(2)] {
            merge(revoked.clone());
            assert!(has_risen(), "{revoked:?}");
        }
        set.raise_realm_epoch(3);
        assert!(has_risen());
        set.ban(KeyId::stored("other".into()));
        assert!(has_risen());
        // What is known already makes nothing more void.
        set.raise_realm_epoch(3);
        set.ban(KeyId::stored("other".into()));
        set.merge(&twice);
        set.merge(&twice);
        assert!(has_risen());
        set.merge(&twice);
        assert!(!has_risen());
    }

    #[test]
    fn an_entry_leaves_at_its_end() {
        let set = set();
        let gone = Revoked::Session(SessionId::from_bytes([1; 16]));
        set.merge(&Revocation { revoked: gone, until: SystemClock.now() });
        assert!(!set.void(&identity("ann", Epochs::default())));
    }
}
