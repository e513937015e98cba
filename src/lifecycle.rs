//! How far a process is on its way from start to end, and who takes it a step further.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Only ever goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Keys and revocations are being loaded: nothing is accepted yet.
    Starting,
    Serving,
    /// Not ready, but still accepting: whoever routes here has not heard yet.
    Draining,
    /// Accepts nothing more; ends when what is in flight has ended.
    Stopping,
}

/// The phase of one process. Several may ask it to drain, a signal and a call of the operator: the wait is one.
#[derive(Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    /// Whether whoever routes here has had the time to hear.
    drained: watch::Sender<bool>,
    drain_delay: Duration,
}

impl Lifecycle {
    #[must_use]
    pub fn new(drain_delay: Duration) -> Arc<Self> {
        Arc::new(Self { phase: watch::Sender::new(Phase::Starting), drained: watch::Sender::new(false), drain_delay })
    }

    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Goes on to a later phase. Says whether it was one.
    pub fn advance(&self, to: Phase) -> bool {
        self.phase.send_if_modified(|phase| {
            let is_later = *phase < to;
            if is_later {
                *phase = to;
            }
            is_later
        })
    }

    /// Not ready from now on; returns when `drain_delay` has passed since the first call, or the process stops. The time
    /// passes whether or not the first caller still waits.
    pub async fn drain(self: Arc<Self>) {
        if self.advance(Phase::Draining) {
            let this = Arc::clone(&self);
            tokio::spawn(async move {
                tokio::time::sleep(this.drain_delay).await;
                this.drained.send_replace(true);
            });
        }
        let (mut drained, mut phase) = (self.drained.subscribe(), self.watch());
        tokio::select! {
            _ = drained.wait_for(|drained| *drained) => {}
            _ = phase.wait_for(|phase| *phase == Phase::Stopping) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_phase_is_never_left_for_an_earlier_one() {
        let lifecycle = Lifecycle::new(Duration::ZERO);
        let phase = lifecycle.watch();
        assert!(lifecycle.advance(Phase::Draining));
        assert!(!lifecycle.advance(Phase::Serving));
        assert!(!lifecycle.advance(Phase::Draining));
        assert_eq!(*phase.borrow(), Phase::Draining);
    }

    #[tokio::test]
    async fn whoever_asks_later_waits_for_what_is_left_and_nobody_twice() {
        let lifecycle = Lifecycle::new(Duration::from_millis(30));
        // The first one goes away at once, as a caller whose connection breaks.
        let first = tokio::time::timeout(Duration::ZERO, Arc::clone(&lifecycle).drain()).await;
        assert!(first.is_err());
        assert_eq!(*lifecycle.watch().borrow(), Phase::Draining);
        Arc::clone(&lifecycle).drain().await;
        assert!(*lifecycle.drained.borrow());
        tokio::time::timeout(Duration::ZERO, Arc::clone(&lifecycle).drain())
            .await
            .expect("there is nothing to wait for");
    }

    #[tokio::test]
    async fn a_stop_waits_for_no_drain() {
        let lifecycle = Lifecycle::new(Duration::from_hours(1));
        let draining = tokio::spawn(Arc::clone(&lifecycle).drain());
        lifecycle.watch().wait_for(|phase| *phase == Phase::Draining).await.unwrap();
        assert!(lifecycle.advance(Phase::Stopping));
        draining.await.unwrap();
    }
}
