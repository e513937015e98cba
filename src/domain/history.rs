//! Whether a store still has all that was stored in it.
//!
//! A standby that was promoted before it had everything, and a backup that was put back, answer as if the last seconds or
//! days had not been. The store cannot know it by itself: it carries the name of the server it was kept on and a count of
//! heartbeats, and whoever reads it compares.

use super::session::Session;
use super::time::Timestamp;

/// What a store says of its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Names the server that answered and its line of history: another one after a promotion or in another cluster, the
    /// same after a restart.
    pub server: String,
    /// The name that the realm was last kept under; empty: nobody has said yet.
    pub known: String,
    /// Counts heartbeats.
    pub beat: u64,
    /// When the last one was written.
    pub beaten: Timestamp,
    /// The latest that was noticed.
    pub rollback: Option<Rollback>,
}

/// That a stretch of the history is lost, as recorded in the store, so that all replicas judge alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rollback {
    /// Random: tells one from the others.
    pub id: u64,
    /// What was stored before this is still there.
    pub since: Timestamp,
    /// What was stored after this is there again.
    pub noticed: Timestamp,
    /// A question that a replica answers when it has written back what it still held.
    pub asked: u64,
}

impl Mark {
    /// Whether something that was stored may be missing: the server is not the one the realm was kept on, or it has
    /// counted fewer beats than somebody has `seen`. A planned switch looks the same, and nothing is missing then.
    #[must_use]
    pub fn has_gone_back(&self, seen: u64) -> bool {
        (!self.known.is_empty() && self.known != self.server) || self.beat < seen
    }
}

impl Rollback {
    /// Whether turns of this session, which has not ended, may be among what is lost: it was there when the loss was
    /// noticed, and has not turned since.
    #[must_use]
    pub fn may_have_lost_turns_of(&self, session: &Session) -> bool {
        session.rotated <= self.noticed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(server: &str, known: &str, beat: u64) -> Mark {
        let (server, known) = (server.to_owned(), known.to_owned());
        Mark { server, known, beat, beaten: Timestamp::default(), rollback: None }
    }

    #[test]
    fn another_server_or_fewer_beats_may_lack_something() {
        assert!(!mark("a/1", "a/1", 7).has_gone_back(7));
        assert!(mark("a/2", "a/1", 9).has_gone_back(7), "promoted");
        assert!(mark("b/1", "a/1", 7).has_gone_back(0), "restored into another cluster");
        assert!(mark("a/1", "a/1", 6).has_gone_back(7), "restored in place");
        assert!(!mark("a/1", "", 0).has_gone_back(0), "a realm that is new");
    }
}
