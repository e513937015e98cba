//! Wakes the feed as soon as there is something to read, where the store can tell.
//!
//! A listening connection may be deaf: behind a pooler that shares connections, on a standby, on a line that was cut
//! without a word. So it counts only after a wake-up of our own came back on it, and is given up when the feed finds by
//! itself what should have woken it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::store::{StoreError, Wakeups};

use super::Authority;

/// How long a wake-up of our own may take.
const TEST: Duration = Duration::from_secs(2);
/// How long a wake-up may come after the feed has found what it is about.
const LATE: Duration = Duration::from_secs(1);
/// After how long a lost connection is made again, and a way that does not work is tried again: twice as long each time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// A connection that lost its server is tried again no later than this.
const LONGEST_RECONNECT: Duration = Duration::from_secs(4);

/// Why no wake-ups come.
enum Deaf {
    /// The connection could not be made, or was lost.
    Lost(StoreError),
    /// It stands, and nothing comes.
    Silent,
}

impl Authority {
    /// Listens, and wakes the feed. Runs until it is dropped; ends at once where there is nothing to listen to.
    pub async fn listen(self: Arc<Self>) {
        let mut pause = SHORTEST_PAUSE;
        let mut said = false;
        loop {
            let deaf = match self.open().await {
                Ok(None) => return std::future::pending().await,
                Ok(Some(mut wakeups)) => {
                    (pause, said) = (SHORTEST_PAUSE, false);
                    self.set_listening(true);
                    tracing::info!("revocations are heard by LISTEN");
                    // What came before this connection listened.
                    self.wakeup.notify_one();
                    let deaf = self.pass_on(wakeups.as_mut()).await;
                    self.metrics.feed_rebuilds.inc();
                    deaf
                }
                Err(deaf) => deaf,
            };
            self.set_listening(false);
            // What is missed from now on is found by polling; what was missed a moment ago, now.
            self.wakeup.notify_one();
            if !said {
                match &deaf {
                    Deaf::Lost(error) => {
                        tracing::warn!(%error, "the listening connection is gone: polling until it is back");
                    }
                    Deaf::Silent => tracing::warn!(
                        "wake-ups do not come back: is a pooler or a standby in between? polling; \
                         hint: name a direct way in store.listen_url_file, or say revocation.feed = \"poll\""
                    ),
                }
            }
            said = true;
            tokio::time::sleep(pause).await;
            let longest = if matches!(deaf, Deaf::Lost(_)) { LONGEST_RECONNECT } else { LONGEST_PAUSE };
            pause = (pause * 2).min(longest);
        }
    }

    /// A connection on which a wake-up of our own has come back.
    async fn open(&self) -> Result<Option<Box<dyn Wakeups>>, Deaf> {
        let Some(mut wakeups) = self.store.listen().await.map_err(Deaf::Lost)? else { return Ok(None) };
        self.store.wake().await.map_err(Deaf::Lost)?;
        match tokio::time::timeout(TEST, wakeups.next()).await {
            Ok(Ok(())) => Ok(Some(wakeups)),
            Ok(Err(error)) => Err(Deaf::Lost(error)),
            Err(_) => Err(Deaf::Silent),
        }
    }

    async fn pass_on(&self, wakeups: &mut dyn Wakeups) -> Deaf {
        let mut last = Stopwatch::start();
        loop {
            let next = tokio::select! {
                next = wakeups.next() => next,
                () = self.overheard.notified() => {
                    if last.elapsed() < LATE {
                        continue;
                    }
                    match tokio::time::timeout(LATE, wakeups.next()).await {
                        Ok(next) => next,
                        Err(_) => return Deaf::Silent,
                    }
                }
            };
            if let Err(error) = next {
                return Deaf::Lost(error);
            }
            last = Stopwatch::start();
            self.metrics.feed_wakeups.inc();
            self.wakeup.notify_one();
        }
    }

    fn set_listening(&self, listening: bool) {
        self.listening.store(listening, Ordering::Relaxed);
        self.metrics.feed_listening.set(i64::from(listening));
    }
}
