//! Stores what changes in the vaults: a session that changes now and then at once, one that changes all the time about
//! once a second, the last state always.
//!
//! Replicas may change one vault at the same time. Whoever comes second reads what the first has stored, and makes its own
//! change to that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::domain::rate::Rate;
use crate::domain::session::SessionId;
use crate::domain::time::Timestamp;
use crate::domain::vault::{Change, Vault};
use crate::store::{StoreError, VaultChange};

use super::super::Authority;
use super::Vaults;

/// What is to be stored of one session.
#[derive(Debug)]
pub(super) struct Writing {
    /// Since it was last stored.
    pending: Change,
    /// How many changes there were.
    changes: u64,
    /// Nothing is stored for a moment.
    is_paused: bool,
    news: Arc<Notify>,
    /// How many of the changes are stored.
    stored: watch::Sender<u64>,
}

impl Writing {
    /// Ends when the change is stored; at once, if that is not about to happen.
    fn add(&mut self, change: Change) -> impl Future<Output = ()> + Send + use<> {
        self.pending = std::mem::take(&mut self.pending).then(change);
        self.changes += 1;
        self.news.notify_one();
        let (mut stored, this_one) = (self.stored.subscribe(), self.changes);
        let is_paused = self.is_paused;
        async move {
            if !is_paused {
                // Closed: there is nothing to wait for any more.
                let _ = stored.wait_for(|stored| *stored >= this_one).await;
            }
        }
    }
}

/// Why a change was not stored.
enum Unwritten {
    /// There is no such session any more.
    Ended,
    Store(StoreError),
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Authority {
    /// Has a change of a session stored, whose row has this version if nothing was changed here before. What is returned
    /// ends when it is.
    pub(super) fn begin_writing(
        self: &Arc<Self>,
        writing: &mut HashMap<SessionId, Writing>,
        session: SessionId,
        version: u64,
        change: Change,
    ) -> impl Future<Output = ()> + Send + use<> {
        let writing = writing.entry(session).or_insert_with(|| {
            let (news, stored) = (Arc::<Notify>::default(), watch::Sender::new(0));
            // To its end, whether or not the client has gone.
            tokio::spawn(Arc::clone(self).write_on(session, version, Arc::clone(&news), stored.clone()));
            Writing { pending: Change::default(), changes: 0, is_paused: false, news, stored }
        });
        writing.add(change)
    }

    async fn write_on(
        self: Arc<Self>,
        session: SessionId,
        mut version: u64,
        news: Arc<Notify>,
        stored: watch::Sender<u64>,
    ) {
        let Some(vaults) = &self.vaults else { return };
        let mut stopping = vaults.stopping.subscribe();
        let mut whole_at = None;
        while vaults.has_pending(session, &news, &mut stopping).await {
            let is_rare = whole_at.is_none_or(|whole_at| whole_at <= self.clock.now());
            whole_at = self.wait_for_turn(vaults, session, whole_at, &mut stopping).await;
            let Some((pending, changes)) = vaults.take_pending(session) else { break };
            match self.write(vaults, session, &mut version, pending, is_rare).await {
                Ok(()) => {
                    self.metrics.vault_changes.count("stored");
                    stored.send_replace(changes);
                }
                Err(Unwritten::Ended) => {
                    vaults.writing().remove(&session);
                    break;
                }
                Err(Unwritten::Store(error)) => {
                    self.metrics.vault_changes.count("not_stored");
                    tracing::warn!(%session, %error, "a change of the upstream's cookies is not stored yet: trying again");
                    let is_stopping = *stopping.borrow();
                    tokio::select! {
                        () = tokio::time::sleep(if is_stopping { RETRY } else { PAUSE }) => {}
                        _ = stopping.wait_for(|stopping| *stopping), if !is_stopping => {}
                    }
                }
            }
        }
        vaults.written.notify_waiters();
    }

    /// Waits until the session has a write left; says when it has all of them again.
    async fn wait_for_turn(
        &self,
        vaults: &Vaults,
        session: SessionId,
        whole_at: Option<Timestamp>,
        stopping: &mut watch::Receiver<bool>,
    ) -> Option<Timestamp> {
        let rate = Rate::new(BURST, PAUSE * BURST)?;
        loop {
            match rate.take(whole_at, self.clock.now()) {
                Ok(whole_at) => return Some(whole_at),
                Err(_) if *stopping.borrow() => return whole_at,
                Err(wait) => {
                    vaults.pause(session, true);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        _ = stopping.wait_for(|stopping| *stopping) => {}
                    }
                    vaults.pause(session, false);
                }
            }
        }
    }

