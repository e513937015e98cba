//! The embedded store: one SQLite file.
//!
//! Other processes may use the file at the same time; the clock is this process's, read when nothing has to be waited
//! for any more.
//!
//! Statements that write are always read to their end: SQLite commits a statement of its own when it is done, not when
//! it has given its first row.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use self::connection::{Connections, Failure, store_error};
use super::rows::{
    self, Columns, address_column, claims_column, counter_column, optional_text_column, span, text_column,
};
use super::{
    Account, Advanced, Created, Cursor, KeyChange, Loss, NewSession, PAGE, PasswordChange, Realm, Replica, ReplicaId,
    RevocationPage, SessionPage, SigningKeys, Store, StoreError, Swap, Taking, VaultChange, VaultPage,
};
use crate::clock::SharedClock;
use crate::domain::rate::{Bucket, Rate};
use crate::domain::revocation::{ALLOWANCE, Revocation, Revoked};
use crate::domain::rotation::SessionState;
use crate::domain::secret::Fingerprint;
use crate::domain::session::{Epochs, RecentRotation, Session, SessionId, Subject};
use crate::domain::time::Timestamp;
use crate::domain::user::{PasswordHash, User, UserName};

mod buckets;
mod connection;
mod history;
mod keys;
mod living;
mod schema;
mod statements;
mod vault;

/// See the [module](self).
#[derive(Debug)]
pub struct SqliteStore {
    connections: Connections,
    realm: String,
    clock: SharedClock,
}

impl SqliteStore {
    /// Opens a file whose schema is this version's.
    pub async fn open(path: &Path, realm: &str, clock: SharedClock, timeout: Duration) -> Result<Self, StoreError> {
        schema::check(path, timeout).await?;
        Ok(Self { connections: Connections::new(path, timeout)?, realm: realm.to_owned(), clock })
    }

    /// Makes the file (mode 0600) and its folder (0700) if they are missing, brings the schema up to date, and says how
    /// many migrations that took.
    pub async fn migrate(path: &Path, timeout: Duration) -> Result<usize, StoreError> {
        schema::migrate(path, timeout).await
    }

    async fn secrets(&self, connection: &mut SqliteConnection) -> Result<Vec<Fingerprint>, Failure> {
        let rows = sqlx::query(statements::SECRETS).bind(&self.realm).fetch_all(connection).await?;
        Ok(rows.iter().map(rows::fingerprint).collect::<Result<_, _>>()?)
    }

