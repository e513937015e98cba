//! How long a call may take, how it is carried out, and what errors mean.
//!
//! Every call has one deadline for everything: waiting for a connection, the statement, and its retries. The server gives
//! a statement up before we do: what a caller was told is unavailable is not carried out afterwards, unless the answer
//! was lost on the way. No more calls wait than could be served in time; the rest are told at once. What a replica itself
//! must hear or say is never turned away, and waits longest: a flood of requests makes it late, not deaf.
//!
//! On a session of our own a statement is prepared once, and is a transaction by itself. Behind a pooler that gives each
//! transaction another session, every statement goes with its limits in a transaction that says where it begins and ends,
//! and leaves nothing on the session: no setting, no prepared statement, no lock.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres};
use tokio::sync::Semaphore;

use super::super::StoreError;
use super::super::rows::driver_error;
use super::pool::{Pool, Turn};
use super::reach::{Reach, Session};
use super::schema;
use crate::config::checked;
use crate::config::postgres::Place;
use crate::domain::time::millis;

/// The pool, and the deadline of every call.
#[derive(Debug)]
pub(super) struct Connections {
    pool: Pool,
    listen: Option<Pool>,
    timeout: Duration,
    /// Calls that may be under way or waiting.
    calls: Semaphore,
    begin: String,
}

/// Makes a statement; called again for each attempt.
pub(super) trait Statement<'q>: Fn() -> Query<'q, Postgres, PgArguments> + Send + Sync {}

impl<'q, F: Fn() -> Query<'q, Postgres, PgArguments> + Send + Sync> Statement<'q> for F {}

impl Connections {
    /// Connects once, to see that the server answers and the schema is this version's.
    pub(super) async fn open(
        postgres: &checked::Postgres,
        connections: u32,
        timeout: Duration,
    ) -> Result<Self, StoreError> {
        let limit = millis(timeout / 16 * 7).clamp(1, i64::from(i32::MAX));
        let reach = Reach::first(&postgres.place)?;
        let session = schema::check(&reach, timeout).await?;
        if session == Session::Shared {
            tracing::info!(
                place = %reach.address,
                "the store is behind a pooler: every statement goes in a transaction of its own"
            );
        }
        let settings: Vec<_> = LIMITS.iter().map(|setting| (*setting, limit.to_string())).collect();
        let pool = |place: &Place, reach, connections| {
            Pool::new(place.clone(), reach, connections, timeout / 2, settings.clone())
        };
        let listen = match &postgres.listen {
            Some(place) => Some(pool(place, Reach::first(place)?, 1)),
            None => None,
        };
        let local: Vec<_> =
            settings.iter().map(|(setting, limit)| format!("; SET LOCAL {setting} = {limit}")).collect();
        Ok(Self {
            pool: pool(&postgres.place, reach, connections),
            listen,
            timeout,
            calls: Semaphore::new(CALLS_PER_CONNECTION * usize::try_from(connections.max(1)).unwrap_or(1)),
            begin: format!("BEGIN ISOLATION LEVEL READ COMMITTED{}", local.concat()),
        })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How a connection outside the pool is made that listens. `None`: sessions there are shared, and nobody would hear.
    pub(super) async fn listen_options(&self) -> Result<Option<PgConnectOptions>, StoreError> {
        let pool = self.listen.as_ref().unwrap_or(&self.pool);
        let lease = self.by_deadline(pool.lease(Turn::Certain)).await?;
        let options = pool.reach().options();
        let session = lease.session();
        if self.listen.is_none() {
            lease.keep();
        }
        Ok((session == Session::Own).then_some(options))
    }

    /// Runs one statement, a transaction of its own, and returns its rows.
    pub(super) async fn rows<'q>(&self, statement: impl Statement<'q>) -> Result<Vec<PgRow>, StoreError> {
        self.in_time(self.attempts(None, statement, Turn::Common)).await
    }

    /// As [`Self::rows`], for what this replica must hear or say, whatever its clients ask.
    pub(super) async fn rows_for_certain<'q>(&self, statement: impl Statement<'q>) -> Result<Vec<PgRow>, StoreError> {
        self.by_deadline(self.attempts(None, statement, Turn::Certain)).await
    }

    /// As [`Self::rows`]; `None`, and nothing has changed, if a unique index has such a row already.
    pub(super) async fn rows_unless_taken<'q>(
        &self,
        statement: impl Statement<'q>,
    ) -> Result<Option<Vec<PgRow>>, StoreError> {
        let rows = async {
            match self.attempts(None, statement, Turn::Common).await {
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
        self.in_time(self.attempts(Some(lock), statement, Turn::Common)).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        let Ok(_call) = self.calls.try_acquire() else {
            return Err(StoreError::Unavailable("too many calls wait for postgres already".into()));
        };
        self.by_deadline(work).await
    }

    async fn by_deadline<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.timeout, Box::pin(work)).await {
            Ok(done) => done.map_err(|error| store_error(&error)),
            Err(_) => Err(too_slow(self.timeout)),
        }
    }

    async fn attempts<'q>(
        &self,
        lock: Option<i64>,
        statement: impl Statement<'q>,
        turn: Turn,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.attempt(lock, statement(), turn).await {
                Err(error) if is_conflict(&error) => tokio::time::sleep(pause).await,
                done => return done,
            }
            pause *= 2;
        }
        self.attempt(lock, statement(), turn).await
    }

    async fn attempt(
        &self,
        lock: Option<i64>,
        statement: Query<'_, Postgres, PgArguments>,
        turn: Turn,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut lease = self.pool.lease(turn).await?;
        match (lock, lease.session()) {
            (None, Session::Own) => {
                let rows = statement.fetch_all(lease.connection()?).await;
                lease.settle(rows)
            }
            (lock, session) => {
                let statement = statement.persistent(session == Session::Own);
                match self.transaction(lease.connection()?, lock, statement).await {
                    (rows, true) => lease.settle(rows),
                    (rows, false) => rows,
                }
            }
        }
    }

    /// Also says whether the transaction is over for certain.
    async fn transaction(
        &self,
        connection: &mut PgConnection,
        lock: Option<i64>,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> (Result<Vec<PgRow>, sqlx::Error>, bool) {
        let mut transaction = match connection.begin_with(AssertSqlSafe(self.begin.clone())).await {
            Ok(transaction) => transaction,
            Err(error) => return (Err(error), false),
        };
        let work = async {
            if let Some(lock) = lock {
                // In the text: a parameter would take another two messages.
                let lock = AssertSqlSafe(format!("SELECT pg_advisory_xact_lock({lock})"));
                sqlx::raw_sql(lock).execute(&mut *transaction).await?;
            }
            statement.fetch_all(&mut *transaction).await
        };
        match work.await {
            Ok(rows) => match transaction.commit().await {
                Ok(()) => (Ok(rows), true),
                Err(error) => (Err(error), false),
            },
            // Now, and not when the connection is used again: until then locks are held, and a pooler's session.
            Err(error) => (Err(error), transaction.rollback().await.is_ok()),
        }
    }
}

pub(super) fn too_slow(timeout: Duration) -> StoreError {
    StoreError::Unavailable(format!("postgres did not answer within {} ms", timeout.as_millis()))
}

/// A serialization failure or a deadlock: nothing was done, and the same again may succeed.
fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(sql_state(error).as_deref(), Some("40001" | "40P01"))
}

pub(super) fn sql_state(error: &sqlx::Error) -> Option<String> {
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

/// A statement takes a millisecond or a few: the last in the queue still has its turn.
const CALLS_PER_CONNECTION: usize = 256;

const LIMITS: [&str; 3] = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
