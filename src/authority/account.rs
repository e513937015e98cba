//! What a person can do with their own sessions: look at them, and end one or all others.

use crate::domain::identity::Identity;
use crate::domain::session::{Session, SessionId};
use crate::store::StoreError;

use super::{Authority, LogoutError};

impl Authority {
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
    pub async fn end_own_session(&self, identity: &Identity, id: SessionId) -> Result<bool, LogoutError> {
        let state = self.store.session(id).await.map_err(LogoutError::Unavailable)?;
        if state.is_none_or(|state| state.session.subject != identity.subject) {
            return Ok(false);
        }
        self.end_session(id).await.map(|()| true)
    }

    /// Ends every session of the subject but the one that asks, and says how many.
    ///
    /// # Errors
    /// [`LogoutError`]; some may have ended then.
    pub async fn end_other_sessions(&self, identity: &Identity) -> Result<usize, LogoutError> {
        let sessions = self.sessions(identity).await.map_err(LogoutError::Unavailable)?;
        let others: Vec<SessionId> =
            sessions.iter().map(|session| session.id).filter(|id| *id != identity.session).collect();
        for id in &others {
            self.end_session(*id).await?;
        }
        Ok(others.len())
    }
}
