//! What is remembered: one trait, which decides nothing.
//!
//! A store answers questions and carries out statements; what they mean is judged in [`crate::domain`]. Every
//! implementation gives the same answers to the same calls: `tests/it/store` runs one contract, and one generator of
//! histories, on all of them and on a plain model. A store is opened for one realm and sees nothing of the others.
//!
//! Texts are kept as they are, except that NUL characters are dropped (Postgres has none). Durations count in whole
//! milliseconds, up to ten thousand years.
//!
//! Time is the store's own: Postgres reads its clock in the statement, SQLite is in this process and is given ours.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::domain::history::Mark;
use crate::domain::keys::Algorithm;
use crate::domain::rate::{Bucket, Rate};
use crate::domain::revocation::Revocation;
use crate::domain::rotation::SessionState;
use crate::domain::secret::Fingerprint;
use crate::domain::session::{Epochs, IdempotencyMac, Origin, Salt, Session, SessionId, Subject, TokenHash};
use crate::domain::time::Timestamp;
use crate::domain::user::{PasswordHash, User, UserName};
use crate::domain::vault::SealedJar;

mod open;
pub mod postgres;
mod rows;
mod schema;
pub mod sqlite;
mod vault;

pub use open::{OpenError, migrate, open};
pub use vault::{ChangedVault, VAULT_PAGE, VaultChange, VaultPage};

