//! Wake-ups by LISTEN and NOTIFY: on a connection of their own, which does nothing else.
//!
//! Behind a pooler that shares sessions, and on a standby, LISTEN may succeed and nothing ever come. So nobody relies on it
//! who has not seen a wake-up of their own come back.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use super::super::{StoreError, Wakeups};
use super::connection::store_error;

struct Listener {
    inner: PgListener,
    realm: String,
}

/// Where every session is shared: nothing ever comes. LISTEN is not even said, for the pooler's next client would hear.
pub(super) struct Unheard;

/// Listens on a new connection.
pub(super) async fn listen(
    options: PgConnectOptions,
    realm: &str,
    timeout: Duration,
) -> Result<Box<dyn Wakeups>, StoreError> {
    let listening = async {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        let mut inner = PgListener::connect_with(&pool).await?;
        // A connection that was lost is an error: what was missed in between has to be read.
        inner.eager_reconnect(false);
        inner.listen(CHANNEL).await?;
        Ok(inner)
    };
    match tokio::time::timeout(timeout, listening).await {
        Ok(Ok(inner)) => Ok(Box::new(Listener { inner, realm: realm.to_owned() })),
        Ok(Err(error)) => Err(store_error(&error)),
        Err(_) => Err(StoreError::Unavailable("postgres did not let us listen in time".into())),
    }
}

#[async_trait]
impl Wakeups for Listener {
    async fn next(&mut self) -> Result<(), StoreError> {
        loop {
            match self.inner.try_recv().await {
                Ok(Some(notification)) if notification.payload() == self.realm => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => return Err(StoreError::Unavailable("the listening connection was lost".into())),
                Err(error) => return Err(store_error(&error)),
            }
        }
    }
}

#[async_trait]
impl Wakeups for Unheard {
    async fn next(&mut self) -> Result<(), StoreError> {
        std::future::pending().await
    }
}

/// For all realms of the database; the payload is the realm.
const CHANNEL: &str = "sidegate";
