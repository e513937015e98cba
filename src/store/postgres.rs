//! The store of a fleet: a Postgres database.
//!
//! Every call is one statement, alone or under one advisory lock, and the only clock is the server's. Sidegate's tables
//! are in a schema of their own and named in full, so that a database can be shared with the application and reached
//! through a pooler.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use self::connection::{Connections, store_error};
use self::piece::Piece;
use self::reach::Reach;
use super::rows::{
    self, Columns, address_column, claims_column, counter_column, optional_text_column, span, text_column,
};
use super::{
    Account, Advanced, Created, Cursor, KeyChange, Loss, NewSession, PAGE, PasswordChange, Realm, Replica, ReplicaId,
    RevocationPage, SessionPage, SigningKeys, Store, StoreError, Swap, Taking, VaultChange, VaultPage, Wakeups,
};
use crate::config::checked::Postgres;
use crate::domain::rate::{Bucket, Rate};
use crate::domain::revocation::{ALLOWANCE, Revocation};
use crate::domain::rotation::SessionState;
use crate::domain::secret::{Fingerprint, sha256};
use crate::domain::session::{Epochs, Session, SessionId, Subject, mac_column};
use crate::domain::time::Timestamp;
use crate::domain::user::{PasswordHash, User, UserName};

mod connection;
mod cursor;
mod history;
mod keys;
mod listen;
mod living;
mod piece;
mod pool;
mod reach;
mod schema;
mod statements;
mod vault;

/// See the [module](self).
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    realm: String,
}

impl PostgresStore {
    /// Connects once, to see that the server answers and the schema is this version's.
    pub async fn open(
        url: &str,
        ca_file: Option<&Path>,
        realm: &str,
        connections: u32,
        timeout: Duration,
    ) -> Result<Self, StoreError> {
        Self::open_at(&Postgres::at(url, ca_file), realm, connections, timeout).await
    }

    /// As [`Self::open`], at a place that may change.
    pub async fn open_at(
        postgres: &Postgres,
        realm: &str,
        connections: u32,
        timeout: Duration,
    ) -> Result<Self, StoreError> {
        let connections = Connections::open(postgres, connections, timeout).await?;
        Ok(Self { connections, realm: realm.to_owned() })
    }

    /// Brings the schema up to date, under a lock, and says how many migrations that took. `timeout` is for connecting.
    pub async fn migrate(url: &str, ca_file: Option<&Path>, timeout: Duration) -> Result<usize, StoreError> {
        Self::migrate_at(&Postgres::at(url, ca_file), timeout).await
    }

    /// As [`Self::migrate`], at a place as it was configured.
    pub async fn migrate_at(postgres: &Postgres, timeout: Duration) -> Result<usize, StoreError> {
        schema::migrate(&Reach::first(&postgres.place)?, timeout).await
    }

