//! The keys and secrets this replica works with, and how they change while it serves.
//!
//! Keys change in the store, each change in its turn; replicas see by the count of changes that they have to read them
//! again. Which operator secret makes new tokens follows from which secrets every replica has that is there.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::clock::Entropy;
use crate::config::checked;
use crate::domain::key_life::{KeyTimes, Phase, next_is_due, phases};
use crate::domain::keys::{Algorithm, KeyId};
use crate::domain::refresh_token::Ratchet;
use crate::domain::secret::{Fingerprint, OperatorSecret, signing_secret};
use crate::store::{KeyChange, Replica, SealedKey, SigningKeys, Store, StoreError};
use crate::telemetry::{Audit, Event};

use super::Authority;
use super::keyring::{Keyring, KeyringError, kept_after, times};
use super::keysmith::Keysmith;

/// How often a replica says that it is there.
pub const REPORT_EVERY: Duration = Duration::from_secs(20);
/// After how long of silence a replica counts as gone.
pub const LIVE: Duration = Duration::from_mins(1);

/// After how long every replica that follows the store has heard of a new key. None signs sooner, but in an emergency:
/// whoever has not heard of it refuses what it signs.
#[must_use]
pub fn heard_after(poll_interval: Duration) -> Duration {
    (poll_interval * 3).max(Duration::from_secs(5))
}

/// How long a new key is published before it signs: as long as the operator says, and until every replica has heard of it.
#[must_use]
pub fn published_for(config: &checked::Config) -> Duration {
    config.key.publish_ahead.max(heard_after(config.poll_interval))
}

/// Why the keys could not be used or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

/// What this replica holds, as one value for each request.
pub(super) struct HeldKeys {
    /// As it reports itself.
    replica: Replica,
    /// As configured: the preferred one first.
    secrets: Vec<OperatorSecret>,
    algorithm: Algorithm,
    rotate_every: Duration,
    publish_ahead: Duration,
    keyring: RwLock<Arc<Keyring>>,
    ratchet: RwLock<Arc<Ratchet>>,
}

/// What a replica starts with.
pub struct OpenedKeys {
    pub replica: Replica,
    pub secrets: Vec<OperatorSecret>,
    pub keyring: Keyring,
}

impl HeldKeys {
    pub(super) fn new(config: &checked::Config, opened: OpenedKeys, live: &[Replica]) -> Self {
        let OpenedKeys { replica, secrets, keyring } = opened;
        let ratchet = ratchet(&config.realm, &secrets, live);
        Self {
            replica,
            secrets,
            algorithm: config.key.algorithm,
            rotate_every: config.key.rotate_every,
            publish_ahead: published_for(config),
            keyring: RwLock::new(Arc::new(keyring)),
            ratchet: RwLock::new(Arc::new(ratchet)),
        }
    }

    pub(super) fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Less than a second, another for each replica, so that not all try the same thing at once.
    pub(super) fn stagger(&self) -> Duration {
        Duration::from_millis(u64::from(self.replica.id.0[0]) * 3)
    }

    pub(super) fn ratchet(&self) -> Arc<Ratchet> {
        Arc::clone(&self.ratchet.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tokens are made with the first of our secrets that everybody has, and opened with any.
#[must_use]
pub fn ratchet(realm: &str, secrets: &[OperatorSecret], live: &[Replica]) -> Ratchet {
    let signing = signing(secrets, live);
    let others = secrets.iter().filter(|secret| secret.fingerprint() != signing.fingerprint()).cloned();
    Ratchet::new(realm, signing, &others.collect::<Vec<_>>())
}

/// The secret that signs and seals.
#[must_use]
pub fn signing<'s>(secrets: &'s [OperatorSecret], live: &[Replica]) -> &'s OperatorSecret {
    let ours: Vec<Fingerprint> = secrets.iter().map(OperatorSecret::fingerprint).collect();
    &secrets[signing_secret(&ours, live.iter().map(|replica| replica.secrets.as_slice()))]
}

/// Changes the keys as `decide` says of their newest state; again, if somebody else was faster. `None`: nothing was to be
/// done.
///
/// # Errors
/// [`KeysError`], or whatever `decide` refuses with.
pub async fn change_keys<E: From<StoreError>>(
    store: &dyn Store,
    mut decide: impl FnMut(&SigningKeys) -> Result<Option<KeyChange>, E>,
) -> Result<Option<KeyChange>, E> {
    for _ in 0..ATTEMPTS {
        let keys = store.signing_keys().await?;
        let Some(change) = decide(&keys)? else { return Ok(None) };
        if store.change_keys(keys.version, &change).await? {
            return Ok(Some(change));
        }
    }
    Err(StoreError::Unavailable("the signing keys kept changing".into()).into())
}

const ATTEMPTS: usize = 10;

impl Authority {
    /// Reads the keys again if they have changed. What is banned is refused from here on even if the rest cannot be used.
    pub(super) async fn follow_keys(&self, version: u64) -> Result<(), KeysError> {
        if self.keys.keyring().version() == version {
            return Ok(());
        }
        let stored = self.store.signing_keys().await?;
        for banned in stored.list.iter().filter(|key| key.banned.is_some()) {
            self.revocations.ban(KeyId::stored(banned.key.kid.clone()));
        }
        let keyring = Keyring::open(&self.realm, &stored, &self.keys.secrets)?;
        *self.keys.keyring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keyring);
        tracing::info!(version = stored.version, "the signing keys have changed");
        Ok(())
    }

