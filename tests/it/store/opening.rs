//! From the configuration to a store.

use std::sync::Arc;

use sidegate::clock::SystemClock;
use sidegate::config::checked::{Migrate, Postgres, Store, StoreLocation};
use sidegate::domain::session::Epochs;
use sidegate::store::{self, OpenError, StoreError};

use super::bench::{MIGRATIONS, PATIENCE, has_one_line};
use super::samples::subject;
use crate::support::postgres::{self, PASSWORD};

#[tokio::test]
async fn a_configured_store_is_migrated_when_the_operator_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::database().await;
    for location in [
        StoreLocation::Sqlite(folder.path().join("data/sidegate.db")),
        StoreLocation::Postgres(Box::new(Postgres::at(&database.url, None))),
    ] {
        let configured = |migrate| Store { location: location.clone(), connections: 2, timeout: PATIENCE, migrate };
        let open = async |migrate| store::open(&configured(migrate), "default", Arc::new(SystemClock)).await;
        let Err(error) = open(Migrate::Check).await else { panic!("there is no schema") };
        assert!(matches!(error.error, StoreError::Schema(_)), "{error}");
        assert_eq!(store::migrate(&location, PATIENCE).await.unwrap(), MIGRATIONS);
        assert_eq!(store::migrate(&location, PATIENCE).await.unwrap(), 0);
        for migrate in [Migrate::Auto, Migrate::Check] {
            let store = open(migrate).await.unwrap();
            assert_eq!(store.epochs(&subject("ann")).await.unwrap(), Epochs::default());
        }
    }
    let configured = Store {
        location: StoreLocation::Sqlite(folder.path().join("other/sidegate.db")),
        connections: 2,
        timeout: PATIENCE,
        migrate: Migrate::Auto,
    };
    store::open(&configured, "default", Arc::new(SystemClock)).await.unwrap();
}

#[tokio::test]
async fn an_error_names_the_place_in_one_line_and_no_secret() {
    let location = StoreLocation::Postgres(Box::new(Postgres::at(
        &format!("postgres://sidegate:{PASSWORD}@127.0.0.1:1/orders"),
        Some("/nowhere/ca.pem".as_ref()),
    )));
    let configured = Store { location, connections: 2, timeout: PATIENCE, migrate: Migrate::Auto };
    let opened: Result<_, OpenError> = store::open(&configured, "default", Arc::new(SystemClock)).await;
    let Err(error) = opened else { panic!("nobody listens there") };
    let text = error.to_string();
    assert!(text.starts_with("postgres://127.0.0.1:1/orders: the store is not available: "), "{text}");
    assert!(has_one_line(&error) && !text.contains(PASSWORD), "{text}");
    assert!(!format!("{error:?}").contains(PASSWORD));
}
