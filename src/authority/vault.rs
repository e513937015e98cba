//! The upstream's own sessions: kept sealed with ours, sent with each request, followed as they change.
//!
//! What a request is sent with is in memory: it came in the token, or here, if an answer has changed it since that token
//! was made. No request reads the store for it. A change is stored by [`writer`] and told to every replica, each of which
//! holds it until no token with an older one is valid; a refresh gives a token with the newest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::Expiry;
use moka::sync::Cache;
use tokio::sync::{Notify, watch};

use crate::clock::{Moment, SharedClock};
use crate::config::checked;
use crate::domain::access_token::TokenFault;
use crate::domain::identity::Identity;
use crate::domain::revocation::ALLOWANCE;
use crate::domain::secret::OperatorSecret;
use crate::domain::session::{Session, SessionId};
use crate::domain::time::Timestamp;
use crate::domain::vault::{CookieNames, Jar, Seal, SealedJar, Vault};
use crate::store::{Cursor, StoreError};

use super::Authority;

mod lost;
mod writer;

pub use self::lost::Lost;
use self::writer::Writing;

/// The vaults of one upstream.
#[derive(Debug)]
pub(super) struct Vaults {
    names: CookieNames,
    /// Most bytes of one jar.
    most: usize,
    seal: Seal,
    /// Those that are newer than some token that is still valid.
    held: Cache<SessionId, Held>,
    /// Sessions whose changes are being stored, or were a moment ago.
    writing: Mutex<HashMap<SessionId, Writing>>,
    /// Somebody has left that.
    written: Notify,
    stopping: watch::Sender<bool>,
    /// How far the changes of other replicas were read.
    read: tokio::sync::Mutex<Option<Cursor>>,
}

#[derive(Clone, Debug)]
struct Held {
    vault: Arc<Vault>,
    until: Timestamp,
}

impl Vaults {
    pub(super) fn new(realm: &str, config: &checked::Vault, secrets: &[OperatorSecret], clock: &SharedClock) -> Self {
        Self {
            names: config.cookies.clone(),
            most: config.size,
            seal: Seal::new(realm, &config.upstream, secrets),
            held: Cache::builder().expire_after(UntilEnd(SharedClock::clone(clock))).build(),
            writing: Mutex::default(),
            written: Notify::new(),
            stopping: watch::Sender::new(false),
            read: tokio::sync::Mutex::default(),
        }
    }

    /// Opens the vault of a token that was just verified.
    fn open(&self, identity: &Identity) -> Result<(), TokenFault> {
        let Some(vault) = &identity.vault else { return Ok(()) };
        vault.jar(identity.session, &self.seal).map(drop).map_err(|_| TokenFault::Vault)
    }

    /// The newest that is held of a session, if it can be opened.
    fn held(&self, session: SessionId) -> Option<Arc<Vault>> {
        let vault = self.held.get(&session)?.vault;
        match vault.jar(session, &self.seal) {
            Ok(_) => Some(vault),
            Err(error) => {
                tracing::warn!(%session, %error, "a changed vault is of no use here");
                None
            }
        }
    }

    /// Holds what is newer than what is held.
    fn hold(&self, session: SessionId, vault: Arc<Vault>, until: Timestamp) {
        use moka::ops::compute::Op;
        self.held.entry(session).and_compute_with(|entry| match entry.map(moka::Entry::into_value) {
            Some(held) if held.vault.version() >= vault.version() => {
                if held.until >= until {
                    Op::Nop
                } else {
                    Op::Put(Held { until, ..held })
                }
            }
            _ => Op::Put(Held { vault, until }),
        });
    }

    fn writing(&self) -> MutexGuard<'_, HashMap<SessionId, Writing>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authority {
    /// Opens the vault in a token, where vaults are kept.
    pub(super) fn open_vault(&self, identity: &Identity) -> Result<(), TokenFault> {
        self.vaults.as_ref().map_or(Ok(()), |vaults| vaults.open(identity))
    }

    /// The vault that a request of this identity is sent with: its token's, or a newer one.
    #[must_use]
    pub fn vault_of(&self, identity: &Identity) -> Option<Arc<Vault>> {
        let vaults = self.vaults.as_ref()?;
        let own = identity.vault.clone().filter(|vault| vault.jar(identity.session, &vaults.seal).is_ok());
        newer(vaults.held(identity.session), own)
    }