    async fn record(&self, connection: &mut SqliteConnection, revoked: &Revoked) -> Result<(), Failure> {
        let (kind, session, subject, epoch) = match revoked {
            Revoked::Session(id) => (rows::SESSION, Some(id.as_bytes().to_vec()), None, None),
            Revoked::SubjectBelow(subject, epoch) => {
                (rows::SUBJECT, None, Some(subject.as_str()), Some(counter_column(*epoch)))
            }
            Revoked::RealmBelow(epoch) => (rows::REALM, None, None, Some(counter_column(*epoch))),
        };
        sqlx::query(statements::RECORD)
            .bind(&self.realm)
            .bind(kind)
            .bind(session)
            .bind(subject)
            .bind(epoch)
            .bind(self.clock.now().plus(ALLOWANCE).as_millis())
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn bump(&self, connection: &mut SqliteConnection, subject: &Subject) -> Result<u64, Failure> {
        let rows = sqlx::query(statements::BUMP_SUBJECT)
            .bind(&self.realm)
            .bind(subject.as_str())
            .fetch_all(&mut *connection)
            .await?;
        let epoch = only(&rows)?.counter("epoch")?;
        self.record(connection, &Revoked::SubjectBelow(subject.clone(), epoch)).await?;
        Ok(epoch)
    }

    /// Increments the counter of the subject that a statement about a user answered. `None` if there was no such user.
    async fn bump_changed(
        &self,
        connection: &mut SqliteConnection,
        changed: &[SqliteRow],
    ) -> Result<Option<u64>, Failure> {
        let Some(row) = changed.first() else {
            return Ok(None);
        };
        let subject = Subject::parse(&row.text("subject")?).ok_or_else(|| rows::damaged("subject"))?;
        self.bump(connection, &subject).await.map(Some)
    }

    async fn page(&self, after: Option<i64>) -> Result<(i64, RevocationPage), StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let now = self.clock.now();
                let statement = match after {
                    None => sqlx::query(statements::ALL_REVOCATIONS).bind(&self.realm).bind(now.as_millis()),
                    Some(after) => sqlx::query(statements::REVOCATIONS_AFTER).bind(&self.realm).bind(after),
                };
                let rows = statement.bind(i64::from(PAGE)).fetch_all(&mut *reader).await?;
                let first = only(&rows)?;
                let newest = first.integer("newest")?;
                let revocations: Vec<Revocation> =
                    rows.iter().filter_map(|row| rows::revocation(row).transpose()).collect::<Result<_, _>>()?;
                let more = revocations.len() >= PAGE as usize;
                let last = if more { rows.last().map_or(Ok(newest), |row| row.integer("seq"))? } else { newest };
                let page = RevocationPage {
                    revocations,
                    cursor: Cursor(last.to_string()),
                    more,
                    realm_epoch: first.counter("realm_epoch")?,
                    keys_version: first.counter("keys_version")?,
                    asked: first.counter("asked")?,
                    mark: rows::mark(first, history::SERVER.into(), history::SERVER.into())?,
                    now,
                };
                Ok((newest, page))
            })
            .await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn join(&self, access_ttl: Duration) -> Result<Realm, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let rows = sqlx::query(statements::JOIN)
                    .bind(&self.realm)
                    .bind(span(access_ttl))
                    .fetch_all(&mut *transaction)
                    .await?;
                let epoch = only(&rows)?.counter("epoch")?;
                sqlx::query(statements::BEGIN_HISTORY)
                    .bind(&self.realm)
                    .bind(self.clock.now().as_millis())
                    .execute(&mut *transaction)
                    .await?;
                let secrets = self.secrets(&mut transaction).await?;
                transaction.commit().await?;
                Ok(Realm { epoch, secrets, now: self.clock.now() })
            })
            .await
    }

    async fn add_secret(&self, fingerprint: Fingerprint, only_first: bool) -> Result<Vec<Fingerprint>, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                sqlx::query(statements::ADD_SECRET)
                    .bind(&self.realm)
                    .bind(&fingerprint.as_bytes()[..])
                    .bind(only_first)
                    .execute(&mut *transaction)
                    .await?;
                let secrets = self.secrets(&mut transaction).await?;
                transaction.commit().await?;
                Ok(secrets)
            })
            .await
    }

    async fn remove_secret(&self, fingerprint: Fingerprint) -> Result<bool, StoreError> {
        self.connections
            .within(async {
                let mut writer = self.connections.writer().await?;
                let done = sqlx::query(statements::REMOVE_SECRET)
                    .bind(&self.realm)
                    .bind(&fingerprint.as_bytes()[..])
                    .execute(&mut *writer)
                    .await?;
                Ok(done.rows_affected() > 0)
            })
            .await
    }

    async fn signing_keys(&self) -> Result<SigningKeys, StoreError> {
        self.read_keys().await
    }

    async fn change_keys(&self, version: u64, change: &KeyChange) -> Result<bool, StoreError> {
        self.change(version, change).await
    }

    async fn report(&self, replica: &Replica) -> Result<(), StoreError> {
        self.see(replica).await
    }

    async fn replicas(&self, live: Duration) -> Result<Vec<Replica>, StoreError> {
        self.seen(live).await
    }

    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError> {
        self.forget(replica).await
    }

    async fn epochs(&self, subject: &Subject) -> Result<Epochs, StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let rows = sqlx::query(statements::EPOCHS)
                    .bind(&self.realm)
                    .bind(subject.as_str())
                    .fetch_all(&mut *reader)
                    .await?;
                let row = only(&rows)?;
                Ok(rows::epochs(row)?)
            })
            .await
    }

    async fn create_session(&self, session: &NewSession) -> Result<Created, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let now = self.clock.now();
                let (vault, vault_version) = rows::vault_columns(session.vault.as_ref());
                let absolute_end = now.as_millis().saturating_add(span(session.max_ttl));
                let idle_end = now.as_millis().saturating_add(span(session.idle_ttl)).min(absolute_end);
                let rows = sqlx::query(statements::CREATE_SESSION)
                    .bind(&self.realm)
                    .bind(&session.id.as_bytes()[..])
                    .bind(session.subject.as_str())
                    .bind(text_column(&session.client))
                    .bind(&session.hash.0[..])
                    .bind(counter_column(session.epochs.realm))
                    .bind(counter_column(session.epochs.subject))
                    .bind(now.as_millis())
                    .bind(idle_end)
                    .bind(absolute_end)
                    .bind(address_column(&session.from))
                    .bind(optional_text_column(session.from.user_agent.as_deref()))
                    .bind(claims_column(&session.claims))
                    .bind(optional_text_column(session.label.as_deref()))
                    .bind(vault)
                    .bind(vault_version)
                    .fetch_all(&mut *transaction)
                    .await?;
                let Some(row) = rows.first() else {
                    return Ok(Created::EpochMoved);
                };
                let stored = rows::session(row)?;
                let surplus = sqlx::query(statements::SURPLUS)
                    .bind(&self.realm)
                    .bind(session.subject.as_str())
                    .bind(&session.id.as_bytes()[..])
                    .bind(now.as_millis())
                    .bind(counter_column(session.epochs.realm))
                    .bind(counter_column(session.epochs.subject))
                    .bind(i64::from(session.most.max(1)))
                    .fetch_all(&mut *transaction)
                    .await?;
                let mut ended = Vec::with_capacity(surplus.len());
                for row in &surplus {
                    let id = SessionId::from_bytes(row.array("id")?);
                    sqlx::query(statements::DELETE_SESSION)
                        .bind(&self.realm)
                        .bind(&id.as_bytes()[..])
                        .execute(&mut *transaction)
                        .await?;
                    self.record(&mut transaction, &Revoked::Session(id)).await?;
                    ended.push(id);
                }
                transaction.commit().await?;
                Ok(Created::Stored { session: Box::new(stored), ended })
            })
            .await
    }

    async fn swap(&self, swap: &Swap) -> Result<Option<Advanced>, StoreError> {
        self.connections
            .within(async {
                let mut writer = self.connections.writer().await?;
                let now = self.clock.now();
                let entry = RecentRotation { generation: swap.generation, at: now, key: swap.key };
                let rows = sqlx::query(statements::SWAP)
                    .bind(&self.realm)
                    .bind(&swap.session.as_bytes()[..])
                    .bind(&swap.client)
                    .bind(i64::from(swap.generation))
                    .bind(&swap.row_hash.0[..])
                    .bind(&swap.successor.0[..])
                    .bind(&swap.salt.0[..])
                    .bind(now.as_millis())
                    .bind(now.as_millis().saturating_add(span(swap.idle_ttl)))
                    .bind(address_column(&swap.from))
                    .bind(optional_text_column(swap.from.user_agent.as_deref()))
                    .bind(&entry.encode()[..])
                    .bind(now.as_millis().saturating_sub(span(swap.longest_window)))
                    .bind(i64::from(swap.behind))
                    .fetch_all(&mut *writer)
                    .await?;
                let advanced = |row: &SqliteRow| Ok(Advanced { session: rows::session(row)?, now });
                rows.first().map(advanced).transpose()
            })
            .await
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionState>, StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let rows = sqlx::query(statements::SESSION)
                    .bind(&self.realm)
                    .bind(&id.as_bytes()[..])
                    .fetch_all(&mut *reader)
                    .await?;
                let state = |row: &SqliteRow| {
                    Ok(SessionState {
                        session: rows::session(row)?,
                        current: Epochs {
                            realm: row.counter("current_realm_epoch")?,
                            subject: row.counter("current_subject_epoch")?,
                        },
                        now: self.clock.now(),
                        rollback: rows::rollback(row)?,
                    })
                };
                rows.first().map(state).transpose()
            })
            .await
    }

    async fn sessions_of(&self, subject: &Subject) -> Result<Vec<Session>, StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let rows = sqlx::query(statements::SESSIONS_OF)
                    .bind(&self.realm)
                    .bind(subject.as_str())
                    .bind(self.clock.now().as_millis())
                    .fetch_all(&mut *reader)
                    .await?;
                Ok(rows.iter().map(rows::session).collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn end_session(&self, id: SessionId) -> Result<bool, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let deleted = sqlx::query(statements::DELETE_SESSION)
                    .bind(&self.realm)
                    .bind(&id.as_bytes()[..])
                    .execute(&mut *transaction)
                    .await?;
                let existed = deleted.rows_affected() > 0;
                if existed {
                    self.record(&mut transaction, &Revoked::Session(id)).await?;
                }
                transaction.commit().await?;
                Ok(existed)
            })
            .await
    }

    async fn living_sessions(&self, after: Option<SessionId>, most: u32) -> Result<SessionPage, StoreError> {
        self.living(after, most).await
    }

    async fn end_sessions(&self, ids: &[SessionId]) -> Result<u64, StoreError> {
        self.end_all(ids).await
    }

    async fn end_subject(&self, subject: &Subject) -> Result<u64, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let epoch = self.bump(&mut transaction, subject).await?;
                transaction.commit().await?;
                Ok(epoch)
            })
            .await
    }

    async fn end_others(&self, subject: &Subject, session: SessionId) -> Result<u64, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let epoch = self.bump(&mut transaction, subject).await?;
                sqlx::query(statements::CARRY_SESSION)
                    .bind(&self.realm)
                    .bind(&session.as_bytes()[..])
                    .bind(subject.as_str())
                    .bind(counter_column(epoch))
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(epoch)
            })
            .await
    }

    async fn end_realm(&self) -> Result<u64, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let rows = sqlx::query(statements::BUMP_REALM).bind(&self.realm).fetch_all(&mut *transaction).await?;
                let epoch = only(&rows)?.counter("epoch")?;
                self.record(&mut transaction, &Revoked::RealmBelow(epoch)).await?;
                transaction.commit().await?;
                Ok(epoch)
            })
            .await
    }

    async fn revocations(&self, after: Option<&Cursor>) -> Result<RevocationPage, StoreError> {
        if let Some(after) = after.and_then(|cursor| cursor.0.parse::<i64>().ok()).filter(|after| *after >= 0) {
            let (newest, page) = self.page(Some(after)).await?;
            // A file that counts less far than the reader has been is an older one, put back.
            if newest >= after {
                return Ok(page);
            }
        }
        Ok(self.page(None).await?.1)
    }

    async fn beat(&self, every: Duration) -> Result<Option<u64>, StoreError> {
        self.write_beat(every).await
    }

    async fn ask(&self) -> Result<u64, StoreError> {
        self.write_question().await
    }

    async fn note_rollback(&self, loss: &Loss) -> Result<bool, StoreError> {
        self.write_rollback(loss).await
    }

    async fn restore(&self, revocations: &[Revocation]) -> Result<u64, StoreError> {
        self.write_back(revocations).await
    }

    async fn change_vault(&self, change: &VaultChange) -> Result<bool, StoreError> {
        self.write_vault(change).await
    }

    async fn vault_changes(&self, after: Option<&Cursor>) -> Result<VaultPage, StoreError> {
        self.read_vaults(after).await
    }

    async fn purge(&self, keep: Duration, most: u32) -> Result<u64, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let before = self.clock.now().as_millis().saturating_sub(span(keep));
                let mut purged = 0;
                for statement in [
                    statements::PURGE_SESSIONS,
                    statements::PURGE_REVOCATIONS,
                    statements::PURGE_VAULT_CHANGES,
                    statements::PURGE_BUCKETS,
                    statements::PURGE_REPLICAS,
                ] {
                    let done = sqlx::query(statement)
                        .bind(&self.realm)
                        .bind(before)
                        .bind(i64::from(most))
                        .execute(&mut *transaction)
                        .await?;
                    purged += done.rows_affected();
                }
                transaction.commit().await?;
                Ok(purged)
            })
            .await
    }

    async fn account(&self, name: &UserName) -> Result<Option<Account>, StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let rows = sqlx::query(statements::ACCOUNT)
                    .bind(&self.realm)
                    .bind(name.as_str())
                    .fetch_all(&mut *reader)
                    .await?;
                Ok(rows.first().map(rows::account).transpose()?)
            })
            .await
    }

    async fn account_of(&self, subject: &Subject) -> Result<Option<Account>, StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let rows = sqlx::query(statements::ACCOUNT_OF)
                    .bind(&self.realm)
                    .bind(subject.as_str())
                    .fetch_all(&mut *reader)
                    .await?;
                Ok(rows.first().map(rows::account).transpose()?)
            })
            .await
    }

    async fn users(&self) -> Result<Vec<User>, StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                let rows = sqlx::query(statements::USERS).bind(&self.realm).fetch_all(&mut *reader).await?;
                Ok(rows.iter().map(rows::user).collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn add_users(&self, users: &[User]) -> Result<bool, StoreError> {
        let row = |user: &User| {
            let hash = text_column(&user.password_hash.0);
            json!([user.name.as_str(), user.subject.as_str(), hash, user.disabled, claims_column(&user.claims)])
        };
        let rows = Value::Array(users.iter().map(row).collect()).to_string();
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let done =
                    sqlx::query(statements::ADD_USERS).bind(&self.realm).bind(rows).execute(&mut *transaction).await?;
                let all = usize::try_from(done.rows_affected()) == Ok(users.len());
                if all {
                    transaction.commit().await?;
                } else {
                    transaction.rollback().await?;
                }
                Ok(all)
            })
            .await
    }

    async fn set_password(&self, name: &UserName, hash: &PasswordHash) -> Result<Option<u64>, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let changed = sqlx::query(statements::SET_PASSWORD)
                    .bind(&self.realm)
                    .bind(name.as_str())
                    .bind(text_column(&hash.0))
                    .fetch_all(&mut *transaction)
                    .await?;
                let epoch = self.bump_changed(&mut transaction, &changed).await?;
                transaction.commit().await?;
                Ok(epoch)
            })
            .await
    }

    async fn change_password(&self, change: &PasswordChange) -> Result<Option<Advanced>, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let now = self.clock.now();
                let changed = sqlx::query(statements::CHANGE_PASSWORD)
                    .bind(&self.realm)
                    .bind(change.name.as_str())
                    .bind(text_column(&change.old.0))
                    .bind(text_column(&change.new.0))
                    .bind(&change.session.as_bytes()[..])
                    .bind(i64::from(change.generation))
                    .bind(&change.live.0[..])
                    .bind(now.as_millis())
                    .fetch_all(&mut *transaction)
                    .await?;
                let Some(epoch) = self.bump_changed(&mut transaction, &changed).await? else { return Ok(None) };
                let rekeyed = sqlx::query(statements::REKEY)
                    .bind(&self.realm)
                    .bind(&change.session.as_bytes()[..])
                    .bind(&change.next.0[..])
                    .bind(now.as_millis())
                    .bind(now.as_millis().saturating_add(span(change.idle_ttl)))
                    .bind(address_column(&change.from))
                    .bind(optional_text_column(change.from.user_agent.as_deref()))
                    .bind(counter_column(epoch))
                    .bind(&RecentRotation { generation: change.generation, at: now, key: None }.encode()[..])
                    .fetch_all(&mut *transaction)
                    .await?;
                let session = rows::session(only(&rekeyed)?)?;
                transaction.commit().await?;
                Ok(Some(Advanced { session, now }))
            })
            .await
    }

    async fn upgrade_password(
        &self,
        name: &UserName,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError> {
        self.connections
            .within(async {
                let mut writer = self.connections.writer().await?;
                sqlx::query(statements::UPGRADE_PASSWORD)
                    .bind(&self.realm)
                    .bind(name.as_str())
                    .bind(text_column(&old.0))
                    .bind(text_column(&new.0))
                    .execute(&mut *writer)
                    .await?;
                Ok(())
            })
            .await
    }

    async fn set_disabled(&self, name: &UserName, disabled: bool) -> Result<bool, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let changed = sqlx::query(statements::SET_DISABLED)
                    .bind(&self.realm)
                    .bind(name.as_str())
                    .bind(disabled)
                    .fetch_all(&mut *transaction)
                    .await?;
                if disabled {
                    self.bump_changed(&mut transaction, &changed).await?;
                }
                transaction.commit().await?;
                Ok(!changed.is_empty())
            })
            .await
    }

    async fn remove_user(&self, name: &UserName) -> Result<bool, StoreError> {
        self.connections
            .within(async {
                let mut transaction = self.connections.transaction().await?;
                let removed = sqlx::query(statements::REMOVE_USER)
                    .bind(&self.realm)
                    .bind(name.as_str())
                    .fetch_all(&mut *transaction)
                    .await?;
                let epoch = self.bump_changed(&mut transaction, &removed).await?;
                transaction.commit().await?;
                Ok(epoch.is_some())
            })
            .await
    }

    async fn take(&self, bucket: Bucket, rate: Rate) -> Result<Taking, StoreError> {
        self.take_one(bucket, rate).await
    }

    async fn refill(&self, bucket: Bucket) -> Result<(), StoreError> {
        self.make_whole(bucket).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.connections
            .within(async {
                let mut reader = self.connections.reader().await?;
                // The clock is ours, but an answer says that the file can be read.
                sqlx::query("SELECT count(*) FROM sqlite_schema").fetch_all(&mut *reader).await?;
                Ok(self.clock.now())
            })
            .await
    }
}

impl Columns for SqliteRow {
    fn optional_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        self.try_get(column).map_err(|error| store_error(&error))
    }

    fn optional_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.try_get(column).map_err(|error| store_error(&error))
    }

    fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.try_get(column).map_err(|error| store_error(&error))
    }

    fn optional_flag(&self, column: &'static str) -> Result<Option<bool>, StoreError> {
        self.try_get(column).map_err(|error| store_error(&error))
    }
}

/// The row of a statement that always answers one.
fn only(rows: &[SqliteRow]) -> Result<&SqliteRow, StoreError> {
    rows.first().ok_or_else(|| StoreError::Corrupt("a statement gave no answer".into()))
}
