//! The life of a signing key: published, signing, verifying until the last token it signed is gone, over.
//!
//! One key signs at a time: of those whose moment has come, the one whose moment came last. Every replica judges that by
//! the store's clock, so that all of them change over at once. A banned key takes no part, whatever its times.

use std::time::Duration;

use super::time::Timestamp;

/// What the store says of a key's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTimes {
    pub added: Timestamp,
    /// `None`: not before it is told to.
    pub signs_from: Option<Timestamp>,
    pub banned: bool,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Published, so that whoever verifies our tokens knows it in time.
    Waiting,
    /// Published, and its moment is set.
    SignsFrom(Timestamp),
    Signs,
    /// Another one signs; tokens of this one are valid until then.
    VerifiesUntil(Timestamp),
    /// Nothing that it signed is valid any more.
    Over,
    Banned,
}

/// The phase of each key, in the order given, which is that of their adding. `keep` is how long after its last signature
/// a token can be valid, on any clock.
#[must_use]
pub fn phases(keys: &[KeyTimes], keep: Duration, now: Timestamp) -> Vec<Phase> {
    let order = |index: usize, key: &KeyTimes| key.signs_from.map(|from| (from, index));
    let phase = |(index, key): (usize, &KeyTimes)| {
        let Some(own) = order(index, key) else { return if key.banned { Phase::Banned } else { Phase::Waiting } };
        if key.banned {
            return Phase::Banned;
        }
        if own.0 > now {
            return Phase::SignsFrom(own.0);
        }
        let others = keys.iter().enumerate().filter(|(_, other)| !other.banned);
        let started = others.filter_map(|(index, other)| order(index, other)).filter(|(from, _)| *from <= now);
        // A key of the same moment that was added later leaves this one no time of its own.
        match started.filter(|other| *other > own).min() {
            None => Phase::Signs,
            Some((from, _)) if from.plus(keep) <= now => Phase::Over,
            Some((from, _)) => Phase::VerifiesUntil(from.plus(keep)),
        }
    };
    keys.iter().enumerate().map(phase).collect()
}

/// Whether it is time to add the next key, which is published for `ahead` before it signs: none is on its way, and the one
/// that signs will have signed for `every` by then.
#[must_use]
pub fn next_is_due(keys: &[KeyTimes], every: Duration, ahead: Duration, now: Timestamp) -> bool {
    let mut signing_since = None;
    for (key, phase) in keys.iter().zip(phases(keys, Duration::ZERO, now)) {
        match phase {
            Phase::Waiting | Phase::SignsFrom(_) => return false,
            Phase::Signs => signing_since = key.signs_from,
            Phase::VerifiesUntil(_) | Phase::Over | Phase::Banned => {}
        }
    }
    signing_since.is_some_and(|since| since.plus(every) <= now.plus(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn key(signs_from: Option<i64>) -> KeyTimes {
        KeyTimes { added: at(0), signs_from: signs_from.map(at), banned: false }
    }

    #[test]
    fn a_key_goes_through_its_life_in_order() {
        let keys = [key(Some(0)), key(Some(100)), key(None)];
        let first = |now| phases(&keys, KEEP, at(now));
        assert_eq!(first(99), [Phase::Signs, Phase::SignsFrom(at(100)), Phase::Waiting]);
        assert_eq!(first(100), [Phase::VerifiesUntil(at(110)), Phase::Signs, Phase::Waiting]);
        assert_eq!(first(109), [Phase::VerifiesUntil(at(110)), Phase::Signs, Phase::Waiting]);
        assert_eq!(first(110), [Phase::Over, Phase::Signs, Phase::Waiting]);
    }

    #[test]
    fn exactly_one_key_signs_once_one_has_begun() {
        let starts = [None, Some(0), Some(5), Some(5), Some(9)];
        for a in starts {
            for b in starts {
                for c in starts {
                    let keys = [key(a), key(b), key(c)];
                    for now in 0..12 {
                        let signing =
                            phases(&keys, KEEP, at(now)).iter().filter(|phase| **phase == Phase::Signs).count();
                        let begun = keys.iter().any(|key| key.signs_from.is_some_and(|from| from <= at(now)));
                        assert_eq!(signing, usize::from(begun), "{keys:?} at {now}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_banned_key_neither_signs_nor_ends_another_ones_time() {
        let mut keys = [key(Some(0)), key(Some(5))];
        keys[1].banned = true;
        assert_eq!(phases(&keys, KEEP, at(100)), [Phase::Signs, Phase::Banned]);
        keys[0].banned = true;
        assert_eq!(phases(&keys, KEEP, at(100)), [Phase::Banned, Phase::Banned]);
    }

    #[test]
    fn the_next_key_is_due_as_long_ahead_as_it_is_published() {
        let due = |keys: &[KeyTimes], now| next_is_due(keys, Duration::from_secs(100), KEEP, at(now));
        assert!(!due(&[key(Some(0))], 89));
        assert!(due(&[key(Some(0))], 90));
        assert!(!due(&[key(Some(0)), key(Some(100))], 90), "one is on its way");
        assert!(!due(&[key(Some(0)), key(None)], 1000), "one waits to be told");
        assert!(!due(&[key(None)], 1000), "nothing signs yet");
        assert!(due(&[key(Some(0)), key(Some(100))], 190));
    }
}
