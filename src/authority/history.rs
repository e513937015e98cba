//! What to do when the store has lost a stretch of its history.
//!
//! Whoever reads a page sees it by the page's mark. It is recorded in the store first, so that all replicas judge alike;
//! then each one writes back what it still holds, ends as well as bans, and says so. Until all have, no token that is ahead
//! of its row is taken for good.

use std::sync::{MutexGuard, PoisonError};

use crate::domain::history::{Mark, Rollback};
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
    /// Whether a page was read before.
    looked: bool,
    /// The highest beat.
    beat: u64,
    /// The latest loss that it has heard of.
    rollback: Option<u64>,
    /// What it holds is to be written back.
    owes: bool,
    /// Whether the next heartbeat is due, as of the last page.
    beat_is_due: bool,
    /// The last question it has answered, and the one that it may answer when it owes nothing.
    heard: u64,
    asked: u64,
}

/// How much is written back at once.
const BATCH: usize = 500;

impl Authority {
    /// Looks at a page's mark, when what the page says is held already.
    pub(super) async fn look_at(&self, page: &RevocationPage) -> Result<(), StoreError> {
        let Mark { beat, ref rollback, beaten, .. } = page.mark;
        let rollback = rollback.as_ref().map(|rollback| rollback.id);
        let seen = {
            let mut known = self.known();
            if known.looked && rollback.is_some() && known.rollback != rollback {
                known.owes = true;
                self.tend_now.notify_one();
            }
            known.rollback = rollback.or(known.rollback);
            known.looked = true;
            let due = BEAT_EVERY + self.keys.stagger();
            known.beat_is_due = page.now.since(beaten) >= due || beaten > page.now;
            known.beat
        };
        if page.mark.has_gone_back(seen) {
            self.note_rollback(&page.mark, seen).await?;
        } else if beat > seen {
            self.known().beat = beat;
            self.metrics.feed_lag_seconds.observe(page.now.since(beaten).as_secs_f64());
        }
        Ok(())
    }

    /// Answers the question of a page, when what the page says is held already, and the keys are those it names.
    pub(super) async fn answer(&self, asked: u64) -> Result<(), StoreError> {
        self.known().asked = asked;
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
        let mut known = self.known();
        (known.rollback, known.owes) = (Some(id), true);
        self.tend_now.notify_one();
        Ok(())
    }

    /// Writes back what this replica holds, if it owes that.
    pub(super) async fn write_back(&self) -> Result<(), KeysError> {
        let rollback = {
            let known = self.known();
            if !known.owes {
                return Ok(());
            }
            known.rollback
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
        // Another loss may have been noticed meanwhile.
        self.has_written_back(rollback);
        Ok(self.answer_question().await?)
    }

    fn has_written_back(&self, rollback: Option<u64>) {
        let mut known = self.known();
        known.owes = known.rollback != rollback;
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
        let asked = {
            let known = self.known();
            if known.owes || known.heard == known.asked {
                return Ok(());
            }
            known.asked
        };
        self.store.report(&self.replica(asked)).await?;
        self.known().heard = asked;
        Ok(())
    }

    pub(super) fn beat_is_due(&self) -> bool {
        self.known().beat_is_due
    }

    /// Says that this replica is there.
    pub(super) async fn report(&self) -> Result<(), StoreError> {
        let _turn = self.reporting.lock().await;
        let heard = self.known().heard;
        self.store.report(&self.replica(heard)).await
    }

    /// Whether every replica that is there has written back what it held when the history was lost.
    pub(super) async fn everybody_wrote_back(&self, rollback: Rollback) -> Result<bool, StoreError> {
        let live = self.store.replicas(LIVE).await?;
        Ok(live.iter().all(|replica| replica.heard >= rollback.asked))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
