//! What only Postgres can do: commit out of order, restart, be someone else's, be stuck.

use std::time::Duration;

use futures_util::future::join_all;
use sidegate::clock::Stopwatch;
use sidegate::domain::revocation::Revoked;
use sidegate::store::postgres::PostgresStore;
use sidegate::store::{Cursor, Loss, Store, StoreError};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::bench::{MIGRATIONS, PATIENCE, has_one_line};
use super::samples::{IDLE, LONGEST, ended, new_session, session_id, stored, subject, swap};
use crate::support::postgres::{self, Database, Durability, PASSWORD, Server};

/// For calls that must fail in time.
const SHORT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_revocation_that_commits_after_a_later_one_was_read_is_delivered() {
    let (database, store) = fresh().await;
    let start = store.revocations(None).await.unwrap();
    let mut slow = database.connect().await;
    let mut slow = slow.begin().await.unwrap();
    revoke(&mut slow, 1).await;
    ended(&store, 2).await;
    let page = store.revocations(Some(&start.cursor)).await.unwrap();
    assert_eq!(sessions(&page.revocations), [2]);
    slow.commit().await.unwrap();
    ended(&store, 3).await;
    let next = store.revocations(Some(&page.cursor)).await.unwrap();
    assert_eq!(sessions(&next.revocations), [1, 3]);
    assert_eq!(store.revocations(Some(&next.cursor)).await.unwrap().revocations, []);
}

#[tokio::test]
async fn a_revocation_that_was_not_committed_at_the_first_page_is_on_the_second() {
    let (database, store) = fresh().await;
    let mut slow = database.connect().await;
    let mut slow = slow.begin().await.unwrap();
    revoke(&mut slow, 1).await;
    ended(&store, 2).await;
    let page = store.revocations(None).await.unwrap();
    assert_eq!(sessions(&page.revocations), [2]);
    slow.commit().await.unwrap();
    let next = store.revocations(Some(&page.cursor)).await.unwrap();
    assert_eq!(sessions(&next.revocations), [1]);
}

#[tokio::test]
async fn an_old_transaction_of_someone_else_delays_and_repeats_nothing() {
    let (database, store) = fresh().await;
    let (mut old, mut slow, mut aborted) =
        (database.connect().await, database.connect().await, database.connect().await);
    let mut old = old.begin().await.unwrap();
    old.execute("SELECT pg_current_xact_id()").await.unwrap();
    let mut slow = slow.begin().await.unwrap();
    revoke(&mut slow, 1).await;
    let mut aborted = aborted.begin().await.unwrap();
    revoke(&mut aborted, 9).await;

    let mut cursor = store.revocations(None).await.unwrap().cursor;
    let mut seen = Vec::new();
    for n in 2..6 {
        ended(&store, n).await;
        let page = store.revocations(Some(&cursor)).await.unwrap();
        assert_eq!(sessions(&page.revocations), [n]);
        seen.extend(sessions(&page.revocations));
        cursor = page.cursor;
    }
    slow.commit().await.unwrap();
    aborted.rollback().await.unwrap();
    let page = store.revocations(Some(&cursor)).await.unwrap();
    assert_eq!(sessions(&page.revocations), [1]);
    assert_eq!(store.revocations(Some(&page.cursor)).await.unwrap().revocations, []);
    old.commit().await.unwrap();
    assert_eq!(store.revocations(Some(&page.cursor)).await.unwrap().revocations, []);
}

#[tokio::test]
async fn another_server_process_is_read_from_the_beginning() {
    let (_, store) = fresh().await;
    ended(&store, 1).await;
    let cursor = store.revocations(None).await.unwrap().cursor;
    assert_eq!(store.revocations(Some(&cursor)).await.unwrap().revocations, []);
    let (_, snapshot) = cursor.0.split_once('/').unwrap();
    let elsewhere = Cursor(format!("1/{snapshot}"));
    assert_eq!(store.revocations(Some(&elsewhere)).await.unwrap().revocations.len(), 1);
}

