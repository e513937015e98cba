//! A clock that can be put forward, so that no test waits for an expiry.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sidegate::clock::{Clock, SystemClock};
use sidegate::domain::time::Timestamp;

/// The machine's clock, and what the test has added to it.
#[derive(Debug, Default)]
pub struct Ahead(AtomicI64);

impl Ahead {
    pub fn advance(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).expect("a test lasts no age"), Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().as_millis() + self.0.load(Ordering::SeqCst))
    }
}