    /// What the `Set-Cookie` lines of a login's answers say about the kept cookies.
    pub(super) fn first_jar<'l>(&self, lines: impl IntoIterator<Item = &'l [u8]>) -> Jar {
        let change = self.vaults.as_ref().map(|vaults| vaults.names.change(lines, self.clock.now()));
        Jar::default().after(&change.unwrap_or_default())
    }

    /// The sealed jar of a new session, as its first version. `None` where none are kept.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub(super) fn seal_first(&self, session: SessionId, jar: &Jar) -> Result<Option<SealedJar>, TooLarge> {
        let Some(vaults) = self.vaults.as_ref().filter(|_| !jar.is_empty()) else { return Ok(None) };
        if jar.size() > vaults.most {
            return Err(TooLarge { size: jar.size(), most: vaults.most });
        }
        Ok(self.seal(vaults, session, 1, jar))
    }

    fn seal(&self, vaults: &Vaults, session: SessionId, version: u64, jar: &Jar) -> Option<SealedJar> {
        vaults.seal.seal(self.keys.ratchet().signs_with(), session, version, jar, self.entropy.bytes())
    }

    /// The session with the vault that a new token of it is to carry: the newest that can be opened here.
    pub(super) fn with_newest_vault(&self, session: &Session) -> Session {
        let newest = self.vaults.as_ref().and_then(|vaults| {
            let stored = session.vault.clone().map(|sealed| Arc::new(Vault::new(sealed)));
            let stored = stored.filter(|vault| {
                let opened = vault.jar(session.id, &vaults.seal);
                if let Err(error) = opened {
                    tracing::error!(session = %session.id, %error, "a session goes on without its vault");
                }
                opened.is_ok()
            });
            newer(vaults.held(session.id), stored)
        });
        Session { vault: newest.map(|vault| vault.sealed().clone()), ..session.clone() }
    }

    /// Takes up what the `Set-Cookie` lines of an answer say about the kept cookies of the session it was asked for: in
    /// force here at once, stored when this returns, unless that takes long or has happened all the time.
    pub async fn change_vault(self: &Arc<Self>, identity: &Identity, sent: Option<&Arc<Vault>>, lines: &[&[u8]]) {
        let Some(vaults) = &self.vaults else { return };
        let session = identity.session;
        let sent_jar = sent.and_then(|vault| vault.jar(session, &vaults.seal).ok());
        // What was sent and comes back is no news, however late: it must not undo what another answer said meanwhile.
        let change = vaults.names.change(lines.iter().copied(), self.clock.now());
        let change = change.unlike(sent_jar.unwrap_or(&Jar::default()));
        if change.is_empty() {
            return;
        }
        let stored = {
            let mut writing = vaults.writing();
            let current = newer(vaults.held(session), sent.cloned());
            let version = current.as_ref().map_or(0, |vault| vault.version());
            let jar = current.and_then(|vault| vault.jar(session, &vaults.seal).ok().cloned()).unwrap_or_default();
            let after = jar.after(&change);
            if after == jar {
                return;
            }
            if after.size() > vaults.most {
                let (size, most) = (after.size(), vaults.most);
                tracing::warn!(%session, size, most, "the upstream's cookies are larger than vault.size: not taken");
                self.metrics.vault_changes.count("too_large");
                return;
            }
            let Some(sealed) = self.seal(vaults, session, version + 1, &after) else { return };
            vaults.hold(session, Arc::new(Vault::opened(sealed, after)), self.vaults_kept_until());
            self.begin_writing(&mut writing, session, version, change)
        };
        // Not stored in time: in force here all the same, and tried on.
        let _ = tokio::time::timeout(LONGEST_WAIT, stored).await;
    }

    /// Until no token that carries an older vault is valid, on any replica's clock.
    fn vaults_kept_until(&self) -> Timestamp {
        self.clock.now().plus(self.lifetimes.access).plus(ALLOWANCE)
    }

    /// Reads what other replicas have changed since it was last read.
    pub(super) async fn read_vaults(&self) -> Result<(), StoreError> {
        let Some(vaults) = &self.vaults else { return Ok(()) };
        let mut read = vaults.read.lock().await;
        loop {
            let page = self.store.vault_changes(read.as_ref()).await?;
            for change in page.changes {
                vaults.hold(change.session, Arc::new(Vault::new(change.jar)), change.until);
            }
            *read = Some(page.cursor);
            if !page.more {
                return Ok(());
            }
        }
    }

    /// How many changed vaults this replica holds.
    #[must_use]
    pub fn vaults_held(&self) -> u64 {
        self.vaults.as_ref().map_or(0, |vaults| {
            // The count is of what has settled.
            vaults.held.run_pending_tasks();
            vaults.held.entry_count()
        })
    }
}

/// The upstream's cookies are more than a session may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's cookies have {size} bytes, vault.size allows {most}")]
pub struct TooLarge {
    pub size: usize,
    pub most: usize,
}

fn newer(one: Option<Arc<Vault>>, other: Option<Arc<Vault>>) -> Option<Arc<Vault>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if one.version() >= other.version() { one } else { other }),
        (one, other) => one.or(other),
    }
}

/// How long an answer waits until its change is stored.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Entries leave at their end.
struct UntilEnd(SharedClock);

impl Expiry<SessionId, Held> for UntilEnd {
    fn expire_after_create(&self, _: &SessionId, held: &Held, _: Moment) -> Option<Duration> {
        Some(held.until.since(self.0.now()))
    }

    fn expire_after_update(&self, _: &SessionId, held: &Held, _: Moment, _: Option<Duration>) -> Option<Duration> {
        Some(held.until.since(self.0.now()))
    }
}
