//! The line by which revocations are told at once is cut, held, or dead without a word: what it should have told is heard
//! all the same, and the line is made again (D-7, I7).

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::{Connection, PgConnection};

use crate::support::client::{Pair, call, logged_in, logout, until_refused};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::postgres;
use crate::support::relay::{Direction, Mode, Relay};
use crate::support::wait::until_it_hears_by;

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
