//! A store that never comes back from one of its swaps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sidegate::domain::rotation::SessionState;
use sidegate::domain::secret::Fingerprint;
use sidegate::domain::session::{Epochs, Session, SessionId, Subject};
use sidegate::domain::time::Timestamp;
use sidegate::domain::user::{PasswordHash, User, UserName};
use sidegate::store::{
    Account, Advanced, Created, Cursor, NewSession, Realm, RevocationPage, SealedKey, Store, StoreError, Swap,
};

/// On which side of the statement a swap stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailPoint {
    BeforeTheStatement,
    BeforeItsAnswer,
}

/// The real store, but for one swap.
pub(super) struct FailingStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) point: FailPoint,
    /// How many swaps are still as they should be.
    pub(super) good_swaps: AtomicU32,
}

/// What is printed when the fail point is reached.
pub(super) const REACHED: &str = "at the fail point";

impl FailingStore {
    fn swap_fails(&self) -> bool {
        let left = self.good_swaps.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.is_err()
    }
}

async fn never<T>() -> T {
    println!("{REACHED}");
    std::future::pending().await
}

#[async_trait]
impl Store for FailingStore {
    async fn swap(&self, swap: &Swap) -> Result<Option<Advanced>, StoreError> {
        let fails = self.swap_fails();
        if fails && self.point == FailPoint::BeforeTheStatement {
            return never().await;
        }
        let answer = self.inner.swap(swap).await;
        if fails { never().await } else { answer }
    }

    async fn join(&self, access_ttl: Duration) -> Result<Realm, StoreError> {
        self.inner.join(access_ttl).await
    }

    async fn add_secret(&self, fingerprint: Fingerprint, only_first: bool) -> Result<Vec<Fingerprint>, StoreError> {
        self.inner.add_secret(fingerprint, only_first).await
    }

    async fn signing_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        self.inner.signing_keys().await
    }

    async fn add_first_signing_key(&self, key: &SealedKey) -> Result<bool, StoreError> {
        self.inner.add_first_signing_key(key).await
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

    async fn end_subject(&self, subject: &Subject) -> Result<u64, StoreError> {
        self.inner.end_subject(subject).await
    }

    async fn end_realm(&self) -> Result<u64, StoreError> {
        self.inner.end_realm().await
    }

    async fn revocations(&self, after: Option<&Cursor>) -> Result<RevocationPage, StoreError> {
        self.inner.revocations(after).await
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

    async fn add_user(&self, user: &User) -> Result<bool, StoreError> {
        self.inner.add_user(user).await
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
