//! The use cases: authenticate a request, log in, refresh, log out, revoke.
//!
//! Each one asks the store, lets a pure function of [`crate::domain`] judge, then does what the verdict says, in one
//! visible list. [`Authority::authenticate`] runs on every request and touches memory only; the store is asked on login,
//! refresh, logout and revocation, and by the background tasks of [`feed`] that bring other replicas' revocations here.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Entropy, SharedClock};
use crate::config::checked;
use crate::domain::access_token::TokenRules;
use crate::domain::keys::PublicJwk;
use crate::domain::revocation::Revocation;
use crate::domain::rotation::RotationPolicy;
use crate::domain::secret::Fingerprint;
use crate::domain::session::SessionId;
use crate::domain::time::Timestamp;
use crate::store::{Cursor, Replica, Store, StoreError};
use crate::telemetry::{Audit, Metrics};

use self::feed::Contact;
use self::history::Known;
use self::keys::{HeldKeys, OpenedKeys};
use self::limits::Limits;
use self::owed::Owed;
use self::passwords::Passwords;
use self::renewal::Renewals;
use self::revocations::Revocations;
use self::upstream_login::UpstreamLogin;
use self::vault::Vaults;
use self::verified::VerifiedTokens;

mod account;
mod authenticate;
pub mod feed;
mod history;
pub mod jose;
pub mod keyring;
pub mod keys;
pub mod keysmith;
mod limits;
mod listening;
mod login;
mod logout;
mod observed;
mod owed;
pub mod passwords;
mod patience;
mod refresh;
mod renewal;
pub mod revocations;
pub mod revoke;
pub mod upstream_login;
mod vault;
pub mod verified;

pub use self::account::{PasswordError, PasswordRequest};
pub use self::login::{Login, LoginError, LoginRequest, Submitted};
pub use self::logout::LogoutError;
pub use self::refresh::{RefreshError, RefreshRequest};
pub use self::renewal::{RenewalRequest, Renewed};
pub use self::vault::{Lost, TooLarge};

/// Everything a running replica knows about tokens and sessions.
pub struct Authority {
    realm: String,
    store: Arc<dyn Store>,
    keys: HeldKeys,
    known_secrets: tokio::sync::Mutex<KnownSecrets>,
    rules: TokenRules,
    policy: RotationPolicy,
    lifetimes: Lifetimes,
    /// How long a call to the store may take.
    store_timeout: Duration,
    client_id: String,
    directory: Directory,
    limits: Limits,
    verified: VerifiedTokens,
    /// `None`: no cookies of the upstream are kept.
    vaults: Option<Vaults>,
    revocations: Revocations,
    renewals: Renewals,
    /// What has ended and is not in the store yet.
    owed: Owed,
    contact: RwLock<Option<Contact>>,
    /// Where the feed stands.
    position: Mutex<Option<Cursor>>,
    max_staleness: Duration,
    known: Mutex<Known>,
    /// One report at a time: an older word must not come after a newer one.
    reporting: tokio::sync::Mutex<()>,
    listening: AtomicBool,
    /// There may be something to read.
    wakeup: Notify,
    /// The feed has found by itself what it should have been woken for.
    overheard: Notify,
    /// There is something to do that cannot wait.
    tend_now: Notify,
    clock: SharedClock,
    entropy: Entropy,
    metrics: Arc<Metrics>,
    audit: Audit,
}

/// Who knows which password is whose.
pub enum Directory {
    /// We do.
    Users(Passwords),
    /// The application does.
    Upstream(Box<UpstreamLogin>),
    /// Nobody here.
    None,
}

/// What an [`Authority`] is made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub keys: OpenedKeys,
    /// Every operator secret the realm knows, also those this replica does not have.
    pub known_secrets: Vec<Fingerprint>,
    /// Who else serves.
    pub live: Vec<Replica>,
    pub directory: Directory,
    pub clock: SharedClock,
    pub entropy: Entropy,
    pub metrics: Arc<Metrics>,
    pub audit: Audit,
}

#[derive(Clone, Debug)]
struct Lifetimes {
    access: Duration,
    idle: Duration,
    max: Duration,
    sessions_per_subject: u32,
}

/// Fingerprints of the realm, and when they were last read.
struct KnownSecrets {
    key_ids: HashSet<[u8; 4]>,
    read: Timestamp,
}

