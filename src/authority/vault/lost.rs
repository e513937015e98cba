//! The upstream has answered as it does to a stranger: it no longer knows the session it was sent.
//!
//! That may be because the cookie has changed meanwhile, in the answer to another request, here or at another replica:
//! then the client gets a token with the newer one, tries again, and nobody notices. An answer that changes it may still
//! be on its way into the store, so the store is asked for a while. Only then the session ends.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::domain::identity::Identity;
use crate::domain::session::Origin;
use crate::domain::vault::Vault;
use crate::telemetry::Event;

use super::super::Authority;
use super::writer::PAUSE;

/// What is the matter with a session that the upstream does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// There is a newer vault: the same with a new token may be answered.
    Outdated,
    /// The session has ended with the upstream's.
    Ended,
    /// Nobody can tell now.
    Unknown,
}

impl Authority {
    /// Judges an answer to a request that was sent with the vault of this version, 0 if without one.
    pub async fn vault_lost(&self, identity: &Identity, sent: u64, from: &Origin) -> Lost {
        let lost = self.judge_lost(identity, sent, from).await;
        self.metrics.vaults_lost.count(match lost {
            Lost::Outdated => "outdated",
            Lost::Ended => "ended",
            Lost::Unknown => "unknown",
        });
        lost
    }

    /// Whether no other replica can have anything that is newer. One that fell silent may still be writing.
    async fn is_alone(&self) -> bool {
        self.replicas().await.is_ok_and(|live| live.len() <= 1)
    }

    async fn judge_lost(&self, identity: &Identity, sent: u64, from: &Origin) -> Lost {
        let Some(vaults) = &self.vaults else { return Lost::Unknown };
        let id = identity.session;
        let is_newer_here = || vaults.held(id).is_some_and(|vault| vault.version() > sent);
        let patience = if self.is_alone().await { PAUSE + A_WRITE } else { self.store_timeout + PAUSE + A_WRITE };
        let watch = Stopwatch::start();
        let mut pause = FIRST_PAUSE;
        loop {
            if self.has_ended(identity) {
                return Lost::Ended;
            }
            match self.store.session(id).await {
                Ok(None) => return Lost::Ended,
                Ok(Some(state)) => {
                    // What is newer here is on its way there: the client may refresh anywhere.
                    if let Some(sealed) = state.session.vault.filter(|sealed| sealed.version > sent) {
                        vaults.hold(id, Arc::new(Vault::new(sealed)), self.vaults_kept_until());
                        return Lost::Outdated;
                    }
                }
                Err(_) if is_newer_here() => return Lost::Outdated,
                Err(error) => {
                    tracing::warn!(session = %id, %error, "it cannot be told whether the upstream has lost a session");
                    return Lost::Unknown;
                }
            }
            let left = patience.saturating_sub(watch.elapsed());
            if left.is_zero() {
                break;
            }
            tokio::time::sleep(pause.min(left)).await;
            pause *= 2;
        }
        if is_newer_here() {
            return Lost::Outdated;
        }
        if self.has_ended(identity) {
            return Lost::Ended;
        }
        // If it cannot be stored, it is ended here, and tried again.
        let ended = self.end_everywhere(id).await;
        let outcome = if ended.is_ok() { "vault_lost" } else { "vault_lost_not_stored" };
        self.audit.record(&Event::new("session_end", outcome).of(&identity.subject).session(id).from(from));
        Lost::Ended
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A replica that has a newer vault stores it within a pause and what a write takes, after one that may have failed.
const A_WRITE: Duration = Duration::from_millis(500);
