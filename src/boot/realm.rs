//! Joining a realm: which operator secrets it was made with, and which keys sign for it.

use std::sync::Arc;
use std::time::Duration;

use crate::authority::jose;
use crate::authority::keyring::{Keyring, KeyringError};
use crate::authority::keys::{self, LIVE};
use crate::clock::{Entropy, SharedClock};
use crate::config::checked::{Config, Migrate, StoreLocation};
use crate::domain::keys::Algorithm;
use crate::domain::secret::{Fingerprint, OperatorSecret};
use crate::store::{self, KeyChange, Replica, SigningKeys, Store};
use crate::telemetry::Audit;

use super::{BootError, secrets};

/// What whoever joins a realm knows of it.
pub struct Joined {
    /// As configured.
    pub secrets: Vec<OperatorSecret>,
    /// Every operator secret the realm knows.
    pub known_secrets: Vec<Fingerprint>,
    /// Who serves.
    pub live: Vec<Replica>,
}

/// What a command may know of the realm, which it does not change by asking.
///
/// # Errors
/// [`BootError`] if the realm knows none of the configured secrets, or nobody has founded it.
pub async fn look(config: &Config, store: &dyn Store, entropy: Entropy) -> Result<Joined, BootError> {
    known_to(config, store, load_secrets(config, store, entropy).await?).await
}

async fn known_to(config: &Config, store: &dyn Store, secrets: Vec<OperatorSecret>) -> Result<Joined, BootError> {
    let known = store.join(config.access_token.ttl).await?.secrets;
    if known.is_empty() {
        return Err(BootError::NotMigrated);
    }
    let known_secrets = require_common(known, &secrets)?;
    Ok(Joined { secrets, known_secrets, live: store.replicas(LIVE).await? })
}

/// Joins the realm with the configured secrets. A replica none of whose secrets the realm knows does not start: it would
/// refuse everyone else's tokens, and they its own.
///
/// # Errors
/// [`BootError`].
pub async fn join(config: &Config, store: &dyn Store, audit: &Audit, entropy: Entropy) -> Result<Joined, BootError> {
    let secrets = load_secrets(config, store, entropy).await?;
    if config.store.migrate == Migrate::Auto {
        found(config, store, audit, &secrets, entropy).await?;
    }
    let mut joined = known_to(config, store, secrets).await?;
    for secret in &joined.secrets {
        if !joined.known_secrets.contains(&secret.fingerprint()) {
            joined.known_secrets = store.add_secret(secret.fingerprint(), false).await?;
        }
    }
    Ok(joined)
}

/// The realm's keys, of which one signs.
///
/// # Errors
/// [`BootError::Keyring`] if one does not open, or none signs; [`BootError::Store`].
pub async fn open_keys(config: &Config, store: &dyn Store, secrets: &[OperatorSecret]) -> Result<Keyring, BootError> {
    let keys = store.signing_keys().await?;
    let keyring = Keyring::open(&config.realm, &keys, secrets)?;
    if keyring.signing(keys.now).is_none() {
        return Err(KeyringError::NoKey(config.key.algorithm).into());
    }
    if !is_last_to_sign(&keys, config.key.algorithm) {
        let algorithm = config.key.algorithm;
        let remedy = if algorithm.is_rsa() { "keys import` and `sidegate keys rotate" } else { "migrate" };
        tracing::warn!("no {algorithm} key signs, or is about to, as key.algorithm says: run `sidegate {remedy}`");
    }
    Ok(keyring)
}

/// `sidegate migrate`: the schema, the realm's first secret and its first signing key, each once, whoever else tries; a
/// key of the configured algorithm, if there is none; and every key sealed under the secret that signs now.
///
/// # Errors
/// [`BootError`].
pub async fn migrate(
    config: &Config,
    audit: &Audit,
    clock: SharedClock,
    entropy: Entropy,
) -> Result<Arc<dyn Store>, BootError> {
    jose::install();
    store::migrate(&config.store.location, config.store.timeout).await?;
    let store = store::open(&config.store, &config.realm, clock).await?;
    let secrets = load_secrets(config, store.as_ref(), entropy).await?;
    found(config, store.as_ref(), audit, &secrets, entropy).await?;
    Ok(store)
}

async fn found(
    config: &Config,
    store: &dyn Store,
    audit: &Audit,
    secrets: &[OperatorSecret],
    entropy: Entropy,
) -> Result<(), BootError> {
    let Some(first) = secrets.first() else { return Err(BootError::NotMigrated) };
    store.join(config.access_token.ttl).await?;
    let known = store.add_secret(first.fingerprint(), true).await?;
    require_common(known, secrets)?;
    let live = store.replicas(LIVE).await?;
    let sealing = keys::signing(secrets, &live);
    store.add_secret(sealing.fingerprint(), false).await?;
    let missing = |stored: &SigningKeys| -> Result<Option<KeyChange>, BootError> {
        let nobody_signs = stored.list.iter().all(|key| key.banned.is_some() || key.signs_from.is_none());
        // An RSA key is imported; until it is, any other will do.
        if is_last_to_sign(stored, config.key.algorithm) || (config.key.algorithm.is_rsa() && !nobody_signs) {
            return Ok(keys::reseal(&config.realm, stored, secrets, sealing, entropy)?);
        }
        let key = Keyring::generate(&config.realm, config.key.algorithm, sealing, entropy)?;
        // The first one has nobody to wait for.
        let ahead = if nobody_signs { Duration::ZERO } else { keys::published_for(config) };
        Ok(Some(KeyChange::Add(key, Some(ahead))))
    };
    while let Some(change) = keys::change_keys(store, missing).await? {
        keys::record(audit, &change);
    }
    // What is founded must open: a start would fail otherwise.
    Keyring::open(&config.realm, &store.signing_keys().await?, secrets)?;
    Ok(())
}

/// Whether the key that signs, or the last of those that will, is of this algorithm.
fn is_last_to_sign(keys: &SigningKeys, algorithm: Algorithm) -> bool {
    let good = keys.list.iter().filter(|key| key.banned.is_none() && key.signs_from.is_some());
    // Of two with one moment the later one signs.
    good.max_by_key(|key| key.signs_from).is_some_and(|key| key.key.algorithm == algorithm)
}

fn require_common(known: Vec<Fingerprint>, secrets: &[OperatorSecret]) -> Result<Vec<Fingerprint>, BootError> {
    let ours: Vec<_> = secrets.iter().map(OperatorSecret::fingerprint).collect();
    if ours.iter().any(|fingerprint| known.contains(fingerprint)) {
        Ok(known)
    } else {
        Err(BootError::ForeignSecrets(ours))
    }
}

/// Only the embedded store makes its own secret: where replicas share a store, each would make another one. And only
/// while it knows none: beside a store that was made with one, a missing file is missing.
async fn load_secrets(config: &Config, store: &dyn Store, entropy: Entropy) -> Result<Vec<OperatorSecret>, BootError> {
    let embedded = matches!(config.store.location, StoreLocation::Sqlite(_));
    let may_make = embedded && store.join(config.access_token.ttl).await?.secrets.is_empty();
    Ok(secrets::load(&config.key.secret_files, may_make, entropy)?)
}
