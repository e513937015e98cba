//! A store whose swaps a test can hold up, before the statement or before its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sidegate::boot::{self, Running};
use sidegate::clock::{Entropy, SharedClock, SystemClock};
use sidegate::domain::rate::{Bucket, Rate};
use sidegate::domain::revocation::Revocation;
use sidegate::domain::rotation::SessionState;
use sidegate::domain::secret::Fingerprint;
use sidegate::domain::session::{Epochs, Session, SessionId, Subject};
use sidegate::domain::time::Timestamp;
use sidegate::domain::user::{PasswordHash, User, UserName};
use sidegate::store::{
    self, Account, Advanced, Created, Cursor, KeyChange, Loss, NewSession, PasswordChange, Realm, Replica, ReplicaId,
    RevocationPage, SessionPage, SigningKeys, Store, StoreError, Swap, Taking, VaultChange, VaultPage, Wakeups,
};
use tokio::sync::Semaphore;

use crate::support::deployment::Deployment;

/// What a test does around each swap, and before what happens by itself.
#[async_trait]
pub(super) trait AroundSwap: Send + Sync + 'static {
    async fn before(&self) {}
    async fn after(&self) {}
    /// What a background task does.
    async fn before_page(&self) {}
    async fn before_beat(&self) {}
}

/// The real store, with a test around its swaps.
pub(super) struct HookedStore<H> {
    pub(super) inner: Arc<dyn Store>,
    pub(super) hook: H,
}

#[async_trait]
impl<H: AroundSwap> Store for HookedStore<H> {
    async fn swap(&self, swap: &Swap) -> Result<Option<Advanced>, StoreError> {
        self.hook.before().await;
        let answer = self.inner.swap(swap).await;
        self.hook.after().await;
        answer
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

    async fn session(&self, id: SessionId) -> Result<Option<SessionState>, StoreError> {
        self.inner.session(id).await
    }

    async fn sessions_of(&self, subject: &Subject) -> Result<Vec<Session>, StoreError> {
        self.inner.sessions_of(subject).await
    }

    async fn end_session(&self, id: SessionId) -> Result<bool, StoreError> {
        self.inner.end_session(id).await
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
        self.hook.before_page().await;
        self.inner.revocations(after).await
    }

    async fn listen(&self) -> Result<Option<Box<dyn Wakeups>>, StoreError> {
        self.inner.listen().await
    }

    async fn wake(&self) -> Result<(), StoreError> {
        self.inner.wake().await
    }

    async fn beat(&self, every: Duration) -> Result<Option<u64>, StoreError> {
        self.hook.before_beat().await;
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

    async fn users(&self) -> Result<Vec<User>, StoreError> {
        self.inner.users().await
    }

    async fn add_users(&self, users: &[User]) -> Result<bool, StoreError> {
        self.inner.add_users(users).await
    }

    async fn set_password(&self, name: &UserName, hash: &PasswordHash) -> Result<Option<u64>, StoreError> {
        self.inner.set_password(name, hash).await
    }

    async fn account_of(&self, subject: &Subject) -> Result<Option<Account>, StoreError> {
        self.inner.account_of(subject).await
    }

    async fn change_password(&self, change: &PasswordChange) -> Result<Option<Advanced>, StoreError> {
        self.inner.change_password(change).await
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

/// A sidegate in this process, on a hooked store.
pub(super) async fn hooked(deployment: &Deployment, hook: impl AroundSwap) -> Running {
    let config = deployment.config();
    let clock: SharedClock = Arc::new(SystemClock);
    let opening = async {
        let inner = store::open(&config.store, &config.realm, Arc::clone(&clock)).await?;
        Ok(Arc::new(HookedStore { inner, hook }) as Arc<dyn Store>)
    };
    boot::start_on(opening, &config, Arc::clone(&clock), Entropy).await.unwrap()
}

/// A sidegate in this process that can be told to hold up one swap.
pub(super) struct Holding {
    pub(super) running: Running,
    armed: Arc<AtomicBool>,
    reached: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    BeforeTheStatement,
    AfterTheStatement,
}

impl Holding {
    pub(super) async fn start(deployment: &Deployment, side: Side) -> Self {
        let armed = Arc::new(AtomicBool::new(false));
        let (reached, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let hook = Hold { side, armed: Arc::clone(&armed), reached: Arc::clone(&reached), go_on: Arc::clone(&go_on) };
        Self { running: hooked(deployment, hook).await, armed, reached, go_on }
    }

    /// The next swap will be held up.
    pub(super) fn hold_next(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Waits for that swap.
    pub(super) async fn held(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    pub(super) fn let_go(&self) {
        self.go_on.add_permits(1);
    }
}

struct Hold {
    side: Side,
    armed: Arc<AtomicBool>,
    reached: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

impl Hold {
    async fn at(&self, side: Side) {
        if side == self.side && self.armed.swap(false, Ordering::SeqCst) {
            self.reached.add_permits(1);
            self.go_on.acquire().await.unwrap().forget();
        }
    }
}

#[async_trait]
impl AroundSwap for Hold {
    async fn before(&self) {
        self.at(Side::BeforeTheStatement).await;
    }

    async fn after(&self) {
        self.at(Side::AfterTheStatement).await;
    }
}
