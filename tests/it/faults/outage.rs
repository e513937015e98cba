//! The store is away, may not be written, or is locked: what needs no store goes on, and nobody is logged out by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

use crate::support::client::{
    Pair, call, logged_in, login, logout, logout_all, oauth_error, refresh, refresh_request, until_refused,
};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::postgres::{Database, Durability, Server};
use crate::support::raw::{self, RawResponse, request};

use super::hooked_store::{AroundSwap, hooked};
use super::tables::Tables;

const SETTINGS: &str = "revocation.poll_interval = \"20ms\"\nstore.timeout = \"500ms\"\n\
                        server.trusted_proxies = [\"127.0.0.1\"]";

/// Twice the store's timeout, for a call and a look at what became of it, and a busy machine's time.
const BOUND: Duration = Duration::from_secs(2);

/// Insists on an answer in time that tells the client to try again.
async fn try_again(answer: impl Future<Output = RawResponse>) {
    let answer = tokio::time::timeout(BOUND, answer).await.expect("the answer comes in time");
    assert_eq!(oauth_error(&answer, 503), "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some("2"));
}

/// Waits until the session has no row any more.
async fn until_ended(tables: &mut Tables, refresh_token: &str) {
    let ended = async {
        while tables.generation(refresh_token).await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends in the store at last");
}

const PATIENCE: Duration = Duration::from_secs(10);

/// The token of before from another address and another user agent: a theft.
async fn refresh_elsewhere(gate: SocketAddr, token: &str) -> RawResponse {
    let request = refresh_request(token, None);
    let request = request.header("X-Forwarded-For", "203.0.113.9").header("User-Agent", "elsewhere");
    raw::exchange(gate, request.bytes()).await
}

/// From now on every connection may read only, or every new one may write again: nobody ends those that are there.
async fn set_read_only(database: &Database, read_only: bool) {
    let mut admin = database.admin().await;
    let name = &database.name;
    let setting = format!("ALTER DATABASE {name} SET default_transaction_read_only = {read_only}");
    let mut change = database.server.admin("postgres").await;
    change.execute("SET default_transaction_read_only = off").await.unwrap();
    change.execute(AssertSqlSafe(setting)).await.unwrap();
    if read_only {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        admin.execute(end).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_down_tokens_pass_and_nobody_is_logged_out() {
    let server = tokio::task::spawn_blocking(|| Server::start(Durability::Off)).await.unwrap();
    let deployment = Deployment::on(server.database().await, SETTINGS).await;
    let (one, other) = (deployment.in_process().await, deployment.in_process().await);
    let (gate, other_gate) = (one.listen[0], other.listen[0]);
    let (leaving, staying, gone) = (logged_in(gate).await, logged_in(gate).await, logged_in(gate).await);
    assert_eq!(logout(gate, &gone.refresh).await.status, 200);
    until_refused(other_gate, &gone.access).await;

    let stopping = server.clone();
    tokio::task::spawn_blocking(move || stopping.stop()).await.unwrap();

    for gate in [gate, other_gate] {
        assert_eq!(call(gate, "/", &staying.access).await.status, 200);
        assert_eq!(call(gate, "/", &gone.access).await.status, 401);
        try_again(login(gate, USER, PASSWORD)).await;
        try_again(refresh(gate, &staying.refresh, None)).await;
        try_again(refresh(gate, &staying.refresh, Some("a-key-for-this-refresh"))).await;
        try_again(logout_all(gate, &staying.access)).await;
        assert_eq!(call(gate, "/", &staying.access).await.status, 200);
    }
    try_again(logout(gate, &leaving.refresh)).await;
    assert_eq!(call(gate, "/", &leaving.access).await.status, 401);
    assert_eq!(raw::exchange(one.health, request("GET", "/readyz").bytes()).await.status, 200);

    let starting = server.clone();
    tokio::task::spawn_blocking(move || starting.start_again()).await.unwrap();

    until_refused(other_gate, &leaving.access).await;
    let mut tables = Tables::of(&deployment).await;
    assert_eq!(tables.generation(&leaving.refresh).await, None);
    assert_eq!(oauth_error(&refresh(other_gate, &leaving.refresh, None).await, 400), "invalid_grant");
    assert_eq!(call(gate, "/", &gone.access).await.status, 401);
    let next = Pair::read(&refresh(gate, &staying.refresh, None).await);
    assert_eq!(tables.generation(&staying.refresh).await, Some(1));
    assert_eq!(call(other_gate, "/", &next.access).await.status, 200);
    logged_in(other_gate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_postgres_logs_nobody_out_and_hears_of_every_end_later() {
    let deployment = Deployment::new(StoreKind::Postgres, SETTINGS).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let database = deployment.database.as_ref().unwrap();
    let (staying, leaving, stolen) = (logged_in(gate).await, logged_in(gate).await, logged_in(gate).await);
    let successor = Pair::read(&refresh(gate, &stolen.refresh, None).await);

    set_read_only(database, true).await;

    try_again(refresh(gate, &staying.refresh, None)).await;
    try_again(login(gate, USER, PASSWORD)).await;
    try_again(logout(gate, &leaving.refresh)).await;
    try_again(refresh_elsewhere(gate, &stolen.refresh)).await;
    assert_eq!(call(gate, "/", &staying.access).await.status, 200);
    for ended in [&leaving, &successor] {
        assert_eq!(call(gate, "/", &ended.access).await.status, 401);
    }

    set_read_only(database, false).await;

    let mut tables = Tables::of(&deployment).await;
    for ended in [&leaving, &successor] {
        until_ended(&mut tables, &ended.refresh).await;
        assert_eq!(oauth_error(&refresh(gate, &ended.refresh, None).await, 400), "invalid_grant");
    }
    let mut next = refresh(gate, &staying.refresh, None).await;
    for _ in 0..10 {
        if next.status == 503 {
            // Of the connections that are left from before each is tried once more.
            next = refresh(gate, &staying.refresh, None).await;
        }
    }
    let next = Pair::read(&next);
    assert_eq!(call(gate, "/", &next.access).await.status, 200);
    assert_eq!(tables.generation(&next.refresh).await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_sqlite_file_logs_nobody_out() {
    let deployment = Deployment::new(StoreKind::Sqlite, SETTINGS).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let mut tables = Tables::of(&deployment).await;
    let leaving = logged_in(gate).await;
    let mut live = logged_in(gate).await;
    for round in 0..5 {
        let Tables::Sqlite(lock) = &mut tables else { unreachable!() };
        lock.execute("BEGIN EXCLUSIVE").await.unwrap();

        try_again(refresh(gate, &live.refresh, None)).await;
        unlock(lock).await;

        assert_eq!(tables.generation(&live.refresh).await, Some(round), "what was refused did not happen after all");
        live = Pair::read(&refresh(gate, &live.refresh, None).await);
    }
    let Tables::Sqlite(lock) = &mut tables else { unreachable!() };
    lock.execute("BEGIN EXCLUSIVE").await.unwrap();

    try_again(login(gate, USER, PASSWORD)).await;
    try_again(logout(gate, &leaving.refresh)).await;
    assert_eq!(call(gate, "/", &leaving.access).await.status, 401);
    assert_eq!(call(gate, "/", &live.access).await.status, 200);
    unlock(lock).await;

    until_ended(&mut tables, &leaving.refresh).await;
    assert_eq!(tables.generation(&live.refresh).await, Some(5));
}

/// Counts swaps, and lets time pass in each.
struct Slow {
    swaps: Arc<AtomicU32>,
    time: Duration,
}

#[async_trait]
impl AroundSwap for Slow {
    async fn before(&self) {
        self.swaps.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.time).await;
    }
}

#[tokio::test]
async fn a_swap_that_took_all_its_time_to_fail_is_not_tried_again_and_again() {
    let deployment = Deployment::new(StoreKind::Sqlite, SETTINGS).await;
    let swaps = Arc::new(AtomicU32::new(0));
    let slow = Slow { swaps: Arc::clone(&swaps), time: deployment.config().store.timeout };
    let running = hooked(&deployment, slow).await;
    let gate = running.listen[0];
    let live = logged_in(gate).await;
    let mut tables = Tables::of(&deployment).await;
    let Tables::Sqlite(lock) = &mut tables else { unreachable!() };
    lock.execute("BEGIN EXCLUSIVE").await.unwrap();

    try_again(refresh(gate, &live.refresh, None)).await;

    assert_eq!(swaps.load(Ordering::SeqCst), 1);
    unlock(lock).await;
    Pair::read(&refresh(gate, &live.refresh, None).await);
}

async fn unlock(lock: &mut SqliteConnection) {
    lock.execute("ROLLBACK").await.unwrap();
    lock.ping().await.unwrap();
}
