//! The tables as they are, read behind the store's back, and what a refresh token says of itself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sidegate::domain::secret::hex;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::support::deployment::Deployment;

/// A connection of the test's own.
pub(crate) enum Tables {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Tables {
    pub(crate) async fn of(deployment: &Deployment) -> Self {
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

    /// Each value of each row of each table: bytes as they are, anything else as text.
    pub(crate) async fn values(&mut self) -> Vec<Vec<u8>> {
        let columns: Vec<(String, String)> = match self {
            Self::Sqlite(connection) => {
                let query = "SELECT m.name, 'CAST(\"' || c.name || '\" AS BLOB)' FROM sqlite_schema m,
                    pragma_table_info(m.name) c WHERE m.type = 'table'";
                sqlx::query_as(query).fetch_all(connection).await.unwrap()
            }
            Self::Postgres(connection) => {
                let query = "SELECT format('%I.%I', table_schema, table_name), CASE WHEN data_type = 'bytea'
                    THEN quote_ident(column_name)
                    ELSE format('convert_to(%I::text, ''UTF8'')', column_name) END
                    FROM information_schema.columns WHERE table_schema = 'sidegate'";
                sqlx::query_as(query).fetch_all(connection).await.unwrap()
            }
        };
        assert!(columns.len() > 30, "{columns:?}");
        let mut values = Vec::new();
        for (table, column) in columns {
            let query = AssertSqlSafe(format!("SELECT {column} FROM {table}"));
            let rows: Vec<Option<Vec<u8>>> = match self {
                Self::Sqlite(connection) => sqlx::query_scalar(query).fetch_all(connection).await.unwrap(),
                Self::Postgres(connection) => sqlx::query_scalar(query).fetch_all(connection).await.unwrap(),
            };
            values.extend(rows.into_iter().flatten());
        }
        values
    }

    /// Stores something raw, as hexadecimal and as base64.
    pub(super) async fn plant(&mut self, secret: &[u8]) {
        for text in [hex(secret), URL_SAFE_NO_PAD.encode(secret)] {
            match self {
                Self::Sqlite(connection) => {
                    let query = sqlx::query("INSERT INTO subject_epoch VALUES ('planted', ?1, 1)").bind(text);
                    query.execute(connection).await.unwrap();
                }
                Self::Postgres(connection) => {
                    let query = sqlx::query("INSERT INTO sidegate.subject_epoch VALUES ('planted', $1, 1)").bind(text);
                    query.execute(connection).await.unwrap();
                }
            }
        }
        match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query("INSERT INTO secret (realm, fingerprint) VALUES ('planted', ?1)").bind(secret);
                query.execute(connection).await.unwrap();
            }
            Self::Postgres(connection) => {
                let text = "INSERT INTO sidegate.secret (realm, fingerprint) VALUES ('planted', $1)";
                sqlx::query(text).bind(secret).execute(connection).await.unwrap();
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
