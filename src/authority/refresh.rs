//! A refresh: a pair of tokens for a new pair. The old refresh token is gone from the store in the same statement.

use std::time::Duration;

use serde_json::Value;

use crate::clock::Stopwatch;
use crate::domain::refresh_token::{IdempotencyKey, NotAToken, RefreshToken};
use crate::domain::rotation::{AfterRollback, Attempt, SessionState, Suspicion, Verdict, judge};
use crate::domain::session::{Origin, Salt, Session};
use crate::domain::time::Timestamp;
use crate::store::{Advanced, StoreError, Swap};
use crate::telemetry::Event;

use super::patience::Patience;
use super::{Authority, TokenPair};

/// What a client sent to `/refresh`. No `Debug`: it holds the token.
pub struct RefreshRequest {
    pub token: zeroize::Zeroizing<String>,
    /// If the client named itself.
    pub client_id: Option<String>,
    pub key: Option<IdempotencyKey>,
    /// A browser brought it in a cookie.
    pub in_cookie: bool,
    /// The scopes the access token is to have, if not all that the login gave (RFC 6749 §6).
    pub scope: Option<String>,
    pub from: Origin,
    /// Started when the request arrived: windows count from then.
    pub arrived: Stopwatch,
}

/// Why there is no new pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshError {
    /// The token gives nothing (any more); RFC 6749 §5.2 `invalid_grant`. With the word for logs.
    InvalidGrant(&'static str),
    /// More was asked for than the login gave (RFC 6749 §5.2 `invalid_scope`); the token is as good as before.
    Scope,
    /// Exchanged a moment ago: the client most likely holds the successor.
    AlreadyRotated,
    /// No judgement was possible; the client may try the same token again.
    Unavailable(StoreError),
    /// The session refreshes too often: there is a turn after this long.
    Limited(Duration),
    /// The operator's newest secret has not reached this replica.
    SecretNotHere,
    /// The crypto library refused.
    Internal,
}

impl RefreshError {
    /// Whether nobody will ever get anything for this token again. A store that has lost history may find it.
    #[must_use]
    pub fn ends_the_session(&self) -> bool {
        matches!(self, Self::InvalidGrant(word) if *word != "ahead")
    }
}

impl From<StoreError> for RefreshError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

/// How often a token that turns out to be live is swapped again.
const SWAPS: usize = 4;

impl Authority {
    /// Exchanges a refresh token. Must run to its end even if the client has gone.
    ///
    /// # Errors
    /// [`RefreshError`].
    pub async fn refresh(&self, request: &RefreshRequest) -> Result<TokenPair, RefreshError> {
        let mut session = None;
        let outcome = self.try_refresh(request, &mut session).await;
        let word = match &outcome {
            Ok(_) => "ok",
            Err(RefreshError::InvalidGrant(word)) => word,
            Err(RefreshError::Scope) => "scope",
            Err(RefreshError::AlreadyRotated) => "late",
            Err(RefreshError::Limited(_)) => "limited",
            Err(RefreshError::Unavailable(_)) => "unavailable",
            Err(RefreshError::SecretNotHere) => "secret_not_here",
            Err(RefreshError::Internal) => "internal",
        };
        self.metrics.refreshes.count(word);
        let mut event = Event::new("refresh", word).from(&request.from);
        if let Some(session) = session {
            event = event.session(session);
        }
        match &outcome {
            Err(RefreshError::Unavailable(error)) => tracing::warn!(%error, "refresh is not possible"),
            Err(RefreshError::InvalidGrant("ahead")) => tracing::error!(
                session = session.map(tracing::field::display),
                "a genuine refresh token is ahead of the store: was a backup restored, or a replica promoted?"
            ),
            _ => {}
        }
        if !matches!(outcome, Err(RefreshError::Limited(_))) {
            self.audit.record(&event);
        }
        outcome
    }

