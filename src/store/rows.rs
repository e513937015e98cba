//! From columns to values, the same for every SQL store.
//!
//! A row is somebody else's input: another version, another program or a damaged disk may have written it. Whatever does
//! not decode is [`StoreError::Corrupt`], with the column's name and never its content.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    Account, ChangedVault, Replica, ReplicaId, SealedKey, SessionPage, SigningKeys, StoreError, StoredKey, Taking,
};
use crate::domain::history::{Mark, Rollback};
use crate::domain::keys::Algorithm;
use crate::domain::rate::Rate;
use crate::domain::revocation::{Revocation, Revoked};
use crate::domain::secret::Fingerprint;
use crate::domain::session::{Epochs, Origin, RecentRotations, Salt, Session, SessionId, Subject, TokenHash};
use crate::domain::time::{Timestamp, millis};
use crate::domain::user::{PasswordHash, User, UserName};
use crate::domain::vault::SealedJar;

/// A row whose columns are found by name. A store reads each as one that may be NULL: asked for a plain value, the SQLite
/// driver makes zero or nothing of a NULL without a word.
pub(super) trait Columns {
    fn optional_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, StoreError>;
    fn optional_text(&self, column: &'static str) -> Result<Option<String>, StoreError>;
    fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, StoreError>;
    fn optional_flag(&self, column: &'static str) -> Result<Option<bool>, StoreError>;

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        self.optional_bytes(column)?.ok_or_else(|| damaged(column))
    }

    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.optional_text(column)?.ok_or_else(|| damaged(column))
    }

    fn integer(&self, column: &'static str) -> Result<i64, StoreError> {
        self.optional_integer(column)?.ok_or_else(|| damaged(column))
    }

    fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        self.optional_flag(column)?.ok_or_else(|| damaged(column))
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.integer(column).map(Timestamp::from_millis)
    }

    fn counter(&self, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.integer(column)?).map_err(|_| damaged(column))
    }

    fn array<const N: usize>(&self, column: &'static str) -> Result<[u8; N], StoreError> {
        self.bytes(column)?.try_into().map_err(|_| damaged(column))
    }
}

