//! What a pooler that shares sessions must find on them afterwards: nothing. And what is not done without one.

use futures_util::future::join_all;
use sidegate::store::Store;
use sidegate::store::postgres::PostgresStore;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};

use super::bench::PATIENCE;
use super::samples::{LONGEST, ended, new_session, stored, subject, swap};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{self, Database};

/// How a pooler takes a start-up option that it does not know: it refuses the connection, or drops the option.
const POOLERS: [&str; 2] = ["", "ignore_startup_parameters = options"];

#[tokio::test]
async fn nothing_is_left_on_a_poolers_session() {
    for settings in POOLERS {
        let database = postgres::database().await;
        let pgbouncer = PgBouncer::start(&database, 1, settings).await;
        let pooled = pgbouncer.database(&database);
        // Twice: what is named once may be there already the second time.
        for has_tables in [false, true] {
            let migrations = PostgresStore::migrate(&pooled.url, None, PATIENCE).await.unwrap();
            assert_eq!(migrations == 0, has_tables);
            assert_clean(&pooled).await;
        }
        let store = PostgresStore::open(&pooled.url, None, "default", 4, PATIENCE).await.unwrap();
        store.join(LONGEST).await.unwrap();
        let mut session = stored(&store, &new_session(1, "ann")).await;
        for _ in 0..3 {
            session = store.swap(&swap(&session)).await.unwrap().unwrap().session;
        }
        ended(&store, 2).await;
        store.end_subject(&subject("ann")).await.unwrap();
        store.revocations(None).await.unwrap();
        store.listen().await.unwrap();
        store.wake().await.unwrap();
        assert_clean(&pooled).await;
    }
}

#[tokio::test]
async fn a_statement_that_fails_gives_the_poolers_session_back() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::start(&database, 1, "").await;
    let pooled = pgbouncer.database(&database);
    PostgresStore::migrate(&pooled.url, None, PATIENCE).await.unwrap();
    let store = PostgresStore::open(&pooled.url, None, "default", 4, PATIENCE).await.unwrap();
    tampered(&database, "ALTER TABLE sidegate.subject_epoch RENAME TO hidden").await;
    let failed = join_all((0..8).map(|_| async { store.end_subject(&subject("ann")).await })).await;
    assert!(failed.iter().all(Result::is_err), "{failed:?}");
    // It is the only one: whoever still held it would keep everybody else waiting.
    assert_clean(&pooled).await;
    tampered(&database, "ALTER TABLE sidegate.hidden RENAME TO subject_epoch").await;
    assert_eq!(store.end_subject(&subject("ann")).await.unwrap(), 1);
}

#[tokio::test]
async fn stores_of_two_poolers_clients_do_not_mix_up_their_statements() {
    let database = postgres::database().await;
    let pgbouncer = PgBouncer::start(&database, 3, "").await;
    let pooled = pgbouncer.database(&database);
    PostgresStore::migrate(&pooled.url, None, PATIENCE).await.unwrap();
    let stores = join_all(
        (0..5).map(|_| async { PostgresStore::open(&pooled.url, None, "default", 4, PATIENCE).await.unwrap() }),
    );
    let stores = stores.await;
    stores[0].join(LONGEST).await.unwrap();
    let sessions = (0..40).map(|n: u32| {
        let store = &stores[n as usize % stores.len()];
        async move {
            let name = format!("user-{n}");
            let mut session = stored(store, &new_session(n, &name)).await;
            for turn in 1..=10 {
                session = store.swap(&swap(&session)).await.unwrap().unwrap().session;
                assert_eq!((session.generation, session.subject.as_str()), (turn, name.as_str()));
                let state = store.session(session.id).await.unwrap().unwrap();
                assert_eq!(state.session, session);
            }
        }
    });
    join_all(sessions).await;
    assert!(pgbouncer.servers().await <= 3);
}

#[tokio::test]
async fn without_a_pooler_a_statement_needs_no_transaction_around_it() {
    let database = postgres::database().await;
    PostgresStore::migrate(&database.url, None, PATIENCE).await.unwrap();
    let store = PostgresStore::open(&database.url, None, "default", 1, PATIENCE).await.unwrap();
    store.now().await.unwrap();
    let query = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND usename = 'sidegate'";
    let rows = sqlx::query(query).fetch_all(&mut database.admin().await).await.unwrap();
    let last: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(last, ["SELECT sidegate.now_ms() AS now"]);
}

/// The pooler's next client looks around on the session it gets.
async fn assert_clean(pooled: &Database) {
    let options: PgConnectOptions = pooled.url.parse().unwrap();
    let mut next = options.extra_float_digits(None).connect().await.unwrap();
    let prepared = answer(&mut next, "SELECT count(*)::text FROM pg_prepared_statements").await;
    assert_eq!(prepared, "0");
    for setting in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
        assert_eq!(answer(&mut next, &format!("SHOW {setting}")).await, "0", "{setting}");
    }
    let locks = "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    assert_eq!(answer(&mut next, locks).await, "0");
    assert_eq!(answer(&mut next, "SELECT count(*)::text FROM pg_listening_channels()").await, "0");
}

async fn answer(connection: &mut PgConnection, question: &str) -> String {
    let row: PgRow = sqlx::raw_sql(AssertSqlSafe(question.to_owned())).fetch_one(connection).await.unwrap();
    row.get(0)
}

async fn tampered(database: &Database, statement: &'static str) {
    sqlx::raw_sql(statement).execute(&mut database.admin().await).await.unwrap();
}