    async fn try_refresh(
        &self,
        request: &RefreshRequest,
        seen: &mut Option<crate::domain::session::SessionId>,
    ) -> Result<TokenPair, RefreshError> {
        let ratchet = self.keys.ratchet();
        let token = match ratchet.open(&request.token) {
            Ok(token) => token,
            Err(NotAToken::UnknownKey(key_id)) if self.realm_knows_secret(key_id).await? => {
                return Err(RefreshError::SecretNotHere);
            }
            Err(_) => {
                self.turn_of_forgery(&request.from)?;
                return Err(RefreshError::InvalidGrant("not_a_token"));
            }
        };
        *seen = Some(token.session());
        if request.client_id.as_ref().is_some_and(|client| *client != self.client_id) {
            return Err(RefreshError::InvalidGrant("other_client"));
        }
        let mut patience = Patience::new(self.store_timeout);
        patience.ask(self.turn_to_refresh(token.session(), &request.from)).await?;
        if let Some(scope) = &request.scope
            && let Some(state) = patience.ask(self.store.session(token.session())).await?
            && state.session.hash == token.hash()
            && !state.session.grants(scope)
        {
            // Before the swap, or the client would be left without a token. An old token is judged first.
            return Err(RefreshError::Scope);
        }
        if self.remembers_end_of(token.session()) {
            return Err(RefreshError::InvalidGrant("ended"));
        }
        patience.ask(self.store_others_of(token.session())).await?;
        let salt = Salt(self.entropy.bytes());
        let Some(successor) = ratchet.successor(&token, salt) else {
            return Err(RefreshError::InvalidGrant("last_generation"));
        };
        let key = request.key.as_ref().and_then(|key| ratchet.idempotency_mac(&token, key));
        let mut swap = Swap {
            session: token.session(),
            client: self.client_id.clone(),
            generation: token.generation(),
            row_hash: token.hash(),
            behind: 0,
            successor: successor.hash(),
            salt,
            key,
            from: request.from.clone(),
            idle_ttl: self.lifetimes.idle,
            longest_window: self.policy.longest_window(),
        };
        let mut failure = StoreError::Unavailable("the session kept changing".into());
        let mut looked = false;
        for _ in 0..SWAPS {
            match patience.carry_out(self.store.swap(&swap)).await {
                Ok(Some(Advanced { session, now })) => {
                    if swap.behind > 0 {
                        self.adopted(&session, swap.behind, request);
                    }
                    return self.give_unless_ended(session, now, &successor, request).await;
                }
                Ok(None) => {}
                // What was not answered may still have been stored: the row would tell, and the client's retry asks it.
                Err(error) if patience.is_over() => return Err(error.into()),
                Err(error) => failure = error,
            }
            let row = patience.ask(self.store.session(token.session())).await?;
            let waited = request.arrived.elapsed();
            let attempt = Attempt {
                token: &token,
                client: &self.client_id,
                successor: Some(successor.hash()),
                key: swap.key,
                in_cookie: request.in_cookie,
                from: &swap.from,
                arrived: row.as_ref().map(|state| state.now.minus(waited)).unwrap_or_default(),
            };
            match judge(&attempt, row.as_ref(), &ratchet, &self.policy) {
                // A store that took all its time to fail is not asked again and again.
                Verdict::Live | Verdict::Adopt if patience.is_over() => break,
                Verdict::Live => (swap.row_hash, swap.behind) = (token.hash(), 0),
                Verdict::Adopt => {
                    let Some(SessionState { session, rollback: Some(rollback), .. }) = row else {
                        return Err(RefreshError::Internal);
                    };
                    if !patience.ask(self.everybody_wrote_back(rollback)).await? {
                        let why = "it has lost some of its history, and replicas are still writing back what they know";
                        return Err(RefreshError::Unavailable(StoreError::Unavailable(why.into())));
                    }
                    swap.row_hash = session.hash;
                    swap.behind = token.generation() - session.generation;
                }
                // Nobody may have noticed yet.
                Verdict::Ahead if !looked && self.policy.after_rollback == AfterRollback::Adopt => {
                    looked = true;
                    patience.ask(self.read(None)).await?;
                }
                Verdict::Mine => return self.give_again(row, &successor, request).await,
                Verdict::Repeat(live) => {
                    self.metrics.repeats.inc();
                    return self.give_again(row, &live, request).await;
                }
                Verdict::Ended => return Err(RefreshError::InvalidGrant("ended")),
                // Perhaps it could be repeated by somebody who has the secret that the successor was made with.
                Verdict::Late if (swap.key.is_some() || request.in_cookie) && self.lacks_a_secret().await? => {
                    return Err(RefreshError::SecretNotHere);
                }
                Verdict::Late => return Err(RefreshError::AlreadyRotated),
                Verdict::Ahead => return Err(RefreshError::InvalidGrant("ahead")),
                Verdict::Reuse(suspicion) => {
                    let word = match suspicion {
                        Suspicion::Confirmed => "reuse_confirmed",
                        Suspicion::Unconfirmed => "reuse_unconfirmed",
                    };
                    let event = Event::new("refresh_token_reuse", word).session(token.session());
                    self.audit.record(&event.from(&request.from));
                    // Answered only when every replica will hear of it.
                    self.end_everywhere(token.session()).await?;
                    return Err(RefreshError::InvalidGrant(word));
                }
            }
        }
        Err(RefreshError::Unavailable(failure))
    }

