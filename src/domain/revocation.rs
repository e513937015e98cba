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

/// What is held in memory against one session or one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// Void below this counter; unused for a session.
    pub below: u64,
    pub until: Timestamp,
}

impl Held {
    /// The stricter of two in each respect: pages may come twice, or in any order, and nothing is ever weakened.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self { below: self.below.max(other.below), until: self.until.max(other.until) }
    }
}

/// How much longer than the longest access token a revocation is remembered: the largest leeway that can be configured,
/// and five minutes of allowance for replicas whose clocks differ.
pub const ALLOWANCE: Duration = Duration::from_mins(6);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held() -> impl Strategy<Value = Held> {
        (0_u64..4, 0_i64..4).prop_map(|(below, until)| Held { below, until: Timestamp::from_millis(until) })
    }

    proptest! {
        /// I7: whatever the feed repeats, delays or delivers out of order, the same is held in the end, and never less.
        #[test]
        fn merging_knows_no_order_and_never_weakens(a in held(), b in held(), c in held()) {
            prop_assert_eq!(a.merged(b), b.merged(a));
            prop_assert_eq!(a.merged(b).merged(c), a.merged(b.merged(c)));
            prop_assert_eq!(a.merged(a), a);
            let both = a.merged(b);
            prop_assert!(both.below >= a.below && both.until >= a.until);
            prop_assert!([a.below, b.below].contains(&both.below) && [a.until, b.until].contains(&both.until));
        }
    }
}
