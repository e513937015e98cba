//! What a person can do with their own account: look at their sessions, end one or all others, change the password.

use std::time::Duration;

use crate::domain::identity::Identity;
use crate::domain::revocation::Revoked;
use crate::domain::session::{Origin, Session, SessionId};
use crate::domain::user::{Password, WeakPassword};
use crate::store::{Advanced, PasswordChange, StoreError};
use crate::telemetry::Event;

use super::passwords::{Check, PasswordsError};
use super::{Authority, Directory, LogoutError, TokenPair};

/// How often a password change that a refresh has overtaken is tried.
const ATTEMPTS: usize = 3;

/// A new password, as its owner sent it.
#[derive(Clone, Debug)]
pub struct PasswordRequest {
    pub current: Password,
    pub new: Password,
    pub from: Origin,
}

/// Why the password was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// The current password is wrong, or the session or the account has ended meanwhile.
    Refused,
    Weak(WeakPassword),
    /// Too many wrong ones from this session: there is a turn after this long.
    Limited(Duration),
    /// Every password slot is taken.
    Busy,
    Unavailable(StoreError),
    /// No built-in users here, or the crypto library refused.
    Internal,
}

impl From<StoreError> for PasswordError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

impl From<PasswordsError> for PasswordError {
    fn from(error: PasswordsError) -> Self {
        match error {
            PasswordsError::Busy => Self::Busy,
            PasswordsError::Parameters => Self::Internal,
        }
    }
}

impl Authority {
    /// Changes the bearer's password: every other session of the subject ends, a login under way with the old password
    /// comes to nothing, and the session that asks goes on with a new pair.
    ///
    /// # Errors
    /// [`PasswordError`]; nothing has changed then.
    pub async fn change_password(
        &self,
        identity: &Identity,
        request: PasswordRequest,
    ) -> Result<TokenPair, PasswordError> {
        let from = request.from.clone();
        let outcome = self.try_change_password(identity, request).await;
        let word = match &outcome {
            Ok(_) => "ok",
            Err(PasswordError::Refused) => "refused",
            Err(PasswordError::Weak(_)) => "weak",
            Err(PasswordError::Busy) => "busy",
            Err(PasswordError::Unavailable(_)) => "unavailable",
            Err(PasswordError::Internal) => "internal",
            Err(PasswordError::Limited(_)) => return outcome,
        };
        let event = Event::new("password", word).of(&identity.subject).session(identity.session);
        self.audit.record(&event.from(&from));
        outcome
    }

    async fn try_change_password(
        &self,
        identity: &Identity,
        request: PasswordRequest,
    ) -> Result<TokenPair, PasswordError> {
        let Directory::Users(passwords) = &self.directory else { return Err(PasswordError::Internal) };
        let slot = passwords.slot().await?;
        let turn = self.turn_at_password(identity.session, &request.from).await?;
        let account = self.store.account_of(&identity.subject).await?.ok_or(PasswordError::Refused)?;
        let old = account.user.password_hash;
        if passwords.check(slot, request.current, Some(old.clone())).await? == Check::Wrong || account.user.disabled {
            return Err(PasswordError::Refused);
        }
        self.forgive(turn).await;
        request.new.check(passwords.min_length(), &account.user.name).map_err(PasswordError::Weak)?;
        let new = passwords.hash(request.new).await?;
        // A refresh may come in between: then the row has another live token, and is read again.
        for _ in 0..ATTEMPTS {
            let state = self.store.session(identity.session).await?.ok_or(PasswordError::Refused)?;
            let Session { id, generation, hash, .. } = state.session;
            let next = generation.checked_add(1).ok_or(PasswordError::Refused)?;
            let token = self.keys.ratchet().fresh(id, next, self.entropy.bytes());
            let change = PasswordChange {
                name: account.user.name.clone(),
                old: old.clone(),
                new: new.clone(),
                session: id,
                generation,
                live: hash,
                next: token.hash(),
                from: request.from.clone(),
                idle_ttl: self.lifetimes.idle,
            };
            if let Some(Advanced { session, now }) = self.store.change_password(&change).await? {
                self.hold(Revoked::SubjectBelow(session.subject.clone(), session.epochs.subject));
                return self.mint(&session, now, token.expose()).ok_or(PasswordError::Internal);
            }
        }
        Err(PasswordError::Refused)
    }

    /// The subject's living sessions, newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn sessions(&self, identity: &Identity) -> Result<Vec<Session>, StoreError> {
        self.store.sessions_of(&identity.subject).await
    }

    /// Ends one of the subject's own sessions. Says whether there was such a one: another's is none.
    ///
    /// # Errors
    /// [`LogoutError`].
    pub async fn end_own_session(
        &self,
        identity: &Identity,
        id: SessionId,
        from: &Origin,
    ) -> Result<bool, LogoutError> {
        let state = self.store.session(id).await.map_err(LogoutError::Unavailable)?;
        if state.is_none_or(|state| state.session.subject != identity.subject) {
            return Ok(false);
        }
        self.end_session(id, from).await.map(|()| true)
    }

    /// Ends every session of the subject but the one that asks, and says how many.
    ///
    /// # Errors
    /// [`LogoutError`]; some may have ended then.
    pub async fn end_other_sessions(&self, identity: &Identity, from: &Origin) -> Result<usize, LogoutError> {
        let sessions = self.sessions(identity).await.map_err(LogoutError::Unavailable)?;
        let others: Vec<SessionId> =
            sessions.iter().map(|session| session.id).filter(|id| *id != identity.session).collect();
        for id in &others {
            self.end_session(*id, from).await?;
        }
        Ok(others.len())
    }
}
