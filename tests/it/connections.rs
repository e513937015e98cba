//! How a fleet reaches its Postgres: through a pooler, with passwords that change, while it stands still; and what that
//! costs the server.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::io::Write;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor, Row};

use crate::support::postgres::Database;

mod budget;
mod pooler;
mod renewal;
mod stall;

/// For what takes a moment, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shows a figure, past the capture of the test runner.
fn show(figure: &str) {
    std::io::stdout().write_all(format!("{figure}\n").as_bytes()).unwrap();
}

/// Connections of clients to this database, without the one that counts: all of them, and those in an open transaction.
async fn connections(database: &Database) -> (i64, i64) {
    let count = "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%') FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let row = sqlx::query(count).fetch_one(&mut database.admin().await).await.unwrap();
    (row.get(0), row.get(1))
}

/// A role of this database alone, whose password a test may change.
async fn role(database: &Database, password: &str) -> String {
    let role = format!("role_of_{}", database.name);
    for statement in [
        format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"),
        format!("ALTER DATABASE {} OWNER TO {role}", database.name),
    ] {
        database.admin().await.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    role
}

async fn set_password(database: &Database, role: &str, password: &str) {
    let statement = format!("ALTER ROLE {role} PASSWORD '{password}'");
    database.admin().await.execute(AssertSqlSafe(statement)).await.unwrap();
}

async fn end_connections(database: &Database) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.admin().await.execute(end).await.unwrap();
}

/// The database as its role reaches it, without a password that is of use.
fn as_role(database: &Database, role: &str) -> Database {
    let (_, place) = database.url.rsplit_once('@').unwrap();
    Database { url: format!("postgres://{role}:not-this-one@{place}"), ..database.clone() }
}
