//! The line by which revocations are told at once is cut, held, or dead without a word: what it should have told is heard
//! all the same, and the line is made again (D-7, I7).

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::{Connection, Executor, PgConnection};

use crate::support::client::{Pair, call, logged_in, logout, metric, until_refused};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::postgres::{self, Durability, Server};
use crate::support::relay::{Direction, Mode, Relay};
use crate::support::wait::{blocking, feed_mode, until, until_it_hears_by};

const PATIENCE: Duration = Duration::from_secs(30);

async fn an_end_is_heard(here: SocketAddr, there: SocketAddr) {
    let pair: Pair = logged_in(here).await;
    assert_eq!(call(there, "/", &pair.access).await.status, 200);
    assert_eq!(logout(here, &pair.refresh).await.status, 200);
    until_refused(there, &pair.access).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_cut_or_dead_delays_no_end_beyond_the_next_look_and_is_made_again() {
    let database = postgres::database().await;
    let relay = Relay::to(database.server.address()).await;
    let listening = "store.listen_url_file = \"listen-url\"\nrevocation.poll_interval = \"500ms\"";
    let deployment = Deployment::on(database, "").await;
    deployment.home.write("listen-url", deployment.database.as_ref().unwrap().at(relay.address).url);
    let (one, other) = (deployment.in_process().await, deployment.in_process_with(listening).await);
    let (here, there) = (one.listen[0], other.listen[0]);
    let kinds = [
        Mode::Reset,
        Mode::HalfOpen,
        Mode::Hold(Direction::ToClient),
        Mode::Swallow(Direction::ToClient),
        Mode::Delay(Duration::from_millis(50)),
    ];
    for mode in kinds {
        until_it_hears_by(PATIENCE, other.health, "listen").await;

        relay.set(mode);
        an_end_is_heard(here, there).await;

        if !matches!(mode, Mode::Delay(_)) {
            until_it_hears_by(PATIENCE, other.health, "poll").await;
            an_end_is_heard(here, there).await;
        }
        relay.set(Mode::Pass);
        relay.sever();
    }
    until_it_hears_by(PATIENCE, other.health, "listen").await;
}

/// A look would come after ten seconds: whatever is refused before has been told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_heard_long_before_the_next_look_also_on_a_line_made_again() {
    let deployment = Deployment::new(StoreKind::Postgres, "revocation.poll_interval = \"10s\"").await;
    let (one, other) = (deployment.in_process().await, deployment.in_process().await);
    let (here, there) = (one.listen[0], other.listen[0]);
    let mut store = PgConnection::connect(&deployment.database.as_ref().unwrap().url).await.unwrap();
    for _ in 0..3 {
        for replica in [&one, &other] {
            until_it_hears_by(PATIENCE, replica.health, "listen").await;
        }
        for _ in 0..3 {
            let pair = logged_in(here).await;
            assert_eq!(call(there, "/", &pair.access).await.status, 200);
            assert_eq!(logout(here, &pair.refresh).await.status, 200);
            let told = tokio::time::timeout(Duration::from_secs(3), until_refused(there, &pair.access)).await;
            assert!(told.is_ok(), "nobody was told");
        }
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = \
                   current_database()";
        sqlx::query(cut).execute(&mut store).await.unwrap();
        let polling = async {
            while other.authority.is_listening() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // It may be back before anybody has looked.
        let _ = tokio::time::timeout(Duration::from_secs(1), polling).await;
    }
}

/// A key is retired because it leaked: that is told, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_key_is_told_long_before_the_next_look() {
    let deployment = Deployment::new(StoreKind::Postgres, "revocation.poll_interval = \"10s\"").await;
    let running = deployment.in_process().await;
    until_it_hears_by(PATIENCE, running.health, "listen").await;
    let pair = logged_in(running.listen[0]).await;
    let header = URL_SAFE_NO_PAD.decode(pair.access.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    let retired = deployment.command(&["keys", "retire", header["kid"].as_str().unwrap()]).await;
    assert_eq!(retired.code, Some(0), "{}", retired.stderr);
    let told = tokio::time::timeout(Duration::from_secs(3), until_refused(running.listen[0], &pair.access)).await;
    assert!(told.is_ok(), "nobody was told");
}

/// A standby tells nobody. What leads to one by mistake is found out, and the primary is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_not_listened_to() {
    let primary = blocking(|| Server::start(Durability::Off)).await;
    let address = primary.address();
    let database = primary.database().await;
    let leader = primary.clone();
    let standby = blocking(move || leader.standby(Durability::Off, address)).await;
    let deployment = Deployment::on(database.clone(), "revocation.poll_interval = \"100ms\"").await;
    primary.until_followed_by(&standby).await;
    deployment.home.write("listen-url", database.at(standby.address()).url);
    let one = deployment.in_process().await;
    let other = deployment.in_process_with("store.listen_url_file = \"listen-url\"").await;
    until_it_hears_by(PATIENCE, one.health, "listen").await;
    an_end_is_heard(one.listen[0], other.listen[0]).await;
    let (mode, listening) = (feed_mode(other.health).await, metric(other.health, "sidegate_feed_listening").await);
    assert_eq!((mode.as_str(), listening), ("poll", 0));
}

