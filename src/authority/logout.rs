//! Ending a session, or all of a subject's, at once.

use crate::domain::access_token;
use crate::domain::identity::Identity;
use crate::domain::observed::Ends;
use crate::domain::refresh_token::NotAToken;
use crate::domain::revocation::{ALLOWANCE, Revocation, Revoked};
use crate::domain::session::{Origin, SessionId};
use crate::store::StoreError;
use crate::telemetry::Event;

use super::Authority;

/// Why an end is not certain yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogoutError {
    /// Ended on this replica; the others hear of it when the store is back, for which this replica keeps trying.
    NotStored(StoreError),
    /// Nothing was ended: try again.
    Unavailable(StoreError),
    /// The operator's newest secret has not reached this replica.
    SecretNotHere,
}

impl Authority {
    /// Ends the session of any genuine token, refresh or access token, also an old or expired one. Says whether it was a
    /// token of ours.
    ///
    /// # Errors
    /// [`LogoutError`].
    pub async fn logout(&self, token: &str, from: &Origin) -> Result<bool, LogoutError> {
        match self.session_of(token).await? {
            Some(session) => self.end_session(session, from).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// The session of any genuine token, also of an old or expired one.
    async fn session_of(&self, token: &str) -> Result<Option<SessionId>, LogoutError> {
        match self.keys.ratchet().open(token) {
            Ok(token) => Ok(Some(token.session())),
            Err(NotAToken::UnknownKey(key_id)) => match self.realm_knows_secret(key_id).await {
                Ok(true) => Err(LogoutError::SecretNotHere),
                Ok(false) => Ok(None),
                Err(error) => Err(LogoutError::Unavailable(error)),
            },
            Err(NotAToken::Malformed | NotAToken::Forged) => {
                let access_token = access_token::verify_genuine(token, self.keys.keyring().verifying(), &self.rules);
                Ok(access_token.ok().map(|identity| identity.session))
            }
        }
    }

    /// Ends a session that a login leaves without a browser. The login's answer stands whatever comes of it; what could not
    /// be stored is tried again in the background.
    pub async fn end_left_behind(&self, token: &str, from: &Origin) {
        match self.session_of(token).await {
            Ok(Some(session)) if self.revocations.holds(session) => {}
            Ok(Some(session)) => {
                let stored = self.end_everywhere(session).await;
                let outcome = if stored.is_ok() { "left_behind" } else { "left_behind_not_stored" };
                self.audit.record(&Event::new("session_end", outcome).session(session).from(from));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(?error, "a session that no browser holds was not ended"),
        }
    }

    /// Whether a browser that has brought this token may hold another session's by now: this one has been ended by itself,
    /// and not long ago. Asks the store what is not known here; without an answer it may.
    pub async fn may_be_left_behind(&self, token: &str) -> bool {
        let session = match self.session_of(token).await {
            Ok(Some(session)) => session,
            Ok(None) => return false,
            Err(_) => return true,
        };
        let is_recent = || self.revocations.holds_until(session).is_some_and(|until| until > self.clock.now());
        if is_recent() {
            return true;
        }
        match self.read(self.last_position().as_ref()).await {
            Ok(page) => page.more || is_recent(),
            Err(_) => true,
        }
    }

    /// Ends one session: in memory at once, then in the store.
    ///
    /// # Errors
    /// [`LogoutError::NotStored`]; the background task keeps trying.
    pub async fn end_session(&self, id: SessionId, from: &Origin) -> Result<(), LogoutError> {
        let ended = self.end_everywhere(id).await;
        let outcome = if ended.is_ok() { "ok" } else { "not_stored" };
        self.metrics.logouts.count(outcome);
        self.audit.record(&Event::new("logout", outcome).session(id).from(from));
        ended.map_err(LogoutError::NotStored)
    }

    /// Refuses the session here at once, and has the store tell the others. What could not be stored is tried again in
    /// the background.
    pub(super) async fn end_everywhere(&self, id: SessionId) -> Result<(), StoreError> {
        self.end(Ends::Session(id), None).await
    }

    /// Ends every session of the subject.
    ///
    /// # Errors
    /// [`LogoutError::Unavailable`]: nothing was ended.
    pub async fn logout_all(&self, identity: &Identity, from: &Origin) -> Result<(), LogoutError> {
        let below = self.store.end_subject(&identity.subject).await.map_err(LogoutError::Unavailable)?;
        self.hold(Revoked::SubjectBelow(identity.subject.clone(), below));
        self.metrics.logouts.count("all");
        let event = Event::new("logout_all", "ok").of(&identity.subject).session(identity.session);
        self.audit.record(&event.from(from));
        Ok(())
    }

    /// Refuses the session's access tokens on this replica from now on.
    pub(super) fn end_in_memory(&self, id: SessionId) {
        self.hold(Revoked::Session(id));
    }

    pub(super) fn hold(&self, revoked: Revoked) {
        let until = self.clock.now().plus(self.lifetimes.access).plus(ALLOWANCE);
        self.apply(&Revocation { revoked, until });
    }
}