/// The store's answers. Every method fails with a [`StoreError`] only.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// A replica (or a command) joins the realm: makes the realm's row if there is none, raises the longest access-token
    /// lifetime ever used in it (revocations are kept that long), and tells what the realm knows.
    async fn join(&self, access_ttl: Duration) -> Result<Realm, StoreError>;

    /// Adds the fingerprint of an operator secret to the realm's. With `only_first`, only if the realm has none yet.
    /// Returns all of the realm's fingerprints afterwards.
    async fn add_secret(&self, fingerprint: Fingerprint, only_first: bool) -> Result<Vec<Fingerprint>, StoreError>;

    /// Takes an operator secret's fingerprint from the realm's. Says whether it was there.
    async fn remove_secret(&self, fingerprint: Fingerprint) -> Result<bool, StoreError>;

    /// Every signing key of the realm, oldest first.
    async fn signing_keys(&self) -> Result<SigningKeys, StoreError>;

    /// Changes the signing keys, unless they have been changed since [`SigningKeys::version`] was read. Says whether it
    /// did: of any number of concurrent callers with one version, one is told `true`. A kid that is not there changes
    /// nothing, nor does one to be added that is.
    async fn change_keys(&self, version: u64, change: &KeyChange) -> Result<bool, StoreError>;

    /// A replica says that it lives.
    async fn report(&self, replica: &Replica) -> Result<(), StoreError>;

    /// Who has said so in the last `live`, by id.
    async fn replicas(&self, live: Duration) -> Result<Vec<Replica>, StoreError>;

    /// A replica says that it goes.
    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError>;

    /// The counters in force for a subject.
    async fn epochs(&self, subject: &Subject) -> Result<Epochs, StoreError>;

    /// Inserts a session if the counters still are `session.epochs`, and ends the oldest of the subject's other living
    /// sessions (by creation, then id; living as in [`Self::sessions_of`]) beyond `session.most`, with a revocation each.
    /// Parallel logins of one subject are put in sequence.
    async fn create_session(&self, session: &NewSession) -> Result<Created, StoreError>;

    /// session's epochs are the counters in force and neither end has passed. `None` if that matched no row.
    async fn swap(&self, swap: &Swap) -> Result<Option<Advanced>, StoreError>;

    /// The session's row on the primary, with the counters in force and the store's clock. `None` if there is no row.
    async fn session(&self, id: SessionId) -> Result<Option<SessionState>, StoreError>;

    /// The subject's sessions that have not expired and whose epochs are in force, newest first.
    async fn sessions_of(&self, subject: &Subject) -> Result<Vec<Session>, StoreError>;

    /// Deletes the session and records its revocation, in one transaction, and says whether there was one. Where there is
    /// none nothing is recorded: whoever ended it has, and an old token must not make the table grow.
    async fn end_session(&self, id: SessionId) -> Result<bool, StoreError>;

    /// Sessions of everybody that have not expired and whose epochs are in force, by id: those among the next `most` rows
    /// after `after`, or the first. A page takes no longer however many rows there are, and how few of them live.
    async fn living_sessions(&self, after: Option<SessionId>, most: u32) -> Result<SessionPage, StoreError>;

    /// As [`Self::end_session`] for each of these, in one transaction, and says how many there were. A few hundred, lest it
    /// takes too long.
    async fn end_sessions(&self, ids: &[SessionId]) -> Result<u64, StoreError>;

    /// Increments the subject's counter and records the revocation. Returns the new value.
    async fn end_subject(&self, subject: &Subject) -> Result<u64, StoreError>;

    /// As [`Self::end_subject`] for every other session: this one, if it is the subject's and lived under the counter until
    /// then, goes on under the new value, in the same transaction.
    async fn end_others(&self, subject: &Subject, session: SessionId) -> Result<u64, StoreError>;

    /// Increments the realm's counter and records the revocation. Returns the new value.
    async fn end_realm(&self) -> Result<u64, StoreError>;

    /// Every live revocation, or those recorded after `after`, in pieces. The cursor of a page continues where it ended; rows of
    /// transactions that committed late are never skipped. A row may be delivered twice.
    async fn revocations(&self, after: Option<&Cursor>) -> Result<RevocationPage, StoreError>;

    /// What wakes a reader of the revocations as soon as there is something to read. Nothing may come, and what comes may mean
    /// nothing: whoever uses it sends one with [`Self::wake`] first, and asks at times all the same. `None`: this store has no
    /// such thing.
    async fn listen(&self) -> Result<Option<Box<dyn Wakeups>>, StoreError> {
        Ok(None)
    }

    /// Wakes everybody who listens.
    async fn wake(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Counts a heartbeat, and wakes everybody, if the last one is `every` ago. `None` if it is not, or if somebody else was
    /// faster: of all replicas one writes each beat.
    async fn beat(&self, every: Duration) -> Result<Option<u64>, StoreError>;

    /// Puts a question to all replicas, and wakes them: each one that has read a page with it, and holds what that page says,
    /// reports so. Returns its number.
    async fn ask(&self) -> Result<u64, StoreError>;

    /// Records that history was lost, unless the mark has changed since it was read, and says whether it did. Whoever was there
    /// when the last beat was written that is left counts as there now: they may know of what is lost.
    async fn note_rollback(&self, loss: &Loss) -> Result<bool, StoreError>;

    /// Ends again what has been ended before, in one transaction, and says how much of it the store had lost. Sessions are
    /// deleted and counters raised; nothing is weakened.
    async fn restore(&self, revocations: &[Revocation]) -> Result<u64, StoreError>;

    /// Replaces a session's sealed jar, if it still is of the version it was read with, and records the change for all
    /// replicas, in one transaction. Says whether it did.
    async fn change_vault(&self, change: &VaultChange) -> Result<bool, StoreError>;

    /// The latest change of every jar that is still to be told, or those recorded after `after`; a cursor as in
    /// [`Self::revocations`], but of its own.
    async fn vault_changes(&self, after: Option<&Cursor>) -> Result<VaultPage, StoreError>;

    /// Deletes sessions, revocations and recorded changes of jars that ended, buckets that were whole and replicas that were last seen more than
    /// `keep` ago, at most `most` of each, the earliest first, and says how many. A session counts as ended at its absolute end.
    async fn purge(&self, keep: Duration, most: u32) -> Result<u64, StoreError>;

    /// A user and the counters in force for its subject, as of one moment: a password hash is never older than the
    /// counters it is read with. `None` if there is no such user.
    async fn account(&self, name: &UserName) -> Result<Option<Account>, StoreError>;

    /// As [`Self::account`], by the user's subject.
    async fn account_of(&self, subject: &Subject) -> Result<Option<Account>, StoreError>;

    /// Every user, by name.
    async fn users(&self) -> Result<Vec<User>, StoreError>;

    /// Adds users, all or none: `false`, and nothing has changed, if a name or a subject is taken, by a user or by another
    /// of these. A subject that had a user before keeps its counter.
    async fn add_users(&self, users: &[User]) -> Result<bool, StoreError>;

    /// Adds one user, as [`Self::add_users`].
    async fn add_user(&self, user: &User) -> Result<bool, StoreError> {
        self.add_users(std::slice::from_ref(user)).await
    }

    /// Sets the password and increments the subject's counter, in one transaction. `None` if there is no such user,
    /// otherwise the new value.
    async fn set_password(&self, name: &UserName, hash: &PasswordHash) -> Result<Option<u64>, StoreError>;

    /// A person changes their own password: sets it, increments the subject's counter, and lets the one session that asks
    /// live on under the new counter, with another token, the old one among its recent rotations; all or nothing. `None`, and nothing has changed, unless the
    /// password still is the old one, the token still the live one, and the session one of this user that has not ended.
    async fn change_password(&self, change: &PasswordChange) -> Result<Option<Advanced>, StoreError>;

    /// Replaces the hash of an unchanged password by one with today's parameters, if it still is `old`. Ends nothing.
    async fn upgrade_password(&self, name: &UserName, old: &PasswordHash, new: &PasswordHash)
    -> Result<(), StoreError>;

    /// Disables the user and increments the subject's counter in one transaction, or enables it. `false` if there is no
    /// such user.
    async fn set_disabled(&self, name: &UserName, disabled: bool) -> Result<bool, StoreError>;

    /// Removes the user and increments the subject's counter, in one transaction. `false` if there is no such user.
    async fn remove_user(&self, name: &UserName) -> Result<bool, StoreError>;

    /// Takes one from a bucket, for all replicas alike, as [`Rate::take`] says. A bucket never used is whole.
    async fn take(&self, bucket: Bucket, rate: Rate) -> Result<Taking, StoreError>;

    /// Makes a bucket whole.
    async fn refill(&self, bucket: Bucket) -> Result<(), StoreError>;

    /// The store's clock; also shows that it answers.
    async fn now(&self) -> Result<Timestamp, StoreError>;
}

