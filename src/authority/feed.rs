//! What other replicas, and commands, have ended: read from the store, merged into memory, without end.
//!
//! The first load happens before the replica is ready. After that a store that does not answer makes no request fail:
//! the set keeps what it holds, and goes on where it was when the store is back. A page is read at every wake-up, and at
//! every interval all the same: what wakes us is a help, never a promise.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::clock::Stopwatch;
use crate::domain::observed::Ends;
use crate::domain::session::SessionId;
use crate::domain::time::{Timestamp, millis};
use crate::store::{Cursor, RevocationPage, StoreError};
use crate::telemetry::Event;

use super::Authority;
use super::keys::REPORT_EVERY;

/// How often one of the replicas writes a heartbeat.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);
/// Whoever writes each so many-th beat also deletes what is long over: every five minutes.
const PURGE_AT_BEAT: u64 = 60;
/// How long after its end a row is deleted.
const PURGE_AFTER: Duration = Duration::from_hours(1);
const PURGE_BATCH: u32 = 500;
/// How often it is looked whether there is something to do.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// Pages are read no closer together, however many wake-ups come: anybody may send one.
const BREATH: Duration = Duration::from_millis(2);

/// Clocks further apart than this are worth a word.
const NOTICEABLE: Duration = Duration::from_secs(2);

/// When the store last told its revocations.
#[derive(Debug)]
pub(super) struct Contact {
    wall: Timestamp,
    stopwatch: Stopwatch,
    /// By how many milliseconds our clock is ahead of the store's, as far as that is certain.
    offset: i64,
}

