//! What has been ended before its time, and until when that must be remembered.

use std::time::Duration;

use super::session::{SessionId, Subject};
use super::time::Timestamp;

/// Something whose access tokens are void although their `exp` has not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// Every access token with this `sid`.
    Session(SessionId),
    /// Every access token of this subject whose subject epoch is below the value.
    SubjectBelow(Subject, u64),
    /// Every access token of the realm whose realm epoch is below the value.
    RealmBelow(u64),
}

/// A revocation as the store keeps it and every replica holds it in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub revoked: Revoked,
    /// After this no token it could hit is valid any more, on any replica's clock.
    pub until: Timestamp,
}

/// How much longer than the longest access token a revocation is remembered: the largest leeway that can be configured,
/// and five minutes of allowance for replicas whose clocks differ.
pub const ALLOWANCE: Duration = Duration::from_mins(6);