/// Wakes a reader of the revocations.
#[async_trait]
pub trait Wakeups: Send {
    /// Returns at the next wake-up; the wait may be dropped. After an error nothing comes any more.
    async fn next(&mut self) -> Result<(), StoreError>;
}

/// Why a store did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not reachable, too slow, read-only, out of space, or shutting down. Trying again later may help.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What came back is not what this version writes: a foreign or damaged table.
    #[error("the store holds something this version cannot read: {0}")]
    Corrupt(String),
    /// The schema is missing or of another version.
    #[error("the store's schema is not this version's: {0}")]
    Schema(String),
}

/// What a realm knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm {
    /// The counter in force.
    pub epoch: u64,
    /// Operator secrets its tokens and keys were made with.
    pub secrets: Vec<Fingerprint>,
    pub now: Timestamp,
}

/// A signing key, sealed under an operator secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    pub kid: String,
    pub algorithm: Algorithm,
    /// Which secret opens it.
    pub secret: Fingerprint,
    /// `nonce:12 ‖ ciphertext ‖ tag:16`.
    pub sealed: Vec<u8>,
}

/// The realm's signing keys at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeys {
    /// How often they have been changed.
    pub version: u64,
    pub list: Vec<StoredKey>,
    /// The longest lifetime of an access token ever used in the realm.
    pub longest_access_ttl: Duration,
    pub now: Timestamp,
}

/// A signing key and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Of a banned key without the sealed bytes.
    pub key: SealedKey,
    pub added: Timestamp,
    /// `None`: it is published, and signs nothing yet.
    pub signs_from: Option<Timestamp>,
    pub banned: Option<Timestamp>,
}

