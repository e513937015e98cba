//! Access tokens whose signature was checked before, bounded in bytes. Losing one costs a verification, nothing else.

use std::sync::Arc;

use moka::sync::Cache;

use crate::domain::identity::Identity;

/// Keyed by the SHA-256 of the exact token, so that no two tokens can ever share an entry.
#[derive(Debug)]
pub struct VerifiedTokens(Cache<[u8; 32], Entry>);

#[derive(Clone, Debug)]
struct Entry {
    identity: Arc<Identity>,
    weight: u32,
}

impl VerifiedTokens {
    /// `bound`: in bytes, estimated as three times each token's length plus 512. Zero keeps nothing.
    #[must_use]
    pub fn new(bound: u64) -> Self {
        Self(Cache::builder().max_capacity(bound).weigher(|_, entry: &Entry| entry.weight).build())
    }

    #[must_use]
    pub fn get(&self, digest: &[u8; 32]) -> Option<Arc<Identity>> {
        self.0.get(digest).map(|entry| entry.identity)
    }

    pub fn insert(&self, digest: [u8; 32], identity: Arc<Identity>, token_bytes: usize) {
        let weight = u32::try_from(token_bytes * 3 + 512).unwrap_or(u32::MAX);
        self.0.insert(digest, Entry { identity, weight });
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
