//! Which store it is, and making it ready.

use std::sync::Arc;
use std::time::Duration;

use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::{Store, StoreError};
use crate::clock::SharedClock;
use crate::config::checked::{self, Migrate, StoreLocation};

/// Opens the configured store for one realm, after bringing its schema up to date if the operator wants that here.
pub async fn open(store: &checked::Store, realm: &str, clock: SharedClock) -> Result<Arc<dyn Store>, OpenError> {
    if store.migrate == Migrate::Auto {
        migrate(&store.location, store.timeout).await?;
    }
    let opened: Result<Arc<dyn Store>, StoreError> = match &store.location {
        StoreLocation::Sqlite(path) => {
            SqliteStore::open(path, realm, clock, store.timeout).await.map(|store| Arc::new(store) as _)
        }
        StoreLocation::Postgres(postgres) => {
            // Boxed: what a connection takes to come about would be part of every start's future.
            let opening = Box::pin(PostgresStore::open_at(postgres, realm, store.connections, store.timeout));
            opening.await.map(|store| Arc::new(store) as _)
        }
    };
    opened.map_err(|error| OpenError { place: store.location.to_string(), error })
}

/// Brings the schema up to date, under a lock, and says how many migrations that took.
pub async fn migrate(location: &StoreLocation, timeout: Duration) -> Result<usize, OpenError> {
    let migrated = match location {
        StoreLocation::Sqlite(path) => SqliteStore::migrate(path, timeout).await,
        StoreLocation::Postgres(postgres) => Box::pin(PostgresStore::migrate_at(postgres, timeout)).await,
    };
    migrated.map_err(|error| OpenError { place: location.to_string(), error })
}

/// Why a store could not be made ready. One line, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {error}")]
pub struct OpenError {
    /// The location, as it may be shown.
    pub place: String,
    pub error: StoreError,
}
