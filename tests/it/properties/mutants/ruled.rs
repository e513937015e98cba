//! The refresh loop again, small, with the rule as an argument. Makes no access tokens.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use sidegate::clock::Entropy;
use sidegate::domain::refresh_token::{IdempotencyKey, Ratchet, RefreshToken};
use sidegate::domain::revocation::Revoked;
use sidegate::domain::rotation::{Attempt, RotationPolicy, SessionState, Suspicion, Verdict};
use sidegate::domain::session::{Origin, Salt, SessionId, Subject, TokenHash};
use sidegate::domain::user::UserName;
use sidegate::store::{Account, Created, NewSession, Store, StoreError, Swap};

use super::Judge;
use crate::properties::system::{Answer, CLIENT, Given, IDLE, LONGEST, MOST, Presented, System, secret};
use crate::properties::tap::Tap;

/// What is judged, and what is done about it.
#[derive(Clone, Copy)]
pub struct Rule {
    pub judge: Judge,
    pub on_late: OnLate,
    pub on_repeat: OnRepeat,
    pub on_reuse: OnReuse,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OnLate {
    Refuse,
    GiveTheLiveToken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OnRepeat {
    Same,
    /// Another child of the same parent, as good as the first.
    Sibling,
    /// The live token's successor.
    TurnAgain,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OnReuse {
    EndSession,
    RefuseOnly,
    EndSubject,
}

pub struct Ruled {
    rule: Rule,
    store: Arc<Tap>,
    ratchet: Ratchet,
    policy: RotationPolicy,
    /// Every token, for rules that remember them.
    made: Mutex<HashMap<TokenHash, RefreshToken>>,
    siblings: Mutex<HashSet<TokenHash>>,
    /// Sessions that have ended as far as a replica knows, and whether that is stored.
    ended: Mutex<HashMap<(usize, SessionId), bool>>,
}

impl Ruled {
    pub fn new(rule: Rule, store: Arc<Tap>, policy: &RotationPolicy) -> Self {
        let ratchet = Ratchet::new("default", &secret(), &[]);
        let (made, siblings, ended) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { rule, store, ratchet, policy: policy.clone(), made, siblings, ended }
    }

    fn give(&self, token: &RefreshToken) -> Answer {
        self.made.lock().unwrap().insert(token.hash(), token.clone());
        Answer::Given(Given { refresh: token.expose().to_string(), access: None, expires_in: 0 })
    }

    fn swap(&self, token: &RefreshToken, request: &Presented) -> Option<(Swap, RefreshToken)> {
        let salt = Salt(Entropy.bytes());
        let successor = self.ratchet.successor(token, salt)?;
        let key = request.key.as_deref().and_then(IdempotencyKey::parse);
        let swap = Swap {
            session: token.session(),
            client: CLIENT.to_owned(),
            generation: token.generation(),
            row_hash: token.hash(),
            behind: 0,
            successor: successor.hash(),
            salt,
            key: key.and_then(|key| self.ratchet.idempotency_mac(token, &key)),
            from: request.from.clone(),
            idle_ttl: IDLE,
            longest_window: self.policy.longest_window(),
        };
        Some((swap, successor))
    }

    async fn try_refresh(&self, replica: usize, request: &Presented) -> Result<Answer, StoreError> {
        let Ok(token) = self.ratchet.open(&request.token) else { return Ok(Answer::Refused("not_a_token")) };
        if request.client.is_some_and(|client| client != CLIENT) {
            return Ok(Answer::Refused("other_client"));
        }
        if self.ended.lock().unwrap().get(&(replica, token.session())) == Some(&true) {
            return Ok(Answer::Refused("ended"));
        }
        let Some((swap, successor)) = self.swap(&token, request) else {
            return Ok(Answer::Refused("last_generation"));
        };
        for _ in 0..4 {
            if let Ok(Some(_)) = self.store.swap(&swap).await {
                let ended = self.has_ended(replica, token.session()).await?;
                return Ok(ended.unwrap_or_else(|| self.give(&successor)));
            }
            let row = self.store.session(token.session()).await?;
            let attempt = Attempt {
                token: &token,
                client: CLIENT,
                successor: Some(successor.hash()),
                key: swap.key,
                in_cookie: false,
                from: &swap.from,
                arrived: row.as_ref().map(|row| row.now).unwrap_or_default(),
            };
            match (self.rule.judge)(&attempt, row.as_ref(), &self.ratchet, &self.policy) {
                Verdict::Live => {}
                Verdict::Mine => {
                    let ended = self.has_ended(replica, token.session()).await?;
                    return Ok(ended.unwrap_or_else(|| self.give(&successor)));
                }
                Verdict::Repeat(live) => match self.has_ended(replica, token.session()).await? {
                    Some(ended) => return Ok(ended),
                    None => return self.repeat(&token, &live, request).await,
                },
                Verdict::Ended => return Ok(Answer::Refused("ended")),
                Verdict::Late => return Ok(self.late(row)),
                Verdict::Ahead | Verdict::Adopt => return Ok(Answer::Refused("ahead")),
                Verdict::Reuse(suspicion) => return self.reuse(replica, token.session(), row, suspicion).await,
            }
        }
        Ok(Answer::Unavailable)
    }

    /// What the replica has ended it ends again, before it says so.
    async fn has_ended(&self, replica: usize, session: SessionId) -> Result<Option<Answer>, StoreError> {
        if !self.ended.lock().unwrap().contains_key(&(replica, session)) {
            return Ok(None);
        }
        self.end(replica, session).await?;
        Ok(Some(Answer::Refused("revoked")))
    }

    async fn end(&self, replica: usize, session: SessionId) -> Result<(), StoreError> {
        let stored = self.store.end_session(session).await;
        self.ended.lock().unwrap().insert((replica, session), stored.is_ok());
        stored.map(drop)
    }

    async fn repeat(
        &self,
        parent: &RefreshToken,
        live: &RefreshToken,
        request: &Presented,
    ) -> Result<Answer, StoreError> {
        match self.rule.on_repeat {
            OnRepeat::Same => Ok(self.give(live)),
            OnRepeat::Sibling => {
                let sibling = self.ratchet.successor(parent, Salt(Entropy.bytes())).unwrap();
                self.siblings.lock().unwrap().insert(sibling.hash());
                Ok(self.give(&sibling))
            }
            OnRepeat::TurnAgain => {
                let (swap, next) = self.swap(live, request).unwrap();
                let turned = self.store.swap(&swap).await?.is_some();
                Ok(if turned { self.give(&next) } else { Answer::Late })
            }
        }
    }

    fn late(&self, row: Option<SessionState>) -> Answer {
        let live = row.and_then(|row| self.made.lock().unwrap().get(&row.session.hash).cloned());
        match (self.rule.on_late, live) {
            (OnLate::GiveTheLiveToken, Some(live)) => self.give(&live),
            _ => Answer::Late,
        }
    }

    async fn reuse(
        &self,
        replica: usize,
        session: SessionId,
        row: Option<SessionState>,
        suspicion: Suspicion,
    ) -> Result<Answer, StoreError> {
        match (self.rule.on_reuse, row) {
            (OnReuse::RefuseOnly, _) => {}
            (OnReuse::EndSubject, Some(row)) => drop(self.store.end_subject(&row.session.subject).await?),
            _ => self.end(replica, session).await?,
        }
        Ok(Answer::Refused(match suspicion {
            Suspicion::Confirmed => "reuse_confirmed",
            Suspicion::Unconfirmed => "reuse_unconfirmed",
        }))
    }
}

impl System for Ruled {
    /// Whatever the password is: this is not about passwords.
    async fn login(&self, replica: usize, name: &str, _: &str, from: &Origin) -> Option<Given> {
        let Account { user, epochs } = self.store.account(&UserName::parse(name).unwrap()).await.unwrap()?;
        let token = self.ratchet.first(SessionId::from_bytes(Entropy.bytes()), Entropy.bytes());
        let session = NewSession {
            id: token.session(),
            epochs,
            subject: user.subject,
            client: CLIENT.to_owned(),
            hash: token.hash(),
            from: from.clone(),
            claims: user.claims,
            label: None,
            vault: None,
            idle_ttl: IDLE,
            max_ttl: LONGEST,
            most: MOST,
        };
        let created = self.store.create_session(&session).await.unwrap();
        match (created, self.give(&token)) {
            (Created::Stored { ended, .. }, Answer::Given(given)) => {
                self.ended.lock().unwrap().extend(ended.into_iter().map(|session| ((replica, session), true)));
                Some(given)
            }
            _ => None,
        }
    }

    async fn refresh(&self, replica: usize, request: &Presented) -> Answer {
        self.try_refresh(replica, request).await.unwrap_or(Answer::Unavailable)
    }

    async fn logout(&self, replica: usize, token: &str) -> bool {
        match self.ratchet.open(token) {
            Ok(token) => self.end(replica, token.session()).await.is_ok(),
            Err(_) => true,
        }
    }

    async fn logout_all(&self, _: usize, subject: &Subject, _: Option<&str>) -> bool {
        self.store.end_subject(subject).await.is_ok()
    }

    fn accepts(&self, _: usize, _: &str) -> Option<bool> {
        None
    }

    async fn follow(&self, replica: usize) {
        let page = self.store.inner.revocations(None).await.unwrap();
        let mut ended = self.ended.lock().unwrap();
        for revocation in page.revocations {
            if let Revoked::Session(session) = revocation.revoked {
                ended.entry((replica, session)).or_insert(true);
            }
        }
    }

    fn hidden(&self) -> Vec<TokenHash> {
        self.siblings.lock().unwrap().iter().copied().collect()
    }
}
