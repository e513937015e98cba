//! What to answer when a genuine refresh token did not turn the ratchet.
//!
//! The store advances a session by one compare-and-swap. Only when that changed nothing is the row read, and [`judge`]
//! says what the presented token means. It is total: every token and every row has a verdict, and no verdict is written
//! between two queries.

use std::time::Duration;

use super::history::Rollback;
use super::refresh_token::{Ratchet, RefreshToken};
use super::session::{Epochs, IdempotencyMac, Origin, Session, TokenHash};
use super::time::Timestamp;

/// What a rotated token may still do, and for how long. Windows count from that token's own rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    pub on_retry: OnRetry,
    /// For a retry without a key, when `on_retry` is [`OnRetry::Repeat`].
    pub retry_window: Duration,
    /// How long a rotated token is a late duplicate rather than a theft.
    pub late_window: Duration,
    pub late_elsewhere: LateElsewhere,
    /// How long the same token with the same `Idempotency-Key` gets the same answer.
    pub idempotency_window: Duration,
    /// How long a token in a cookie gets the same successor, whatever `on_retry` says; zero: no cookies here.
    pub cookie_window: Duration,
    pub after_rollback: AfterRollback,
}

impl RotationPolicy {
    /// After this a rotation's entry has no use any more.
    #[must_use]
    pub fn longest_window(&self) -> Duration {
        let retry = if self.on_retry == OnRetry::Repeat { self.retry_window } else { Duration::ZERO };
        retry.max(self.late_window).max(self.idempotency_window).max(self.cookie_window)
    }
}

impl Default for RotationPolicy {
    fn default() -> Self {
        Self {
            on_retry: OnRetry::Refuse,
            retry_window: Duration::from_secs(10),
            late_window: Duration::from_mins(1),
            late_elsewhere: LateElsewhere::End,
            idempotency_window: Duration::from_mins(10),
            cookie_window: Duration::ZERO,
            after_rollback: AfterRollback::Refuse,
        }
    }
}

/// What a retry without an `Idempotency-Key` gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRetry {
    Refuse,
    Repeat,
}

/// What a late duplicate from another address and user agent is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateElsewhere {
    End,
    Keep,
}

/// What a token is worth that the store has forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRollback {
    /// Nothing: the person logs in again.
    Refuse,
    /// The session, if all it lacks is the last turns.
    Adopt,
}

/// How many turns a session may have lost to be taken up again. More than these do not fit between two heartbeats.
const MOST_LOST: u32 = 2;

/// One refresh request, as far as the judgement needs it.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    pub token: &'a RefreshToken,
    /// Hash of the successor this very request tried to put in place; `None` past the last generation.
    pub successor: Option<TokenHash>,
    /// The client that presents it; another client's token gives nothing and ends nothing (RFC 6749 §10.4).
    pub client: &'a str,
    /// MAC of the token and the request's `Idempotency-Key`, if it sent one.
    pub key: Option<IdempotencyMac>,
    /// A browser brought it: it sends what it holds with many requests at once, and can send no key.
    pub in_cookie: bool,
    pub from: &'a Origin,
    /// When the request reached sidegate, by the store's clock.
    pub arrived: Timestamp,
}

/// A session's row as the primary has it, with the counters that are in force now.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionState {
    pub session: Session,
    pub current: Epochs,
    /// The store's clock when the row was read.
    pub now: Timestamp,
    /// The latest that was noticed in this store.
    pub rollback: Option<Rollback>,
}

/// What a presented token means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the live one after all: swap again.
    Live,
    /// This request's own swap was stored, and its answer lost on the way back.
    Mine,
    /// No session for this client, or one that is over. Nothing is written.
    Ended,
    /// The same client asks again: the same successor. Nothing is written.
    Repeat(RefreshToken),
    /// A duplicate that came late. Refused, nothing is written, the session lives on.
    Late,
    /// A rotated token where none is expected: the session ends.
    Reuse(Suspicion),
    /// The token knows more than the row: the store has lost history.
    Ahead,
    /// So it is, and the operator wants the session to go on from this token: swap the row as it was read.
    Adopt,
}

