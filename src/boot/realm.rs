//! Joining a realm: which operator secrets it was made with, and which keys sign for it.

use std::sync::Arc;

use crate::authority::jose;
use crate::authority::keyring::Keyring;
use crate::clock::{Entropy, SharedClock};
use crate::config::checked::{Config, Migrate, StoreLocation};
use crate::domain::refresh_token::Ratchet;
use crate::domain::secret::{Fingerprint, OperatorSecret};
use crate::store::{self, Realm, Store};

use super::{BootError, secrets};

/// What a replica needs of its realm.
pub struct Opened {
    pub keyring: Keyring,
    pub ratchet: Ratchet,
    pub known_secrets: Vec<Fingerprint>,
}

/// Joins the realm with the configured secrets. A replica none of whose secrets the realm knows does not start: it would
/// refuse everyone else's tokens, and they its own.
///
/// # Errors
/// [`BootError`].
pub async fn open(config: &Config, store: &dyn Store, entropy: Entropy) -> Result<Opened, BootError> {
    let secrets = load_secrets(config, store, entropy).await?;
    if config.store.migrate == Migrate::Auto {
        found(config, store, &secrets, entropy).await?;
    }
    let Realm { secrets: known, .. } = store.join(config.access_token.ttl).await?;
    if known.is_empty() {
        return Err(BootError::NotMigrated);
    }
    let mut known = require_common(known, &secrets)?;
    for secret in &secrets {
        if !known.contains(&secret.fingerprint()) {
            known = store.add_secret(secret.fingerprint(), false).await?;
        }
    }
    let keys = store.signing_keys().await?;
    let keyring = Keyring::open(&config.realm, config.key.algorithm, &keys, &secrets)?;
    let (signing, verifying) = secrets.split_first().ok_or(BootError::NotMigrated)?;
    Ok(Opened { keyring, ratchet: Ratchet::new(&config.realm, signing, verifying), known_secrets: known })
}

/// `sidegate migrate`: the schema, the realm's first secret and its first signing key, each once, whoever else tries; and
/// every signing key sealed under the secret that signs now.
///
/// # Errors
/// [`BootError`].
pub async fn migrate(config: &Config, clock: SharedClock, entropy: Entropy) -> Result<Arc<dyn Store>, BootError> {
    jose::install();
    store::migrate(&config.store.location, config.store.timeout).await?;
    let store = store::open(&config.store, &config.realm, clock).await?;
    let secrets = load_secrets(config, store.as_ref(), entropy).await?;
    found(config, store.as_ref(), &secrets, entropy).await?;
    Ok(store)
}

async fn found(
    config: &Config,
    store: &dyn Store,
    secrets: &[OperatorSecret],
    entropy: Entropy,
) -> Result<(), BootError> {
    let Some(first) = secrets.first() else { return Err(BootError::NotMigrated) };
    store.join(config.access_token.ttl).await?;
    let known = store.add_secret(first.fingerprint(), true).await?;
    require_common(known, secrets)?;
    let keys = store.signing_keys().await?;
    if keys.iter().all(|key| key.algorithm != config.key.algorithm) {
        let key = Keyring::generate(&config.realm, config.key.algorithm, first, entropy)?;
        store.add_first_signing_key(&key).await?;
    }
    // From here on the older secrets are needed for what clients still hold, and for nothing in the store.
    for old in store.signing_keys().await?.iter().filter(|key| key.secret != first.fingerprint()) {
        let new = Keyring::reseal(&config.realm, old, secrets, first, entropy)?;
        store.add_secret(first.fingerprint(), false).await?;
        store.reseal_signing_key(old, &new).await?;
    }
    // What is founded must open: a start would fail otherwise.
    Keyring::open(&config.realm, config.key.algorithm, &store.signing_keys().await?, secrets)?;
    Ok(())
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
