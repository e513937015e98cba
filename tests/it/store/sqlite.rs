//! What only a file can be: missing, foreign, broken, locked, in use by another process.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sidegate::clock::{Stopwatch, SystemClock};
use sidegate::store::sqlite::SqliteStore;
use sidegate::store::{Store, StoreError};
use sqlx::{Executor, Row};

use super::bench::{MIGRATIONS, PATIENCE, has_one_line, sqlite_connection};
use super::samples::{LONGEST, ended, new_session, session_id, stored, subject, swap};

/// For calls that must fail in time.
const SHORT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_new_file_and_its_folder_are_for_this_user_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/sidegate.db");
    assert_eq!(SqliteStore::migrate(&path, PATIENCE).await.unwrap(), MIGRATIONS);
    assert_eq!(SqliteStore::migrate(&path, PATIENCE).await.unwrap(), 0);
    let store = open(&path, PATIENCE).await.unwrap();
    store.join(LONGEST).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.path().join("a")), mode(&folder.path().join("a/b"))), (0o700, 0o700));
    for name in ["sidegate.db", "sidegate.db-wal", "sidegate.db-shm"] {
        assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn every_commit_waits_for_the_disk() {
    let (_folder, path) = migrated().await;
    let mut connection = sqlite_connection(&path).await;
    let row = connection.fetch_one("PRAGMA journal_mode").await.unwrap();
    assert_eq!(row.get::<String, _>(0), "wal");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_said_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.join("sidegate.db"), "/proc/sidegate/sidegate.db".into(), "/proc/sidegate.db".into()] {
        let error = SqliteStore::migrate(&path, PATIENCE).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("cannot be made")), "{error}");
        assert!(has_one_line(&error), "{error}");
    }
    let error = SqliteStore::migrate(folder.path(), PATIENCE).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(_)) && has_one_line(&error), "{error}");
}

#[tokio::test]
async fn checking_a_missing_file_does_not_make_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidegate.db");
    let error = open(&path, PATIENCE).await.unwrap_err();
    assert!(matches!(&error, StoreError::Schema(why) if why.contains("run `sidegate migrate`")), "{error}");
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    let error = open(&path, PATIENCE).await.unwrap_err();
    assert!(matches!(&error, StoreError::Schema(why) if why.contains("it has no tables yet")), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "this is not a database, and somebody needs it\n".repeat(100);
    fs::write(&path, &text).unwrap();
    for error in [open(&path, PATIENCE).await.unwrap_err(), SqliteStore::migrate(&path, PATIENCE).await.unwrap_err()] {
        assert!(matches!(&error, StoreError::Corrupt(why) if why.contains("not a database")), "{error}");
        assert!(has_one_line(&error), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_broken_file_is_an_error_and_never_a_panic() {
    let (_folder, path) = migrated().await;
    let store = open(&path, PATIENCE).await.unwrap();
    for n in 0..100 {
        stored(&store, &new_session(n, "ann")).await;
    }
    sqlite_connection(&path).await.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    drop(store);
    let length = fs::metadata(&path).unwrap().len();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // All but the first page, which has the schema.
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(length).unwrap() - 4096]).unwrap();
    drop(file);
    match open(&path, PATIENCE).await {
        Err(error) => assert!(matches!(error, StoreError::Corrupt(_)), "{error}"),
        Ok(store) => {
            for error in [
                store.sessions_of(&subject("ann")).await.unwrap_err(),
                store.end_subject(&subject("ann")).await.unwrap_err(),
                store.create_session(&new_session(500, "ann")).await.unwrap_err(),
            ] {
                assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_locked_file_is_unavailable_in_time_and_readable_meanwhile() {
    let (_folder, path) = migrated().await;
    let store = open(&path, SHORT).await.unwrap();
    let session = stored(&store, &new_session(1, "ann")).await;
    let mut other = sqlite_connection(&path).await;
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    for _ in 0..3 {
        let watch = Stopwatch::start();
        let error = store.swap(&swap(&session)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)) && has_one_line(&error), "{error}");
        let error = store.end_subject(&subject("ann")).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(watch.elapsed() < SHORT * 6, "{:?}", watch.elapsed());
    }
    assert_eq!(store.session(session.id).await.unwrap().unwrap().session, session);
    other.execute("ROLLBACK").await.unwrap();
    let store = open(&path, PATIENCE).await.unwrap();
    let advanced = store.swap(&swap(&session)).await.unwrap();
    assert_eq!(advanced.map(|advanced| advanced.session.generation), Some(1), "no abandoned swap was carried out");
    assert_eq!(store.epochs(&subject("ann")).await.unwrap().subject, 0);
}

#[tokio::test]
async fn a_new_file_that_another_process_locks_is_unavailable_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidegate.db");
    fs::write(&path, "").unwrap();
    let mut other = sqlite_connection(&path).await;
    other.execute("BEGIN EXCLUSIVE; CREATE TABLE mine (x)").await.unwrap();
    let watch = Stopwatch::start();
    let error = SqliteStore::migrate(&path, SHORT).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("locked")), "{error}");
    assert!(watch.elapsed() < SHORT * 5, "{:?}", watch.elapsed());
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(SqliteStore::migrate(&path, PATIENCE).await.unwrap(), MIGRATIONS);
}

