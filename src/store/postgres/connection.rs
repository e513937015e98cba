//! How Postgres is reached, how long it may take, and what its errors mean.
//!
//! Every call has one deadline for everything: waiting for a connection, the statement, and its retries. The server gives
//! a statement up before we do: what a caller was told is unavailable is not carried out afterwards, unless the answer
//! was lost on the way. A connection that did not come back cleanly is closed instead of being used again.
//!
//! The limits are settings of the session: behind a pooler that shares sessions, give sidegate a role of its own.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow, PgSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool, Postgres};
use url::{Host, Url};

use super::super::StoreError;
use super::super::rows::driver_error;
use crate::domain::time::millis;

/// What the URL says, made strict: a server that is not on this machine must prove who it is, unless the URL itself
/// asks for less.
pub(super) fn options(url: &str, ca_file: Option<&Path>) -> Result<PgConnectOptions, StoreError> {
    let invalid = |why: &dyn std::fmt::Display| StoreError::Unavailable(format!("the URL is not usable: {why}"));
    let parsed = Url::parse(url).map_err(|error| invalid(&error))?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(invalid(&"it does not begin with postgres://"));
    }
    let mut options = PgConnectOptions::from_url(&parsed).map_err(|error| invalid(&error))?;
    if let Some(Host::Ipv6(address)) = parsed.host() {
        options = options.host(&address.to_string());
    }
    let says_mode = parsed.query_pairs().any(|(key, _)| matches!(&*key, "sslmode" | "ssl-mode"));
    if !says_mode {
        let mode = if is_local(&options) { PgSslMode::Prefer } else { PgSslMode::VerifyFull };
        options = options.ssl_mode(mode);
    }
    if let Some(file) = ca_file {
        options = options.ssl_root_cert(file);
    }
    if options.get_application_name().is_none() {
        options = options.application_name("sidegate");
    }
    // No floating point is stored, and poolers refuse start-up parameters they do not know.
    Ok(options.extra_float_digits(None).disable_statement_logging())
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// One connection outside the pool, with an error that says why there is none (the pool would only say that it waited).
pub(super) async fn connect(options: &PgConnectOptions, timeout: Duration) -> Result<PgConnection, StoreError> {
    match tokio::time::timeout(timeout, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(|error| store_error(&error)),
        Err(_) => Err(too_slow(timeout)),
    }
}

/// The pool, and the deadline of every call.
#[derive(Debug)]
pub(super) struct Connections {
    pool: PgPool,
    timeout: Duration,
    begin: String,
}

/// Makes a statement; called again for each attempt.
pub(super) trait Statement<'q>: Fn() -> Query<'q, Postgres, PgArguments> + Send + Sync {}

impl<'q, F: Fn() -> Query<'q, Postgres, PgArguments> + Send + Sync> Statement<'q> for F {}

