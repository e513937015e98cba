//! Time and randomness: the only file that asks the operating system for either.
//!
//! Everything else gets them as arguments, so that tests can choose them.

#![expect(clippy::disallowed_methods, reason = "this is the one file that may")]
#![expect(clippy::expect_used, reason = "without randomness there is no safe way on")]
#![expect(clippy::disallowed_types, reason = "this is the one file that may")]

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rand::TryRng;
use rand::rngs::SysRng;
use ring::rand::SystemRandom;

use crate::domain::time::Timestamp;

/// What time it is, here.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;
}

/// The clock of this machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().plus(since_epoch)
    }
}

/// RFC 3339 in UTC, to the second.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let since_epoch = time.since(Timestamp::default());
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since_epoch).to_string()
}

/// RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn rfc3339_millis(time: Timestamp) -> String {
    let since_epoch = time.since(Timestamp::default());
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since_epoch).to_string()
}

/// A clock that other parts can share.
pub type SharedClock = Arc<dyn Clock>;

/// A point on the clock that never steps, as libraries hand it to us.
pub type Moment = Instant;

/// A moment on the clock that never steps, for measuring how long something took.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Random bytes from the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct Entropy;

impl Entropy {
    /// Fresh bytes.
    ///
    /// # Panics
    /// If the operating system has no randomness to give: nothing secret can be made then.
    #[must_use]
    pub fn bytes<const N: usize>(self) -> [u8; N] {
        let mut bytes = [0; N];
        SysRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
        bytes
    }
}

/// Randomness for the library that signs: an ECDSA signature needs a fresh nonce.
#[must_use]
pub fn signing_randomness() -> SystemRandom {
    SystemRandom::new()
}