#[tokio::test]
async fn a_schema_of_another_version_says_what_to_do() {
    let (_folder, path) = migrated().await;
    let store = open(&path, PATIENCE).await.unwrap();
    let mut connection = sqlite_connection(&path).await;
    let newer = "INSERT INTO _sqlx_migrations SELECT 99, description, installed_on, success, checksum, \
                 execution_time FROM _sqlx_migrations WHERE version = 1";
    connection.execute(newer).await.unwrap();
    connection.execute("UPDATE usable_since SET version = 99").await.unwrap();
    for error in [open(&path, PATIENCE).await.unwrap_err(), SqliteStore::migrate(&path, PATIENCE).await.unwrap_err()] {
        assert!(matches!(&error, StoreError::Schema(why) if why.contains("it is newer: migration 99")), "{error}");
    }
    connection.execute("DROP TABLE session").await.unwrap();
    let error = store.session(session_id(1)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Schema(why) if why.contains("no such table")), "{error}");
}

#[tokio::test]
async fn concurrent_migrations_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidegate.db");
    let all = join_all((0..6).map(|_| SqliteStore::migrate(&path, PATIENCE))).await;
    let applied: usize = all.into_iter().map(Result::unwrap).sum();
    assert_eq!(applied, MIGRATIONS);
    open(&path, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn two_stores_on_one_file_write_side_by_side() {
    let (_folder, path) = migrated().await;
    let stores = [open(&path, PATIENCE).await.unwrap(), open(&path, PATIENCE).await.unwrap()];
    let bumps = join_all((0..100).map(|n| {
        let store = &stores[n % 2];
        async move { store.end_subject(&subject("ann")).await.unwrap() }
    }));
    let mut values = bumps.await;
    values.sort_unstable();
    assert_eq!(values, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_was_put_back_is_read_from_the_beginning() {
    let (_folder, path) = migrated().await;
    let store = open(&path, PATIENCE).await.unwrap();
    store.join(LONGEST).await.unwrap();
    ended(&store, 1).await;
    ended(&store, 2).await;
    let cursor = store.revocations(None).await.unwrap().cursor;
    let mut connection = sqlite_connection(&path).await;
    connection
        .execute("DELETE FROM revocation WHERE seq = 2; UPDATE sqlite_sequence SET seq = 1 WHERE name = 'revocation'")
        .await
        .unwrap();
    assert_eq!(store.revocations(Some(&cursor)).await.unwrap().revocations.len(), 1);
}

#[tokio::test]
async fn a_path_that_looks_like_a_uri_is_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file:x?mode=memory&y%20z");
    SqliteStore::migrate(&path, PATIENCE).await.unwrap();
    open(&path, PATIENCE).await.unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 0);
}

async fn migrated() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidegate.db");
    SqliteStore::migrate(&path, PATIENCE).await.unwrap();
    (folder, path)
}

async fn open(path: &Path, timeout: Duration) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, "default", Arc::new(SystemClock), timeout).await
}
