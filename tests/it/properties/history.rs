//! What can happen in a realm, and how a history of it is made up.

use proptest::prelude::*;
use proptest::sample::select;

/// One step, and the replica that a client reaches in it.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub replica: usize,
    pub step: Step,
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Pass(Span),
    /// A device comes to another network: another address, the same user agent.
    Move(usize),
    Login(usize),
    Ask(Ask),
    /// A request is stopped at a point, something else happens, and it goes on.
    During {
        ask: Ask,
        at: Point,
        meanwhile: Meanwhile,
    },
    Meanwhile(Meanwhile),
    /// A replica reads the revocations.
    Follow,
}

/// What can happen while a request is under way.
#[derive(Clone, Copy, Debug)]
pub enum Meanwhile {
    Ask(Ask),
    Logout(Which),
    LogoutAll(usize),
    ChangePassword(usize),
    EndRealm,
    Forge(usize, Forgery),
}

/// A request to `/refresh`.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    /// An honest device presents its newest token.
    Refresh { device: usize, key: Key, fate: Fate, fault: Option<Fault> },
    /// The network delivers an earlier request of an honest device once more, or for the first time.
    Duplicate(usize),
    /// Someone has stolen a token.
    Replay { which: Which, key: StolenKey, away: bool },
}

/// A session and one of the tokens that were given out in it, both counted from the newest.
#[derive(Clone, Copy, Debug)]
pub struct Which {
    pub session: usize,
    pub token: usize,
}

/// The `Idempotency-Key` of an honest device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A new one for a new token; for a retry that of the first attempt.
    Own,
    None,
    /// A new one even for a retry.
    Another,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StolenKey {
    None,
    Stolen,
    Another,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Answered,
    AnswerLost,
    /// The request is under way until a duplicate of it is delivered.
    RequestLost,
}

/// Where a request can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    BeforeSwap,
    AfterSwap,
    AfterRead,
}

/// What the store does to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The first swap fails and changes nothing.
    SwapFails,
    /// The first swap is stored, but its answer is lost.
    SwapUnanswered,
    /// As before, and then the row cannot be read.
    SwapUnansweredThenSilence,
    /// A session that should end is not ended.
    EndFails,
}

/// A text that gives nothing, whatever the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// A real token with one character changed.
    Changed,
    OtherSecret,
    OtherRealm,
    /// What the store holds, dressed as a token.
    StoredHash,
    /// A live token, sent by another OAuth client.
    OtherClient,
    /// A genuine token that the row has not reached: the store has lost history.
    Ahead,
}

/// How much time passes. Whole multiples of five seconds: the milliseconds that a real store takes decide nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    Seconds(i64),
    /// Until that device's session ends by itself, and not longer.
    UntilIdleEnd(usize),
    UntilAbsoluteEnd(usize),
}

pub const DEVICES: usize = 3;
pub const USERS: usize = 2;

/// Whole histories; in half of them nobody steals.
pub fn histories() -> impl Strategy<Value = Vec<Turn>> {
    let turns = |thieves| prop::collection::vec((0..2_usize, step(thieves)), 1..60);
    prop_oneof![turns(0), turns(8)]
        .prop_map(|turns| turns.into_iter().map(|(replica, step)| Turn { replica, step }).collect())
}

fn step(thieves: u32) -> impl Strategy<Value = Step> {
    let point = select(vec![Point::BeforeSwap, Point::AfterSwap, Point::AfterRead]);
    prop_oneof![
        18 => span().prop_map(Step::Pass),
        2 => (0..DEVICES).prop_map(Step::Move),
        3 => (0..DEVICES).prop_map(Step::Login),
        50 => ask(thieves).prop_map(Step::Ask),
        12 => (ask(thieves), point, meanwhile(thieves))
            .prop_map(|(ask, at, meanwhile)| Step::During { ask, at, meanwhile }),
        5 => ending().prop_map(Step::Meanwhile),
        4 => Just(Step::Follow),
    ]
}

fn meanwhile(thieves: u32) -> impl Strategy<Value = Meanwhile> {
    prop_oneof![8 => ask(thieves).prop_map(Meanwhile::Ask), 3 => ending()]
}

fn ending() -> impl Strategy<Value = Meanwhile> {
    let forgeries = vec![
        Forgery::Changed,
        Forgery::OtherSecret,
        Forgery::OtherRealm,
        Forgery::StoredHash,
        Forgery::OtherClient,
        Forgery::Ahead,
    ];
    prop_oneof![
        6 => which().prop_map(Meanwhile::Logout),
        4 => (0..DEVICES).prop_map(Meanwhile::LogoutAll),
        4 => (0..USERS).prop_map(Meanwhile::ChangePassword),
        1 => Just(Meanwhile::EndRealm),
        10 => (0..4_usize, select(forgeries)).prop_map(|(session, forgery)| Meanwhile::Forge(session, forgery)),
    ]
}

fn ask(thieves: u32) -> impl Strategy<Value = Ask> {
    let key = prop_oneof![6 => Just(Key::Own), 2 => Just(Key::None), 1 => Just(Key::Another)];
    let fate = prop_oneof![6 => Just(Fate::Answered), 3 => Just(Fate::AnswerLost), 1 => Just(Fate::RequestLost)];
    let faults = vec![Fault::SwapFails, Fault::SwapUnanswered, Fault::SwapUnansweredThenSilence, Fault::EndFails];
    let stolen = select(vec![StolenKey::None, StolenKey::None, StolenKey::Stolen, StolenKey::Another]);
    prop_oneof![
        20 => (0..DEVICES, key, fate, prop::option::weighted(0.15, select(faults)))
            .prop_map(|(device, key, fate, fault)| Ask::Refresh { device, key, fate, fault }),
        6 => back().prop_map(Ask::Duplicate),
        thieves => (which(), stolen, any::<bool>())
            .prop_map(|(which, key, away)| Ask::Replay { which, key, away }),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    (0..3_usize, back()).prop_map(|(session, token)| Which { session, token })
}

/// How far back: mostly not far.
fn back() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..3_usize, 2 => 3..12_usize]
}

fn span() -> impl Strategy<Value = Span> {
    // Windows are 10, 60 and 600 s, the idle end comes after 2 h: each is met exactly, and passed.
    let short = select(vec![5, 5, 10, 10, 15, 30, 55, 60, 65]).prop_map(Span::Seconds);
    let long = select(vec![300, 600, 605, 3600, 7195, 7200]).prop_map(Span::Seconds);
    let ends = (0..DEVICES, any::<bool>())
        .prop_map(|(device, idle)| if idle { Span::UntilIdleEnd(device) } else { Span::UntilAbsoluteEnd(device) });
    prop_oneof![30 => short, 4 => long, 1 => ends]
}
