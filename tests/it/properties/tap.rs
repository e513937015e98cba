//! Stands between an authority and its store: writes down every swap and every read, stops a request in its middle, and
//! breaks an answer. Decides nothing.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use sidegate::domain::rate::{Bucket, Rate};
use sidegate::domain::revocation::Revocation;
use sidegate::domain::rotation::SessionState;
use sidegate::domain::secret::Fingerprint;
use sidegate::domain::session::{Epochs, Session, SessionId, Subject, TokenHash};
use sidegate::domain::time::Timestamp;
use sidegate::domain::user::{PasswordHash, User, UserName};
use sidegate::store::{
    Account, Advanced, Created, Cursor, KeyChange, Loss, NewSession, PasswordChange, Realm, Replica, ReplicaId,
    RevocationPage, SessionPage, SigningKeys, Store, StoreError, Swap, Taking, VaultChange, VaultPage, Wakeups,
};
use tokio::sync::Notify;

use super::history::{Fault, Point};

pub struct Tap {
    pub inner: Arc<dyn Store>,
    state: Mutex<State>,
    stopped: Notify,
    go: Notify,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    plan: Plan,
}

/// What is to happen to the next request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    pub stop: Option<Point>,
    pub fault: Option<Fault>,
}

/// A statement about one session, in the order in which the store carried them out.
#[derive(Clone, Copy, Debug)]
pub enum Seen {
    /// A swap that was stored.
    Turned { session: SessionId, presented: TokenHash, successor: TokenHash },
    /// A swap that changed nothing.
    Stuck,
    /// The live hash that was read, if there was a row.
    Read(Option<TokenHash>),
}

impl Tap {
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, state: Mutex::default(), stopped: Notify::new(), go: Notify::new() })
    }

    /// How many statements were seen.
    pub fn len(&self) -> usize {
        self.state().seen.len()
    }

    pub fn seen(&self, from: usize) -> Vec<Seen> {
        self.state().seen[from..].to_vec()
    }

    /// Sets what is to happen, and says what was left of the last plan.
    pub fn plan(&self, plan: Plan) -> Plan {
        std::mem::replace(&mut self.state().plan, plan)
    }

    /// Ends when a request has been stopped.
    pub async fn stopped(&self) {
        self.stopped.notified().await;
    }

    pub fn go_on(&self) {
        self.go.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn pass(&self, point: Point) {
        let stops = self.state().plan.stop.take_if(|stop| *stop == point).is_some();
        if stops {
            self.stopped.notify_one();
            self.go.notified().await;
        }
    }

    /// Whether this fault is due; then it is over, or turns into the one that follows.
    fn fails(&self, fault: Fault) -> bool {
        self.state().plan.fault.take_if(|due| *due == fault).is_some()
    }
}

fn broken<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("broken on purpose".into()))
}

