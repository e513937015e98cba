//! A login: a name and a password become a session and its first pair of tokens.

use std::time::Duration;

use crate::domain::access_token;
use crate::domain::session::{Origin, Session, SessionId, Subject};
use crate::domain::time::Timestamp;
use crate::domain::user::{Password, UserName};
use crate::store::{Account, Created, NewSession, StoreError};
use crate::telemetry::Event;

use super::passwords::{Check, PasswordsError};
use super::patience::Patience;
use super::{Authority, TokenPair};

/// What a client sent to `/login`.
#[derive(Clone, Debug)]
pub struct LoginRequest {
    pub name: String,
    pub password: Password,
    pub from: Origin,
}

/// Why nobody was logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// Name or password wrong, no such user, disabled, or ended while logging in: the client cannot tell which.
    Refused,
    /// Too many attempts came with this name, or from there: there is a turn after this long.
    Limited(Duration),
    /// Every password slot is taken.
    Busy,
    Unavailable(StoreError),
    /// No login here, or the crypto library refused.
    Internal,
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

impl From<PasswordsError> for LoginError {
    fn from(error: PasswordsError) -> Self {
        match error {
            PasswordsError::Busy => Self::Busy,
            PasswordsError::Parameters => Self::Internal,
        }
    }
}

impl Authority {
    /// Logs a user in. The subject's counters are read before the password is checked and compared when the session is
    /// stored, so that a password change in between leaves no session behind.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn login(&self, request: LoginRequest) -> Result<TokenPair, LoginError> {
        let mut subject = None;
        let outcome = self.try_login(&request, &mut subject).await;
        let word = match &outcome {
            Ok(_) => "ok",
            Err(LoginError::Refused) => "refused",
            Err(LoginError::Limited(_)) => "limited",
            Err(LoginError::Busy) => "busy",
            Err(LoginError::Unavailable(_)) => "unavailable",
            Err(LoginError::Internal) => "internal",
        };
        self.metrics.logins.count(word);
        let mut event = Event::new("login", word).from(&request.from);
        if let Some(subject) = &subject {
            event = event.of(subject);
        }
        match &outcome {
            Ok(pair) => event = event.session(pair.session),
            Err(LoginError::Unavailable(error)) => tracing::warn!(%error, "login is not possible"),
            Err(_) => {}
        }
        // Who was told to wait has tried nothing; that is the limit's line.
        if !matches!(outcome, Err(LoginError::Limited(_))) {
            self.audit.record(&event);
        }
        outcome
    }

    async fn try_login(&self, request: &LoginRequest, subject: &mut Option<Subject>) -> Result<TokenPair, LoginError> {
        let passwords = self.passwords.as_ref().ok_or(LoginError::Internal)?;
        self.turn_is_far(&request.from)?;
        // The slot before the store: however many come, no more than that ask it.
        let slot = passwords.slot().await?;
        let mut patience = Patience::new(self.store_timeout);
        patience.ask(self.turn_from(&request.from)).await?;
        let (mut account, mut turn) = (None, None);
        if let Some(name) = UserName::parse(&request.name) {
            account = patience.ask(self.store.account(&name)).await?;
            *subject = account.as_ref().map(|account| account.user.subject.clone());
            turn = patience.ask(self.turn_as(&name, subject.as_ref(), &request.from)).await?;
        }
        let stored = account.as_ref().map(|account| account.user.password_hash.clone());
        let check = passwords.check(slot, request.password.clone(), stored).await?;
        let (Some(Account { user, epochs }), Check::Right | Check::RightWithOldParameters(_)) = (account, &check)
        else {
            return Err(LoginError::Refused);
        };
        if user.disabled {
            return Err(LoginError::Refused);
        }
        let forgiven = async {
            self.forgive(turn).await;
            Ok::<_, StoreError>(())
        };
        patience.ask(forgiven).await?;
        let token = self.keys.ratchet().first(SessionId::from_bytes(self.entropy.bytes()), self.entropy.bytes());
        let new_session = NewSession {
            id: token.session(),
            subject: user.subject,
            client: self.client_id.clone(),
            hash: token.hash(),
            epochs,
            from: request.from.clone(),
            claims: user.claims,
            label: None,
            vault: None,
            idle_ttl: self.lifetimes.idle,
            max_ttl: self.lifetimes.max,
            most: self.lifetimes.sessions_per_subject,
        };
        let stored = patience.carry_out(self.store.create_session(&new_session)).await?;
        let Created::Stored { session, ended } = stored else {
            return Err(LoginError::Refused);
        };
        if self.revocations.has_ended(session.id, &session.subject, session.epochs) {
            self.end_everywhere(session.id).await?;
            if session.epochs.is_void_under(self.store.epochs(&session.subject).await?) {
                // Ended while logging in.
                return Err(LoginError::Refused);
            }
            // A counter that went back is raised again in a moment.
            let why = "it counts less far than it did, and is about to be told";
            return Err(LoginError::Unavailable(StoreError::Unavailable(why.into())));
        }
        for id in ended {
            self.end_in_memory(id);
            self.audit.record(&Event::new("session_end", "too_many").session(id).from(&request.from));
        }
        if let Check::RightWithOldParameters(new) = check {
            // The login stands whether or not the better hash could be kept.
            let upgrade = self.store.upgrade_password(&user.name, &user.password_hash, &new);
            if let Err(error) = patience.ask(upgrade).await {
                tracing::warn!(%error, "a password hash was not upgraded");
            }
        }
        let now = session.created;
        self.mint(&session, now, token.expose()).ok_or(LoginError::Internal)
    }

    /// An access token for the session as of `now` (the store's clock), beside its refresh token.
    pub(super) fn mint(
        &self,
        session: &Session,
        now: Timestamp,
        refresh_token: zeroize::Zeroizing<String>,
    ) -> Option<TokenPair> {
        let jti = self.entropy.bytes();
        let keyring = self.keys.keyring();
        let key = keyring.signing(now)?;
        let signer = (key.id(), key.algorithm());
        let draft = access_token::draft(session, now, self.lifetimes.access, &self.rules, signer, jti);
        let access_token = key.sign(&draft.header, &draft.claims)?;
        let scope = session.claims.get("scope").and_then(serde_json::Value::as_str).map(str::to_owned);
        let until = |end: Timestamp| u64::try_from(end.as_secs() - now.as_secs()).unwrap_or(0);
        Some(TokenPair {
            access_token,
            expires_in: until(draft.expires),
            refresh_token,
            refresh_expires_in: until(session.idle_end.min(session.absolute_end)),
            scope,
            session: session.id,
            generation: session.generation,
        })
    }
}
