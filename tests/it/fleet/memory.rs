//! What a live revocation costs a replica in memory, and how long so many take to be loaded at a start.

use std::time::Duration;

use sidegate::clock::Stopwatch;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::deployment::{Deployment, Replica, StoreKind};

use super::{Form, show};

/// Far more than it is: what is asserted is that it is bounded at all.
const MOST_BYTES_EACH: u64 = 2048;

fn resident_kib(replica: &Replica) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", replica.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Half of sessions, half of subjects with names as long as UUIDs.
async fn revoked(deployment: &Deployment, most: u64) {
    let mut store = PgConnection::connect(&deployment.database.as_ref().unwrap().url).await.unwrap();
    let insert = format!(
        "INSERT INTO sidegate.revocation (realm, kind, session, subject, epoch, until)
        SELECT 'default', CASE WHEN n % 2 = 0 THEN 'session' ELSE 'subject' END,
            CASE WHEN n % 2 = 0 THEN decode(md5(n::text), 'hex') END,
            CASE WHEN n % 2 = 1 THEN gen_random_uuid()::text END,
            CASE WHEN n % 2 = 1 THEN 1 END, sidegate.now_ms() + 3600000
        FROM generate_series(1, {most}) n"
    );
    store.execute(AssertSqlSafe(insert)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_revocations_cost_little_and_are_loaded_before_a_replica_serves() {
    let most: u64 = if Form::chosen() == Form::Long { 1_000_000 } else { 20_000 };
    let deployment = Deployment::new(StoreKind::Postgres, "store.timeout = \"30s\"").await;
    let empty = deployment.replica().await;
    let before = resident_kib(&empty);
    drop(empty);
    revoked(&deployment, most).await;
    let starting = Stopwatch::start();
    let full = deployment.replica_within(Duration::from_mins(5)).await;
    let took = starting.elapsed();
    let after = resident_kib(&full);
    let each = after.saturating_sub(before) * 1024 / most;
    show(&format!(
        "memory: {most} live revocations: {each} bytes each, {} MiB in all; {:.1} s from start to serving",
        after / 1024,
        took.as_secs_f64()
    ));
    assert!(each < MOST_BYTES_EACH, "{each} bytes for each revocation");
}