impl Connections {
    pub(super) fn new(options: PgConnectOptions, connections: u32, timeout: Duration) -> Self {
        let limit = millis(timeout / 16 * 7).clamp(1, i64::from(i32::MAX));
        let limits = |local: &str| {
            ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
                .map(|setting| format!("SET {local} {setting} = {limit}"))
                .join("; ")
        };
        let session_limits = limits("SESSION");
        let pool = PgPoolOptions::new()
            .max_connections(connections.max(1))
            .acquire_timeout(timeout / 2)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    // A connection that rested may have died with its server; one in use shows it by itself.
                    if meta.idle_for > RESTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                let limits = session_limits.clone();
                Box::pin(async move { connection.execute(AssertSqlSafe(limits)).await.map(drop) })
            })
            .connect_lazy_with(options);
        // In a transaction the limits are said again, for poolers that give each transaction another session.
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED; {}", limits("LOCAL"));
        Self { pool, timeout, begin }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How a connection outside the pool is made that listens.
    pub(super) fn listen_options(&self) -> PgConnectOptions {
        PgConnectOptions::clone(&self.pool.connect_options())
    }

    /// Runs one statement, a transaction of its own, and returns its rows.
    pub(super) async fn rows<'q>(&self, statement: impl Statement<'q>) -> Result<Vec<PgRow>, StoreError> {
        self.in_time(self.attempts(None, statement)).await
    }

    /// As [`Self::rows`]; `None`, and nothing has changed, if a unique index has such a row already.
    pub(super) async fn rows_unless_taken<'q>(
        &self,
        statement: impl Statement<'q>,
    ) -> Result<Option<Vec<PgRow>>, StoreError> {
        let rows = async {
            match self.attempts(None, statement).await {
                Err(error) if sql_state(&error).as_deref() == Some("23505") => Ok(None),
                done => done.map(Some),
            }
        };
        self.in_time(rows).await
    }

    /// Runs one statement while holding an advisory lock: the statement sees everything that earlier holders did.
    pub(super) async fn rows_in_sequence<'q>(
        &self,
        lock: i64,
        statement: impl Statement<'q>,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.in_time(self.attempts(Some(lock), statement)).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => done.map_err(|error| store_error(&error)),
            Err(_) => Err(too_slow(self.timeout)),
        }
    }

    async fn attempts<'q>(&self, lock: Option<i64>, statement: impl Statement<'q>) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.attempt(lock, statement()).await {
                Err(error) if is_conflict(&error) => tokio::time::sleep(pause).await,
                done => return done,
            }
            pause *= 2;
        }
        self.attempt(lock, statement()).await
    }

    async fn attempt(
        &self,
        lock: Option<i64>,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut lease = Lease { connection: self.pool.acquire().await?, clean: false };
        let rows = match lock {
            None => statement.fetch_all(&mut *lease).await,
            Some(lock) => self.transaction(&mut lease, lock, statement).await,
        };
        lease.settle(rows)
    }

    async fn transaction(
        &self,
        connection: &mut PgConnection,
        lock: i64,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut transaction = connection.begin_with(AssertSqlSafe(self.begin.clone())).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut *transaction).await?;
        let rows = statement.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}

/// A connection of the pool that goes back only after [`Self::settle`] found it clean.
struct Lease {
    connection: PoolConnection<Postgres>,
    clean: bool,
}

impl Lease {
    /// The answer is here: unless the connection itself broke, it can be used again.
    fn settle<T>(mut self, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.clean = matches!(answer, Ok(_) | Err(sqlx::Error::Database(_)));
        answer
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.clean {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

fn too_slow(timeout: Duration) -> StoreError {
    StoreError::Unavailable(format!("postgres did not answer within {} ms", timeout.as_millis()))
}

/// A serialization failure or a deadlock: nothing was done, and the same again may succeed.
fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(sql_state(error).as_deref(), Some("40001" | "40P01"))
}

fn sql_state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Cow::into_owned)
}

/// What an error of the driver means to the caller. The driver's texts name hosts and users, never a password.
pub(super) fn store_error(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(cause) => {
            let state = sql_state(error).unwrap_or_default();
            let text = format!("{} ({state})", cause.message());
            match state.as_str() {
                // Undefined schema, table, column, function.
                "3F000" | "42P01" | "42703" | "42883" => {
                    StoreError::Schema(format!("{text}; hint: run `sidegate migrate`"))
                }
                // Damaged data, damaged index.
                "XX001" | "XX002" => StoreError::Corrupt(text),
                _ => StoreError::Unavailable(text),
            }
        }
        _ => driver_error(error, "no connection to postgres in time"),
    }
}

const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const RESTED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> PgSslMode {
        options(url, None).unwrap().get_ssl_mode()
    }

    #[test]
    fn a_server_elsewhere_must_prove_who_it_is_unless_the_url_asks_for_less() {
        for url in ["postgres://u:p@db.internal/x", "postgresql://10.0.0.5/x", "postgres://[2001:db8::1]/x"] {
            assert!(matches!(mode(url), PgSslMode::VerifyFull), "{url}");
        }
        assert!(matches!(mode("postgres://db.internal/x?sslmode=require"), PgSslMode::Require));
        for url in
            ["postgres://localhost/x", "postgres://127.0.0.9/x", "postgres://[::1]/x", "postgres://%2Frun%2Fpg/x"]
        {
            assert!(matches!(mode(url), PgSslMode::Prefer), "{url}");
        }
    }

    #[test]
    fn a_host_in_the_query_counts_too() {
        assert!(matches!(mode("postgres://localhost/x?host=db.internal"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres:///x?host=/run/postgresql"), PgSslMode::Prefer));
    }

    #[test]
    fn an_unusable_url_is_an_error_without_its_password() {
        for url in ["mysql://u:hunter2@h/x", "postgres://u:hunter2@h:99999/x", "hunter2"] {
            let error = options(url, None).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
