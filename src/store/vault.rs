//! What a store is told and tells of the sealed jars of sessions.

use crate::domain::session::SessionId;
use crate::domain::time::Timestamp;
use crate::domain::vault::SealedJar;

use super::Cursor;

/// A jar that takes another's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultChange {
    pub session: SessionId,
    /// The version that the row must have; 0 for a session without a jar.
    pub expected: u64,
    pub jar: SealedJar,
    /// Whether everybody is woken, rather than finds it when they look.
    pub wakes: bool,
}

/// A jar as it is since a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedVault {
    pub session: SessionId,
    pub jar: SealedJar,
    /// After this no token with an older jar is valid any more, on any replica's clock.
    pub until: Timestamp,
}

/// Some changes, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultPage {
    pub changes: Vec<ChangedVault>,
    pub cursor: Cursor,
    /// Whether there is more to be read from there at once: a page holds no more than [`VAULT_PAGE`].
    pub more: bool,
}

/// Most changes of one page: each may be some KiB.
pub const VAULT_PAGE: u32 = 1000;