    /// Says that this replica is there, and does what has come due: another secret signs, keys are sealed under it, the
    /// next key is added, a key that is over goes.
    ///
    /// # Errors
    /// [`KeysError`]; what is left to do comes again.
    pub async fn tend_keys(&self) -> Result<(), KeysError> {
        self.report().await?;
        let live = self.store.replicas(LIVE).await?;
        let ratchet = ratchet(&self.realm, &self.keys.secrets, &live);
        if ratchet.signs_with() != self.keys.ratchet().signs_with() {
            *self.keys.ratchet.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ratchet);
            let fingerprint = signing(&self.keys.secrets, &live).fingerprint().to_string();
            self.audit.record(&Event::new("operator_secret", "signs").key(&fingerprint));
        }
        let due = |keys: &SigningKeys| self.due_change(keys, signing(&self.keys.secrets, &live));
        for _ in 0..ATTEMPTS {
            let Some(change) = change_keys(self.store.as_ref(), due).await? else { break };
            record(&self.audit, &change);
        }
        Ok(())
    }

    /// What an operator changes the keys with.
    pub(super) fn keysmith<'a>(&'a self, audit: &'a Audit) -> Keysmith<'a> {
        Keysmith {
            realm: &self.realm,
            store: self.store.as_ref(),
            audit,
            secrets: &self.keys.secrets,
            algorithm: self.keys.algorithm,
            entropy: self.entropy,
        }
    }

    /// This replica, as it reports itself.
    pub(super) fn replica(&self, heard: u64) -> Replica {
        Replica { heard, ..self.keys.replica.clone() }
    }

    /// Says that this replica goes, so that nobody waits for it. If the store does not hear it, its silence says the same.
    pub async fn leave(&self) {
        if let Err(error) = self.store.leave(self.keys.replica.id).await {
            tracing::debug!(%error, "the others are not told that this replica goes");
        }
    }

    fn due_change(&self, keys: &SigningKeys, secret: &OperatorSecret) -> Result<Option<KeyChange>, KeysError> {
        if let Some(change) = reseal(&self.realm, keys, &self.keys.secrets, secret, self.entropy)? {
            return Ok(Some(change));
        }
        let all: Vec<KeyTimes> = keys.list.iter().map(times).collect();
        let phases = phases(&all, kept_after(keys), keys.now);
        if let Some(over) = phases.iter().position(|phase| *phase == Phase::Over) {
            return Ok(Some(KeyChange::Remove(keys.list[over].key.kid.clone())));
        }
        let (every, ahead) = (self.keys.rotate_every, self.keys.publish_ahead);
        if every.is_zero() || !next_is_due(&all, every, ahead, keys.now) {
            return Ok(None);
        }
        let key = Keyring::generate(&self.realm, self.keys.algorithm, secret, self.entropy)?;
        Ok(Some(KeyChange::Add(key, Some(ahead))))
    }
}

/// The first key that another secret than this one seals, sealed under this one: after that, the others are needed for
/// what clients still hold, and for nothing in the store.
///
/// # Errors
/// If the key does not open.
pub fn reseal(
    realm: &str,
    keys: &SigningKeys,
    secrets: &[OperatorSecret],
    under: &OperatorSecret,
    entropy: Entropy,
) -> Result<Option<KeyChange>, KeyringError> {
    let other = keys.list.iter().find(|key| key.banned.is_none() && key.key.secret != under.fingerprint());
    let Some(other) = other else { return Ok(None) };
    Keyring::reseal(realm, &other.key, secrets, under, entropy).map(|key| Some(KeyChange::Reseal(key)))
}

/// Says in the audit lines what has been done to which key.
pub fn record(audit: &Audit, change: &KeyChange) {
    let (outcome, kid) = match change {
        KeyChange::Add(SealedKey { kid, .. }, _) => ("added", kid),
        KeyChange::Sign(kid, _) => ("scheduled", kid),
        KeyChange::Reseal(SealedKey { kid, .. }) => ("resealed", kid),
        KeyChange::Ban(kid) => ("retired", kid),
        KeyChange::Remove(kid) => ("removed", kid),
    };
    audit.record(&Event::new("key", outcome).key(kid));
}
