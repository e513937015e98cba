//! What to do when the store has lost a stretch of its history.
//!
//! Whoever reads a page sees it by the page's mark. It is recorded in the store first, so that all replicas judge alike;
//! then each one writes back what it still holds, ends as well as bans, and says so. Until all have, no token that is ahead
//! of its row is taken for good.

use std::sync::{MutexGuard, PoisonError};

use crate::domain::history::{self, Look, Mark, Rollback};
use crate::domain::revocation::{Revocation, Revoked};
use crate::store::{Loss, RevocationPage, StoreError};
use crate::telemetry::Event;

use super::Authority;
use super::feed::BEAT_EVERY;
use super::keys::{KeysError, LIVE};
use super::keysmith::Retired;

/// What this replica knows of the store's history.
#[derive(Debug, Default)]
pub(super) struct Known {
    history: history::Known,
    /// Whether the next heartbeat is due, as of the last page.
    beat_is_due: bool,
}

/// How much is written back at once.
const BATCH: usize = 500;

impl Authority {
    /// Looks at a page's mark, when what the page says is held already.
    pub(super) async fn look_at(&self, page: &RevocationPage) -> Result<(), StoreError> {
        let beaten = page.mark.beaten;
        let (owed, look, seen) = {
            let mut known = self.known();
            let due = BEAT_EVERY + self.keys.stagger();
            known.beat_is_due = page.now.since(beaten) >= due || beaten > page.now;
            let owed = known.history.owes();
            (owed, known.history.look_at(&page.mark), known.history.beat())
        };
        match look {
            Look::WentBack => self.note_rollback(&page.mark, seen).await?,
            Look::Beat => self.metrics.feed_lag_seconds.observe(page.now.since(beaten).as_secs_f64()),
            Look::Nothing => {}
        }
        if !owed && self.known().history.owes() {
            self.tend_now.notify_one();
        }
        Ok(())
    }

    /// Answers the question of a page, when what the page says is held already, and the keys are those it names.
    pub(super) async fn answer(&self, asked: u64) -> Result<(), StoreError> {
        self.known().history.is_asked(asked);
        self.answer_question().await
    }

    async fn note_rollback(&self, mark: &Mark, seen: u64) -> Result<(), StoreError> {
        let id = u64::from_be_bytes(self.entropy.bytes()) >> 1;
        if !self.store.note_rollback(&Loss { id, mark: mark.clone(), seen, live: LIVE }).await? {
            // Somebody else was faster: the next page says what they noted.
            return Ok(());
        }
        tracing::error!(
            server = mark.server,
            before = mark.known,
            last_beat = mark.beat,
            seen,
            "the store is not where it was, or lacks its last seconds: a standby was promoted, or a backup restored; \
             revocations that are still known are written back"
        );
        self.audit.record(&Event::new("rollback", "noticed"));
        self.metrics.rollbacks.inc();
        self.known().history.has_noted(id);
        Ok(())
    }

    /// Writes back what this replica holds, if it owes that.
    pub(super) async fn write_back(&self) -> Result<(), KeysError> {
        let rollback = {
            let known = self.known();
            if !known.history.owes() {
                return Ok(());
            }
            known.history.rollback()
        };
        let mut held = self.revocations.held();
        let realm_epoch = self.revocations.realm_epoch();
        held.push(Revocation { revoked: Revoked::RealmBelow(realm_epoch), until: self.clock.now() });
        let mut lost = 0;
        for batch in held.chunks(BATCH) {
            lost += self.store.restore(batch).await?;
        }
        let bans = self.restore_bans().await?;
        if lost + bans > 0 {
            tracing::error!(lost, bans, "revocations that the store had lost are in force again");
        } else {
            tracing::info!("the store has lost none of the revocations that are known here");
        }
        self.metrics.revocations_restored.inc_by(lost + bans);
        self.audit.record(&Event::new("rollback", "written_back").count(lost + bans));
        self.known().history.has_written_back(rollback);
        Ok(self.answer_question().await?)
    }

    /// Retires again what was retired, and lets another key sign if none is left that does.
    async fn restore_bans(&self) -> Result<u64, KeysError> {
        let mut restored = 0;
        for key in self.revocations.banned() {
            if let Retired::Now { .. } = self.keysmith(&self.audit).retire(key.as_str()).await? {
                restored += 1;
            }
        }
        Ok(restored)
    }

    /// Says that what was revoked before the last question is refused here, if that is so and was not said.
    async fn answer_question(&self) -> Result<(), StoreError> {
        let _turn = self.reporting.lock().await;
        let Some(question) = self.known().history.question() else { return Ok(()) };
        self.store.report(&self.replica(question)).await?;
        self.known().history.has_answered(question);
        Ok(())
    }

    pub(super) fn beat_is_due(&self) -> bool {
        self.known().beat_is_due
    }

    /// Says that this replica is there.
    pub(super) async fn report(&self) -> Result<(), StoreError> {
        let _turn = self.reporting.lock().await;
        let heard = self.known().history.heard();
        self.store.report(&self.replica(heard)).await
    }

    /// Whether every replica that is there has written back what it held when the history was lost.
    pub(super) async fn everybody_wrote_back(&self, rollback: Rollback) -> Result<bool, StoreError> {
        let live = self.store.replicas(LIVE).await?;
        Ok(rollback.is_written_back(live.iter().map(|replica| replica.heard)))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