/// What an error means that the database itself did not send.
pub(super) fn driver_error(error: &sqlx::Error, no_connection: &str) -> StoreError {
    use sqlx::Error;
    match error {
        Error::ColumnDecode { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::Decode(_)
        | Error::TypeNotFound { .. } => StoreError::Corrupt(error.to_string()),
        Error::PoolTimedOut => StoreError::Unavailable(no_connection.into()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The columns of [`session`], for a statement.
macro_rules! session_columns {
    () => {
        "id, subject, client, generation, hash, salt, recent, realm_epoch, subject_epoch, created, rotated, idle_end, \
         absolute_end, login_address, login_user_agent, last_address, last_user_agent, claims, label, vault, vault_version"
    };
}
pub(super) use session_columns;

/// The columns of [`user`], for a statement.
macro_rules! user_columns {
    () => {
        "name, subject, password_hash, disabled, claims"
    };
}
pub(super) use user_columns;

pub(super) fn session(row: &impl Columns) -> Result<Session, StoreError> {
    Ok(Session {
        id: SessionId::from_bytes(row.array("id")?),
        subject: subject(row)?,
        client: row.text("client")?,
        generation: u32::try_from(row.integer("generation")?).map_err(|_| damaged("generation"))?,
        hash: TokenHash(row.array("hash")?),
        salt: salt(row)?,
        recent: RecentRotations::decode(&row.bytes("recent")?).ok_or_else(|| damaged("recent"))?,
        epochs: Epochs { realm: row.counter("realm_epoch")?, subject: row.counter("subject_epoch")? },
        created: row.time("created")?,
        rotated: row.time("rotated")?,
        idle_end: row.time("idle_end")?,
        absolute_end: row.time("absolute_end")?,
        login_from: origin(row, "login_address", "login_user_agent")?,
        last_from: origin(row, "last_address", "last_user_agent")?,
        claims: claims(row)?,
        label: row.optional_text("label")?,
        vault: vault(row)?,
    })
}

/// From the rows of a statement that answers one row at least: without a session, one without an `id`.
pub(super) fn session_page<R: Columns>(rows: &[R], most: u32) -> Result<SessionPage, StoreError> {
    let first = rows.first().ok_or_else(|| damaged("looked_at"))?;
    let mut sessions = Vec::new();
    for row in rows {
        if row.optional_bytes("id")?.is_some() {
            sessions.push(session(row)?);
        }
    }
    // Fewer rows than there might have been: these were the last.
    let has_more = most > 0 && first.counter("looked_at")? >= u64::from(most);
    let next = if has_more { Some(SessionId::from_bytes(first.array("last_id")?)) } else { None };
    Ok(SessionPage { sessions, next })
}

pub(super) fn account(row: &impl Columns) -> Result<Account, StoreError> {
    Ok(Account { user: user(row)?, epochs: epochs(row)? })
}

pub(super) fn epochs(row: &impl Columns) -> Result<Epochs, StoreError> {
    Ok(Epochs { realm: row.counter("realm_epoch")?, subject: row.counter("subject_epoch")? })
}

pub(super) fn user(row: &impl Columns) -> Result<User, StoreError> {
    Ok(User {
        name: UserName::parse(&row.text("name")?).ok_or_else(|| damaged("name"))?,
        subject: subject(row)?,
        password_hash: PasswordHash(row.text("password_hash")?),
        disabled: row.flag("disabled")?,
        claims: claims(row)?,
    })
}

/// `None` without a jar, and if the row is the one that a page without changes consists of.
fn vault(row: &impl Columns) -> Result<Option<SealedJar>, StoreError> {
    let Some(bytes) = row.optional_bytes("vault")? else { return Ok(None) };
    Ok(Some(SealedJar { version: row.counter("vault_version")?, bytes }))
}

pub(super) fn changed_vault(row: &impl Columns) -> Result<Option<ChangedVault>, StoreError> {
    let Some(jar) = vault(row)? else { return Ok(None) };
    let session = SessionId::from_bytes(row.array("session")?);
    Ok(Some(ChangedVault { session, jar, until: row.time("until")? }))
}

/// `None` if the row is the one that a page without revocations consists of.
pub(super) fn revocation(row: &impl Columns) -> Result<Option<Revocation>, StoreError> {
    let Some(kind) = row.optional_text("kind")? else {
        return Ok(None);
    };
    let revoked = match kind.as_str() {
        SESSION => Revoked::Session(SessionId::from_bytes(row.array("session")?)),
        SUBJECT => Revoked::SubjectBelow(subject(row)?, row.counter("epoch")?),
        REALM => Revoked::RealmBelow(row.counter("epoch")?),
        _ => return Err(damaged("kind")),
    };
    Ok(Some(Revocation { revoked, until: row.time("until")? }))
}

pub(super) fn stored_key(row: &impl Columns) -> Result<StoredKey, StoreError> {
    Ok(StoredKey {
        key: SealedKey {
            kid: row.text("kid")?,
            algorithm: Algorithm::parse(&row.text("algorithm")?).ok_or_else(|| damaged("algorithm"))?,
            secret: Fingerprint::from_bytes(row.array("secret")?),
            sealed: row.bytes("sealed")?,
        },
        added: row.time("added")?,
        signs_from: row.optional_integer("signs_from")?.map(Timestamp::from_millis),
        banned: row.optional_integer("banned")?.map(Timestamp::from_millis),
    })
}

/// All keys, from the rows of a statement that answers one row at least: without a key, one without a `kid`.
pub(super) fn signing_keys<R: Columns>(rows: &[R], now: Timestamp) -> Result<SigningKeys, StoreError> {
    let first = rows.first().ok_or_else(|| damaged("keys_version"))?;
    let mut list = Vec::new();
    for row in rows {
        if row.optional_text("kid")?.is_some() {
            list.push(stored_key(row)?);
        }
    }
    let longest_access_ttl = Duration::from_millis(first.counter("access_ttl")?);
    Ok(SigningKeys { version: first.counter("keys_version")?, list, longest_access_ttl, now })
}

pub(super) fn replica(row: &impl Columns) -> Result<Replica, StoreError> {
    let secrets = row.bytes("secrets")?;
    let (fingerprints, rest) = secrets.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(damaged("secrets"));
    }
    Ok(Replica {
        id: ReplicaId(row.array("id")?),
        name: row.text("name")?,
        secrets: fingerprints.iter().copied().map(Fingerprint::from_bytes).collect(),
        heard: row.counter("heard")?,
    })
}

pub(super) fn mark(row: &impl Columns, server: String, known: String) -> Result<Mark, StoreError> {
    Ok(Mark { server, known, beat: row.counter("beat")?, beaten: row.time("beaten")?, rollback: rollback(row)? })
}

pub(super) fn rollback(row: &impl Columns) -> Result<Option<Rollback>, StoreError> {
    let Some(id) = row.optional_integer("rollback_id")? else { return Ok(None) };
    let id = u64::try_from(id).map_err(|_| damaged("rollback_id"))?;
    let (since, noticed) = (row.time("rollback_since")?, row.time("rollback_noticed")?);
    Ok(Some(Rollback { id, since, noticed, asked: row.counter("rollback_asked")? }))
}

pub(super) fn fingerprints_column(secrets: &[Fingerprint]) -> Vec<u8> {
    secrets.iter().flat_map(|secret| *secret.as_bytes()).collect()
}

/// What a bucket gave: whether the statement took one, and otherwise when it found the bucket whole again. Whoever was
/// overtaken by another does not know that, and waits for one turn.
pub(super) fn taking(row: &impl Columns, now: Timestamp, rate: Rate) -> Result<Taking, StoreError> {
    if row.flag("taken")? {
        return Ok(Taking::Taken);
    }
    let whole_at = row.optional_integer("whole_at")?.map(Timestamp::from_millis);
    Ok(Taking::Wait(rate.take(whole_at, now).err().unwrap_or(rate.pace())))
}

pub(super) fn fingerprint(row: &impl Columns) -> Result<Fingerprint, StoreError> {
    row.array("fingerprint").map(Fingerprint::from_bytes)
}

/// A sealed jar as it is written.
pub(super) fn vault_columns(vault: Option<&SealedJar>) -> (Option<&[u8]>, i64) {
    (vault.map(|vault| vault.bytes.as_slice()), vault.map_or(0, |vault| counter_column(vault.version)))
}

/// Claims as they are written.
pub(super) fn claims_column(claims: &Map<String, Value>) -> String {
    // A map of JSON values always serialises; its `Display` is the compact form.
    Value::Object(claims.clone()).to_string()
}

/// A free text as it is written. Postgres has no NUL in texts, so no store keeps any.
pub(super) fn text_column(text: &str) -> String {
    text.replace('\0', "")
}

pub(super) fn optional_text_column(text: Option<&str>) -> Option<String> {
    text.map(text_column)
}

pub(super) fn address_column(origin: &Origin) -> Option<String> {
    origin.address.map(|address| address.to_string())
}

/// A counter for a statement that compares it; one that no column can hold equals none.
pub(super) fn counter_column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(-1)
}

/// A duration for a statement that adds or subtracts it: cut at ten thousand years, where no sum overflows.
pub(super) fn span(duration: Duration) -> i64 {
    const LONGEST: i64 = 10_000 * 366 * 86_400_000;
    millis(duration).min(LONGEST)
}

pub(super) fn damaged(column: &str) -> StoreError {
    StoreError::Corrupt(format!("column {column} has an unexpected value"))
}

fn subject(row: &impl Columns) -> Result<Subject, StoreError> {
    Subject::parse(&row.text("subject")?).ok_or_else(|| damaged("subject"))
}

fn salt(row: &impl Columns) -> Result<Option<Salt>, StoreError> {
    let Some(bytes) = row.optional_bytes("salt")? else {
        return Ok(None);
    };
    bytes.try_into().map(|bytes| Some(Salt(bytes))).map_err(|_| damaged("salt"))
}

fn origin(row: &impl Columns, address: &'static str, user_agent: &'static str) -> Result<Origin, StoreError> {
    let parsed = row.optional_text(address)?.map(|text| text.parse::<IpAddr>().map_err(|_| damaged(address)));
    Ok(Origin { address: parsed.transpose()?, user_agent: row.optional_text(user_agent)? })
}

fn claims(row: &impl Columns) -> Result<Map<String, Value>, StoreError> {
    serde_json::from_str(&row.text("claims")?).map_err(|_| damaged("claims"))
}

/// `revocation.kind`.
pub(super) const SESSION: &str = "session";
pub(super) const SUBJECT: &str = "subject";
pub(super) const REALM: &str = "realm";
