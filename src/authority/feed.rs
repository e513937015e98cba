//! What other replicas, and commands, have ended: read from the store, merged into memory, without end.
//!
//! The first load happens before the replica is ready. After that a store that does not answer makes no request fail:
//! the set keeps what it holds, and goes on where it was when the store is back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::domain::session::SessionId;
use crate::store::{Cursor, RevocationPage, StoreError};
use crate::telemetry::Event;

use super::Authority;
use super::keys::REPORT_EVERY;

/// How long after its end a row is deleted.
const PURGE_AFTER: Duration = Duration::from_hours(1);
const PURGE_BATCH: u32 = 500;
const PURGE_EVERY: Duration = Duration::from_mins(5);

impl Authority {
    /// Reads every live revocation. The replica must not serve before this.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn load(&self) -> Result<Cursor, StoreError> {
        self.store.revocations(None).await.map(|page| self.take(&page))
    }

    /// Follows the store from `cursor` on, every `interval`; retries what could not be stored; deletes what is long over.
    /// Runs until it is dropped.
    pub async fn follow(self: Arc<Self>, mut cursor: Cursor, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut answered = true;
        let (mut until_purge, mut until_report) = (PURGE_EVERY, REPORT_EVERY);
        let mut keys_fail = false;
        loop {
            ticks.tick().await;
            match self.store.revocations(Some(&cursor)).await {
                Ok(page) => {
                    cursor = self.take(&page);
                    if !answered {
                        tracing::info!("the store answers again: the revocations are up to date");
                    }
                    answered = true;
                    self.store_missing_ends().await;
                    let followed = self.follow_keys(page.keys_version).await;
                    if let Err(error) = &followed
                        && !keys_fail
                    {
                        tracing::error!(%error, "the signing keys have changed and cannot be used: trying again");
                    }
                    keys_fail = followed.is_err();
                }
                Err(error) => {
                    self.metrics.feed_failures.inc();
                    if answered {
                        tracing::warn!(%error, "the store does not answer: revocations from other replicas are not heard");
                    }
                    answered = false;
                }
            }
            until_report = until_report.saturating_sub(interval);
            if until_report.is_zero() && answered {
                until_report = REPORT_EVERY;
                if let Err(error) = self.tend_keys().await {
                    tracing::warn!(%error, "the signing keys could not be looked after");
                }
            }
            until_purge = until_purge.saturating_sub(interval);
            if until_purge.is_zero() && answered {
                until_purge = PURGE_EVERY;
                self.purge().await;
            }
        }
    }

    /// Deletes what is long over, in small batches, until there is no more of it.
    async fn purge(&self) {
        loop {
            match self.store.purge(PURGE_AFTER, PURGE_BATCH).await {
                Ok(purged) if purged >= u64::from(PURGE_BATCH) => {}
                Ok(_) => return,
                Err(error) => return tracing::warn!(%error, "ended sessions were not purged"),
            }
        }
    }

    fn take(&self, page: &RevocationPage) -> Cursor {
        for revocation in &page.revocations {
            self.apply(revocation);
        }
        self.revocations.raise_realm_epoch(page.realm_epoch);
        self.last_contact.store(self.clock.now().as_millis(), Ordering::Relaxed);
        page.cursor.clone()
    }

    /// Tries to store every end that could not be stored yet, and says which are left.
    pub async fn store_missing_ends(&self) -> Vec<SessionId> {
        let mut missing = self.unstored_ends();
        while let Some(id) = missing.last() {
            if let Err(error) = self.store.end_session(*id).await {
                // Said once for the first, not at every turn for each.
                tracing::debug!(%error, session = %id, "the end of a session is still not stored");
                break;
            }
            self.audit.record(&Event::new("session_end", "stored_at_last").session(*id));
            self.unstored_ends.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            missing.pop();
        }
        missing
    }

    fn unstored_ends(&self) -> Vec<SessionId> {
        self.unstored_ends.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}
