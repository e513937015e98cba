//! Access tokens whose signature was checked before, bounded in bytes. Losing one costs a verification, nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;

use crate::domain::identity::Identity;

use super::revocations::Revocations;

/// Keyed by the SHA-256 of the exact token, so that no two tokens can ever share an entry.
#[derive(Debug)]
pub struct VerifiedTokens(Cache<[u8; 32], Arc<Verified>>);

/// What a genuine token says.
#[derive(Debug)]
pub struct Verified {
    pub identity: Arc<Identity>,
    /// The version of the revocations under which it was last found not to be void; 0, which is none, at first.
    good_under: AtomicU64,
    weight: u32,
}

impl Verified {
    /// Whether nothing has ended it. Asks nothing while nothing more was revoked.
    #[must_use]
    pub fn is_good(&self, revocations: &Revocations) -> bool {
        // Read before the question: what is revoked meanwhile has a later one.
        let version = revocations.version();
        if self.good_under.load(Ordering::Relaxed) == version {
            return true;
        }
        let is_good = !revocations.void(&self.identity);
        if is_good {
            self.good_under.store(version, Ordering::Relaxed);
        }
        is_good
    }
}

impl VerifiedTokens {
    /// `bound`: in bytes, estimated as three times each token's length plus 512. Zero keeps nothing.
    #[must_use]
    pub fn new(bound: u64) -> Self {
        Self(Cache::builder().max_capacity(bound).weigher(|_, verified: &Arc<Verified>| verified.weight).build())
    }

    #[must_use]
    pub fn get(&self, digest: &[u8; 32]) -> Option<Arc<Verified>> {
        self.0.get(digest)
    }

    /// Keeps a token of so many bytes.
    pub fn insert(&self, digest: [u8; 32], identity: Arc<Identity>, token_bytes: usize) -> Arc<Verified> {
        let weight = u32::try_from(token_bytes * 3 + 512).unwrap_or(u32::MAX);
        let verified = Arc::new(Verified { identity, good_under: AtomicU64::new(0), weight });
        self.0.insert(digest, Arc::clone(&verified));
        verified
    }

    #[must_use]
    pub fn len(&self) -> u64 {
        // The count is of what has settled.
        self.0.run_pending_tasks();
        self.0.entry_count()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
