//! How the file is reached, how long it may take, and what its errors mean.
//!
//! SQLite has one writer at a time. Ours is a pool of one, so that our own calls queue there and not in SQLite's busy
//! loop; that loop is for other processes (the command line) on the same file. Readers see the last commit and wait for
//! nobody.
//!
//! A call has one deadline. It may spend half of it on its turn; SQLite then gives up waiting for other processes before
//! we do, so that what a caller was told is unavailable is not carried out afterwards.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::super::StoreError;
use super::super::rows::driver_error;

/// Why a call failed, before it is translated.
#[derive(Debug)]
pub(super) enum Failure {
    Driver(sqlx::Error),
    Store(StoreError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Driver(error) => store_error(&error),
            Failure::Store(error) => error,
        }
    }
}

/// The pools, and the deadline of every call.
#[derive(Debug)]
pub(super) struct Connections {
    writer: SqlitePool,
    readers: SqlitePool,
    timeout: Duration,
}

impl Connections {
    pub(super) fn new(path: &Path, timeout: Duration) -> Result<Self, StoreError> {
        let options = options(path, timeout)?;
        let pool = |most| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(timeout / 2)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = pool(1).connect_lazy_with(options.clone());
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self { writer, readers, timeout })
    }

    pub(super) async fn reader(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        self.readers.acquire().await
    }

    /// For one statement, a transaction of its own.
    pub(super) async fn writer(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        self.writer.acquire().await
    }

    /// For several statements: nobody else writes until it ends.
    pub(super) async fn transaction(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Holds some work to the deadline.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(too_slow(self.timeout)),
        }
    }
}

/// Makes the file, and its folder, readable for this user only. One that is there keeps its mode.
pub(super) fn create_file(path: &Path) -> Result<(), StoreError> {
    let failed = |what: &str, path: &Path, error: &std::io::Error| {
        StoreError::Unavailable(format!("{what} {} cannot be made: {error}", path.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| failed("folder", folder, &error))?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed("file", path, &error)),
        _ => Ok(()),
    }
}

/// One connection outside the pools, with the file in WAL mode.
pub(super) async fn connect(path: &Path, timeout: Duration) -> Result<SqliteConnection, StoreError> {
    let options = options(path, timeout)?;
    let work = async {
        loop {
            // SQLite does not wait for the lock that a change of mode needs, so we do.
            match in_wal_mode(&options).await {
                Err(error) if is_busy(&error) => tokio::time::sleep(BUSY_PAUSE).await,
                done => return done,
            }
        }
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(done) => done.map_err(|error| store_error(&error)),
        Err(_) => Err(StoreError::Unavailable(format!("the file is locked for {} ms", timeout.as_millis()))),
    }
}

async fn in_wal_mode(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = SqliteConnection::connect_with(options).await?;
    match connection.execute("PRAGMA journal_mode = WAL").await {
        Ok(_) => Ok(connection),
        Err(error) => {
            let _ = connection.close().await;
            Err(error)
        }
    }
}

fn options(path: &Path, timeout: Duration) -> Result<SqliteConnectOptions, StoreError> {
    // An absolute path is never taken for a `file:` URI or for `:memory:`.
    let path: PathBuf = std::path::absolute(path).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(timeout.min(LONGEST) / 16 * 7)
        .disable_statement_logging())
}

fn too_slow(timeout: Duration) -> StoreError {
    StoreError::Unavailable(format!("sqlite did not answer within {} ms", timeout.as_millis()))
}

fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6))
}

/// The result code without what extends it (<https://www.sqlite.org/rescode.html>).
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// What an error of the driver means to the caller.
pub(super) fn store_error(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(cause) => {
            let text = cause.message().to_owned();
            match primary_code(error) {
                Some(1) if text.starts_with("no such") => {
                    StoreError::Schema(format!("{text}; hint: run `sidegate migrate`"))
                }
                // Corrupt, not a database.
                Some(11 | 26) => StoreError::Corrupt(text),
                // Cannot open.
                Some(14) => StoreError::Unavailable(format!(
                    "{text}; hint: this user must be able to write the file and its folder"
                )),
                _ => StoreError::Unavailable(text),
            }
        }
        _ => driver_error(error, "no turn in time"),
    }
}

const READERS: u32 = 2;
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// SQLite counts it in 31 bits.
const LONGEST: Duration = Duration::from_hours(24);