    /// The store may have lost what this replica still knows, or the end came while the store was asked.
    async fn give_unless_ended(
        &self,
        session: Session,
        now: Timestamp,
        refresh_token: &RefreshToken,
        request: &RefreshRequest,
    ) -> Result<TokenPair, RefreshError> {
        if !self.revocations.has_ended(session.id, &session.subject, session.epochs) {
            return self.give(session, now, refresh_token, request);
        }
        match self.gone_on(&session).await? {
            Some(row) if row.hash == session.hash => self.give(row, now, refresh_token, request),
            Some(_) => Err(RefreshError::AlreadyRotated),
            None => {
                self.end_everywhere(session.id).await?;
                Err(RefreshError::InvalidGrant("revoked"))
            }
        }
    }

    /// The session as it is, if it has ended all others of its subject meanwhile, and lives.
    async fn gone_on(&self, session: &Session) -> Result<Option<Session>, StoreError> {
        self.store_others_of(session.id).await?;
        let row = self.store.session(session.id).await?.map(|state| state.session);
        let lives = |row: &Session| !self.revocations.has_ended(row.id, &row.subject, row.epochs);
        Ok(row.filter(|row| row.epochs.subject > session.epochs.subject && lives(row)))
    }

    fn adopted(&self, session: &Session, turns: u32, request: &RefreshRequest) {
        tracing::warn!(session = %session.id, turns, "a session goes on from a token that the store had lost");
        let event = Event::new("rollback", "adopted").of(&session.subject).session(session.id);
        self.audit.record(&event.count(turns.into()).from(&request.from));
    }

    async fn give_again(
        &self,
        row: Option<SessionState>,
        refresh_token: &RefreshToken,
        request: &RefreshRequest,
    ) -> Result<TokenPair, RefreshError> {
        let SessionState { session, now, .. } = row.ok_or(RefreshError::Internal)?;
        self.give_unless_ended(session, now, refresh_token, request).await
    }

    fn give(
        &self,
        mut session: Session,
        now: Timestamp,
        refresh_token: &RefreshToken,
        request: &RefreshRequest,
    ) -> Result<TokenPair, RefreshError> {
        if let Some(scope) = &request.scope {
            if !session.grants(scope) {
                return Err(RefreshError::Scope);
            }
            session.claims.insert("scope".into(), Value::String(scope.clone()));
        }
        self.mint(&session, now, refresh_token.expose()).ok_or(RefreshError::Internal)
    }
}
