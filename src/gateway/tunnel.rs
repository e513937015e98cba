//! Ends a WebSocket or an event stream whose session has ended.
//!
//! Such an answer may go on for hours after the token was checked. So while it does, its connection asks the revocations
//! again and again; a refresh in the meantime ends nothing, and neither does the expiry of the token it began with, or of
//! the session: only what somebody ended.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;

use crate::authority::Authority;
use crate::clock::Stopwatch;
use crate::domain::identity::Identity;

/// What a connection and one request on it share: set by the request when its answer may go on for long.
#[derive(Clone, Debug, Default)]
pub(super) struct Tunnel(Arc<OnceLock<LongAnswer>>);

/// Whose answer it is, and what its access line will say if it is cut.
#[derive(Debug)]
pub(super) struct LongAnswer {
    pub(super) identity: Arc<Identity>,
    pub(super) method: Method,
    /// As it may be logged.
    pub(super) path: String,
    pub(super) route: Option<Arc<str>>,
    pub(super) started: Stopwatch,
}

impl Tunnel {
    /// From now on the answer lasts no longer than its identity's session.
    pub(super) fn open(&self, answer: LongAnswer) {
        // A second opening of the same request says the same.
        let _ = self.0.set(answer);
    }

    /// Returns when the session of an open tunnel has ended.
    pub(super) async fn revoked(&self, authority: &Authority) -> &LongAnswer {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(answer) = self.0.get().filter(|answer| authority.has_ended(&answer.identity)) {
                return answer;
            }
        }
    }
}

/// How long a stream may outlive its session on this replica.
const LOOK_EVERY: Duration = Duration::from_millis(250);
