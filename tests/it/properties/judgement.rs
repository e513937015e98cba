//! The judgement against its table: for any row and any attempt there is one verdict, and it is the table's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::sample::select;
use ring::hmac;
use serde_json::Map;
use sidegate::domain::history::Rollback;
use sidegate::domain::refresh_token::{PREFIX, Ratchet, RefreshToken};
use sidegate::domain::rotation::{
    AfterRollback, Attempt, LateElsewhere, OnRetry, RotationPolicy, SessionState, Suspicion, Verdict, judge,
};
use sidegate::domain::session::{
    Epochs, IdempotencyMac, Origin, RecentRotation, RecentRotations, Salt, Session, SessionId, Subject, TokenHash,
};
use sidegate::domain::time::Timestamp;

use self::Fact::*;
use super::stores::runner;
use super::system::secret;

/// What can be said about an attempt and a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    NoRow,
    Expired,
    OlderEpoch,
    OtherClient,
    SameGeneration,
    LaterGeneration,
    LessThanThreeAhead,
    LostTurns,
    RollbacksAdopt,
    LiveHash,
    /// The live hash is of the successor that this very request computed.
    OwnSuccessorIsLive,
    /// The live hash is of the presented token's successor.
    SuccessorIsLive,
    SameKey,
    NoKey,
    RetriesRepeat,
    WithinIdempotencyWindow,
    WithinRetryWindow,
    WithinLateWindow,
    InCookie,
    WithinCookieWindow,
    ElsewhereEnds,
    Elsewhere,
    /// One of the two before is not so.
    NotElsewhere,
    Parent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Live,
    Mine,
    Ended,
    Repeat,
    Late,
    Unconfirmed,
    Confirmed,
    Ahead,
    Adopt,
}

/// The table of design §3: the first line all of whose facts hold.
const TABLE: &[(&[Fact], Kind)] = &[
    (&[NoRow], Kind::Ended),
    (&[Expired], Kind::Ended),
    (&[OlderEpoch], Kind::Ended),
    (&[OtherClient], Kind::Ended),
    (&[SameGeneration, LiveHash], Kind::Live),
    (&[SameGeneration], Kind::Ahead),
    (&[LaterGeneration, LessThanThreeAhead, LostTurns, RollbacksAdopt], Kind::Adopt),
    (&[LaterGeneration], Kind::Ahead),
    (&[OwnSuccessorIsLive], Kind::Mine),
    (&[SuccessorIsLive, SameKey, WithinIdempotencyWindow], Kind::Repeat),
    (&[SuccessorIsLive, NoKey, RetriesRepeat, WithinRetryWindow], Kind::Repeat),
    (&[SuccessorIsLive, InCookie, WithinCookieWindow, NotElsewhere], Kind::Repeat),
    (&[ElsewhereEnds, Elsewhere, Parent], Kind::Unconfirmed),
    (&[ElsewhereEnds, Elsewhere], Kind::Confirmed),
    (&[WithinLateWindow], Kind::Late),
    (&[SameKey, WithinIdempotencyWindow], Kind::Late),
    (&[Parent], Kind::Unconfirmed),
    (&[], Kind::Confirmed),
];

/// E.4: the step is total, and I15: it is the table.
#[test]
fn every_verdict_is_the_tables_whatever_the_row() {
    let lines = RefCell::new(BTreeMap::new());
    let judged = runner(12_000).run(&case(), |case| {
        let facts = case.facts();
        let (line, expected) = expected(&facts);
        *lines.borrow_mut().entry(line).or_insert(0_u32) += 1;
        let verdict = case.judge();
        if let Verdict::Repeat(token) = &verdict {
            prop_assert_eq!(Some(token.hash()), case.row.as_ref().map(|row| row.session.hash), "{:?}", facts);
        }
        prop_assert_eq!(kind(&verdict), expected, "{:?}", facts);
        Ok(())
    });
    judged.unwrap_or_else(|failure| panic!("{failure}"));
    let lines = lines.into_inner();
    println!("how often each line of the table decided: {lines:?}");
    assert!((0..TABLE.len()).all(|line| lines.get(&line).is_some_and(|count| *count >= 20)), "{lines:?}");
}

fn expected(facts: &[Fact]) -> (usize, Kind) {
    let holds = |when: &[Fact]| when.iter().all(|fact| facts.contains(fact));
    let line = TABLE.iter().position(|(when, _)| holds(when)).unwrap();
    (line, TABLE[line].1)
}

fn kind(verdict: &Verdict) -> Kind {
    match verdict {
        Verdict::Live => Kind::Live,
        Verdict::Mine => Kind::Mine,
        Verdict::Ended => Kind::Ended,
        Verdict::Repeat(_) => Kind::Repeat,
        Verdict::Late => Kind::Late,
        Verdict::Reuse(Suspicion::Unconfirmed) => Kind::Unconfirmed,
        Verdict::Reuse(Suspicion::Confirmed) => Kind::Confirmed,
        Verdict::Ahead => Kind::Ahead,
        Verdict::Adopt => Kind::Adopt,
    }
}