/// What a login or a refresh answers with (RFC 6749 §5.1).
#[derive(Clone)]
pub struct TokenPair {
    pub access_token: String,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    pub refresh_token: zeroize::Zeroizing<String>,
    /// Seconds until the session ends if it is not refreshed.
    pub refresh_expires_in: u64,
    pub scope: Option<String>,
    pub session: SessionId,
    /// Of the refresh token: of two pairs of a session the later one is good.
    pub generation: u32,
}

impl std::fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenPair(session {})", self.session)
    }
}

impl Authority {
    /// Builds the authority of one realm. Holds no revocations until [`Authority::load`] has read them.
    #[must_use]
    pub fn new(config: &checked::Config, parts: Parts) -> Self {
        let Parts { store, keys, known_secrets, live, directory, clock, entropy, metrics, audit } = parts;
        let revocations = Revocations::new(Arc::clone(&clock));
        for banned in keys.keyring.banned() {
            revocations.ban(banned.clone());
        }
        let vaults = config.vault.as_ref().map(|vault| Vaults::new(&config.realm, vault, &keys.secrets, &clock));
        Self {
            realm: config.realm.clone(),
            vaults,
            store,
            keys: HeldKeys::new(config, keys, &live),
            known_secrets: tokio::sync::Mutex::new(KnownSecrets {
                key_ids: known_secrets.iter().map(Fingerprint::key_id).collect(),
                read: clock.now(),
            }),
            rules: config.access_token.rules(),
            policy: config.rotation.clone(),
            lifetimes: Lifetimes {
                access: config.access_token.ttl,
                idle: config.session.idle_ttl,
                max: config.session.max_ttl,
                sessions_per_subject: config.session.per_subject,
            },
            store_timeout: config.store.timeout,
            client_id: config.access_token.client_id.clone(),
            directory,
            limits: Limits::new(config.rates, Arc::clone(&clock)),
            verified: VerifiedTokens::new(config.verified_cache),
            revocations,
            renewals: Renewals::new(),
            owed: Owed::default(),
            contact: RwLock::default(),
            position: Mutex::default(),
            max_staleness: config.max_staleness,
            known: Mutex::default(),
            reporting: tokio::sync::Mutex::default(),
            listening: AtomicBool::new(false),
            wakeup: Notify::new(),
            overheard: Notify::new(),
            tend_now: Notify::new(),
            clock,
            entropy,
            metrics,
            audit,
        }
    }

    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The OAuth client that tokens are issued to.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Where what happens is recorded.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What `/.well-known/jwks.json` publishes.
    #[must_use]
    pub fn published_keys(&self) -> Vec<PublicJwk> {
        self.keys.keyring().verifying().published().into_iter().cloned().collect()
    }

    /// How many revocations this replica holds.
    #[must_use]
    pub fn revocations_held(&self) -> u64 {
        self.revocations.len()
    }

    /// How many verified tokens are cached.
    #[must_use]
    pub fn tokens_cached(&self) -> u64 {
        self.verified.len()
    }

    fn apply(&self, revocation: &Revocation) {
        self.revocations.merge(revocation);
    }

    /// Whether the realm knows the operator secret with this key id, though this replica does not have it.
    async fn realm_knows_secret(&self, key_id: [u8; 4]) -> Result<bool, StoreError> {
        self.known_secrets(|known| known.contains(&key_id)).await
    }

    /// Whether the realm knows an operator secret that this replica does not have.
    async fn lacks_a_secret(&self) -> Result<bool, StoreError> {
        let ratchet = self.keys.ratchet();
        self.known_secrets(|known| known.iter().any(|key_id| !ratchet.has(*key_id))).await
    }

    /// Asks about the key ids of the realm's secrets, read anew at most once a second, whatever is presented and whether or
    /// not the store answers.
    async fn known_secrets(&self, holds: impl Fn(&HashSet<[u8; 4]>) -> bool) -> Result<bool, StoreError> {
        let mut known = self.known_secrets.lock().await;
        let now = self.clock.now();
        if now.since(known.read) >= Duration::from_secs(1) {
            known.read = now;
            let realm = self.store.join(self.lifetimes.access).await?;
            known.key_ids = realm.secrets.iter().map(Fingerprint::key_id).collect();
        }
        Ok(holds(&known.key_ids))
    }
}
