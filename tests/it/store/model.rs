//! The contract as a program that is obviously right: maps in memory, no SQL, one lock.
//!
//! Real stores are compared with it, answer by answer; other tests use it as a store that is always there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use sidegate::clock::SharedClock;
use sidegate::domain::history::{Mark, Rollback};
use sidegate::domain::rate::{Bucket, Rate};
use sidegate::domain::revocation::{ALLOWANCE, Revocation, Revoked};
use sidegate::domain::rotation::SessionState;
use sidegate::domain::secret::Fingerprint;
use sidegate::domain::session::{Epochs, Origin, RecentRotation, RecentRotations, Session, SessionId, Subject};
use sidegate::domain::time::Timestamp;
use sidegate::domain::user::{PasswordHash, User, UserName};
use sidegate::store::{
    Account, Advanced, ChangedVault, Created, Cursor, KeyChange, Loss, NewSession, PasswordChange, Realm, Replica,
    ReplicaId, RevocationPage, SessionPage, SigningKeys, Store, StoreError, StoredKey, Swap, Taking, VaultChange,
    VaultPage,
};

/// A store of one realm, in memory.
#[derive(Debug)]
pub struct Model {
    rows: Mutex<Rows>,
    clock: SharedClock,
}

#[derive(Debug, Default)]
struct Rows {
    realm_epoch: u64,
    access_ttl: Duration,
    secrets: Vec<Fingerprint>,
    /// Whether the realm has a row: without one, nothing counts the changes of its keys.
    exists: bool,
    keys: Vec<StoredKey>,
    keys_version: u64,
    replicas: BTreeMap<ReplicaId, (Replica, Timestamp)>,
    buckets: BTreeMap<[u8; 32], Timestamp>,
    subject_epochs: BTreeMap<Subject, u64>,
    sessions: BTreeMap<SessionId, Session>,
    revocations: BTreeMap<u64, Revocation>,
    recorded: u64,
    vaults: BTreeMap<u64, ChangedVault>,
    vaults_recorded: u64,
    users: BTreeMap<UserName, User>,
    /// Begins when somebody joins.
    history: Option<History>,
}

#[derive(Clone, Copy, Debug, Default)]
struct History {
    beat: u64,
    beaten: Timestamp,
    asked: u64,
    rollback: Option<Rollback>,
}

/// It is always the same.
const SERVER: &str = "model";

impl Model {
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { rows: Mutex::default(), clock })
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }
}

impl Rows {
    fn epochs(&self, subject: &Subject) -> Epochs {
        Epochs { realm: self.realm_epoch, subject: self.subject_epochs.get(subject).copied().unwrap_or(0) }
    }

    fn is_alive(&self, session: &Session, now: Timestamp) -> bool {
        !session.has_expired(now) && session.epochs == self.epochs(&session.subject)
    }

    /// Living sessions of a subject, newest first.
    fn sessions_of(&self, subject: &Subject, now: Timestamp) -> Vec<Session> {
        let living = |session: &&Session| session.subject == *subject && self.is_alive(session, now);
        let mut sessions: Vec<Session> = self.sessions.values().filter(living).cloned().collect();
        sessions.sort_by_key(|session| std::cmp::Reverse((session.created, session.id)));
        sessions
    }

    /// Says whether it was missing.
    fn restore(&mut self, revocation: &Revocation) -> bool {
        let known = |known: &dyn Fn(&Revoked) -> bool| self.revocations.values().any(|held| known(&held.revoked));
        let is_known = match &revocation.revoked {
            Revoked::Session(id) => known(&|held| *held == Revoked::Session(*id)),
            Revoked::SubjectBelow(subject, epoch) => {
                known(&|held| matches!(held, Revoked::SubjectBelow(of, below) if of == subject && below >= epoch))
            }
            Revoked::RealmBelow(epoch) => {
                let lost = self.exists && self.realm_epoch < *epoch;
                self.realm_epoch = if lost { *epoch } else { self.realm_epoch };
                return lost;
            }
        };
        match &revocation.revoked {
            Revoked::Session(id) => drop(self.sessions.remove(id)),
            Revoked::SubjectBelow(subject, epoch) => {
                let held = self.subject_epochs.entry(subject.clone()).or_default();
                *held = (*held).max(*epoch);
            }
            Revoked::RealmBelow(_) => {}
        }
        if !is_known {
            self.recorded += 1;
            self.revocations.insert(self.recorded, revocation.clone());
        }
        !is_known
    }

