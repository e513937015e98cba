//! The tables as they are, read behind the store's back, and what a refresh token says of itself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::support::deployment::Deployment;

/// A connection of the test's own.
pub(super) enum Tables {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Tables {
    pub(super) async fn of(deployment: &Deployment) -> Self {
        match &deployment.database {
            None => {
                let options = SqliteConnectOptions::new().filename(deployment.home.path("sidegate.db"));
                Self::Sqlite(SqliteConnection::connect_with(&options).await.unwrap())
            }
            Some(database) => Self::Postgres(database.connect().await),
        }
    }

    /// The generation of the session that a token belongs to; `None` if it has no row.
    pub(super) async fn generation(&mut self, refresh_token: &str) -> Option<i64> {
        let id = session_bytes(refresh_token);
        match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_scalar("SELECT generation FROM session WHERE id = ?1").bind(id);
                query.fetch_optional(connection).await.unwrap()
            }
            Self::Postgres(connection) => {
                let query = sqlx::query_scalar("SELECT generation FROM sidegate.session WHERE id = $1").bind(id);
                query.fetch_optional(connection).await.unwrap()
            }
        }
    }

    /// What identifies the state of each session but one: id, generation and hash.
    pub(super) async fn sessions_but(&mut self, refresh_token: &str) -> Vec<(Vec<u8>, i64, Vec<u8>)> {
        let id = session_bytes(refresh_token);
        match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_as("SELECT id, generation, hash FROM session WHERE id <> ?1 ORDER BY id");
                query.bind(id).fetch_all(connection).await.unwrap()
            }
            Self::Postgres(connection) => {
                let text = "SELECT id, generation, hash FROM sidegate.session WHERE id <> $1 ORDER BY id";
                sqlx::query_as(text).bind(id).fetch_all(connection).await.unwrap()
            }
        }
    }

    /// How many rows a table has.
    pub(super) async fn count(&mut self, table: &str) -> i64 {
        match self {
            Self::Sqlite(connection) => {
                let query = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
                sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
            }
            Self::Postgres(connection) => {
                let query = AssertSqlSafe(format!("SELECT count(*) FROM sidegate.{table}"));
                sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
            }
        }
    }
}

/// The 72 bytes behind the prefix of a refresh token (`docs/token-format.md`).
pub(super) fn body(refresh_token: &str) -> Vec<u8> {
    let encoded = refresh_token.strip_prefix("sgr1_").unwrap();
    let body = URL_SAFE_NO_PAD.decode(encoded).unwrap();
    assert_eq!(body.len(), 72);
    body
}

pub(super) fn session_bytes(refresh_token: &str) -> Vec<u8> {
    body(refresh_token)[4..20].to_vec()
}
