//! The tables of this version, and how they come about.
//!
//! A migration is one transaction under an advisory lock of that transaction, so that it is also safe behind a pooler
//! that gives each transaction another session, and leaves nothing behind when it fails.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::super::StoreError;
use super::super::schema::{self, Applied, Standing, Step};
use super::connection::store_error;
use super::reach::{Reach, Session};

macro_rules! table {
    ($name:literal) => {
        concat!(
            "SELECT EXISTS (
                SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'sidegate' AND c.relname = '",
            $name,
            "') AS found"
        )
    };
}

/// Brings the schema up to date and says how many migrations that took.
pub(super) async fn migrate(reach: &Reach, timeout: Duration) -> Result<usize, StoreError> {
    let (mut connection, _) = reach.connect_in(timeout).await?;
    let migrator = migrator();
    let done = match schema::standing(&read(&mut connection).await?, &steps(&migrator))? {
        Standing::Current => 0,
        Standing::Behind(_) => apply(&mut connection, migrator).await?,
    };
    // What matters is committed; the server closes what we fail to.
    let _ = connection.close().await;
    Ok(done)
}

/// Fails unless the schema is this version's. Says whose session it was read in.
pub(super) async fn check(reach: &Reach, timeout: Duration) -> Result<Session, StoreError> {
    let (mut connection, session) = reach.connect_in(timeout).await?;
    let applied = read(&mut connection).await?;
    let _ = connection.close().await;
    schema::require_current(&applied, &steps(&migrator()))?;
    Ok(session)
}

/// What was applied, in a transaction that only reads.
async fn read(connection: &mut PgConnection) -> Result<Applied, StoreError> {
    let mut transaction = connection.begin().await.map_err(|error| store_error(&error))?;
    let applied = applied(&mut transaction).await;
    transaction.rollback().await.map_err(|error| store_error(&error))?;
    applied
}

async fn apply(connection: &mut PgConnection, mut migrator: Migrator) -> Result<usize, StoreError> {
    let failed = |error: sqlx::Error| store_error(&error);
    let mut transaction = connection.begin().await.map_err(failed)?;
    transaction.execute(LIMITS).await.map_err(failed)?;
    let lock = AssertSqlSafe(format!("SELECT pg_advisory_xact_lock({LOCK})"));
    transaction.execute(sqlx::raw_sql(lock)).await.map_err(failed)?;
    // Another migration may have finished while this one waited.
    let missing = match schema::standing(&applied(&mut transaction).await?, &steps(&migrator))? {
        Standing::Current => return Ok(0),
        Standing::Behind(missing) => missing,
    };
    if !exists(&mut transaction, SCHEMA).await? {
        // Only then: even `IF NOT EXISTS` needs the right to create schemas, which an operator may have kept.
        migrator.create_schema("sidegate");
    }
    migrator.set_locking(false);
    migrator.run(&mut *transaction).await.map_err(|error| migration_error(&error))?;
    // The library has prepared statements by name: the next who gets a pooler's session would find them there.
    transaction.clear_cached_statements().await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(missing)
}

/// In a transaction, and unnamed: behind a pooler a statement that is prepared outlives neither.
async fn applied(connection: &mut PgConnection) -> Result<Applied, StoreError> {
    if !exists(connection, MIGRATIONS).await? {
        return Ok(Applied::default());
    }
    let says = exists(connection, USABLE_SINCE).await?;
    let read = async {
        let rows = sqlx::query("SELECT version, checksum FROM sidegate._sqlx_migrations ORDER BY version")
            .persistent(false)
            .fetch_all(&mut *connection)
            .await?;
        let steps: Result<Vec<Step>, sqlx::Error> =
            rows.iter().map(|row| Ok((row.try_get("version")?, row.try_get("checksum")?))).collect();
        let usable_since = if says {
            sqlx::query("SELECT max(version) AS version FROM sidegate.usable_since")
                .persistent(false)
                .fetch_one(connection)
                .await?
                .try_get("version")?
        } else {
            None
        };
        Ok(Applied { steps: steps?, usable_since })
    };
    read.await.map_err(|error: sqlx::Error| store_error(&error))
}

async fn exists(connection: &mut PgConnection, question: &'static str) -> Result<bool, StoreError> {
    let row = sqlx::query(question).persistent(false).fetch_one(connection).await;
    row.and_then(|row| row.try_get("found")).map_err(|error| store_error(&error))
}

fn migrator() -> Migrator {
    let mut migrator = schema::migrator([
        (1, "initial", include_str!("migrations/0001_initial.sql")),
        (2, "limits and keys", include_str!("migrations/0002_limits_and_keys.sql")),
        (3, "history", include_str!("migrations/0003_history.sql")),
        (4, "vault", include_str!("migrations/0004_vault.sql")),
    ]);
    migrator.dangerous_set_table_name("sidegate._sqlx_migrations");
    migrator
}

fn steps(migrator: &Migrator) -> Vec<Step> {
    migrator.iter().map(|migration| (migration.version, migration.checksum.to_vec())).collect()
}

fn migration_error(error: &MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => match store_error(cause) {
            StoreError::Unavailable(why) => StoreError::Unavailable(format!("the migration failed: {why}")),
            other => other,
        },
        other => StoreError::Schema(other.to_string()),
    }
}

/// Read from the catalogue's tables: `to_regclass` and its kind may answer from before the lock was ours.
const SCHEMA: &str = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'sidegate') AS found";
const MIGRATIONS: &str = table!("_sqlx_migrations");
const USABLE_SINCE: &str = table!("usable_since");

/// A migration may rewrite a table, but should not queue behind a lock for ever.
const LIMITS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; \
                      SET LOCAL idle_in_transaction_session_timeout = '1min'";

/// Any constant: "sidegate" in ASCII.
const LOCK: i64 = 0x7369_6465_6761_7465;
