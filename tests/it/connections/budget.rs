//! What a fleet costs its Postgres, as `docs/postgres.md` says it.

use std::time::Duration;

use futures_util::future::join_all;
use sidegate::boot::Running;
use sqlx::Row;

use crate::support::client::{Pair, logged_in, refresh};
use crate::support::deployment::Deployment;
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{Database, Durability, Server};
use crate::support::wait::until;

use super::{PATIENCE, connections, show};

const REPLICAS: i64 = 20;

/// The defaults, for a machine that starts twenty replicas at once.
const SETTINGS: &str = "store.timeout = \"20s\"";

const PAGE: &str = include_str!("../../../docs/postgres.md");

/// `store.connections`, and the one that listens.
const MOST: i64 = 3;

/// One for the feed and what is done at times, and the one that listens.
const AT_REST: i64 = 2;

/// A page each second and at each heartbeat, and a report at times; far more on a machine that is busy otherwise.
const STATEMENTS_PER_SECOND: f64 = 6.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_of_twenty_costs_what_the_page_says() {
    let server = tokio::task::spawn_blocking(|| Server::start(Durability::Off)).await.unwrap();
    let deployment = Deployment::on(server.database().await, SETTINGS).await;
    let database = deployment.database.as_ref().unwrap();
    let fleet = fleet(&deployment).await;
    for running in &fleet {
        until(PATIENCE, "it listens", async || running.authority.is_listening()).await;
    }
    for line in [format!("| at rest | {AT_REST} |"), format!("| at most | {MOST} |")] {
        assert!(PAGE.contains(&line), "{line}");
    }
    let (at_rest, _) = connections(database).await;
    assert!((AT_REST * REPLICAS..=MOST * REPLICAS).contains(&at_rest), "{at_rest} connections");

    // The server counts what was done at the start some time afterwards; it is at rest when that is over.
    let (mut statements, mut wal) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..4 {
        let before = Figures::read(database).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let since = Figures::read(database).await.since(&before);
        (statements, wal) = (statements.min(since.0), wal.min(since.1));
    }
    #[expect(clippy::cast_precision_loss, reason = "it is twenty")]
    let (per_replica, all) = (statements / REPLICAS as f64, REPLICAS);
    show(&format!(
        "{all} replicas at rest: {at_rest} connections, {per_replica:.2} transactions a second each, \
         {wal:.0} bytes of WAL a second, {} KiB of memory for each connection",
        memory(database).await.unwrap_or_default()
    ));
    assert!(per_replica < STATEMENTS_PER_SECOND, "{per_replica}");

    busy(&fleet).await;
    // A connection that was given up goes a moment later.
    until(PATIENCE, "no more than there may be", async || connections(database).await.0 <= MOST * REPLICAS).await;
    let (busiest, open) = connections(database).await;
    show(&format!("{all} busy replicas: {busiest} connections"));
    assert_eq!(open, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_a_fleet_costs_what_the_pooler_is_given() {
    let server = tokio::task::spawn_blocking(|| Server::start(Durability::Off)).await.unwrap();
    let database = server.database().await;
    let pgbouncer = PgBouncer::start(&database, 4, "").await;
    let deployment = Deployment::on(pgbouncer.database(&database), SETTINGS).await;
    let fleet = fleet(&deployment).await;

    busy(&fleet).await;

    let (all, open) = connections(&database).await;
    show(&format!("{REPLICAS} busy replicas behind a pooler: {all} connections"));
    assert!(all <= 4 && pgbouncer.servers().await <= 4, "{all} connections");
    assert_eq!(open, 0);
}

async fn fleet(deployment: &Deployment) -> Vec<Running> {
    join_all((0..REPLICAS).map(|_| deployment.in_process())).await
}

/// Two sessions on each, at once, that refresh a few times.
async fn busy(fleet: &[Running]) {
    let sessions = fleet.iter().chain(fleet).map(|running| async {
        let gate = running.listen[0];
        let mut pair = logged_in(gate).await;
        for _ in 0..5 {
            pair = Pair::read(&refresh(gate, &pair.refresh, None).await);
        }
    });
    join_all(sessions).await;
}

/// What the server has counted by one moment.
struct Figures {
    transactions: i64,
    wal: i64,
    seconds: f64,
}

impl Figures {
    async fn read(database: &Database) -> Self {
        let question = "SELECT xact_commit + xact_rollback, (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,
                extract(epoch FROM clock_timestamp())::float8
            FROM pg_stat_database WHERE datname = current_database()";
        let row = sqlx::query(question).fetch_one(&mut database.admin().await).await.unwrap();
        Self { transactions: row.get(0), wal: row.get(1), seconds: row.get(2) }
    }

    /// Each second.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn since(&self, before: &Self) -> (f64, f64) {
        let seconds = self.seconds - before.seconds;
        ((self.transactions - before.transactions) as f64 / seconds, (self.wal - before.wal) as f64 / seconds)
    }
}

/// KiB that no other process shares, on the average; `None` where this user may not know.
async fn memory(database: &Database) -> Option<u64> {
    let processes = "SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let rows = sqlx::query(processes).fetch_all(&mut database.admin().await).await.unwrap();
    let own = |row: &sqlx::postgres::PgRow| {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", row.get::<i32, _>(0))).ok()?;
        let private = text.lines().filter(|line| line.starts_with("Private_"));
        Some(private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>())
    };
    let all: Vec<u64> = rows.iter().filter_map(own).collect();
    all.iter().sum::<u64>().checked_div(all.len() as u64)
}
