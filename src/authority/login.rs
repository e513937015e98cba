//! A login: a name and a password become a session and its first pair of tokens.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::domain::access_token;
use crate::domain::rate::Bucket;
use crate::domain::revocation::Revoked;
use crate::domain::session::{Epochs, Origin, Session, SessionId, Subject};
use crate::domain::time::Timestamp;
use crate::domain::user::{Password, PasswordHash, UserName};
use crate::domain::vault::Jar;
use crate::store::{Account, Created, Cursor, NewSession, StoreError};
use crate::telemetry::Event;

use super::passwords::{Check, Passwords, PasswordsError};
use super::patience::Patience;
use super::upstream_login::{UpstreamAnswer, UpstreamLogin};
use super::{Authority, Directory, TokenPair};

/// What a client sent to `/login`.
#[derive(Clone, Debug)]
pub struct LoginRequest {
    pub name: String,
    pub password: Password,
    /// Everything else that was submitted.
    pub submitted: Submitted,
    pub from: Origin,
    /// As the client sent it: an application may compare it with that of later requests.
    pub user_agent: Option<HeaderValue>,
}

/// Fields of a login, one of each name. Its `Debug` hides them.
#[derive(Clone, Default)]
pub struct Submitted(pub Vec<(String, Zeroizing<String>)>);

impl Submitted {
    /// `None` also for an empty one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Submitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Submitted({} fields)", self.0.len())
    }
}

/// What became of a login.
#[derive(Debug)]
pub struct Login {
    pub outcome: Result<TokenPair, LoginError>,
    /// What the application said, where that is passed on: it has let this person in, or refused.
    pub answer: Option<UpstreamAnswer>,
}

/// Somebody whose password was right.
struct Known {
    subject: Subject,
    /// As they were before the password was checked.
    epochs: Epochs,
    claims: Map<String, Value>,
    /// The cookies that the application gave them.
    jar: Jar,
    /// A better hash for the same password.
    upgrade: Option<(UserName, PasswordHash, PasswordHash)>,
}

/// What has been ended in some stretch of time.
struct Ends {
    /// Its end.
    position: Cursor,
    subjects: HashSet<Subject>,
    realm_epoch: u64,
}

impl Ends {
    fn concern(&self, subject: &Subject) -> bool {
        self.subjects.contains(subject)
    }
}