/// Mode, age, lag and rebuilds are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_ends_are_heard_is_told_to_whoever_watches() {
    let database = postgres::database().await;
    let relay = Relay::to(database.server.address()).await;
    let deployment = Deployment::on(database, "revocation.poll_interval = \"100ms\"").await;
    deployment.home.write("listen-url", deployment.database.as_ref().unwrap().at(relay.address).url);
    let running = deployment.in_process_with("store.listen_url_file = \"listen-url\"").await;
    let health = running.health;
    until_it_hears_by(PATIENCE, health, "listen").await;
    assert_eq!(metric(health, "sidegate_feed_listening").await, 1);
    assert_eq!(metric(health, "sidegate_feed_rebuilds_total").await, 0);
    assert_eq!(metric(health, "sidegate_feed_stale").await, 0);
    assert!(metric(health, "sidegate_feed_age_milliseconds").await < 10_000);
    let told = metric(health, "sidegate_feed_wakeups_total").await;
    until(PATIENCE, "a heartbeat wakes it, and its lag is counted", async || {
        metric(health, "sidegate_feed_wakeups_total").await > told
            && metric(health, "sidegate_feed_lag_seconds_count").await > 0
    })
    .await;

    relay.set(Mode::Reset);
    until_it_hears_by(PATIENCE, health, "poll").await;
    assert_eq!(metric(health, "sidegate_feed_listening").await, 0);
    relay.set(Mode::Pass);
    until_it_hears_by(PATIENCE, health, "listen").await;
    assert_eq!(metric(health, "sidegate_feed_rebuilds_total").await, 1);
}

/// D-8: somebody else who listens and never reads keeps what was told in the server's queue, and holds nobody up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_never_reads_holds_nobody_up() {
    let deployment = Deployment::new(StoreKind::Postgres, "session.per_subject = 10000").await;
    let (one, other) = (deployment.in_process().await, deployment.in_process().await);
    let url = &deployment.database.as_ref().unwrap().url;
    let mut stuck = PgConnection::connect(url).await.unwrap();
    // Nothing is delivered to a session that is in a transaction.
    stuck.execute("LISTEN sidegate; BEGIN; SELECT 1").await.unwrap();
    for replica in [&one, &other] {
        until_it_hears_by(PATIENCE, replica.health, "listen").await;
    }
    for _ in 0..100 {
        an_end_is_heard(one.listen[0], other.listen[0]).await;
    }
    let mut store = PgConnection::connect(url).await.unwrap();
    let used: f64 = sqlx::query_scalar("SELECT pg_notification_queue_usage()").fetch_one(&mut store).await.unwrap();
    assert!(used < 0.01, "{used} of the queue");
    stuck.execute("ROLLBACK").await.unwrap();
}

/// What is long over is deleted by the one replica that writes the beat for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_long_over_is_purged_by_whoever_writes_the_beat() {
    let deployment = Deployment::new(StoreKind::Postgres, "revocation.poll_interval = \"100ms\"").await;
    let (_one, _other) = (deployment.in_process().await, deployment.in_process().await);
    let mut store = PgConnection::connect(&deployment.database.as_ref().unwrap().url).await.unwrap();
    let old = "INSERT INTO sidegate.revocation (realm, kind, subject, epoch, until)
        SELECT 'default', 'subject', 's' || n, 1, sidegate.now_ms() - 7200000 FROM generate_series(1, 1200) n";
    store.execute(old).await.unwrap();
    store.execute("UPDATE sidegate.history SET beat = 1000 * 60 - 1").await.unwrap();
    until(PATIENCE, "it is purged", async || {
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sidegate.revocation").fetch_one(&mut store).await.unwrap();
        left == 0
    })
    .await;
}

/// NOTIFY holds up every commit that notifies: refreshes and logins must not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_ends_and_heartbeats_wake_anybody() {
    let deployment = Deployment::new(StoreKind::Postgres, "revocation.feed = \"poll\"").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let database = deployment.database.as_ref().unwrap();
    let mut listener = sqlx::postgres::PgListener::connect(&database.url).await.unwrap();
    listener.listen("sidegate").await.unwrap();
    let mut store = PgConnection::connect(&database.url).await.unwrap();
    let mut beats = async || -> i64 {
        sqlx::query_scalar("SELECT beat FROM sidegate.history").fetch_one(&mut store).await.unwrap()
    };
    let before = beats().await;
    let mut pair = logged_in(gate).await;
    for _ in 0..20 {
        pair = Pair::read(&crate::support::client::refresh(gate, &pair.refresh, None).await);
    }
    logged_in(gate).await;
    let mut woken = 0;
    while let Ok(notification) = tokio::time::timeout(Duration::from_millis(500), listener.recv()).await {
        assert_eq!(notification.unwrap().payload(), "default");
        woken += 1;
    }
    assert!(woken <= beats().await - before, "{woken} wake-ups");
    assert_eq!(logout(gate, &pair.refresh).await.status, 200);
    let told = tokio::time::timeout(PATIENCE, listener.recv()).await.expect("an end is told").unwrap();
    assert_eq!(told.payload(), "default");
}
