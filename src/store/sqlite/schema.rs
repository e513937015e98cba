//! The tables of this version, and how they come about: in one transaction that nobody else writes beside.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, Row, SqliteConnection};

use super::super::StoreError;
use super::super::schema::{self, Applied, Standing, Step};
use super::connection::{connect, create_file, store_error};

/// Makes the file if there is none, brings the schema up to date and says how many migrations that took.
pub(super) async fn migrate(path: &Path, timeout: Duration) -> Result<usize, StoreError> {
    create_file(path)?;
    let mut connection = connect(path, timeout).await?;
    let done = apply(&mut connection).await;
    let _ = connection.close().await;
    done
}

/// Fails unless the file is there and its schema is this version's.
pub(super) async fn check(path: &Path, timeout: Duration) -> Result<(), StoreError> {
    if path.try_exists().is_ok_and(|there| !there) {
        return Err(StoreError::Schema("there is no such file; hint: run `sidegate migrate`".into()));
    }
    let mut connection = connect(path, timeout).await?;
    let applied = applied(&mut connection).await;
    let _ = connection.close().await;
    schema::require_current(&applied?, &steps(&migrator()))
}

async fn apply(connection: &mut SqliteConnection) -> Result<usize, StoreError> {
    let migrator = migrator();
    if schema::standing(&applied(connection).await?, &steps(&migrator))? == Standing::Current {
        return Ok(0);
    }
    let failed = |error: sqlx::Error| store_error(&error);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    // Another migration may have finished while this one waited.
    let missing = match schema::standing(&applied(&mut transaction).await?, &steps(&migrator))? {
        Standing::Current => return Ok(0),
        Standing::Behind(missing) => missing,
    };
    migrator.run(&mut *transaction).await.map_err(|error| migration_error(&error))?;
    transaction.commit().await.map_err(failed)?;
    Ok(missing)
}

async fn applied(connection: &mut SqliteConnection) -> Result<Applied, StoreError> {
    let read = async {
        if !has_table(connection, "_sqlx_migrations").await? {
            return Ok(Applied::default());
        }
        let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *connection)
            .await?;
        let steps: Result<Vec<Step>, sqlx::Error> =
            rows.iter().map(|row| Ok((row.try_get("version")?, row.try_get("checksum")?))).collect();
        let usable_since = if has_table(connection, "usable_since").await? {
            let newest = sqlx::query("SELECT max(version) AS version FROM usable_since");
            newest.fetch_one(connection).await?.try_get("version")?
        } else {
            None
        };
        Ok(Applied { steps: steps?, usable_since })
    };
    read.await.map_err(|error: sqlx::Error| store_error(&error))
}

async fn has_table(connection: &mut SqliteConnection, name: &'static str) -> Result<bool, sqlx::Error> {
    let tables = sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name = ?1");
    Ok(!tables.bind(name).fetch_all(connection).await?.is_empty())
}

fn migrator() -> Migrator {
    schema::migrator([
        (1, "initial", include_str!("migrations/0001_initial.sql")),
        (2, "limits and keys", include_str!("migrations/0002_limits_and_keys.sql")),
        (3, "history", include_str!("migrations/0003_history.sql")),
        (4, "vault", include_str!("migrations/0004_vault.sql")),
    ])
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
