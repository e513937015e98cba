//! Ends that are not in the store yet, and are owed to it: tried until they are there.
//!
//! Each is tried by one at a time. An end that comes again while it is being stored is another one: what it is to end may have
//! begun after the statement.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::observed::Ends;
use crate::domain::session::SessionId;

/// All of one replica, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Owed {
    ledger: Mutex<Ledger>,
    /// Somebody is done with one.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Ledger {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    ends: Ends,
    /// Somebody is storing it.
    underway: bool,
}

/// The right to store one of them. Dropped without [`Turn::stored`], it is somebody else's turn.
#[derive(Debug)]
pub(super) struct Turn<'o> {
    owed: &'o Owed,
    number: u64,
    pub(super) ends: Ends,
}

impl Owed {
    /// Adds an end, to be stored by whoever asks.
    pub(super) fn add(&self, ends: Ends) -> Turn<'_> {
        let mut ledger = self.ledger();
        let waiting = ledger.entries.iter_mut().find(|(_, entry)| entry.ends == ends && !entry.underway);
        let number = if let Some((number, entry)) = waiting {
            entry.underway = true;
            *number
        } else {
            ledger.next += 1;
            let number = ledger.next;
            ledger.entries.insert(number, Entry { ends: ends.clone(), underway: true });
            number
        };
        Turn { owed: self, number, ends }
    }

    /// The first one after `after` that nobody is storing.
    pub(super) fn next(&self, after: u64) -> Option<Turn<'_>> {
        let mut ledger = self.ledger();
        let waiting = ledger.entries.range_mut(after + 1..).find(|(_, entry)| !entry.underway);
        let (number, entry) = waiting?;
        entry.underway = true;
        Some(Turn { owed: self, number: *number, ends: entry.ends.clone() })
    }

    /// What is not known to be stored.
    pub(super) fn left(&self) -> Vec<Ends> {
        self.ledger().entries.values().map(|entry| entry.ends.clone()).collect()
    }

    /// Whether the end of this session by itself is.
    pub(super) fn has_session(&self, id: SessionId) -> bool {
        self.ledger().entries.values().any(|entry| entry.ends == Ends::Session(id))
    }

    /// The end of all others of its subject, as this session asked for, when nobody else is storing it; `None` when none is owed.
    pub(super) async fn others_of(&self, id: SessionId) -> Option<Turn<'_>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut ledger = self.ledger();
                let (number, entry) = ledger
                    .entries
                    .iter_mut()
                    .find(|(_, entry)| matches!(entry.ends, Ends::Others(_, asked) if asked == id))?;
                if !entry.underway {
                    entry.underway = true;
                    return Some(Turn { owed: self, number: *number, ends: entry.ends.clone() });
                }
            }
            changed.await;
        }
    }

    /// Waits until nobody is storing any.
    pub(super) async fn none_underway(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.ledger().entries.values().any(|entry| entry.underway) {
                return;
            }
            changed.await;
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// It is owed no more.
    pub(super) fn stored(self) {
        self.owed.ledger().entries.remove(&self.number);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.owed.ledger().entries.get_mut(&self.number) {
            entry.underway = false;
        }
        self.owed.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(n: u8) -> Ends {
        Ends::Session(SessionId::from_bytes([n; 16]))
    }

    #[test]
    fn each_is_stored_by_one_at_a_time_and_owed_until_it_is() {
        let owed = Owed::default();
        let turn = owed.add(session(1));
        assert!(owed.next(0).is_none(), "it is somebody's turn");
        assert_eq!(owed.left(), [session(1)]);
        drop(turn);
        let turn = owed.next(0).expect("it is nobody's turn any more");
        assert!(owed.next(turn.number()).is_none());
        turn.stored();
        assert!(owed.next(0).is_none());
        assert_eq!(owed.left(), []);
    }

    #[test]
    fn what_comes_again_waits_once_and_is_another_one_while_it_is_stored() {
        let owed = Owed::default();
        drop(owed.add(session(1)));
        drop(owed.add(session(1)));
        assert_eq!(owed.left().len(), 1);
        let first = owed.add(session(1));
        drop(owed.add(session(1)));
        assert_eq!(owed.left().len(), 2);
        first.stored();
        assert_eq!(owed.left(), [session(1)]);
        assert!(owed.has_session(SessionId::from_bytes([1; 16])));
    }
}