/// How sure a reuse is to be a theft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// The parent of the live token: perhaps only a lost answer, retried too late.
    Unconfirmed,
    /// Older than that: someone refreshed since.
    Confirmed,
}

/// Judges a token that `ratchet` has opened against the row of its session.
#[must_use]
pub fn judge(attempt: &Attempt<'_>, row: Option<&SessionState>, ratchet: &Ratchet, policy: &RotationPolicy) -> Verdict {
    let Some(SessionState { session, current, now, rollback }) = row else {
        return Verdict::Ended;
    };
    // As of now, not of the arrival: the store swaps nothing after the end, however long the request has waited.
    if session.has_expired(*now) || session.epochs.is_void_under(*current) || session.client != attempt.client {
        return Verdict::Ended;
    }
    let presented = attempt.token.generation();
    if presented >= session.generation {
        let live = presented == session.generation && attempt.token.hash() == session.hash;
        let lost = presented - session.generation;
        // Of two tokens of one generation one was made after the loss: nobody can tell which of the holders is honest.
        let adopted = policy.after_rollback == AfterRollback::Adopt
            && (1..=MOST_LOST).contains(&lost)
            && rollback.is_some_and(|rollback| rollback.may_have_lost_turns_of(session));
        return match (live, adopted) {
            (true, _) => Verdict::Live,
            (false, true) => Verdict::Adopt,
            (false, false) => Verdict::Ahead,
        };
    }
    if attempt.successor == Some(session.hash) {
        return Verdict::Mine;
    }
    let own_rotation = session.recent.of_generation(presented);
    let age = own_rotation.map(|rotation| attempt.arrived.since(rotation.at));
    let same_key = attempt.key.is_some() && own_rotation.is_some_and(|rotation| rotation.key == attempt.key);
    let within = |window: Duration| age.is_some_and(|age| age <= window);

    let keyed_retry = same_key && within(policy.idempotency_window);
    let plain_retry = attempt.key.is_none() && policy.on_retry == OnRetry::Repeat && within(policy.retry_window);
    let elsewhere = policy.late_elsewhere == LateElsewhere::End && attempt.from.is_elsewhere(&session.last_from);
    let from_the_browser = attempt.in_cookie && within(policy.cookie_window) && !elsewhere;
    if (keyed_retry || plain_retry || from_the_browser)
        && let Some(salt) = session.salt
        && let Some(live) = ratchet.live_successor(attempt.token, salt, session.hash)
    {
        return Verdict::Repeat(live);
    }
    let late = within(policy.late_window) || keyed_retry;
    if late && !elsewhere {
        return Verdict::Late;
    }
    let parent = presented + 1 == session.generation;
    Verdict::Reuse(if parent { Suspicion::Unconfirmed } else { Suspicion::Confirmed })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::secret::{OperatorSecret, sha256};
    use crate::domain::session::{RecentRotation, RecentRotations, Salt, SessionId, Subject};

    const START: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(START + seconds * 1000)
    }

    fn ratchet() -> Ratchet {
        Ratchet::new("default", &OperatorSecret::new((0..32).collect()).unwrap(), &[])
    }

    fn home() -> Origin {
        Origin::new(Some([10, 0, 0, 1].into()), Some("home"))
    }

    fn away() -> Origin {
        Origin::new(Some([10, 0, 0, 2].into()), Some("away"))
    }

    /// A session whose tokens of generation 0, 1, 2, … were exchanged at the given seconds, all with `key`.
    #[derive(Clone)]
    struct History {
        tokens: Vec<RefreshToken>,
        state: SessionState,
    }

    fn history(rotations: &[i64], key: Option<IdempotencyMac>) -> History {
        let first = ratchet().first(SessionId::from_bytes([1; 16]), [2; 32]);
        let mut session = Session {
            id: first.session(),
            subject: Subject::parse("ann").unwrap(),
            client: "first-party".into(),
            generation: 0,
            hash: first.hash(),
            salt: None,
            recent: RecentRotations::default(),
            epochs: Epochs { realm: 1, subject: 1 },
            created: at(0),
            rotated: at(0),
            idle_end: at(100_000),
            absolute_end: at(100_000),
            login_from: home(),
            last_from: home(),
            claims: serde_json::Map::new(),
            label: None,
            vault: None,
        };
        let mut tokens = vec![first];
        for (generation, second) in (0_u8..).zip(rotations) {
            let salt = Salt(sha256(&[generation]));
            let child = ratchet().successor(tokens.last().unwrap(), salt).unwrap();
            let entry = RecentRotation { generation: generation.into(), at: at(*second), key };
            session.recent = session.recent.after(entry, session.rotated, at(-1_000_000));
            (session.generation, session.hash, session.salt) = (u32::from(generation) + 1, child.hash(), Some(salt));
            session.rotated = at(*second);
            tokens.push(child);
        }
        let current = session.epochs;
        History { tokens, state: SessionState { session, current, now: at(0), rollback: None } }
    }

    struct Request {
        successor: Option<TokenHash>,
        key: Option<IdempotencyMac>,
        in_cookie: bool,
        from: Origin,
        client: String,
        policy: RotationPolicy,
    }

    impl History {
        fn judge(&self, generation: usize, seconds: i64, adjust: impl FnOnce(&mut Request)) -> Verdict {
            let mut request = Request {
                successor: None,
                key: None,
                in_cookie: false,
                from: home(),
                client: "first-party".into(),
                policy: RotationPolicy::default(),
            };
            adjust(&mut request);
            let Request { successor, key, in_cookie, from, client, policy } = request;
            let token = &self.tokens[generation];
            let attempt =
                Attempt { token, client: &client, successor, key, in_cookie, from: &from, arrived: at(seconds) };
            let state = SessionState { now: at(seconds), ..self.state.clone() };
            judge(&attempt, Some(&state), &ratchet(), &policy)
        }
    }

    #[test]
    fn the_live_token_is_live_and_an_unknown_session_is_ended() {
        let history = history(&[10], None);
        assert_eq!(history.judge(1, 20, |_| ()), Verdict::Live);
        let from = home();
        let attempt = Attempt {
            token: &history.tokens[1],
            client: "first-party",
            successor: None,
            key: None,
            in_cookie: false,
            from: &from,
            arrived: at(20),
        };
        assert_eq!(judge(&attempt, None, &ratchet(), &RotationPolicy::default()), Verdict::Ended);
    }

    #[test]
    fn an_expired_session_and_an_older_epoch_are_ended_whatever_the_token() {
        let mut history = history(&[10], None);
        for generation in [0, 1] {
            assert_eq!(history.judge(generation, 100_000, |_| ()), Verdict::Ended);
        }
        history.state.current.subject = 2;
        assert_eq!(history.judge(1, 20, |_| ()), Verdict::Ended);
        history.state.current = Epochs { realm: 2, subject: 1 };
        assert_eq!(history.judge(0, 20, |_| ()), Verdict::Ended);
    }

    #[test]
    fn a_session_that_ended_while_the_request_waited_is_ended() {
        let history = history(&[10], None);
        let state = SessionState { now: at(100_000), ..history.state };
        let from = home();
        let attempt = Attempt {
            token: &history.tokens[1],
            client: "first-party",
            successor: None,
            key: None,
            in_cookie: false,
            from: &from,
            arrived: at(99_999),
        };
        assert_eq!(judge(&attempt, Some(&state), &ratchet(), &RotationPolicy::default()), Verdict::Ended);
    }

    /// TOK-11: no token and no harm for another client, whatever it presents.
    #[test]
    fn another_clients_session_is_ended_for_this_one() {
        let history = history(&[10, 20], None);
        for generation in 0..3 {
            assert_eq!(history.judge(generation, 500, |request| request.client = "other".into()), Verdict::Ended);
        }
    }

    #[test]
    fn the_requests_own_successor_is_mine() {
        let history = history(&[10], None);
        let hash = history.state.session.hash;
        assert_eq!(history.judge(0, 10, |request| request.successor = Some(hash)), Verdict::Mine);
    }

    #[test]
    fn the_same_key_repeats_until_its_window_ends() {
        let key = Some(IdempotencyMac([3; 16]));
        let history = history(&[10], key);
        let live = Verdict::Repeat(history.tokens[1].clone());
        assert_eq!(history.judge(0, 10, |request| request.key = key), live);
        assert_eq!(history.judge(0, 610, |request| request.key = key), live);
        assert_eq!(history.judge(0, 611, |request| request.key = key), Verdict::Reuse(Suspicion::Unconfirmed));
        let other = Some(IdempotencyMac([4; 16]));
        assert_eq!(history.judge(0, 11, |request| request.key = other), Verdict::Late);
        assert_eq!(history.judge(0, 11, |_| ()), Verdict::Late);
    }

    #[test]
    fn a_retry_without_a_key_repeats_only_when_asked_to_and_in_its_window() {
        let history = history(&[10], None);
        let repeat = |request: &mut Request| request.policy.on_retry = OnRetry::Repeat;
        assert_eq!(history.judge(0, 20, repeat), Verdict::Repeat(history.tokens[1].clone()));
        assert_eq!(history.judge(0, 21, repeat), Verdict::Late);
        assert_eq!(history.judge(0, 20, |_| ()), Verdict::Late);
    }

    /// A browser sends what it holds with many requests at once, to any replica, and can send no key.
    #[test]
    fn a_cookies_parent_is_repeated_in_its_own_window_and_nowhere_else() {
        let rotated = history(&[10], None);
        let cookie = |request: &mut Request| {
            request.in_cookie = true;
            request.policy.cookie_window = Duration::from_mins(10);
        };
        let live = Verdict::Repeat(rotated.tokens[1].clone());
        assert_eq!(rotated.judge(0, 610, cookie), live);
        assert_eq!(rotated.judge(0, 611, cookie), Verdict::Reuse(Suspicion::Unconfirmed));
        let elsewhere = rotated.judge(0, 20, |request| {
            cookie(request);
            request.from = away();
        });
        assert_eq!(elsewhere, Verdict::Reuse(Suspicion::Unconfirmed));
        let in_a_body = rotated.judge(0, 20, |request| request.policy.cookie_window = Duration::from_mins(10));
        assert_eq!(in_a_body, Verdict::Late);
        let older = history(&[10, 12], None);
        assert_eq!(older.judge(0, 20, cookie), Verdict::Late);
        assert_eq!(older.judge(0, 100, cookie), Verdict::Reuse(Suspicion::Confirmed));
    }

    #[test]
    fn a_used_successor_is_never_repeated() {
        let key = Some(IdempotencyMac([3; 16]));
        let history = history(&[10, 12], key);
        assert_eq!(history.judge(0, 13, |request| request.key = key), Verdict::Late);
        assert_eq!(history.judge(0, 13, |request| request.policy.on_retry = OnRetry::Repeat), Verdict::Late);
        assert_eq!(history.judge(0, 300, |request| request.key = key), Verdict::Late);
    }

    #[test]
    fn late_counts_from_the_tokens_own_rotation() {
        let history = history(&[10, 60], None);
        assert_eq!(history.judge(0, 70, |_| ()), Verdict::Late);
        assert_eq!(history.judge(0, 71, |_| ()), Verdict::Reuse(Suspicion::Confirmed));
        assert_eq!(history.judge(1, 120, |_| ()), Verdict::Late);
        assert_eq!(history.judge(1, 121, |_| ()), Verdict::Reuse(Suspicion::Unconfirmed));
    }

    #[test]
    fn late_from_elsewhere_ends_the_session_unless_told_to_keep() {
        let history = history(&[10], None);
        let suspicious = Verdict::Reuse(Suspicion::Unconfirmed);
        assert_eq!(history.judge(0, 11, |request| request.from = away()), suspicious);
        let kept = history.judge(0, 11, |request| {
            request.from = away();
            request.policy.late_elsewhere = LateElsewhere::Keep;
        });
        assert_eq!(kept, Verdict::Late);
        let roaming = Origin { user_agent: home().user_agent, ..away() };
        assert_eq!(history.judge(0, 11, |request| request.from = roaming), Verdict::Late);
    }

    #[test]
    fn a_token_the_row_has_not_reached_is_ahead() {
        let long = history(&[10, 20], None);
        let mut short = history(&[10], None);
        short.tokens = long.tokens.clone();
        assert_eq!(short.judge(2, 30, |_| ()), Verdict::Ahead);
        short.state.session.hash = TokenHash([0; 32]);
        assert_eq!(short.judge(1, 30, |_| ()), Verdict::Ahead);
    }

    #[test]
    fn a_token_ahead_is_adopted_only_if_its_session_lost_turns_and_the_operator_wants_it() {
        let rollback = Rollback { id: 1, since: at(15), noticed: at(25), asked: 1 };
        let long = history(&[10, 16, 17, 18], None);
        let mut short = history(&[10], None);
        short.tokens = long.tokens.clone();
        short.state.rollback = Some(rollback);
        let adopt = |history: &History, generation| {
            history.judge(generation, 30, |request| request.policy.after_rollback = AfterRollback::Adopt)
        };
        assert_eq!(adopt(&short, 2), Verdict::Adopt);
        assert_eq!(adopt(&short, 3), Verdict::Adopt);
        assert_eq!(adopt(&short, 4), Verdict::Ahead, "too many turns");
        assert_eq!(adopt(&short, 1), Verdict::Live);
        assert_eq!(short.judge(2, 30, |_| ()), Verdict::Ahead, "not asked for");

        let mut other_branch = short.clone();
        other_branch.state.session.hash = TokenHash([0; 32]);
        assert_eq!(adopt(&other_branch, 1), Verdict::Ahead);
        let changed = |change: fn(&mut SessionState)| {
            let mut changed = short.clone();
            change(&mut changed.state);
            adopt(&changed, 2)
        };
        assert_eq!(changed(|state| state.rollback = None), Verdict::Ahead);
        assert_eq!(changed(|state| state.session.rotated = at(26)), Verdict::Ahead, "it went on without the token");
        assert_eq!(changed(|state| state.session.idle_end = at(30)), Verdict::Ended);
        assert_eq!(changed(|state| state.current.subject += 1), Verdict::Ended);
    }

    #[test]
    fn a_clock_that_stepped_back_makes_nobody_a_thief() {
        let history = history(&[10], None);
        assert_eq!(history.judge(0, -1_000, |_| ()), Verdict::Late);
    }

    proptest! {
        /// I6: a token is handed out again only while it is the live one, and it is the live one.
        #[test]
        fn whatever_is_repeated_is_live(
            gaps in prop::collection::vec(0_i64..90, 1..6),
            generation in 0_usize..6,
            later in 0_i64..700,
            keyed in any::<bool>(),
            repeat in any::<bool>(),
        ) {
            let key = keyed.then_some(IdempotencyMac([3; 16]));
            let times: Vec<i64> = gaps.iter().scan(0, |sum, gap| { *sum += gap; Some(*sum) }).collect();
            let history = history(&times, key);
            let generation = generation.min(times.len());
            let verdict = history.judge(generation, times.last().unwrap() + later, |request| {
                request.key = key;
                if repeat { request.policy.on_retry = OnRetry::Repeat; }
            });
            match verdict {
                Verdict::Repeat(token) => {
                    prop_assert_eq!(token.hash(), history.state.session.hash);
                    prop_assert_eq!(generation + 1, times.len());
                }
                Verdict::Live => prop_assert_eq!(generation, times.len()),
                Verdict::Late | Verdict::Reuse(_) => prop_assert!(generation < times.len()),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
