//! How long one request waits for the store, in all its calls together.
//!
//! Each call to the store has a bound of its own. A request makes several, and a store that has just stopped answering
//! would cost it as many bounds; so nothing more is begun when the time of one is used up. Time that is spent elsewhere,
//! on a password's hash for example, does not count.

use std::time::Duration;

use crate::clock::Stopwatch;
use crate::store::StoreError;

/// What is left of a request's time.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
}

impl Patience {
    pub(super) fn new(whole: Duration) -> Self {
        Self { left: whole }
    }

    pub(super) fn is_over(&self) -> bool {
        self.left.is_zero()
    }

    /// Waits for something that may be left alone in the middle.
    pub(super) async fn ask<T, E: From<StoreError>>(
        &mut self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let left = self.left;
        let cut = async { tokio::time::timeout(left, call).await.unwrap_or_else(|_| Err(too_slow().into())) };
        self.carry_out(cut).await
    }

    /// Waits for something that runs to its own end once it has begun: what was given up might be done after all.
    pub(super) async fn carry_out<T, E: From<StoreError>>(
        &mut self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if self.is_over() {
            return Err(too_slow().into());
        }
        let watch = Stopwatch::start();
        let done = call.await;
        self.left = self.left.saturating_sub(watch.elapsed());
        done
    }
}

fn too_slow() -> StoreError {
    StoreError::Unavailable("it has taken too long to answer".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Duration = Duration::from_millis(50);

    async fn answer_after(time: Duration) -> Result<u32, StoreError> {
        tokio::time::sleep(time).await;
        Ok(7)
    }

    #[tokio::test]
    async fn a_question_is_cut_when_the_time_is_up_and_nothing_more_is_begun() {
        let mut patience = Patience::new(WHOLE);
        assert_eq!(patience.ask(answer_after(Duration::ZERO)).await, Ok(7));
        assert!(!patience.is_over());
        assert_eq!(patience.ask(answer_after(Duration::from_hours(1))).await, Err(too_slow()));
        assert!(patience.is_over());
        assert_eq!(patience.ask(answer_after(Duration::ZERO)).await, Err(too_slow()));
        assert_eq!(patience.carry_out(answer_after(Duration::ZERO)).await, Err(too_slow()));
    }

    #[tokio::test]
    async fn what_has_begun_runs_to_its_end() {
        let mut patience = Patience::new(WHOLE);
        assert_eq!(patience.carry_out(answer_after(WHOLE * 2)).await, Ok(7));
        assert!(patience.is_over());
    }
}
