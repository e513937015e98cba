//! What may happen in one run, and how often; which invariants it is held against; which rule it goes by.

use std::time::Duration;

use sidegate::domain::rotation::{AfterRollback, OnRetry, RotationPolicy};

/// The bounds of one run. Whatever is not mentioned happens never.
#[derive(Clone, Debug)]
pub struct Scope {
    pub policy: RotationPolicy,
    pub rule: Rule,
    pub claims: &'static [Invariant],
    /// Of each session's client.
    pub clients: [Habits; 2],
    pub ticks: u8,
    /// How many messages arrive twice.
    pub doubles: u8,
    /// How many statements of the store fail, or are carried out and not answered.
    pub faults: u8,
    pub crashes: u8,
    /// How often the client logs out, at any moment.
    pub logouts: u8,
    pub logouts_everywhere: u8,
    /// How often the thief presents what it has.
    pub abuses: u8,
    pub guises: &'static [Guise],
    /// How often the store loses a stretch of its history.
    pub losses: u8,
}

/// What an honest client does: it presents its newest token, and the same again while it waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How many turns it wants.
    pub turns: u8,
    /// How many requests it makes for that at most.
    pub requests: u8,
    /// How many of them may be under way together.
    pub at_once: u8,
    /// Whether they carry an `Idempotency-Key`.
    pub keyed: bool,
}

/// How the thief looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guise {
    pub elsewhere: bool,
    /// It has stolen the whole request.
    pub key: bool,
}

pub const RETRY_WINDOW: u8 = 1;
pub const LATE_WINDOW: u8 = 2;
pub const IDEMPOTENCY_WINDOW: u8 = 3;
/// How many ticks a message may take from its sending to the end of all that it causes.
pub const DELAY: u8 = 1;

/// The numbers of `docs/design.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// A session has at most one live token.
    I1,
    /// A token never has two successors.
    I2,
    /// A used token, presented after its windows, gives nothing and ends the session.
    I3,
    /// Without theft and logout no honest client is refused, and no session ends.
    I4,
    /// After an end nothing is given.
    I5,
    /// What is given is the live token, to whom it was given before or who held its parent.
    I6,
    /// A replica refuses what the pages it has read have ended.
    I7,
    /// What a client holds is live, or has been used.
    I8,
    /// Lost history is noticed, and handled as it was asked to be.
    I9,
    /// What happens to one session changes nothing of another.
    I10,
}

/// What has to happen in some run, or nothing is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Turned,
    LastGeneration,
    Repeated,
    Mine,
    Late,
    Theft,
    StolenGiven,
    CrashAfterCommit,
    AnswerLost,
    LogoutRaced,
    LogoutNotStored,
    EndedWhileGiving,
    Reloaded,
    HistoryLost,
    LossNoticed,
    Ahead,
    Adopted,
    /// The row had gone on from an older token before anybody noticed.
    AdoptedOverAnotherLine,
    AdoptionAwaited,
    RevocationRestored,
    RevocationForgotten,
}

impl Event {
    pub const ALL: [Self; 21] = [
        Self::Turned,
        Self::LastGeneration,
        Self::Repeated,
        Self::Mine,
        Self::Late,
        Self::Theft,
        Self::StolenGiven,
        Self::CrashAfterCommit,
        Self::AnswerLost,
        Self::LogoutRaced,
        Self::LogoutNotStored,
        Self::EndedWhileGiving,
        Self::Reloaded,
        Self::HistoryLost,
        Self::LossNoticed,
        Self::Ahead,
        Self::Adopted,
        Self::AdoptedOverAnotherLine,
        Self::AdoptionAwaited,
        Self::RevocationRestored,
        Self::RevocationForgotten,
    ];
}

/// The program's rules, or others with one mistake, most of them made before by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Right,
    /// Any used token is a theft.
    StrictOneTimeUse,
    /// Only the parent of the live token may be late.
    OnlyTheParentIsLate,
    /// Any late token is given the live one.
    AnyAncestorIsServed,
    /// A retry makes another child of the same parent, as good as the first.
    SiblingPerRetry,
    /// The row is read and judged first, and written after.
    CheckThenWrite,
    /// A write that is undone leaves the token marked as used.
    MarkSurvivesUndo,
    /// A logout deletes the row while a refresh holds its lock, and the refresh puts it back.
    LogoutBesideTheLock,
    /// What could not be stored is given all the same.
    GivesWhatIsNotStored,
    /// A theft ends all of the subject's sessions.
    TheftEndsAll,
    /// What has been used is known by memory, and a restart forgets it.
    RestartForgetsUsed,
    /// The end of a session in memory is not stored where the store has lost it.
    NothingWrittenBack,
    /// Tokens that are ahead are taken before other replicas have written back what they know.
    AdoptsAtOnce,
    /// A restarted replica follows the feed from where it stands, without what came before.
    RestartSkipsTheLoad,
}

pub fn refuse() -> RotationPolicy {
    RotationPolicy {
        on_retry: OnRetry::Refuse,
        retry_window: ticks(RETRY_WINDOW),
        late_window: ticks(LATE_WINDOW),
        idempotency_window: ticks(IDEMPOTENCY_WINDOW),
        ..RotationPolicy::default()
    }
}

pub fn repeat() -> RotationPolicy {
    RotationPolicy { on_retry: OnRetry::Repeat, ..refuse() }
}

pub fn adopt() -> RotationPolicy {
    RotationPolicy { after_rollback: AfterRollback::Adopt, ..refuse() }
}

pub fn ticks(count: u8) -> Duration {
    Duration::from_secs(count.into())
}