#[derive(Clone, Debug)]
struct Case {
    token: RefreshToken,
    client: &'static str,
    successor: Option<TokenHash>,
    key: Option<IdempotencyMac>,
    in_cookie: bool,
    from: Origin,
    arrived: Timestamp,
    row: Option<SessionState>,
    policy: RotationPolicy,
}

impl Case {
    fn judge(&self) -> Verdict {
        let Self { token, client, successor, key, in_cookie, from, arrived, row, policy } = self;
        let attempt =
            Attempt { token, client, successor: *successor, key: *key, in_cookie: *in_cookie, from, arrived: *arrived };
        judge(&attempt, row.as_ref(), ratchet(), policy)
    }

    /// Everything that holds, in other words than the judgement's.
    fn facts(&self) -> Vec<Fact> {
        let Some(SessionState { session, current, now, rollback }) = &self.row else { return vec![NoRow] };
        let presented = self.token.generation();
        let entry = session.recent.iter().find(|entry| entry.generation == presented);
        let within = |window: Duration| {
            let age = |entry: &RecentRotation| i128::from(self.arrived.as_millis()) - i128::from(entry.at.as_millis());
            let window = i128::try_from(window.as_nanos()).unwrap();
            entry.is_some_and(|entry| age(entry) * 1_000_000 <= window)
        };
        let child = session.salt.and_then(|salt| ratchet().successor(&self.token, salt));
        let over = session.idle_end.as_millis().min(session.absolute_end.as_millis());
        let (old, new) = (session.epochs, *current);
        let (here, there) = (&self.from, &session.last_from);
        let ends = self.policy.late_elsewhere == LateElsewhere::End;
        let elsewhere = here.address != there.address && here.user_agent != there.user_agent;
        let facts = [
            (Expired, now.as_millis() >= over),
            (OlderEpoch, old.realm < new.realm || old.subject < new.subject),
            (OtherClient, session.client != self.client),
            (SameGeneration, presented == session.generation),
            (LaterGeneration, presented > session.generation),
            (LessThanThreeAhead, i64::from(presented) - i64::from(session.generation) < 3),
            (LostTurns, rollback.is_some_and(|rollback| session.rotated <= rollback.noticed)),
            (RollbacksAdopt, self.policy.after_rollback == AfterRollback::Adopt),
            (LiveHash, self.token.hash() == session.hash),
            (OwnSuccessorIsLive, self.successor == Some(session.hash)),
            (SuccessorIsLive, child.is_some_and(|child| child.hash() == session.hash)),
            (SameKey, self.key.is_some() && entry.is_some_and(|entry| entry.key == self.key)),
            (NoKey, self.key.is_none()),
            (RetriesRepeat, self.policy.on_retry == OnRetry::Repeat),
            (WithinIdempotencyWindow, within(self.policy.idempotency_window)),
            (WithinRetryWindow, within(self.policy.retry_window)),
            (WithinLateWindow, within(self.policy.late_window)),
            (InCookie, self.in_cookie),
            (WithinCookieWindow, within(self.policy.cookie_window)),
            (ElsewhereEnds, ends),
            (Elsewhere, elsewhere),
            (NotElsewhere, !(ends && elsewhere)),
            (Parent, u64::from(presented) + 1 == u64::from(session.generation)),
        ];
        facts.into_iter().filter_map(|(fact, holds)| holds.then_some(fact)).collect()
    }
}

/// Rows and attempts that hang together just enough to meet every line, and otherwise not at all.
fn case() -> impl Strategy<Value = Case> {
    let times = (moment(), moment(), end(), end(), prop::option::weighted(0.8, moment()));
    let request = (presented(), key(), any::<bool>(), origin(), any::<[u8; 32]>());
    let row = (rows_generation(), hash(), prop::option::weighted(0.9, any::<u8>()), entries(), origin());
    let epochs = (epoch(), epoch(), epoch(), epoch());
    let client = prop_oneof![19 => Just(""), 1 => Just("other")];
    (times, request, row, epochs, policy(), prop::bool::weighted(0.02), client).prop_map(
        |(
            (arrived, now, idle_end, absolute_end, noticed),
            (presented, key, in_cookie, from, own_salt),
            (generation, hash, salt, entries, last_from),
            (realm, subject, realm_now, subject_now),
            policy,
            is_missing,
            client,
        )| {
            let token = token(presented);
            let salt = salt.map(|salt| Salt([salt; 32]));
            let own = ratchet().successor(&token, Salt(own_salt)).map(|own| own.hash());
            let child = salt.and_then(|salt| ratchet().successor(&token, salt)).map(|child| child.hash());
            let generation = match generation {
                RowsGeneration::Same => presented,
                RowsGeneration::Next => presented.saturating_add(1),
                RowsGeneration::Behind(turns) => presented.saturating_sub(turns),
                RowsGeneration::Of(generation) => generation,
            };
            let other = TokenHash([3; 32]);
            let hash = match hash {
                Hash::Presented => token.hash(),
                Hash::Child => child.unwrap_or(other),
                Hash::Own => own.unwrap_or(other),
                Hash::Other => other,
            };
            let recent = entries.into_iter().flat_map(|(of_presented, generation, at, key)| {
                RecentRotation { generation: if of_presented { presented } else { generation }, at, key }.encode()
            });
            let session = Session {
                id: token.session(),
                subject: Subject::parse("ann").unwrap(),
                client: String::new(),
                generation,
                hash,
                salt,
                recent: RecentRotations::decode(&recent.collect::<Vec<u8>>()).unwrap(),
                epochs: Epochs { realm, subject },
                created: Timestamp::default(),
                rotated: Timestamp::from_millis(20),
                idle_end,
                absolute_end,
                login_from: Origin::default(),
                last_from,
                claims: Map::new(),
                label: None,
                vault: None,
            };
            let rollback = noticed.map(|noticed| Rollback { id: 1, since: noticed, noticed, asked: 1 });
            let current = Epochs { realm: realm_now, subject: subject_now };
            let row = (!is_missing).then_some(SessionState { session, current, now, rollback });
            Case { token, client, successor: own, key, in_cookie, from, arrived, row, policy }
        },
    )
}