    fn revoke(&mut self, revoked: Revoked, now: Timestamp) {
        self.recorded += 1;
        let until = now.plus(self.access_ttl + ALLOWANCE);
        self.revocations.insert(self.recorded, Revocation { revoked, until });
    }

    fn bump(&mut self, subject: &Subject, now: Timestamp) -> u64 {
        let epoch = self.subject_epochs.entry(subject.clone()).or_default();
        *epoch += 1;
        let epoch = *epoch;
        self.revoke(Revoked::SubjectBelow(subject.clone(), epoch), now);
        epoch
    }
}

#[async_trait]
impl Store for Model {
    async fn join(&self, access_ttl: Duration) -> Result<Realm, StoreError> {
        let mut rows = self.rows();
        rows.exists = true;
        let beaten = self.clock.now();
        rows.history.get_or_insert(History { beaten, ..History::default() });
        rows.access_ttl = rows.access_ttl.max(access_ttl);
        Ok(Realm { epoch: rows.realm_epoch, secrets: rows.secrets.clone(), now: self.clock.now() })
    }

    async fn add_secret(&self, fingerprint: Fingerprint, only_first: bool) -> Result<Vec<Fingerprint>, StoreError> {
        let mut rows = self.rows();
        let wanted = rows.secrets.is_empty() || !only_first;
        if wanted && !rows.secrets.contains(&fingerprint) {
            rows.secrets.push(fingerprint);
        }
        Ok(rows.secrets.clone())
    }

    async fn remove_secret(&self, fingerprint: Fingerprint) -> Result<bool, StoreError> {
        let mut rows = self.rows();
        let before = rows.secrets.len();
        rows.secrets.retain(|known| *known != fingerprint);
        Ok(rows.secrets.len() < before)
    }

    async fn signing_keys(&self) -> Result<SigningKeys, StoreError> {
        let rows = self.rows();
        Ok(SigningKeys {
            version: rows.keys_version,
            list: rows.keys.clone(),
            longest_access_ttl: rows.access_ttl,
            now: self.clock.now(),
        })
    }

    async fn change_keys(&self, version: u64, change: &KeyChange) -> Result<bool, StoreError> {
        let mut rows = self.rows();
        let now = self.clock.now();
        if !rows.exists || rows.keys_version != version {
            return Ok(false);
        }
        rows.keys_version += 1;
        let mut changeable = |kid: &str, change: &dyn Fn(&mut StoredKey)| {
            rows.keys.iter_mut().filter(|key| key.key.kid == kid && key.banned.is_none()).for_each(change);
        };
        match change {
            KeyChange::Add(key, signs_after) => {
                if rows.keys.iter().all(|known| known.key.kid != key.kid) {
                    let signs_from = signs_after.map(|delay| now.plus(delay));
                    rows.keys.push(StoredKey { key: key.clone(), added: now, signs_from, banned: None });
                }
            }
            KeyChange::Sign(kid, delay) => changeable(kid, &|key| {
                key.signs_from = key.signs_from.or(Some(now.plus(*delay)));
            }),
            KeyChange::Reseal(new) => changeable(&new.kid, &|key| {
                (key.key.secret, key.key.sealed) = (new.secret, new.sealed.clone());
            }),
            KeyChange::Ban(kid) => changeable(kid, &|key| {
                (key.banned, key.key.sealed) = (Some(now), Vec::new());
            }),
            KeyChange::Remove(kid) => rows.keys.retain(|key| key.key.kid != *kid || key.banned.is_some()),
        }
        Ok(true)
    }