#[tokio::test]
async fn a_stopped_server_is_unavailable_and_needs_no_reopening() {
    let server = Server::start(Durability::On);
    let database = server.database().await;
    PostgresStore::migrate(&database.url, None, PATIENCE).await.unwrap();
    let store = PostgresStore::open(&database.url, None, "default", 2, Duration::from_secs(1)).await.unwrap();
    store.join(LONGEST).await.unwrap();
    let session = stored(&store, &new_session(1, "ann")).await;
    ended(&store, 9).await;
    let before = store.revocations(None).await.unwrap();
    server.stop();
    let watch = Stopwatch::start();
    assert!(matches!(store.swap(&swap(&session)).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.now().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.create_session(&new_session(2, "ann")).await, Err(StoreError::Unavailable(_))));
    assert!(watch.elapsed() < Duration::from_secs(6), "{:?}", watch.elapsed());
    let error = PostgresStore::open(&database.url, None, "default", 2, SHORT).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(_)) && has_one_line(&error), "{error}");

    server.start_again();
    let mut tries = 0;
    let advanced = loop {
        match store.swap(&swap(&session)).await {
            Ok(advanced) => break advanced,
            Err(error) if tries > 20 => panic!("{error}"),
            Err(_) => tries += 1,
        }
    };
    assert_eq!(advanced.unwrap().session.generation, 1);
    let again = store.revocations(Some(&before.cursor)).await.unwrap();
    assert_eq!(again.revocations, before.revocations, "a restarted server is read from the beginning");
}

#[tokio::test]
async fn a_read_only_database_is_unavailable_for_what_writes() {
    let (database, store) = fresh().await;
    let session = stored(&store, &new_session(1, "ann")).await;
    database.alter("SET default_transaction_read_only = on").await;
    let store = open(&database, PATIENCE).await;
    for error in [
        store.swap(&swap(&session)).await.unwrap_err(),
        store.end_session(session.id).await.unwrap_err(),
        store.end_subject(&subject("ann")).await.unwrap_err(),
        store.create_session(&new_session(2, "ann")).await.unwrap_err(),
    ] {
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("read-only")), "{error}");
    }
    assert_eq!(store.session(session.id).await.unwrap().unwrap().session, session);
    assert_eq!(store.revocations(None).await.unwrap().revocations, []);
}