#[derive(Clone, Copy, Debug)]
enum RowsGeneration {
    Same,
    Next,
    Behind(u32),
    Of(u32),
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Presented,
    Child,
    Own,
    Other,
}

fn presented() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..5_u32, 1 => any::<u32>(), 1 => select(vec![u32::MAX - 1, u32::MAX])]
}

fn rows_generation() -> impl Strategy<Value = RowsGeneration> {
    prop_oneof![
        2 => Just(RowsGeneration::Same),
        4 => Just(RowsGeneration::Next),
        2 => (1..4_u32).prop_map(RowsGeneration::Behind),
        4 => prop_oneof![4..9_u32, any::<u32>(), Just(0), Just(u32::MAX)].prop_map(RowsGeneration::Of),
    ]
}

fn hash() -> impl Strategy<Value = Hash> {
    select(vec![Hash::Presented, Hash::Child, Hash::Child, Hash::Own, Hash::Other])
}

fn key() -> impl Strategy<Value = Option<IdempotencyMac>> {
    select(vec![None, Some(IdempotencyMac([1; 16])), Some(IdempotencyMac([1; 16])), Some(IdempotencyMac([2; 16]))])
}

fn origin() -> impl Strategy<Value = Origin> {
    let address = select(vec![None, Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into())]);
    (address, select(vec![None, Some("here"), Some("there")]))
        .prop_map(|(address, user_agent)| Origin::new(address, user_agent))
}

fn entries() -> impl Strategy<Value = Vec<(bool, u32, Timestamp, Option<IdempotencyMac>)>> {
    prop::collection::vec((prop::bool::weighted(0.6), 0..9_u32, moment(), key()), 0..5)
}

/// Mostly close together, so that every boundary is met.
fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![16 => 0..40_i64, 1 => any::<i64>(), 1 => select(vec![i64::MIN, -1, i64::MAX])]
        .prop_map(Timestamp::from_millis)
}

/// Of a session: mostly after all moments.
fn end() -> impl Strategy<Value = Timestamp> {
    prop_oneof![1 => moment(), 12 => Just(Timestamp::from_millis(1000)), 3 => Just(Timestamp::from_millis(i64::MAX))]
}

fn epoch() -> impl Strategy<Value = u64> {
    prop_oneof![20 => Just(5_u64), 1 => 4..7_u64, 1 => select(vec![0, u64::MAX])]
}

fn window() -> impl Strategy<Value = Duration> {
    // Not between 2⁶³ ms and the longest: there an age saturates.
    prop_oneof![6 => (0..40_u64).prop_map(Duration::from_millis), 1 => Just(Duration::MAX)]
}

fn policy() -> impl Strategy<Value = RotationPolicy> {
    (any::<bool>(), window(), window(), any::<bool>(), window(), window(), any::<bool>()).prop_map(
        |(repeats, retry_window, late_window, ends, idempotency_window, cookie_window, adopts)| RotationPolicy {
            on_retry: if repeats { OnRetry::Repeat } else { OnRetry::Refuse },
            retry_window,
            late_window,
            late_elsewhere: if ends { LateElsewhere::End } else { LateElsewhere::Keep },
            idempotency_window,
            cookie_window,
            after_rollback: if adopts { AfterRollback::Adopt } else { AfterRollback::Refuse },
        },
    )
}

fn ratchet() -> &'static Ratchet {
    static RATCHET: LazyLock<Ratchet> = LazyLock::new(|| Ratchet::new("default", &secret(), &[]));
    &RATCHET
}

/// A genuine token of any generation, made from the description of its bytes.
fn token(generation: u32) -> RefreshToken {
    let session = SessionId::from_bytes([9; 16]);
    let mut body = secret().fingerprint().key_id().to_vec();
    body.extend(session.as_bytes());
    body.extend(generation.to_be_bytes());
    body.extend([7; 32]);
    let mut tag = hmac::Context::with_key(&secret().mac_key("sidegate v1 refresh tag"));
    tag.update(b"sgr1default");
    tag.update(&body);
    body.extend(&tag.sign().as_ref()[..16]);
    ratchet().open(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(body))).unwrap()
}
