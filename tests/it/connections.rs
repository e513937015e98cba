//! How a fleet reaches its Postgres: through a pooler, with passwords that change, while it stands still; and what that
//! costs the server.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use sqlx::Row;

use crate::support::postgres::Database;

mod pooler;
mod renewal;
mod stall;

/// For what takes a moment, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Repeats until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let so = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, so).await.unwrap_or_else(|_| panic!("{what}"));
}

/// Connections of clients to this database, without the one that counts: all of them, and those in an open transaction.
async fn connections(database: &Database) -> (i64, i64) {
    let count = "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%') FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let row = sqlx::query(count).fetch_one(&mut database.admin().await).await.unwrap();
    (row.get(0), row.get(1))
}
