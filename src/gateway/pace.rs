//! Whether a client that keeps us waiting for a body sends enough bytes to be worth it.
//!
//! A timeout for each read is met by one byte now and then, for ever. So bytes are counted against the time that was spent
//! waiting for the client: not the time in which the application, or nobody, moved any.

use std::io;
use std::time::Duration;

use crate::clock::Stopwatch;

/// The pace of one body.
#[derive(Debug)]
pub(super) struct Pace {
    /// After so much waiting the bytes are counted.
    patience: Duration,
    waiting: Option<Stopwatch>,
    waited: Duration,
    moved: u64,
}

/// Bytes in each second of waiting: what any connection manages that is worth having.
pub(super) const SLOWEST: u64 = 500;

impl Pace {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, waiting: None, waited: Duration::ZERO, moved: 0 }
    }

    /// Takes note of how many bytes a poll of the connection has moved, or that the client keeps us waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if too few were, for as long as was waited.
    pub(super) fn note(&mut self, moved: Option<usize>) -> io::Result<()> {
        let Some(moved) = moved else {
            self.waiting.get_or_insert_with(Stopwatch::start);
            return Ok(());
        };
        self.waited += self.waiting.take().map_or(Duration::ZERO, Stopwatch::elapsed);
        self.moved += moved as u64;
        if self.waited < self.patience {
            return Ok(());
        }
        if u128::from(self.moved) * 1000 < self.waited.as_millis() * u128::from(SLOWEST) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends too few bytes"));
        }
        self.begin();
        Ok(())
    }

    /// Counts anew.
    pub(super) fn begin(&mut self) {
        *self = Self::new(self.patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_waiting(seconds: u64) -> Pace {
        Pace { waited: Duration::from_secs(seconds), ..Pace::new(Duration::from_secs(10)) }
    }

    #[test]
    fn bytes_are_counted_once_the_client_has_kept_us_waiting_for_long() {
        assert!(after_waiting(9).note(Some(1)).is_ok(), "not yet");
        let mut slow = after_waiting(10);
        assert_eq!(slow.note(Some(4_999)).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut fast = after_waiting(10);
        assert!(fast.note(Some(5_000)).is_ok());
        assert_eq!((fast.waited, fast.moved), (Duration::ZERO, 0), "and then anew");
    }

    #[test]
    fn time_in_which_nobody_waited_for_the_client_does_not_count() {
        let mut pace = Pace::new(Duration::from_nanos(1));
        for _ in 0..100 {
            std::thread::yield_now();
            assert!(pace.note(Some(0)).is_ok());
        }
        assert!(pace.note(None).is_ok());
        assert!(pace.waiting.is_some());
    }
}