#[async_trait]
impl Store for Tap {
    async fn swap(&self, swap: &Swap) -> Result<Option<Advanced>, StoreError> {
        self.pass(Point::BeforeSwap).await;
        if self.fails(Fault::SwapFails) {
            return broken();
        }
        let answer = self.inner.swap(swap).await;
        let seen = match answer {
            Ok(Some(_)) => {
                Some(Seen::Turned { session: swap.session, presented: swap.row_hash, successor: swap.successor })
            }
            Ok(None) => Some(Seen::Stuck),
            Err(_) => None,
        };
        self.state().seen.extend(seen);
        self.pass(Point::AfterSwap).await;
        let silent = self.state().plan.fault == Some(Fault::SwapUnansweredThenSilence);
        if silent || self.fails(Fault::SwapUnanswered) { broken() } else { answer }
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionState>, StoreError> {
        if self.fails(Fault::SwapUnansweredThenSilence) {
            return broken();
        }
        let answer = self.inner.session(id).await;
        let seen = answer.as_ref().map(|row| Seen::Read(row.as_ref().map(|row| row.session.hash)));
        self.state().seen.extend(seen);
        self.pass(Point::AfterRead).await;
        answer
    }

    async fn end_session(&self, id: SessionId) -> Result<bool, StoreError> {
        if self.fails(Fault::EndFails) { broken() } else { self.inner.end_session(id).await }
    }

    async fn join(&self, access_ttl: Duration) -> Result<Realm, StoreError> {
        self.inner.join(access_ttl).await
    }

    async fn add_secret(&self, fingerprint: Fingerprint, only_first: bool) -> Result<Vec<Fingerprint>, StoreError> {
        self.inner.add_secret(fingerprint, only_first).await
    }

    async fn remove_secret(&self, fingerprint: Fingerprint) -> Result<bool, StoreError> {
        self.inner.remove_secret(fingerprint).await
    }

    async fn signing_keys(&self) -> Result<SigningKeys, StoreError> {
        self.inner.signing_keys().await
    }

    async fn change_keys(&self, version: u64, change: &KeyChange) -> Result<bool, StoreError> {
        self.inner.change_keys(version, change).await
    }

    async fn report(&self, replica: &Replica) -> Result<(), StoreError> {
        self.inner.report(replica).await
    }

    async fn replicas(&self, live: Duration) -> Result<Vec<Replica>, StoreError> {
        self.inner.replicas(live).await
    }

    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError> {
        self.inner.leave(replica).await
    }

    async fn take(&self, bucket: Bucket, rate: Rate) -> Result<Taking, StoreError> {
        self.inner.take(bucket, rate).await
    }

    async fn refill(&self, bucket: Bucket) -> Result<(), StoreError> {
        self.inner.refill(bucket).await
    }

    async fn epochs(&self, subject: &Subject) -> Result<Epochs, StoreError> {
        self.inner.epochs(subject).await
    }

    async fn create_session(&self, session: &NewSession) -> Result<Created, StoreError> {
        self.inner.create_session(session).await
    }

    async fn sessions_of(&self, subject: &Subject) -> Result<Vec<Session>, StoreError> {
        self.inner.sessions_of(subject).await
    }

    async fn living_sessions(&self, after: Option<SessionId>, most: u32) -> Result<SessionPage, StoreError> {
        self.inner.living_sessions(after, most).await
    }

    async fn end_sessions(&self, ids: &[SessionId]) -> Result<u64, StoreError> {
        self.inner.end_sessions(ids).await
    }

    async fn end_subject(&self, subject: &Subject) -> Result<u64, StoreError> {
        self.inner.end_subject(subject).await
    }

    async fn end_others(&self, subject: &Subject, session: SessionId) -> Result<u64, StoreError> {
        self.inner.end_others(subject, session).await
    }

    async fn end_realm(&self) -> Result<u64, StoreError> {
        self.inner.end_realm().await
    }

    async fn revocations(&self, after: Option<&Cursor>) -> Result<RevocationPage, StoreError> {
        self.inner.revocations(after).await
    }

    async fn listen(&self) -> Result<Option<Box<dyn Wakeups>>, StoreError> {
        self.inner.listen().await
    }

    async fn wake(&self) -> Result<(), StoreError> {
        self.inner.wake().await
    }

    async fn beat(&self, every: Duration) -> Result<Option<u64>, StoreError> {
        self.inner.beat(every).await
    }

    async fn ask(&self) -> Result<u64, StoreError> {
        self.inner.ask().await
    }

    async fn note_rollback(&self, loss: &Loss) -> Result<bool, StoreError> {
        self.inner.note_rollback(loss).await
    }

    async fn restore(&self, revocations: &[Revocation]) -> Result<u64, StoreError> {
        self.inner.restore(revocations).await
    }

    async fn change_vault(&self, change: &VaultChange) -> Result<bool, StoreError> {
        self.inner.change_vault(change).await
    }

    async fn vault_changes(&self, after: Option<&Cursor>) -> Result<VaultPage, StoreError> {
        self.inner.vault_changes(after).await
    }

    async fn purge(&self, keep: Duration, most: u32) -> Result<u64, StoreError> {
        self.inner.purge(keep, most).await
    }

    async fn account(&self, name: &UserName) -> Result<Option<Account>, StoreError> {
        self.inner.account(name).await
    }

    async fn account_of(&self, subject: &Subject) -> Result<Option<Account>, StoreError> {
        self.inner.account_of(subject).await
    }

    async fn change_password(&self, change: &PasswordChange) -> Result<Option<Advanced>, StoreError> {
        self.inner.change_password(change).await
    }

    async fn users(&self) -> Result<Vec<User>, StoreError> {
        self.inner.users().await
    }

    async fn add_users(&self, users: &[User]) -> Result<bool, StoreError> {
        self.inner.add_users(users).await
    }

    async fn set_password(&self, name: &UserName, hash: &PasswordHash) -> Result<Option<u64>, StoreError> {
        self.inner.set_password(name, hash).await
    }

    async fn upgrade_password(
        &self,
        name: &UserName,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError> {
        self.inner.upgrade_password(name, old, new).await
    }

    async fn set_disabled(&self, name: &UserName, disabled: bool) -> Result<bool, StoreError> {
        self.inner.set_disabled(name, disabled).await
    }

    async fn remove_user(&self, name: &UserName) -> Result<bool, StoreError> {
        self.inner.remove_user(name).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }
}
