//! Who is too fast: asked of the store where all replicas must count together, and of memory where nothing may wait.
//!
//! A replica that forgets a bucket lets somebody through who should have waited, and no more than that; so the memory of
//! it is bounded, and the longest unused goes first.

use std::net::IpAddr;
use std::time::Duration;

use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::clock::SharedClock;
use crate::config::checked::Rates;
use crate::domain::decision::Refusal;
use crate::domain::rate::{Bucket, ClientNetwork, Rate};
use crate::domain::session::{Origin, SessionId, Subject};
use crate::domain::time::Timestamp;
use crate::store::{StoreError, Taking};
use crate::telemetry::Event;

use super::{Authority, LoginError, PasswordError, RefreshError};

/// The buckets this replica knows of.
#[derive(Debug)]
pub(super) struct Limits {
    rates: Rates,
    /// When each is whole again.
    buckets: Cache<Bucket, Timestamp>,
    /// Until when the store has nothing to give; only for buckets that nothing makes whole before.
    empty: Cache<Bucket, Timestamp>,
    clock: SharedClock,
}

/// Why there is no turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    Wait(Duration),
    Unavailable(StoreError),
}

/// What has no turn fails as a whole, in the words of each use case.
macro_rules! no_turn_is {
    ($($error:ty),*) => {
        $(impl From<NoTurn> for $error {
            fn from(no_turn: NoTurn) -> Self {
                match no_turn {
                    NoTurn::Wait(wait) => Self::Limited(wait),
                    NoTurn::Unavailable(error) => Self::Unavailable(error),
                }
            }
        })*
    };
}

no_turn_is!(LoginError, PasswordError, RefreshError);

impl From<StoreError> for NoTurn {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

/// Buckets of which one is bounded by some 200 bytes.
const MOST_BUCKETS: u64 = 100_000;

impl Limits {
    #[must_use]
    pub(super) fn new(rates: Rates, clock: SharedClock) -> Self {
        let cache = || Cache::builder().max_capacity(MOST_BUCKETS).eviction_policy(EvictionPolicy::lru()).build();
        Self { rates, buckets: cache(), empty: cache(), clock }
    }

    /// Takes one here. Says whether the bucket was whole.
    fn take_here(&self, bucket: Bucket, rate: Rate) -> Result<bool, Duration> {
        let now = self.clock.now();
        let mut taken = Ok(true);
        self.buckets.entry(bucket).and_compute_with(|held| {
            let whole_at = held.map(moka::Entry::into_value);
            match rate.take(whole_at, now) {
                Ok(next) => {
                    taken = Ok(whole_at.is_none_or(|whole_at| whole_at <= now));
                    Op::Put(next)
                }
                Err(wait) => {
                    taken = Err(wait);
                    Op::Nop
                }
            }
        });
        taken
    }
}

impl Authority {
    /// Whether who logs in from there has been told to wait, and does not: asked before anything else, and of memory.
    pub(super) fn turn_is_far(&self, from: &Origin) -> Result<(), NoTurn> {
        let Some(address) = from.address else { return Ok(()) };
        let now = self.clock.now();
        let until = self.limits.empty.get(&Bucket::login_from(ClientNetwork::of(address)));
        match until.filter(|until| *until > now) {
            None => Ok(()),
            Some(until) => {
                // Recorded when the store said so.
                self.metrics.limited.count("login_per_address");
                Err(NoTurn::Wait(until.since(now)))
            }
        }
    }

    /// A turn to try a login from there.
    pub(super) async fn turn_from(&self, from: &Origin) -> Result<(), NoTurn> {
        let (Some(rate), Some(address)) = (self.limits.rates.login_per_address, from.address) else { return Ok(()) };
        let bucket = Bucket::login_from(ClientNetwork::of(address));
        let now = self.clock.now();
        self.take_there(bucket, rate, "login_per_address", from).await.inspect_err(|no_turn| {
            if let NoTurn::Wait(wait) = no_turn {
                self.limits.empty.insert(bucket, now.plus(*wait));
            }
        })
    }

