//! A refresh that many requests wait for: a browser sends the same cookies with all of them.
//!
//! The first request that brings a token begins, and the others that bring the same one share what comes of it, also for a
//! while after. What has begun runs to its end whoever has gone. Nothing depends on the memory of it: what is forgotten
//! here, and what another replica knows, the store answers with the same successor.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::watch;

use crate::clock::Stopwatch;
use crate::domain::access_token::TokenFault;
use crate::domain::identity::Identity;
use crate::domain::secret::sha256;
use crate::domain::session::{Origin, SessionId};
use crate::store::StoreError;

use super::{Authority, RefreshError, RefreshRequest, TokenPair};

/// The refreshes under way and just done, and how far each session has come here.
#[derive(Debug)]
pub(super) struct Renewals {
    /// By the SHA-256 of the presented token, so that nobody shares what they have no token for.
    flights: Cache<[u8; 32], Flight>,
    /// The latest generation that was handed out. To forget one costs a browser one more refresh.
    latest: Cache<SessionId, u32>,
}

type Outcome = Result<Arc<TokenPair>, RefreshError>;

/// `None` until it has ended.
type Flight = watch::Receiver<Option<Outcome>>;

/// A refresh token that came in a cookie. No `Debug`: it holds the token.
pub struct RenewalRequest {
    pub token: zeroize::Zeroizing<String>,
    pub from: Origin,
    /// Started when the request arrived.
    pub arrived: Stopwatch,
}

/// What a request goes on with.
#[derive(Clone, Debug)]
pub struct Renewed {
    pub identity: Arc<Identity>,
    pub pair: Arc<TokenPair>,
}

/// A request waits so long for its refresh, which goes on without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// An outcome is shared for so long after it began; longer than a refresh may take.
const SHARED: Duration = Duration::from_secs(10);

/// Some 2 KiB each.
const MOST_FLIGHTS: u64 = 10_000;

/// Some 150 bytes each.
const MOST_LATEST: u64 = 100_000;

impl Renewals {
    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            flights: Cache::builder().max_capacity(MOST_FLIGHTS).time_to_live(SHARED).build(),
            latest: Cache::builder().max_capacity(MOST_LATEST).build(),
        }
    }
}

impl Authority {
    /// Refreshes for a request that brought the token in a cookie.
    ///
    /// # Errors
    /// [`RefreshError`]; unless it [ends the session](RefreshError::ends_the_session), the token is as good as it was.
    pub async fn renew(self: &Arc<Self>, request: &RenewalRequest) -> Result<Renewed, RefreshError> {
        let digest = sha256(request.token.as_bytes());
        loop {
            let (flight, begun) = self.board(digest, request);
            let outcome = arrival(flight).await;
            if matches!(outcome, Err(RefreshError::Internal)) {
                self.renewals.flights.invalidate(&digest);
            }
            let pair = outcome?;
            match self.authenticate(&pair.access_token) {
                Ok(identity) => return Ok(Renewed { identity, pair }),
                // It was good when it was made, and has been shared since.
                Err(_) if !begun => self.renewals.flights.invalidate(&digest),
                Err(TokenFault::Revoked) => return Err(RefreshError::InvalidGrant("revoked")),
                Err(fault) => {
                    tracing::warn!(%fault, "a new access token is not good here: is the clock right?");
                    return Err(RefreshError::Internal);
                }
            }
        }
    }

    /// The flight of this token, and whether this request began it.
    fn board(self: &Arc<Self>, digest: [u8; 32], request: &RenewalRequest) -> (Flight, bool) {
        let mut landing = None;
        let flight = self.renewals.flights.entry(digest).or_insert_with(|| {
            let (sender, flight) = watch::channel(None);
            landing = Some(sender);
            flight
        });
        let flight = flight.into_value();
        let Some(landing) = landing else { return (flight, false) };
        let authority = Arc::clone(self);
        let request = RefreshRequest {
            token: request.token.clone(),
            client_id: None,
            key: None,
            in_cookie: true,
            scope: None,
            from: request.from.clone(),
            arrived: request.arrived,
        };
        tokio::spawn(async move {
            let outcome = authority.refresh(&request).await;
            if outcome.is_err() {
                // Whoever comes later asks again.
                authority.renewals.flights.invalidate(&digest);
            }
            let _ = landing.send(Some(outcome.map(Arc::new)));
        });
        (flight, true)
    }

    /// Remembers that a browser is about to get this pair.
    pub fn hand_out(&self, pair: &TokenPair) {
        let later = |held: Option<moka::Entry<SessionId, u32>>| {
            held.map_or(pair.generation, |held| held.into_value().max(pair.generation))
        };
        self.renewals.latest.entry(pair.session).and_upsert_with(later);
    }

    /// Whether a browser has, as far as this replica knows, got a later pair of the session than that of `generation`.
    #[must_use]
    pub fn has_handed_out_later(&self, session: SessionId, generation: u32) -> bool {
        self.renewals.latest.get(&session).is_some_and(|latest| latest > generation)
    }

    /// Whether some replica has made a later pair than that of `generation`, whose access token gave this identity. Before
    /// that token has ended there is none, and the store is not asked.
    pub async fn has_gone_on(&self, identity: &Identity, generation: u32) -> bool {
        if self.clock.now() < identity.expires {
            return false;
        }
        match self.store.session(identity.session).await {
            Ok(Some(state)) => state.session.generation > generation,
            // Over, or nobody can tell: what the browser holds is at worst the pair before, which is repeated.
            Ok(None) | Err(_) => true,
        }
    }
}

async fn arrival(mut flight: Flight) -> Outcome {
    match tokio::time::timeout(PATIENCE, flight.wait_for(Option::is_some)).await {
        Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(RefreshError::Internal)),
        // It panicked.
        Ok(Err(_)) => Err(RefreshError::Internal),
        Err(_) => Err(RefreshError::Unavailable(StoreError::Unavailable("the refresh takes too long".into()))),
    }
}
