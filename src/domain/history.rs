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
    /// Whether replicas that have answered these questions have written back what they held.
    #[must_use]
    pub fn is_written_back(&self, mut heard: impl Iterator<Item = u64>) -> bool {
        heard.all(|heard| heard >= self.asked)
    }

    /// Whether turns of this session, which has not ended, may be among what is lost: it was there when the loss was
    /// noticed, and has not turned since.
    #[must_use]
    pub fn may_have_lost_turns_of(&self, session: &Session) -> bool {
        session.rotated <= self.noticed
    }
}

/// What one replica knows of the store's history, from the marks of the pages that it has read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Known {
    looked: bool,
    /// The highest beat.
    beat: u64,
    /// The latest loss that it has heard of.
    rollback: Option<u64>,
    /// What it holds is to be written back.
    owes: bool,
    /// The last question, which it may answer when it owes nothing, and the last one that it has answered.
    asked: u64,
    heard: u64,
}

/// What the mark of a page says to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Something may be missing, and nobody has recorded that yet.
    WentBack,
    /// There is a new heartbeat.
    Beat,
    Nothing,
}

impl Known {
    /// Looks at a page's mark, when what the page says is held already.
    pub fn look_at(&mut self, mark: &Mark) -> Look {
        let rollback = mark.rollback.map(|rollback| rollback.id);
        // Whoever has just come holds nothing but what the store says.
        self.owes |= self.looked && rollback.is_some() && self.rollback != rollback;
        self.rollback = rollback.or(self.rollback);
        self.looked = true;
        if mark.has_gone_back(self.beat) {
            return Look::WentBack;
        }
        let news = mark.beat > self.beat;
        self.beat = mark.beat;
        if news { Look::Beat } else { Look::Nothing }
    }

    /// A page has this question, and what the page says is done.
    pub fn is_asked(&mut self, question: u64) {
        self.asked = question;
    }

    /// It was this replica that recorded the loss.
    pub fn has_noted(&mut self, rollback: u64) {
        (self.rollback, self.owes) = (Some(rollback), true);
    }

    /// What was held when it had heard of this loss, and of no later one, is written back. Another one may have been
    /// noticed meanwhile.
    pub fn has_written_back(&mut self, rollback: Option<u64>) {
        self.owes = self.rollback != rollback;
    }

    /// The question that may be answered now, if there is one: what was revoked before it was asked is refused here, and
    /// what was held here before a loss is in the store again.
    #[must_use]
    pub fn question(&self) -> Option<u64> {
        (!self.owes && self.heard != self.asked).then_some(self.asked)
    }

    pub fn has_answered(&mut self, question: u64) {
        self.heard = question;
    }

    #[must_use]
    pub fn owes(&self) -> bool {
        self.owes
    }

    #[must_use]
    pub fn beat(&self) -> u64 {
        self.beat
    }

    #[must_use]
    pub fn rollback(&self) -> Option<u64> {
        self.rollback
    }

    #[must_use]
    pub fn heard(&self) -> u64 {
        self.heard
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

    #[test]
    fn who_held_something_before_a_loss_owes_it_and_answers_when_it_is_written_back() {
        let rollback = Rollback { id: 5, since: Timestamp::default(), noticed: Timestamp::default(), asked: 1000 };
        let noted = Mark { rollback: Some(rollback), ..mark("a/2", "a/2", 1008) };
        let (mut first, mut other, mut new) = (Known::default(), Known::default(), Known::default());
        for known in [&mut first, &mut other] {
            assert_eq!(known.look_at(&mark("a/1", "a/1", 7)), Look::Beat);
            assert_eq!(known.look_at(&mark("a/1", "a/1", 7)), Look::Nothing);
            known.is_asked(3);
            assert_eq!(known.question(), Some(3));
            known.has_answered(3);
        }
        assert_eq!(first.look_at(&mark("a/2", "a/1", 6)), Look::WentBack);
        first.has_noted(5);
        for known in [&mut first, &mut other] {
            known.look_at(&noted);
            known.is_asked(1000);
            assert!(known.owes() && known.question().is_none());
            assert!(!rollback.is_written_back([known.heard()].into_iter()));
            known.has_written_back(Some(4));
            assert!(known.owes(), "another loss was noticed meanwhile");
            known.has_written_back(Some(5));
            assert_eq!(known.question(), Some(1000));
        }
        new.look_at(&noted);
        assert!(!new.owes(), "it holds nothing but what the store says");
        assert!(rollback.is_written_back([1000, 1001].into_iter()));
    }
}