/// Why nobody was logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// Name or password wrong, no such user, disabled, or ended while logging in: the client cannot tell which.
    Refused,
    /// Too many attempts came with this name, or from there: there is a turn after this long.
    Limited(Duration),
    /// Every slot is taken.
    Busy,
    Unavailable(StoreError),
    /// The application does not answer, or not now.
    NoAnswer,
    /// The application's answer is neither a success nor a refusal.
    Unclear,
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
    /// The fields of a login that hold name and password.
    #[must_use]
    pub fn login_fields(&self) -> (&str, &str) {
        match &self.directory {
            Directory::Upstream(upstream) => upstream.fields(),
            Directory::Users(_) | Directory::None => ("username", "password"),
        }
    }

    /// Logs a user in. The subject's counters are read before the password is checked and compared when the session is
    /// stored, so that a password change in between leaves no session behind.
    ///
    pub async fn login(&self, request: LoginRequest) -> Login {
        let (mut subject, mut answer) = (None, None);
        let outcome = self.try_login(&request, &mut subject, &mut answer).await;
        let word = match &outcome {
            Ok(_) => "ok",
            Err(LoginError::Refused) => "refused",
            Err(LoginError::Limited(_)) => "limited",
            Err(LoginError::Busy) => "busy",
            Err(LoginError::Unavailable(_) | LoginError::NoAnswer) => "unavailable",
            Err(LoginError::Unclear) => "unclear",
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
        let answer = match &self.directory {
            Directory::Upstream(upstream) => upstream.passed_on(answer, outcome.as_ref().map(drop)),
            Directory::Users(_) | Directory::None => None,
        };
        Login { outcome, answer }
    }

    async fn try_login(
        &self,
        request: &LoginRequest,
        subject: &mut Option<Subject>,
        answer: &mut Option<UpstreamAnswer>,
    ) -> Result<TokenPair, LoginError> {
        self.turn_is_far(&request.from)?;
        let mut patience = Patience::new(self.store_timeout);
        let known = match &self.directory {
            Directory::Users(passwords) => self.know_user(passwords, request, subject, &mut patience).await?,
            Directory::Upstream(upstream) => {
                let person = self.know_by_upstream(upstream, request, answer, &mut patience);
                person.await.inspect(|known| *subject = Some(known.subject.clone()))?
            }
            Directory::None => return Err(LoginError::Internal),
        };
        let pair = self.begin_session(&known, &request.from, &mut patience).await?;
        if let Some((name, old, new)) = known.upgrade {
            // The login stands whether or not the better hash could be kept.
            let upgrade = self.store.upgrade_password(&name, &old, &new);
            if let Err(error) = patience.ask(upgrade).await {
                tracing::warn!(%error, "a password hash was not upgraded");
            }
        }
        Ok(pair)
    }

    /// Checks the password of one of our users.
    async fn know_user(
        &self,
        passwords: &Passwords,
        request: &LoginRequest,
        subject: &mut Option<Subject>,
        patience: &mut Patience,
    ) -> Result<Known, LoginError> {
        // The slot before the store: however many come, no more than that ask it.
        let slot = passwords.slot().await?;
        patience.ask(self.turn_from(&request.from)).await?;
        let (mut account, mut turn) = (None, None);
        if let Some(name) = UserName::parse(&request.name) {
            account = patience.ask(self.store.account(&name)).await?;
            *subject = account.as_ref().map(|account| account.user.subject.clone());
            turn = patience.ask(self.turn_as(name.as_str(), subject.as_ref(), &request.from)).await?;
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
        self.forgive_within(turn, patience).await?;
        let upgrade = match check {
            Check::RightWithOldParameters(new) => Some((user.name, user.password_hash, new)),
            _ => None,
        };
        Ok(Known { subject: user.subject, epochs, claims: user.claims, jar: Jar::default(), upgrade })
    }

    /// Has the application check the password. Whose it is may be known only afterwards: so what was ended is compared with
    /// what had been ended before.
    async fn know_by_upstream(
        &self,
        upstream: &UpstreamLogin,
        request: &LoginRequest,
        answer: &mut Option<UpstreamAnswer>,
        patience: &mut Patience,
    ) -> Result<Known, LoginError> {
        let _slot = upstream.slot().await?;
        patience.ask(self.turn_from(&request.from)).await?;
        let presumed = upstream.presumed(&request.name)?;
        let name = UpstreamLogin::counted_name(&request.name);
        let turn = patience.ask(self.turn_as(&name, presumed.as_ref(), &request.from)).await?;
        let before = patience.ask(self.ends_since(None)).await?;
        let (person, set_cookies) = upstream.ask(request, answer, self.clock.now()).await?;
        let jar = self.first_jar(set_cookies.iter().map(HeaderValue::as_bytes));
        upstream.remember(&request.name, &person.subject);
        self.forgive_within(turn, patience).await?;
        // In this order: an end after the first question is met by the second, or by the session's own comparison.
        let epochs = patience.ask(self.store.epochs(&person.subject)).await?;
        let ends = patience.ask(self.ends_since(Some(&before))).await?;
        if ends.concern(&person.subject) || ends.realm_epoch != before.realm_epoch {
            return Err(LoginError::Refused);
        }
        Ok(Known { subject: person.subject, epochs, claims: person.claims, jar, upgrade: None })
    }

    /// What was ended after an earlier answer to the same question; without one, nothing before now counts.
    async fn ends_since(&self, earlier: Option<&Ends>) -> Result<Ends, StoreError> {
        let mut position = match earlier {
            Some(earlier) => Some(earlier.position.clone()),
            None => self.last_position(),
        };
        let mut subjects = HashSet::new();
        loop {
            let page = self.store.revocations(position.as_ref()).await?;
            if earlier.is_some() {
                subjects.extend(page.revocations.into_iter().filter_map(|revocation| match revocation.revoked {
                    Revoked::SubjectBelow(subject, _) => Some(subject),
                    Revoked::Session(_) | Revoked::RealmBelow(_) => None,
                }));
            }
            if !page.more {
                return Ok(Ends { position: page.cursor, subjects, realm_epoch: page.realm_epoch });
            }
            position = Some(page.cursor);
        }
    }

    async fn forgive_within(&self, turn: Option<Bucket>, patience: &mut Patience) -> Result<(), StoreError> {
        let forgiven = async {
            self.forgive(turn).await;
            Ok::<_, StoreError>(())
        };
        patience.ask(forgiven).await
    }

    /// A session for somebody whose password was right, unless they were ended meanwhile.
    async fn begin_session(
        &self,
        known: &Known,
        from: &Origin,
        patience: &mut Patience,
    ) -> Result<TokenPair, LoginError> {
        let token = self.keys.ratchet().first(SessionId::from_bytes(self.entropy.bytes()), self.entropy.bytes());
        let new_session = NewSession {
            id: token.session(),
            subject: known.subject.clone(),
            client: self.client_id.clone(),
            hash: token.hash(),
            epochs: known.epochs,
            from: from.clone(),
            claims: known.claims.clone(),
            label: None,
            vault: self.seal_first(token.session(), &known.jar).map_err(|error| {
                tracing::error!(%error, "nobody can log in");
                LoginError::Unclear
            })?,
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
            self.audit.record(&Event::new("session_end", "too_many").session(id).from(from));
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
        let session = &self.with_newest_vault(session);
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