    /// A turn to try a login with this name; `subject` is whose it is, if anybody's. Answers with the bucket it was taken
    /// from: right credentials make that one whole again. Who is logged in from the same address has one of their own.
    pub(super) async fn turn_as(
        &self,
        name: &str,
        subject: Option<&Subject>,
        from: &Origin,
    ) -> Result<Option<Bucket>, NoTurn> {
        let Some(rate) = self.limits.rates.login_per_account else { return Ok(None) };
        let bucket = Bucket::login_as(name);
        let Taking::Wait(wait) = self.store.take(bucket, rate).await? else { return Ok(Some(bucket)) };
        let home = match (subject, from.address.map(ClientNetwork::of)) {
            (Some(subject), Some(network)) if self.is_home(subject, network).await? => network,
            _ => return Err(self.too_fast(wait, "login_per_account", from)),
        };
        let bucket = Bucket::login_at_home(name, home);
        self.take_there(bucket, rate, "login_per_account", from).await.map(|()| Some(bucket))
    }

    /// A turn to guess the current password, for whoever holds this session's access token.
    pub(super) async fn turn_at_password(&self, session: SessionId, from: &Origin) -> Result<Option<Bucket>, NoTurn> {
        let Some(rate) = self.limits.rates.login_per_account else { return Ok(None) };
        let bucket = Bucket::password_by(session);
        self.take_there(bucket, rate, "login_per_account", from).await.map(|()| Some(bucket))
    }

    /// A turn to refresh. A session that has not refreshed here lately is not counted in the store: an honest client costs
    /// no more than its swap.
    pub(super) async fn turn_to_refresh(&self, session: SessionId, from: &Origin) -> Result<(), NoTurn> {
        let Some(rate) = self.limits.rates.refresh_per_session else { return Ok(()) };
        let bucket = Bucket::refresh_of(session);
        match self.limits.take_here(bucket, rate) {
            Ok(true) => Ok(()),
            Ok(false) => self.take_there(bucket, rate, "refresh_per_session", from).await,
            Err(wait) => Err(self.too_fast(wait, "refresh_per_session", from)),
        }
    }

    /// What somebody is told whose credential is bad: to wait, if too many came from there that nobody ever issued.
    #[must_use]
    pub fn slowed_down(&self, refusal: Refusal, address: Option<IpAddr>) -> Refusal {
        match address {
            Some(address) if refusal.is_forgery() => {
                self.count_bad_token(address).err().map_or(refusal, Refusal::TooMany)
            }
            _ => refusal,
        }
    }

    /// A turn to be told that a refresh token is none.
    pub(super) fn turn_of_forgery(&self, from: &Origin) -> Result<(), NoTurn> {
        from.address.map_or(Ok(()), |address| self.count_bad_token(address).map_err(NoTurn::Wait))
    }

    fn count_bad_token(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(rate) = self.limits.rates.bad_tokens_per_address else { return Ok(()) };
        let taken = self.limits.take_here(Bucket::bad_tokens_from(ClientNetwork::of(address)), rate);
        taken.map(drop).inspect_err(|_| self.metrics.limited.count("bad_tokens_per_address"))
    }

    /// Right credentials: what was tried before does not count any more.
    pub(super) async fn forgive(&self, bucket: Option<Bucket>) {
        if let Some(bucket) = bucket
            && let Err(error) = self.store.refill(bucket).await
        {
            tracing::warn!(%error, "attempts before a right password still count");
        }
    }

    async fn take_there(&self, bucket: Bucket, rate: Rate, limit: &'static str, from: &Origin) -> Result<(), NoTurn> {
        match self.store.take(bucket, rate).await? {
            Taking::Taken => Ok(()),
            Taking::Wait(wait) => Err(self.too_fast(wait, limit, from)),
        }
    }

    fn too_fast(&self, wait: Duration, limit: &'static str, from: &Origin) -> NoTurn {
        self.metrics.limited.count(limit);
        self.audit.record(&Event::new("limit", limit).from(from));
        NoTurn::Wait(wait)
    }

    /// Whether the subject is logged in from there.
    async fn is_home(&self, subject: &Subject, network: ClientNetwork) -> Result<bool, StoreError> {
        let sessions = self.store.sessions_of(subject).await?;
        let mut origins = sessions.iter().flat_map(|session| [&session.login_from, &session.last_from]);
        Ok(origins.any(|origin| origin.address.map(ClientNetwork::of) == Some(network)))
    }
}