impl Authority {
    /// Reads every live revocation. The replica must not serve before this.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn load(&self) -> Result<Cursor, StoreError> {
        let mut page = self.read(None).await?;
        while page.more {
            page = self.read(Some(&page.cursor)).await?;
        }
        self.read_vaults().await?;
        Ok(page.cursor)
    }

    /// Follows the store from `cursor` on: at every wake-up, and every `interval`. Runs until it is dropped.
    pub async fn follow(self: Arc<Self>, mut cursor: Cursor, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut answered, mut stale, mut keys_fail, mut beat) = (true, false, false, 0);
        loop {
            let woken = tokio::select! {
                () = self.wakeup.notified() => true,
                _ = ticks.tick() => false,
            };
            let started = Stopwatch::start();
            match self.read(Some(&cursor)).await {
                Ok(page) => {
                    if !answered {
                        tracing::info!("the store answers again: the revocations are up to date");
                    }
                    (answered, stale) = (true, false);
                    let is_news = !page.revocations.is_empty() || page.mark.beat != beat;
                    if page.more {
                        self.wakeup.notify_one();
                    }
                    (cursor, beat) = (page.cursor, page.mark.beat);
                    if is_news && !woken {
                        self.overheard.notify_one();
                    }
                    if let Err(error) = self.read_vaults().await {
                        self.metrics.feed_failures.inc();
                        tracing::debug!(%error, "what other replicas have changed in vaults is not heard yet");
                    }
                    let followed = self.follow_keys(page.keys_version).await;
                    if let Err(error) = &followed
                        && !keys_fail
                    {
                        tracing::error!(%error, "the signing keys have changed and cannot be used: trying again");
                    }
                    keys_fail = followed.is_err();
                    if !keys_fail
                        && !page.more
                        && let Err(error) = self.answer(page.asked).await
                    {
                        tracing::debug!(%error, "what is in force here is not reported yet");
                    }
                }
                Err(error) => {
                    self.metrics.feed_failures.inc();
                    if answered {
                        tracing::warn!(%error, "the store does not answer: revocations from other replicas are not heard");
                    }
                    if self.is_stale() && !stale {
                        tracing::error!(%error, "the store has been silent for too long: routes that deny then, do");
                    }
                    (answered, stale) = (false, self.is_stale());
                }
            }
            if woken {
                tokio::time::sleep(BREATH.saturating_sub(started.elapsed())).await;
            }
        }
    }

    /// Does what one replica or all have to do at times: writes the heartbeat, says that this one lives, stores what could
    /// not be stored, writes back what the store has lost, deletes what is long over. Runs until it is dropped.
    pub async fn tend(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TEND_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported = Stopwatch::start();
        loop {
            tokio::select! {
                () = self.tend_now.notified() => {}
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.write_back().await {
                tracing::warn!(%error, "revocations are not written back yet: trying again");
            }
            self.store_missing_ends().await;
            if reported.elapsed() >= REPORT_EVERY {
                reported = Stopwatch::start();
                if let Err(error) = self.tend_keys().await {
                    tracing::warn!(%error, "the signing keys could not be looked after");
                }
            }
            if !self.beat_is_due() {
                continue;
            }
            match self.store.beat(BEAT_EVERY).await {
                Ok(Some(beat)) if beat % PURGE_AT_BEAT == 0 => self.purge().await,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "no heartbeat was written"),
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

    /// Reads a page, and holds what it says; not what else there is, if there is more.
    pub(super) async fn read(&self, after: Option<&Cursor>) -> Result<RevocationPage, StoreError> {
        let started = Stopwatch::start();
        let page = self.store.revocations(after).await?;
        for revocation in &page.revocations {
            self.apply(revocation);
        }
        self.revocations.raise_realm_epoch(page.realm_epoch);
        self.touch(page.now, started.elapsed());
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(page.cursor.clone());
        self.look_at(&page).await?;
        Ok(page)
    }

    /// Where the last page that was read has ended; `None` before the first load.
    pub(super) fn last_position(&self) -> Option<Cursor> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn touch(&self, store_now: Timestamp, took: Duration) {
        let wall = self.clock.now();
        let ahead = wall.as_millis().saturating_sub(store_now.as_millis());
        // The store read its clock at some moment of the call.
        let offset = if ahead > 0 { (ahead - millis(took)).max(0) } else { ahead };
        let contact = Contact { wall, stopwatch: Stopwatch::start(), offset };
        let before = self.contact.write().unwrap_or_else(PoisonError::into_inner).replace(contact);
        let before = before.map_or(0, |contact| contact.offset);
        for (limit, consequence) in [(NOTICEABLE, "mind it"), (self.rules.leeway, "not ready until it is right")] {
            match (is_beyond(before, limit), is_beyond(offset, limit)) {
                (false, true) => tracing::warn!(offset_ms = offset, "our clock is not the store's: {consequence}"),
                (true, false) => tracing::info!(offset_ms = offset, ?limit, "our clock is the store's again"),
                _ => {}
            }
        }
    }

    /// How long ago the store last told its revocations, by the clock that says more; `None` before the first load.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        let contact = self.contact.read().unwrap_or_else(PoisonError::into_inner);
        // The steady clock may stand still while the machine sleeps, and the other may be set back.
        contact.as_ref().map(|contact| contact.stopwatch.elapsed().max(self.clock.now().since(contact.wall)))
    }

    /// Whether the store has been silent for too long to know what has been revoked.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.silence().is_none_or(|silence| silence > self.max_staleness)
    }

    /// By how many milliseconds our clock is ahead of the store's, as far as that is certain; 0 before the first load.
    #[must_use]
    pub fn clock_offset_millis(&self) -> i64 {
        self.contact.read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |contact| contact.offset)
    }

    /// Whether our clock is so far from the store's that good tokens would be refused here, or bad ones accepted.
    #[must_use]
    pub fn has_wrong_clock(&self) -> bool {
        is_beyond(self.clock_offset_millis(), self.rules.leeway)
    }

    /// Whether wake-ups come; otherwise the store is polled.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// Tries to store every end that could not be stored yet, and says which are left.
    pub async fn store_missing_ends(&self) -> Vec<Ends> {
        let mut after = 0;
        while let Some(turn) = self.owed.next(after) {
            after = turn.number();
            let ends = turn.ends.clone();
            if let Err(error) = self.store_end(turn).await {
                // Said once for the first, not at every turn for each.
                tracing::debug!(%error, ?ends, "what has ended is still not stored");
                break;
            }
            let event = Event::new("session_end", "stored_at_last");
            self.audit.record(&match &ends {
                Ends::Session(id) => event.session(*id),
                Ends::Others(subject, id) => event.of(subject).session(*id),
                Ends::Subject(subject) => event.of(subject),
            });
        }
        self.owed.left()
    }

    /// As [`Self::store_missing_ends`], and waits for those that somebody else is storing.
    pub async fn settle_ends(&self) -> Vec<Ends> {
        self.owed.none_underway().await;
        self.store_missing_ends().await
    }

    /// Whether the session has ended, as this replica remembers, and that is stored. Where it is not yet, the store is asked
    /// as always: nobody is told of an end that could still be lost.
    pub(super) fn remembers_end_of(&self, id: SessionId) -> bool {
        self.revocations.holds(id) && !self.owed.has_session(id)
    }
}

fn is_beyond(offset_millis: i64, limit: Duration) -> bool {
    Duration::from_millis(offset_millis.unsigned_abs()) > limit
}