    async fn report(&self, replica: &Replica) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.rows().replicas.insert(replica.id, (replica.clone(), now));
        Ok(())
    }

    async fn replicas(&self, live: Duration) -> Result<Vec<Replica>, StoreError> {
        let rows = self.rows();
        let now = self.clock.now();
        let lives = |(replica, seen): &(Replica, Timestamp)| (*seen >= now.minus(live)).then(|| replica.clone());
        Ok(rows.replicas.values().filter_map(lives).collect())
    }

    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError> {
        self.rows().replicas.remove(&replica);
        Ok(())
    }

    async fn take(&self, bucket: Bucket, rate: Rate) -> Result<Taking, StoreError> {
        let mut rows = self.rows();
        let whole_at = rows.buckets.get(bucket.as_bytes()).copied();
        Ok(match rate.take(whole_at, self.clock.now()) {
            Ok(whole_at) => {
                rows.buckets.insert(*bucket.as_bytes(), whole_at);
                Taking::Taken
            }
            Err(wait) => Taking::Wait(wait),
        })
    }

    async fn refill(&self, bucket: Bucket) -> Result<(), StoreError> {
        self.rows().buckets.remove(bucket.as_bytes());
        Ok(())
    }

    async fn epochs(&self, subject: &Subject) -> Result<Epochs, StoreError> {
        Ok(self.rows().epochs(subject))
    }

    async fn create_session(&self, new: &NewSession) -> Result<Created, StoreError> {
        let mut rows = self.rows();
        let now = self.clock.now();
        if rows.epochs(&new.subject) != new.epochs {
            return Ok(Created::EpochMoved);
        }
        let others = rows.sessions_of(&new.subject, now);
        let kept = usize::try_from(new.most.max(1)).unwrap() - 1;
        let ended: Vec<SessionId> = others.iter().skip(kept).map(|session| session.id).rev().collect();
        for id in &ended {
            rows.sessions.remove(id);
            rows.revoke(Revoked::Session(*id), now);
        }
        let absolute_end = now.plus(new.max_ttl);
        let session = Session {
            id: new.id,
            subject: new.subject.clone(),
            client: kept_text(&new.client),
            generation: 0,
            hash: new.hash,
            salt: None,
            recent: RecentRotations::default(),
            epochs: new.epochs,
            created: now,
            rotated: now,
            idle_end: now.plus(new.idle_ttl).min(absolute_end),
            absolute_end,
            login_from: kept_origin(&new.from),
            last_from: kept_origin(&new.from),
            claims: new.claims.clone(),
            label: new.label.as_deref().map(kept_text),
            vault: new.vault.clone(),
        };
        rows.sessions.insert(new.id, session.clone());
        Ok(Created::Stored { session: Box::new(session), ended })
    }

    async fn swap(&self, swap: &Swap) -> Result<Option<Advanced>, StoreError> {
        let mut rows = self.rows();
        let now = self.clock.now();
        let Some(session) = rows.sessions.get(&swap.session).filter(|session| rows.is_alive(session, now)) else {
            return Ok(None);
        };
        let expected = (swap.client.as_str(), swap.generation.checked_sub(swap.behind), swap.row_hash);
        if expected != (session.client.as_str(), Some(session.generation), session.hash) {
            return Ok(None);
        }
        let Some(generation) = swap.generation.checked_add(1) else {
            return Ok(None);
        };
        let entry = RecentRotation { generation: swap.generation, at: now, key: swap.key };
        let session = Session {
            generation,
            hash: swap.successor,
            salt: Some(swap.salt),
            recent: session.recent.after(entry, session.rotated, now.minus(swap.longest_window)),
            rotated: now,
            idle_end: now.plus(swap.idle_ttl).min(session.absolute_end),
            last_from: kept_origin(&swap.from),
            ..session.clone()
        };
        rows.sessions.insert(session.id, session.clone());
        Ok(Some(Advanced { session, now }))
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionState>, StoreError> {
        let rows = self.rows();
        Ok(rows.sessions.get(&id).map(|session| SessionState {
            session: session.clone(),
            current: rows.epochs(&session.subject),
            now: self.clock.now(),
            rollback: rows.history.unwrap_or_default().rollback,
        }))
    }

    async fn sessions_of(&self, subject: &Subject) -> Result<Vec<Session>, StoreError> {
        Ok(self.rows().sessions_of(subject, self.clock.now()))
    }

    async fn end_session(&self, id: SessionId) -> Result<bool, StoreError> {
        let mut rows = self.rows();
        let existed = rows.sessions.remove(&id).is_some();
        if existed {
            rows.revoke(Revoked::Session(id), self.clock.now());
        }
        Ok(existed)
    }

    async fn living_sessions(&self, after: Option<SessionId>, most: u32) -> Result<SessionPage, StoreError> {
        let rows = self.rows();
        let now = self.clock.now();
        let looked = rows.sessions.values().filter(|session| Some(session.id) > after).take(most as usize);
        let looked: Vec<&Session> = looked.collect();
        let next = looked.last().filter(|_| looked.len() >= most as usize).map(|session| session.id);
        let sessions = looked.into_iter().filter(|session| rows.is_alive(session, now)).cloned().collect();
        Ok(SessionPage { sessions, next })
    }

    async fn end_sessions(&self, ids: &[SessionId]) -> Result<u64, StoreError> {
        let mut ended = 0;
        for id in ids {
            ended += u64::from(self.end_session(*id).await?);
        }
        Ok(ended)
    }

    async fn end_subject(&self, subject: &Subject) -> Result<u64, StoreError> {
        Ok(self.rows().bump(subject, self.clock.now()))
    }

    async fn end_others(&self, subject: &Subject, session: SessionId) -> Result<u64, StoreError> {
        let mut rows = self.rows();
        let epoch = rows.bump(subject, self.clock.now());
        let lived = |session: &&mut Session| session.subject == *subject && session.epochs.subject == epoch - 1;
        if let Some(session) = rows.sessions.get_mut(&session).filter(lived) {
            session.epochs.subject = epoch;
        }
        Ok(epoch)
    }

    async fn end_realm(&self) -> Result<u64, StoreError> {
        let mut rows = self.rows();
        rows.exists = true;
        rows.realm_epoch += 1;
        let epoch = rows.realm_epoch;
        rows.revoke(Revoked::RealmBelow(epoch), self.clock.now());
        Ok(epoch)
    }

    async fn revocations(&self, after: Option<&Cursor>) -> Result<RevocationPage, StoreError> {
        let rows = self.rows();
        let now = self.clock.now();
        let after = after.and_then(|cursor| cursor.0.parse::<u64>().ok()).filter(|after| *after <= rows.recorded);
        let revocations = match after {
            None => rows.revocations.values().filter(|revocation| revocation.until > now).cloned().collect(),
            Some(after) => rows.revocations.range(after + 1..).map(|(_, revocation)| revocation.clone()).collect(),
        };
        let cursor = Cursor(rows.recorded.to_string());
        let (realm_epoch, keys_version) = (rows.realm_epoch, rows.keys_version);
        let History { beat, beaten, asked, rollback } = rows.history.unwrap_or_default();
        let mark = Mark { server: SERVER.into(), known: SERVER.into(), beat, beaten, rollback };
        Ok(RevocationPage { revocations, cursor, more: false, realm_epoch, keys_version, asked, mark, now })
    }

    async fn beat(&self, every: Duration) -> Result<Option<u64>, StoreError> {
        let (now, mut rows) = (self.clock.now(), self.rows());
        if rows.history.is_some_and(|history| now.since(history.beaten) < every && history.beaten <= now) {
            return Ok(None);
        }
        let history = rows.history.get_or_insert_default();
        (history.beat, history.beaten) = (history.beat + 1, now);
        Ok(Some(history.beat))
    }

    async fn ask(&self) -> Result<u64, StoreError> {
        let (now, mut rows) = (self.clock.now(), self.rows());
        let history = rows.history.get_or_insert(History { beaten: now, ..History::default() });
        history.asked += 1;
        Ok(history.asked)
    }

    async fn note_rollback(&self, Loss { id, mark, seen, live }: &Loss) -> Result<bool, StoreError> {
        let (noticed, mut rows) = (self.clock.now(), self.rows());
        let Some(history) = rows.history.filter(|history| history.beat == mark.beat) else {
            return Ok(false);
        };
        let asked = history.asked + 1000;
        let since = history.beaten;
        for (_, last_seen) in rows.replicas.values_mut().filter(|(_, last_seen)| *last_seen >= since.minus(*live)) {
            *last_seen = noticed.max(*last_seen);
        }
        rows.keys_version += if rows.exists { 1000 } else { 0 };
        let rollback = Some(Rollback { id: *id, since, noticed, asked });
        rows.history = Some(History { beat: history.beat.max(*seen) + 1000, beaten: noticed, asked, rollback });
        Ok(true)
    }

    async fn restore(&self, revocations: &[Revocation]) -> Result<u64, StoreError> {
        let mut rows = self.rows();
        let mut restored = 0;
        for revocation in revocations {
            restored += u64::from(rows.restore(revocation));
        }
        Ok(restored)
    }

    async fn change_vault(&self, change: &VaultChange) -> Result<bool, StoreError> {
        let mut rows = self.rows();
        let Some(session) = rows.sessions.get_mut(&change.session) else { return Ok(false) };
        if session.vault.as_ref().map_or(0, |vault| vault.version) != change.expected {
            return Ok(false);
        }
        session.vault = Some(change.jar.clone());
        let until = self.clock.now().plus(rows.access_ttl + ALLOWANCE);
        rows.vaults.retain(|_, known| known.session != change.session);
        rows.vaults_recorded += 1;
        let seq = rows.vaults_recorded;
        rows.vaults.insert(seq, ChangedVault { session: change.session, jar: change.jar.clone(), until });
        Ok(true)
    }

    async fn vault_changes(&self, after: Option<&Cursor>) -> Result<VaultPage, StoreError> {
        let rows = self.rows();
        let now = self.clock.now();
        let after =
            after.and_then(|cursor| cursor.0.parse::<u64>().ok()).filter(|after| *after <= rows.vaults_recorded);
        let changes = match after {
            None => rows.vaults.values().filter(|change| change.until > now).cloned().collect(),
            Some(after) => rows.vaults.range(after + 1..).map(|(_, change)| change.clone()).collect(),
        };
        Ok(VaultPage { changes, cursor: Cursor(rows.vaults_recorded.to_string()), more: false })
    }

    async fn purge(&self, keep: Duration, most: u32) -> Result<u64, StoreError> {
        let mut rows = self.rows();
        let before = self.clock.now().minus(keep);
        let most = usize::try_from(most).unwrap();
        let mut sessions: Vec<_> = rows.sessions.values().map(|session| (session.absolute_end, session.id)).collect();
        let mut revocations: Vec<_> = rows.revocations.iter().map(|(seq, row)| (row.until, *seq)).collect();
        sessions.retain(|(end, _)| *end < before);
        revocations.retain(|(until, _)| *until < before);
        sessions.sort_unstable();
        revocations.sort_unstable();
        sessions.truncate(most);
        revocations.truncate(most);
        for (_, id) in &sessions {
            rows.sessions.remove(id);
        }
        for (_, seq) in &revocations {
            rows.revocations.remove(seq);
        }
        let mut buckets: Vec<_> = rows.buckets.iter().map(|(bucket, whole_at)| (*whole_at, *bucket)).collect();
        let mut replicas: Vec<_> = rows.replicas.iter().map(|(id, (_, seen))| (*seen, *id)).collect();
        buckets.retain(|(whole_at, _)| *whole_at < before);
        replicas.retain(|(seen, _)| *seen < before);
        buckets.sort_unstable();
        replicas.sort_unstable();
        buckets.truncate(most);
        replicas.truncate(most);
        for (_, bucket) in &buckets {
            rows.buckets.remove(bucket);
        }
        for (_, id) in &replicas {
            rows.replicas.remove(id);
        }
        let mut vaults: Vec<_> = rows.vaults.iter().map(|(seq, change)| (change.until, *seq)).collect();
        vaults.retain(|(until, _)| *until < before);
        vaults.sort_unstable();
        vaults.truncate(most);
        for (_, seq) in &vaults {
            rows.vaults.remove(seq);
        }
        let purged = sessions.len() + revocations.len() + buckets.len() + replicas.len() + vaults.len();
        Ok(u64::try_from(purged).unwrap())
    }

    async fn account(&self, name: &UserName) -> Result<Option<Account>, StoreError> {
        let rows = self.rows();
        let user = rows.users.get(name).cloned();
        Ok(user.map(|user| Account { epochs: rows.epochs(&user.subject), user }))
    }

    async fn account_of(&self, subject: &Subject) -> Result<Option<Account>, StoreError> {
        let rows = self.rows();
        let user = rows.users.values().find(|user| user.subject == *subject).cloned();
        Ok(user.map(|user| Account { epochs: rows.epochs(&user.subject), user }))
    }

    async fn users(&self) -> Result<Vec<User>, StoreError> {
        Ok(self.rows().users.values().cloned().collect())
    }

    async fn add_users(&self, users: &[User]) -> Result<bool, StoreError> {
        let mut rows = self.rows();
        let mut all = rows.users.clone();
        for user in users {
            if all.values().any(|known| known.name == user.name || known.subject == user.subject) {
                return Ok(false);
            }
            let password_hash = PasswordHash(kept_text(&user.password_hash.0));
            all.insert(user.name.clone(), User { password_hash, ..user.clone() });
        }
        rows.users = all;
        Ok(true)
    }

    async fn set_password(&self, name: &UserName, hash: &PasswordHash) -> Result<Option<u64>, StoreError> {
        let mut rows = self.rows();
        let Some(user) = rows.users.get_mut(name) else {
            return Ok(None);
        };
        user.password_hash = PasswordHash(kept_text(&hash.0));
        let subject = user.subject.clone();
        Ok(Some(rows.bump(&subject, self.clock.now())))
    }

    async fn change_password(&self, change: &PasswordChange) -> Result<Option<Advanced>, StoreError> {
        let mut rows = self.rows();
        let now = self.clock.now();
        let session = rows.sessions.get(&change.session).filter(|session| rows.is_alive(session, now)).cloned();
        let user = rows.users.get(&change.name).filter(|user| user.password_hash == change.old).cloned();
        let (Some(session), Some(user)) = (session, user) else { return Ok(None) };
        let live = (session.generation, session.hash) == (change.generation, change.live);
        let Some(generation) = session.generation.checked_add(1).filter(|_| live && user.subject == session.subject)
        else {
            return Ok(None);
        };
        let epoch = rows.bump(&user.subject, now);
        rows.users.insert(user.name.clone(), User { password_hash: change.new.clone(), ..user });
        let session = Session {
            generation,
            hash: change.next,
            salt: None,
            recent: session.recent.after(
                RecentRotation { generation: session.generation, at: now, key: None },
                session.rotated,
                Timestamp::from_millis(i64::MIN),
            ),
            rotated: now,
            idle_end: now.plus(change.idle_ttl).min(session.absolute_end),
            last_from: kept_origin(&change.from),
            epochs: Epochs { subject: epoch, ..session.epochs },
            ..session
        };
        rows.sessions.insert(session.id, session.clone());
        Ok(Some(Advanced { session, now }))
    }

    async fn upgrade_password(
        &self,
        name: &UserName,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError> {
        let mut rows = self.rows();
        if let Some(user) = rows.users.get_mut(name).filter(|user| user.password_hash.0 == kept_text(&old.0)) {
            user.password_hash = PasswordHash(kept_text(&new.0));
        }
        Ok(())
    }

    async fn set_disabled(&self, name: &UserName, disabled: bool) -> Result<bool, StoreError> {
        let mut rows = self.rows();
        let Some(user) = rows.users.get_mut(name) else {
            return Ok(false);
        };
        user.disabled = disabled;
        if disabled {
            let subject = user.subject.clone();
            rows.bump(&subject, self.clock.now());
        }
        Ok(true)
    }

    async fn remove_user(&self, name: &UserName) -> Result<bool, StoreError> {
        let mut rows = self.rows();
        let Some(user) = rows.users.remove(name) else {
            return Ok(false);
        };
        rows.bump(&user.subject, self.clock.now());
        Ok(true)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }
}

fn kept_text(text: &str) -> String {
    text.chars().filter(|character| *character != '\0').collect()
}

fn kept_origin(origin: &Origin) -> Origin {
    Origin { address: origin.address, user_agent: origin.user_agent.as_deref().map(kept_text) }
}