    /// The lock that puts concurrent calls about one thing in sequence.
    fn lock(&self, what: &str, about: &str) -> i64 {
        let hash = sha256(format!("sidegate\0{what}\0{}\0{about}", self.realm).as_bytes());
        hash.first_chunk().copied().map_or(0, i64::from_be_bytes)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn join(&self, access_ttl: Duration) -> Result<Realm, StoreError> {
        let rows =
            self.connections.rows(|| sqlx::query(statements::JOIN).bind(&self.realm).bind(span(access_ttl))).await?;
        let row = only(&rows)?;
        let secrets: Vec<Vec<u8>> = row.try_get("secrets").map_err(|error| store_error(&error))?;
        let secrets = secrets.into_iter().map(|bytes| bytes.try_into().map(Fingerprint::from_bytes));
        Ok(Realm {
            epoch: row.counter("epoch")?,
            secrets: secrets.collect::<Result<_, _>>().map_err(|_| rows::damaged("fingerprint"))?,
            now: row.time("now")?,
        })
    }

    async fn add_secret(&self, fingerprint: Fingerprint, only_first: bool) -> Result<Vec<Fingerprint>, StoreError> {
        let rows = self
            .connections
            .rows_in_sequence(self.lock("secret", ""), || {
                sqlx::query(statements::ADD_SECRET).bind(&self.realm).bind(&fingerprint.as_bytes()[..]).bind(only_first)
            })
            .await?;
        rows.iter().map(rows::fingerprint).collect()
    }

    async fn remove_secret(&self, fingerprint: Fingerprint) -> Result<bool, StoreError> {
        let statement = || sqlx::query(statements::REMOVE_SECRET).bind(&self.realm).bind(&fingerprint.as_bytes()[..]);
        Ok(!self.connections.rows(statement).await?.is_empty())
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
        let rows =
            self.connections.rows(|| sqlx::query(statements::EPOCHS).bind(&self.realm).bind(subject.as_str())).await?;
        let row = only(&rows)?;
        rows::epochs(row)
    }

    async fn create_session(&self, session: &NewSession) -> Result<Created, StoreError> {
        let client = text_column(&session.client);
        let address = address_column(&session.from);
        let user_agent = optional_text_column(session.from.user_agent.as_deref());
        let claims = claims_column(&session.claims);
        let label = optional_text_column(session.label.as_deref());
        let (vault, vault_version) = rows::vault_columns(session.vault.as_ref());
        let rows = self
            .connections
            .rows_in_sequence(self.lock("login", session.subject.as_str()), || {
                sqlx::query(statements::CREATE_SESSION)
                    .bind(&self.realm)
                    .bind(span(ALLOWANCE))
                    .bind(i64::from(session.most.max(1)))
                    .bind(&session.id.as_bytes()[..])
                    .bind(session.subject.as_str())
                    .bind(&client)
                    .bind(&session.hash.0[..])
                    .bind(counter_column(session.epochs.realm))
                    .bind(counter_column(session.epochs.subject))
                    .bind(&address)
                    .bind(&user_agent)
                    .bind(&claims)
                    .bind(&label)
                    .bind(span(session.idle_ttl))
                    .bind(span(session.max_ttl))
                    .bind(vault)
                    .bind(vault_version)
            })
            .await?;
        let Some(row) = rows.first() else {
            return Ok(Created::EpochMoved);
        };
        let ended: Vec<Vec<u8>> = row.try_get("ended").map_err(|error| store_error(&error))?;
        let ended = ended.into_iter().map(|bytes| bytes.try_into().map(SessionId::from_bytes));
        Ok(Created::Stored {
            session: Box::new(rows::session(row)?),
            ended: ended.collect::<Result<_, _>>().map_err(|_| rows::damaged("id"))?,
        })
    }

    async fn swap(&self, swap: &Swap) -> Result<Option<Advanced>, StoreError> {
        if swap.client.contains('\0') {
            // No such client was ever stored, and Postgres would refuse the text.
            return Ok(None);
        }
        let address = address_column(&swap.from);
        let user_agent = optional_text_column(swap.from.user_agent.as_deref());
        let generation_bytes = swap.generation.to_be_bytes();
        let mac = mac_column(swap.key);
        let rows = self
            .connections
            .rows(|| {
                sqlx::query(statements::SWAP)
                    .bind(&self.realm)
                    .bind(&swap.session.as_bytes()[..])
                    .bind(&swap.client)
                    .bind(i64::from(swap.generation))
                    .bind(&swap.row_hash.0[..])
                    .bind(&swap.successor.0[..])
                    .bind(&swap.salt.0[..])
                    .bind(span(swap.idle_ttl))
                    .bind(&address)
                    .bind(&user_agent)
                    .bind(&generation_bytes[..])
                    .bind(&mac[..])
                    .bind(span(swap.longest_window))
                    .bind(i64::from(swap.behind))
            })
            .await?;
        rows.first().map(advanced).transpose()
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionState>, StoreError> {
        let rows = self
            .connections
            .rows(|| sqlx::query(statements::SESSION).bind(&self.realm).bind(&id.as_bytes()[..]))
            .await?;
        let state = |row: &PgRow| {
            Ok(SessionState {
                session: rows::session(row)?,
                current: Epochs {
                    realm: row.counter("current_realm_epoch")?,
                    subject: row.counter("current_subject_epoch")?,
                },
                now: row.time("now")?,
                rollback: rows::rollback(row)?,
            })
        };
        rows.first().map(state).transpose()
    }

    async fn sessions_of(&self, subject: &Subject) -> Result<Vec<Session>, StoreError> {
        let rows = self
            .connections
            .rows(|| sqlx::query(statements::SESSIONS_OF).bind(&self.realm).bind(subject.as_str()))
            .await?;
        rows.iter().map(rows::session).collect()
    }

    async fn end_session(&self, id: SessionId) -> Result<bool, StoreError> {
        let rows = self
            .connections
            .rows(|| {
                sqlx::query(statements::END_SESSION).bind(&self.realm).bind(span(ALLOWANCE)).bind(&id.as_bytes()[..])
            })
            .await?;
        only(&rows)?.flag("existed")
    }

    async fn living_sessions(&self, after: Option<SessionId>, most: u32) -> Result<SessionPage, StoreError> {
        self.living(after, most).await
    }

    async fn end_sessions(&self, ids: &[SessionId]) -> Result<u64, StoreError> {
        self.end_all(ids).await
    }

    async fn end_subject(&self, subject: &Subject) -> Result<u64, StoreError> {
        let rows = self
            .connections
            .rows(|| {
                sqlx::query(statements::END_SUBJECT).bind(&self.realm).bind(span(ALLOWANCE)).bind(subject.as_str())
            })
            .await?;
        only(&rows)?.counter("epoch")
    }

    async fn end_others(&self, subject: &Subject, session: SessionId) -> Result<u64, StoreError> {
        let rows = self
            .connections
            .rows(|| {
                sqlx::query(statements::END_OTHERS)
                    .bind(&self.realm)
                    .bind(span(ALLOWANCE))
                    .bind(subject.as_str())
                    .bind(&session.as_bytes()[..])
            })
            .await?;
        only(&rows)?.counter("epoch")
    }

    async fn end_realm(&self) -> Result<u64, StoreError> {
        let rows = self
            .connections
            .rows(|| sqlx::query(statements::END_REALM).bind(&self.realm).bind(span(ALLOWANCE)))
            .await?;
        only(&rows)?.counter("epoch")
    }

    async fn revocations(&self, after: Option<&Cursor>) -> Result<RevocationPage, StoreError> {
        let Piece { rows, cursor, more } = self.piece(&statements::REVOCATIONS, after, PAGE).await?;
        let first = rows.first().ok_or_else(|| rows::damaged("snapshot"))?;
        Ok(RevocationPage {
            revocations: rows.iter().filter_map(|row| rows::revocation(row).transpose()).collect::<Result<_, _>>()?,
            cursor,
            more,
            realm_epoch: first.counter("realm_epoch")?,
            keys_version: first.counter("keys_version")?,
            asked: first.counter("asked")?,
            mark: rows::mark(first, first.text("server")?, first.text("known")?)?,
            now: first.time("now")?,
        })
    }

    async fn listen(&self) -> Result<Option<Box<dyn Wakeups>>, StoreError> {
        match self.connections.listen_options().await? {
            Some(options) => listen::listen(options, &self.realm, self.connections.timeout()).await.map(Some),
            None => Ok(Some(Box::new(listen::Unheard))),
        }
    }

    async fn wake(&self) -> Result<(), StoreError> {
        self.connections.rows(|| sqlx::query(statements::WAKE).bind(&self.realm)).await.map(drop)
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
        let rows = self
            .connections
            .rows(|| sqlx::query(statements::PURGE).bind(&self.realm).bind(span(keep)).bind(i64::from(most)))
            .await?;
        only(&rows)?.counter("purged")
    }

    async fn account(&self, name: &UserName) -> Result<Option<Account>, StoreError> {
        let rows =
            self.connections.rows(|| sqlx::query(statements::ACCOUNT).bind(&self.realm).bind(name.as_str())).await?;
        rows.first().map(rows::account).transpose()
    }

    async fn account_of(&self, subject: &Subject) -> Result<Option<Account>, StoreError> {
        let rows = self
            .connections
            .rows(|| sqlx::query(statements::ACCOUNT_OF).bind(&self.realm).bind(subject.as_str()))
            .await?;
        rows.first().map(rows::account).transpose()
    }

    async fn users(&self) -> Result<Vec<User>, StoreError> {
        let rows = self.connections.rows(|| sqlx::query(statements::USERS).bind(&self.realm)).await?;
        rows.iter().map(rows::user).collect()
    }

    async fn add_users(&self, users: &[User]) -> Result<bool, StoreError> {
        let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
        let subjects: Vec<&str> = users.iter().map(|user| user.subject.as_str()).collect();
        let hashes: Vec<String> = users.iter().map(|user| text_column(&user.password_hash.0)).collect();
        let disabled: Vec<bool> = users.iter().map(|user| user.disabled).collect();
        let claims: Vec<String> = users.iter().map(|user| claims_column(&user.claims)).collect();
        let added = self
            .connections
            .rows_unless_taken(|| {
                sqlx::query(statements::ADD_USERS)
                    .bind(&self.realm)
                    .bind(&names)
                    .bind(&subjects)
                    .bind(&hashes)
                    .bind(&disabled)
                    .bind(&claims)
            })
            .await?;
        Ok(added.is_some())
    }

    async fn set_password(&self, name: &UserName, hash: &PasswordHash) -> Result<Option<u64>, StoreError> {
        let hash = text_column(&hash.0);
        let rows = self
            .connections
            .rows(|| {
                sqlx::query(statements::SET_PASSWORD)
                    .bind(&self.realm)
                    .bind(span(ALLOWANCE))
                    .bind(name.as_str())
                    .bind(&hash)
            })
            .await?;
        rows.first().map(|row| row.counter("epoch")).transpose()
    }

    async fn change_password(&self, change: &PasswordChange) -> Result<Option<Advanced>, StoreError> {
        let (old, new) = (text_column(&change.old.0), text_column(&change.new.0));
        let (generation_bytes, no_mac) = (change.generation.to_be_bytes(), mac_column(None));
        let address = address_column(&change.from);
        let user_agent = optional_text_column(change.from.user_agent.as_deref());
        let rows = self
            .connections
            .rows(|| {
                sqlx::query(statements::CHANGE_PASSWORD)
                    .bind(&self.realm)
                    .bind(span(ALLOWANCE))
                    .bind(change.name.as_str())
                    .bind(&old)
                    .bind(&new)
                    .bind(&change.session.as_bytes()[..])
                    .bind(i64::from(change.generation))
                    .bind(&change.live.0[..])
                    .bind(&change.next.0[..])
                    .bind(span(change.idle_ttl))
                    .bind(&address)
                    .bind(&user_agent)
                    .bind(&generation_bytes[..])
                    .bind(&no_mac[..])
            })
            .await?;
        rows.first().map(advanced).transpose()
    }

    async fn upgrade_password(
        &self,
        name: &UserName,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError> {
        let (old, new) = (text_column(&old.0), text_column(&new.0));
        let statement =
            || sqlx::query(statements::UPGRADE_PASSWORD).bind(&self.realm).bind(name.as_str()).bind(&old).bind(&new);
        self.connections.rows(statement).await.map(drop)
    }

    async fn set_disabled(&self, name: &UserName, disabled: bool) -> Result<bool, StoreError> {
        let rows = self
            .connections
            .rows(|| {
                if disabled {
                    sqlx::query(statements::DISABLE).bind(&self.realm).bind(span(ALLOWANCE)).bind(name.as_str())
                } else {
                    sqlx::query(statements::ENABLE).bind(&self.realm).bind(name.as_str())
                }
            })
            .await?;
        Ok(!rows.is_empty())
    }

    async fn remove_user(&self, name: &UserName) -> Result<bool, StoreError> {
        let rows = self
            .connections
            .rows(|| sqlx::query(statements::REMOVE_USER).bind(&self.realm).bind(span(ALLOWANCE)).bind(name.as_str()))
            .await?;
        Ok(!rows.is_empty())
    }

    async fn take(&self, bucket: Bucket, rate: Rate) -> Result<Taking, StoreError> {
        let rows = self
            .connections
            .rows(|| {
                sqlx::query(statements::TAKE)
                    .bind(&self.realm)
                    .bind(&bucket.as_bytes()[..])
                    .bind(span(rate.pace()))
                    .bind(span(rate.fill()))
            })
            .await?;
        let row = only(&rows)?;
        rows::taking(row, row.time("now")?, rate)
    }

    async fn refill(&self, bucket: Bucket) -> Result<(), StoreError> {
        let statement = || sqlx::query(statements::REFILL).bind(&self.realm).bind(&bucket.as_bytes()[..]);
        self.connections.rows(statement).await.map(drop)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let rows = self.connections.rows(|| sqlx::query(statements::NOW)).await?;
        only(&rows)?.time("now")
    }
}

impl Columns for PgRow {
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

fn advanced(row: &PgRow) -> Result<Advanced, StoreError> {
    Ok(Advanced { session: rows::session(row)?, now: row.time("now")? })
}

/// The row of a statement that always answers one.
fn only(rows: &[PgRow]) -> Result<&PgRow, StoreError> {
    rows.first().ok_or_else(|| StoreError::Corrupt("a statement gave no answer".into()))
}