/// What can be done to the signing keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Adds a key that signs after this long, or not before it is told to.
    Add(SealedKey, Option<Duration>),
    /// Lets the key of this name sign, after this long, if it does not yet and is not banned.
    Sign(String, Duration),
    /// Puts the same key, sealed anew, in its own place, unless it is banned.
    Reseal(SealedKey),
    /// Bans the key of this name for good; its sealed bytes are deleted.
    Ban(String),
    /// Forgets a key, unless it is banned.
    Remove(String),
}

/// A process that serves, as it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub id: ReplicaId,
    /// For people: the host's name.
    pub name: String,
    /// What it can open tokens and keys with, the preferred one first.
    pub secrets: Vec<Fingerprint>,
    /// The last question it has answered: what was revoked before that was asked, it refuses.
    pub heard: u64,
}

/// 16 bytes that no other replica has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaId(pub [u8; 16]);

/// A user with the counters in force for its subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub user: User,
    pub epochs: Epochs,
}

/// A login's session, before the store gave it its times.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSession {
    pub id: SessionId,
    pub subject: Subject,
    pub client: String,
    pub hash: TokenHash,
    /// The counters read before the password was checked.
    pub epochs: Epochs,
    pub from: Origin,
    pub claims: Map<String, Value>,
    pub label: Option<String>,
    pub vault: Option<SealedJar>,
    pub idle_ttl: Duration,
    pub max_ttl: Duration,
    /// How many sessions the subject may have afterwards.
    pub most: u32,
}

/// What became of a [`NewSession`].
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    Stored {
        session: Box<Session>,
        /// Ended because the subject had too many.
        ended: Vec<SessionId>,
    },
    /// A counter has moved since it was read: the login is void.
    EpochMoved,
}

/// One turn of the ratchet.
#[derive(Clone, Debug, PartialEq)]
pub struct Swap {
    pub session: SessionId,
    pub client: String,
    /// Of the presented token; the successor's is one more.
    pub generation: u32,
    /// What the row must have: the presented token's, unless it is behind.
    pub row_hash: TokenHash,
    /// How many turns the row has lost: 0, but after a rollback.
    pub behind: u32,
    pub successor: TokenHash,
    pub salt: Salt,
    pub key: Option<IdempotencyMac>,
    pub from: Origin,
    pub idle_ttl: Duration,
    /// Entries of rotations before this long ago may be dropped.
    pub longest_window: Duration,
}

/// A new password, and the session that asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct PasswordChange {
    pub name: UserName,
    pub old: PasswordHash,
    pub new: PasswordHash,
    pub session: SessionId,
    /// Of the session's live token.
    pub generation: u32,
    pub live: TokenHash,
    /// Of the token that takes its place, one generation on.
    pub next: TokenHash,
    pub from: Origin,
    pub idle_ttl: Duration,
}

/// A session after its swap.
#[derive(Clone, Debug, PartialEq)]
pub struct Advanced {
    pub session: Session,
    /// The store's clock in the statement.
    pub now: Timestamp,
}

/// What a bucket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    Taken,
    /// Nothing: there is one after this long.
    Wait(Duration),
}

/// That history was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Random.
    pub id: u64,
    /// By which it was noticed.
    pub mark: Mark,
    /// The highest beat that whoever noticed it knows of.
    pub seen: u64,
    /// After how long of silence a replica counts as gone.
    pub live: Duration,
}

/// Where a reader of the revocations stands. Opaque; meaningful only to the store that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// Most revocations of one page: what a store gives in one piece and in time.
pub const PAGE: u32 = 10_000;

/// Some living sessions, perhaps none, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionPage {
    pub sessions: Vec<Session>,
    /// `None`: there are no more rows.
    pub next: Option<SessionId>,
}

/// Some revocations, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationPage {
    pub revocations: Vec<Revocation>,
    pub cursor: Cursor,
    /// Whether there is more to be read from there at once: a page holds no more than [`PAGE`].
    pub more: bool,
    /// The realm's counter when the page was read.
    pub realm_epoch: u64,
    /// [`SigningKeys::version`] when the page was read.
    pub keys_version: u64,
    /// The last question put to all replicas.
    pub asked: u64,
    pub mark: Mark,
    pub now: Timestamp,
}
