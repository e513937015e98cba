//! Ends a WebSocket or an event stream whose session has ended.
//!
//! Such an answer may go on for hours after the token was checked. So while it does, its connection asks the revocations
//! again and again; a refresh in the meantime ends nothing, and neither does the expiry of the token it began with.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::authority::Authority;
use crate::domain::identity::Identity;

/// What a connection and one request on it share: set by the request when its answer may go on for long.
#[derive(Clone, Debug, Default)]
pub(super) struct Tunnel(Arc<OnceLock<Arc<Identity>>>);

impl Tunnel {
    /// From now on the answer lasts no longer than this identity's session.
    pub(super) fn open(&self, identity: &Arc<Identity>) {
        // One request opens it once.
        let _ = self.0.set(Arc::clone(identity));
    }

    /// Returns when the session of an open tunnel has ended.
    pub(super) async fn revoked(&self, authority: &Authority) -> &Identity {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(identity) = self.0.get().filter(|identity| authority.has_ended(identity)) {
                return identity;
            }
        }
    }
}

/// How long a stream may outlive its session on this replica.
const LOOK_EVERY: Duration = Duration::from_millis(250);