#[tokio::test]
async fn a_row_that_someone_holds_is_unavailable_in_time_and_the_connection_lives_on() {
    let (database, store) = fresh().await;
    let session = stored(&store, &new_session(1, "ann")).await;
    let store = PostgresStore::open(&database.url, None, "default", 1, SHORT).await.unwrap();
    let mut holder = database.connect().await;
    let mut holder = holder.begin().await.unwrap();
    holder.execute("SELECT FROM sidegate.session FOR UPDATE").await.unwrap();
    for _ in 0..3 {
        let watch = Stopwatch::start();
        let error = store.swap(&swap(&session)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(watch.elapsed() < SHORT * 5, "{:?}", watch.elapsed());
    }
    holder.rollback().await.unwrap();
    let store = open(&database, PATIENCE).await;
    let advanced = store.swap(&swap(&session)).await.unwrap();
    assert_eq!(advanced.map(|advanced| advanced.session.generation), Some(1), "no abandoned swap was carried out");
}

#[tokio::test]
async fn a_database_that_serializes_by_default_gives_the_same_answers() {
    let (database, store) = fresh().await;
    let session = stored(&store, &new_session(1, "ann")).await;
    database.alter("SET default_transaction_isolation = serializable").await;
    let stores = [open(&database, PATIENCE).await, open(&database, PATIENCE).await];
    let turn = swap(&session);
    let swaps = join_all((0..40).map(|n| stores[n % 2].swap(&turn))).await;
    assert_eq!(swaps.into_iter().filter(|advanced| advanced.as_ref().unwrap().is_some()).count(), 1);
    let logins: Vec<_> = (10..30).map(|n| sidegate::store::NewSession { most: 3, ..new_session(n, "bob") }).collect();
    for created in join_all(logins.iter().enumerate().map(|(n, login)| stores[n % 2].create_session(login))).await {
        created.unwrap();
    }
    assert_eq!(stores[0].sessions_of(&subject("bob")).await.unwrap().len(), 3);
}

/// A dump that was put into a younger cluster names transactions that are yet to come there.
#[tokio::test]
async fn what_was_written_in_an_older_cluster_is_news_once() {
    let (database, store) = fresh().await;
    ended(&store, 1).await;
    let mut connection = database.connect().await;
    connection.execute("UPDATE sidegate.revocation SET txid = '99999999'").await.unwrap();
    let first = store.revocations(None).await.unwrap();
    assert_eq!(first.revocations.len(), 1);
    let again = store.revocations(Some(&first.cursor)).await.unwrap();
    assert_eq!(again.revocations.len(), 1, "it cannot be told whether it was read");
    let loss = Loss { id: 1, mark: again.mark, seen: 0, live: PATIENCE };
    assert!(store.note_rollback(&loss).await.unwrap());
    let moved = store.revocations(Some(&again.cursor)).await.unwrap();
    assert_eq!(moved.revocations.len(), 1);
    assert_eq!(store.revocations(Some(&moved.cursor)).await.unwrap().revocations, []);
}

#[tokio::test]
async fn rotations_are_heap_only() {
    let (database, store) = fresh().await;
    for n in 0..20 {
        let mut session = stored(&store, &new_session(n, "ann")).await;
        for _ in 0..20 {
            session = store.swap(&swap(&session)).await.unwrap().unwrap().session;
        }
    }
    drop(store);
    let mut admin = database.admin().await;
    let statistics = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'session'";
    for _ in 0..200 {
        let row = admin.fetch_one(statistics).await.unwrap();
        let (updated, heap_only): (i64, i64) = (row.get(0), row.get(1));
        if updated == 400 {
            assert!(heap_only > 380, "{heap_only} of {updated}");
            return;
        }
        // Servers report what they did when they end, or after a second.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no statistics");
}

#[tokio::test]
async fn the_servers_clock_is_the_clock() {
    let (database, store) = fresh().await;
    let row = database.connect().await.fetch_one("SELECT extract(epoch FROM now())::bigint").await.unwrap();
    let seconds: i64 = row.get(0);
    assert!((store.now().await.unwrap().as_secs() - seconds).abs() < 60);
    let session = stored(&store, &new_session(1, "ann")).await;
    assert_eq!((session.created, session.idle_end), (session.rotated, session.created.plus(IDLE)));
}

#[tokio::test]
async fn a_socket_is_a_place_too_and_a_store_does_not_show_its_password() {
    let database = postgres::database().await;
    let url = database.socket_url();
    PostgresStore::migrate(&url, None, PATIENCE).await.unwrap();
    let store = PostgresStore::open(&url, None, "default", 1, PATIENCE).await.unwrap();
    store.now().await.unwrap();
    let store = open(&database, PATIENCE).await;
    store.now().await.unwrap();
    assert!(!format!("{store:?}").contains(PASSWORD), "{store:?}");
}

#[tokio::test]
async fn a_search_path_and_the_public_schema_do_not_matter() {
    let database = postgres::database().await;
    database.alter("SET search_path = nowhere").await;
    database.admin().await.execute("DROP SCHEMA public").await.unwrap();
    PostgresStore::migrate(&database.url, None, PATIENCE).await.unwrap();
    let store = open(&database, PATIENCE).await;
    store.join(LONGEST).await.unwrap();
    let session = stored(&store, &new_session(1, "ann")).await;
    assert!(store.swap(&swap(&session)).await.unwrap().is_some());
    assert_eq!(store.end_realm().await.unwrap(), 1);
    assert_eq!(store.revocations(None).await.unwrap().revocations.len(), 1);
}

#[tokio::test]
async fn a_role_that_may_not_create_schemas_migrates_into_the_one_it_was_given() {
    let database = postgres::database().await;
    let role = format!("limited_{}", database.name);
    let mut admin = database.admin().await;
    for statement in [
        format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"),
        format!("CREATE SCHEMA sidegate AUTHORIZATION {role}"),
    ] {
        admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let url = database.url.replace("//sidegate:", &format!("//{role}:"));
    assert_eq!(PostgresStore::migrate(&url, None, PATIENCE).await.unwrap(), MIGRATIONS);
    let store = PostgresStore::open(&url, None, "default", 1, PATIENCE).await.unwrap();
    assert_eq!(store.end_realm().await.unwrap(), 1);
}

#[tokio::test]
async fn a_role_with_the_rights_that_the_page_names_serves() {
    const PAGE: &str = include_str!("../../../docs/postgres.md");
    let (database, owner) = fresh().await;
    let role = format!("app_{}", database.name);
    let grants = PAGE.split("```").find(|block| block.starts_with("sql\nGRANT")).unwrap();
    let grants = grants.trim_start_matches("sql").replace("TO app", &format!("TO {role}"));
    let mut admin = database.admin().await;
    admin.execute(AssertSqlSafe(format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"))).await.unwrap();
    admin.execute(AssertSqlSafe(grants)).await.unwrap();
    let url = database.url.replace("//sidegate:", &format!("//{role}:"));
    let store = PostgresStore::open(&url, None, "default", 1, PATIENCE).await.unwrap();

    store.join(LONGEST).await.unwrap();
    let session = stored(&store, &new_session(1, "ann")).await;
    assert!(store.swap(&swap(&session)).await.unwrap().is_some());
    ended(&store, 2).await;
    store.end_subject(&subject("ann")).await.unwrap();
    store.end_realm().await.unwrap();
    store.beat(Duration::ZERO).await.unwrap();
    store.ask().await.unwrap();
    store.wake().await.unwrap();
    store.listen().await.unwrap();
    store.purge(Duration::ZERO, 10).await.unwrap();
    assert_eq!(store.revocations(None).await.unwrap().revocations, owner.revocations(None).await.unwrap().revocations);
    assert!(matches!(PostgresStore::migrate(&url, None, PATIENCE).await, Ok(0)));
}

#[tokio::test]
async fn concurrent_migrations_wait_for_each_other() {
    let database = postgres::database().await;
    let all = join_all((0..6).map(|_| PostgresStore::migrate(&database.url, None, PATIENCE))).await;
    let applied: usize = all.into_iter().map(Result::unwrap).sum();
    assert_eq!(applied, MIGRATIONS);
    open(&database, PATIENCE).await;
}

#[tokio::test]
async fn a_missing_or_another_versions_schema_says_what_to_do() {
    let database = postgres::database().await;
    let opened = || PostgresStore::open(&database.url, None, "default", 1, PATIENCE);
    let error = opened().await.unwrap_err();
    assert!(matches!(&error, StoreError::Schema(why) if why.contains("run `sidegate migrate`")), "{error}");
    PostgresStore::migrate(&database.url, None, PATIENCE).await.unwrap();
    let store = opened().await.unwrap();
    let mut connection = database.connect().await;
    let newer = "INSERT INTO sidegate._sqlx_migrations SELECT 99, description, installed_on, success, checksum, \
                 execution_time FROM sidegate._sqlx_migrations WHERE version = 1";
    connection.execute(newer).await.unwrap();
    opened().await.unwrap();
    assert_eq!(PostgresStore::migrate(&database.url, None, PATIENCE).await.unwrap(), 0, "it says that it can be used");
    connection.execute("UPDATE sidegate.usable_since SET version = 99").await.unwrap();
    for error in [opened().await.unwrap_err(), PostgresStore::migrate(&database.url, None, PATIENCE).await.unwrap_err()]
    {
        assert!(matches!(&error, StoreError::Schema(why) if why.contains("it is newer: migration 99")), "{error}");
    }
    connection.execute("DROP TABLE sidegate.session").await.unwrap();
    let error = store.session(session_id(1)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Schema(_)) && has_one_line(&error), "{error}");
    connection.execute("DROP FUNCTION sidegate.now_ms()").await.unwrap();
    assert!(matches!(store.now().await, Err(StoreError::Schema(_))));
}

#[tokio::test]
async fn what_keeps_it_from_connecting_is_said_without_the_password() {
    let database = postgres::database().await;
    let url = &database.url;
    let broken = [
        (url.replace(PASSWORD, "hunter2"), "password authentication failed"),
        (url.replace(&database.name, "nowhere"), "does not exist"),
        (format!("{url}?sslmode=verify-full"), "TLS"),
        (url.replace("127.0.0.1", "localhost.invalid") + "?sslmode=disable", "lookup"),
        (format!("postgres://u:{PASSWORD}@127.0.0.1:1/x"), "refused"),
    ];
    for (url, expected) in broken {
        for error in [
            PostgresStore::open(&url, None, "default", 1, Duration::from_secs(5)).await.unwrap_err(),
            PostgresStore::migrate(&url, None, Duration::from_secs(5)).await.unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(matches!(error, StoreError::Unavailable(_)) && has_one_line(&error), "{text}");
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("hunter2") && !text.contains(PASSWORD), "{text}");
        }
    }
}

async fn fresh() -> (Database, PostgresStore) {
    let database = postgres::database().await;
    PostgresStore::migrate(&database.url, None, PATIENCE).await.unwrap();
    let store = open(&database, PATIENCE).await;
    store.join(LONGEST).await.unwrap();
    (database, store)
}

async fn open(database: &Database, timeout: Duration) -> PostgresStore {
    PostgresStore::open(&database.url, None, "default", 4, timeout).await.unwrap()
}

/// What another replica does, in a transaction that the test holds.
async fn revoke(connection: &mut PgConnection, n: u32) {
    let insert = "INSERT INTO sidegate.revocation (realm, kind, session, until) \
                  VALUES ('default', 'session', $1, sidegate.now_ms() + 1000000)";
    sqlx::query(insert).bind(&session_id(n).as_bytes()[..]).execute(connection).await.unwrap();
}

fn sessions(revocations: &[sidegate::domain::revocation::Revocation]) -> Vec<u32> {
    let number = |id: [u8; 16]| u32::from_be_bytes(*id.first_chunk().unwrap());
    let mut numbers: Vec<u32> = revocations
        .iter()
        .map(|revocation| match &revocation.revoked {
            Revoked::Session(id) => number(*id.as_bytes()),
            other => panic!("{other:?}"),
        })
        .collect();
    numbers.sort_unstable();
    numbers
}
