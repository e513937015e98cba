//! A store under test, with its clock in the test's hands.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sidegate::clock::{Clock, SharedClock};
use sidegate::domain::time::{Timestamp, millis};
use sidegate::store::Store;
use sidegate::store::postgres::PostgresStore;
use sidegate::store::sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{self, Database, DatabaseClock};

/// What time it is when a test begins.
pub const START: i64 = 1_700_000_000_000;

/// How many a new store takes.
pub const MIGRATIONS: usize = 4;

/// Long enough for a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn new(ms: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(ms)))
    }

    pub fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// One empty place to store things in, and a store of the realm `default` on it.
pub struct Bench {
    pub store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    place: Place,
}

enum Place {
    Sqlite {
        path: PathBuf,
        _folder: TempDir,
    },
    /// With the way that the store takes to it.
    Postgres {
        database: Database,
        url: String,
        clock: DatabaseClock,
    },
}

impl Bench {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sidegate.db");
        SqliteStore::migrate(&path, PATIENCE).await.unwrap();
        Self::new(Place::Sqlite { path, _folder: folder }).await
    }

    pub async fn postgres() -> Self {
        let database = postgres::database().await;
        let url = database.url.clone();
        Self::on_postgres(database, url).await
    }

    /// A Postgres behind a pooler, with less connections than the store has.
    pub async fn pgbouncer() -> Self {
        static SHARED: OnceCell<PgBouncer> = OnceCell::const_new();
        let database = postgres::database().await;
        let pgbouncer = SHARED.get_or_init(|| PgBouncer::start(&database, 2, "server_idle_timeout = 5")).await;
        let url = pgbouncer.database(&database).url;
        Self::on_postgres(database, url).await
    }

    async fn on_postgres(database: Database, url: String) -> Self {
        PostgresStore::migrate(&url, None, PATIENCE).await.unwrap();
        let clock = database.take_clock(START).await;
        Self::new(Place::Postgres { database, url, clock }).await
    }

    async fn new(place: Place) -> Self {
        let clock = ManualClock::new(START);
        let store = open(&place, "default", clock.clone()).await;
        store.join(Duration::from_mins(10)).await.unwrap();
        Self { store, clock, place }
    }

    /// Another store on the same place.
    pub async fn open(&self, realm: &str) -> Arc<dyn Store> {
        open(&self.place, realm, self.clock.clone()).await
    }

    pub fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn set_time(&self, ms: i64) {
        self.clock.set(ms);
        if let Place::Postgres { clock, .. } = &self.place {
            clock.set(ms).await;
        }
    }

    pub async fn advance(&self, duration: Duration) {
        self.set_time(self.now().as_millis() + millis(duration)).await;
    }

    /// Changes rows behind the store's back; the text may say `{schema}` before a table.
    pub async fn tamper(&self, statement: &str) {
        match &self.place {
            Place::Sqlite { path, .. } => {
                let statement = sqlx::AssertSqlSafe(statement.replace("{schema}", ""));
                sqlite_connection(path).await.execute(statement).await.unwrap();
            }
            Place::Postgres { database, .. } => {
                let statement = sqlx::AssertSqlSafe(statement.replace("{schema}", "sidegate."));
                database.connect().await.execute(statement).await.unwrap();
            }
        }
    }
}

async fn open(place: &Place, realm: &str, clock: SharedClock) -> Arc<dyn Store> {
    match place {
        Place::Sqlite { path, .. } => Arc::new(SqliteStore::open(path, realm, clock, PATIENCE).await.unwrap()),
        Place::Postgres { url, .. } => Arc::new(PostgresStore::open(url, None, realm, 4, PATIENCE).await.unwrap()),
    }
}

pub async fn sqlite_connection(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap()
}

/// Whether an operator can read it in a log.
pub fn has_one_line(error: &impl std::fmt::Display) -> bool {
    !error.to_string().contains('\n')
}