    /// Stores the session's vault as it is held. Whatever was not stored counts as pending again.
    async fn write(
        &self,
        vaults: &Vaults,
        session: SessionId,
        version: &mut u64,
        mut pending: Change,
        wakes: bool,
    ) -> Result<(), Unwritten> {
        let outcome = self.try_write(vaults, session, version, &mut pending, wakes).await;
        if let Err(Unwritten::Store(_)) = outcome
            && let Some(writing) = vaults.writing().get_mut(&session)
        {
            writing.pending = pending.then(std::mem::take(&mut writing.pending));
        }
        outcome
    }

    async fn try_write(
        &self,
        vaults: &Vaults,
        session: SessionId,
        version: &mut u64,
        pending: &mut Change,
        wakes: bool,
    ) -> Result<(), Unwritten> {
        for _ in 0..ATTEMPTS {
            // Held as long as it is pending, but for a clock that was set far ahead.
            let Some(vault) = vaults.held(session) else { return Err(Unwritten::Ended) };
            let change = VaultChange { session, expected: *version, jar: vault.sealed().clone(), wakes };
            if self.store.change_vault(&change).await? {
                *version = vault.version();
                return Ok(());
            }
            let state = self.store.session(session).await?.ok_or(Unwritten::Ended)?;
            let row = state.session.vault.map(|sealed| Arc::new(Vault::new(sealed)));
            let row_version = row.as_ref().map_or(0, |row| row.version());
            let mut writing = vaults.writing();
            if let Some(writing) = writing.get_mut(&session) {
                *pending = std::mem::take(pending).then(std::mem::take(&mut writing.pending));
            }
            let Some(held) = vaults.held(session) else { return Err(Unwritten::Ended) };
            // A row that is behind what was stored before has lost it: what is held here stands.
            let base = if row_version < *version { &held } else { row.as_ref().unwrap_or(&held) };
            let jar = base.jar(session, &vaults.seal).cloned().unwrap_or_default().after(pending);
            let next = row_version.max(held.version()) + 1;
            let Some(sealed) = self.seal(vaults, session, next, &jar) else { return Err(Unwritten::Ended) };
            vaults.hold(session, Arc::new(Vault::opened(sealed, jar)), self.vaults_kept_until());
            *version = row_version;
        }
        Err(StoreError::Unavailable("the vault kept changing".into()).into())
    }

    /// Stores every change that is not stored yet, at once, and says which sessions' were not, after this long.
    pub async fn store_vaults(&self, patience: Duration) -> Vec<SessionId> {
        let Some(vaults) = &self.vaults else { return Vec::new() };
        vaults.stopping.send_replace(true);
        let all = async {
            loop {
                let written = vaults.written.notified();
                if vaults.writing().is_empty() {
                    return;
                }
                written.await;
            }
        };
        let _ = tokio::time::timeout(patience, all).await;
        vaults.writing().keys().copied().collect()
    }
}

impl Vaults {
    /// Waits for a change of a session. After some time without one its writing is over.
    async fn has_pending(&self, session: SessionId, news: &Notify, stopping: &mut watch::Receiver<bool>) -> bool {
        let pending = || self.writing().get(&session).is_some_and(|writing| !writing.pending.is_empty());
        let resting = async {
            while !pending() {
                news.notified().await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(PAUSE * BURST, resting) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        let mut writing = self.writing();
        let is_pending = writing.get(&session).is_some_and(|writing| !writing.pending.is_empty());
        if !is_pending {
            writing.remove(&session);
        }
        is_pending
    }

    /// What is to be stored, and how many changes that makes in all.
    fn take_pending(&self, session: SessionId) -> Option<(Change, u64)> {
        let mut writing = self.writing();
        let writing = writing.get_mut(&session)?;
        Some((std::mem::take(&mut writing.pending), writing.changes))
    }

    fn pause(&self, session: SessionId, is_paused: bool) {
        if let Some(writing) = self.writing().get_mut(&session) {
            writing.is_paused = is_paused;
        }
    }
}

/// How often a change that others have overtaken is made anew.
const ATTEMPTS: usize = 5;
/// How many writes of one session come at once, after it has rested.
const BURST: u32 = 5;
/// Between two writes of a session that changes all the time.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// Between two attempts, when there is no time for pauses.
const RETRY: Duration = Duration::from_millis(100);
