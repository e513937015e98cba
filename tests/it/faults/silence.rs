//! The store says nothing for too long, or another time than ours: what a token is worth then, and who may be sent one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;
use sidegate::boot;
use sidegate::clock::{Clock, Entropy, SystemClock};
use sidegate::domain::time::Timestamp;

use crate::support::client::{Pair, call, logged_in, oauth_error, refresh};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::postgres::{Durability, Server};
use crate::support::raw::{self, RawResponse, request};
use crate::support::wait::{blocking, until};

const PATIENCE: Duration = Duration::from_secs(20);

const SETTINGS: &str = r#"
store.timeout = "500ms"
revocation = { poll_interval = "20ms", max_staleness = "1s", when_stale = "deny" }
[[route]]
path = "/forgiving/*"
when_stale = "allow"
[[route]]
path = "/optional"
auth = "optional"
[[route]]
path = "/public"
auth = "none"
"#;

async fn readiness(health: std::net::SocketAddr) -> RawResponse {
    raw::exchange(health, request("GET", "/readyz").bytes()).await
}

/// D-4: what a route says about an outage holds for it, and readiness does not flip.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_store_is_silent_for_too_long_routes_deny_or_allow() {
    let server = blocking(|| Server::start(Durability::Off)).await;
    let deployment = Deployment::on(server.database().await, SETTINGS).await;
    let running = deployment.in_process().await;
    let (gate, health) = (running.listen[0], running.health);
    let pair = logged_in(gate).await;
    assert_eq!(call(gate, "/strict", &pair.access).await.status, 200);

    let stopping = server.clone();
    blocking(move || stopping.stop()).await;
    until(PATIENCE, "it denies", async || call(gate, "/strict", &pair.access).await.status == 503).await;

    let denied = call(gate, "/strict", &pair.access).await;
    assert_eq!((denied.status, denied.header("retry-after")), (503, Some("2")), "{}", denied.text());
    assert_eq!(denied.header("content-type"), Some("application/problem+json"));
    assert_eq!(call(gate, "/optional", &pair.access).await.status, 503);
    for path in ["/optional", "/public"] {
        assert_eq!(raw::exchange(gate, request("GET", path).bytes()).await.status, 200, "{path}");
    }
    assert_eq!(call(gate, "/forgiving/x", &pair.access).await.status, 200);
    assert_eq!(call(gate, "/strict", "not.a.token").await.status, 401);
    let ready = readiness(health).await;
    assert_eq!((ready.status, &ready.json()["feed"]["stale"]), (200, &Value::Bool(true)), "{}", ready.text());

    let starting = server.clone();
    blocking(move || starting.start_again()).await;
    until(PATIENCE, "it serves again", async || call(gate, "/strict", &pair.access).await.status == 200).await;
    assert_eq!(readiness(health).await.json()["feed"]["stale"], Value::Bool(false));
}

/// The machine's clock, set wrong by so many milliseconds.
#[derive(Debug, Default)]
struct Shifted(AtomicI64);

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().as_millis() + self.0.load(Ordering::SeqCst))
    }
}

/// D-21: beyond the leeway a replica's clock makes good tokens bad, so it is not sent any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_clock_is_wrong_is_not_ready_until_it_is_right() {
    let deployment = Deployment::new(StoreKind::Postgres, "revocation.poll_interval = \"20ms\"").await;
    let clock = Arc::new(Shifted::default());
    let running = boot::start(&deployment.config(), clock.clone(), Entropy).await.unwrap();
    let health = running.health;
    until(PATIENCE, "it is ready", async || readiness(health).await.status == 200).await;

    for wrong in [30_000, -30_000] {
        clock.0.store(wrong, Ordering::SeqCst);
        until(PATIENCE, "it is not ready", async || readiness(health).await.status == 503).await;
        let unready = readiness(health).await.json();
        assert_eq!((&unready["ready"], &unready["clock"]["right"]), (&Value::Bool(false), &Value::Bool(false)));
        let ahead = unready["clock"]["ahead_of_store_milliseconds"].as_i64().unwrap();
        assert!((wrong - ahead).abs() < 5_000, "{ahead}");

        clock.0.store(wrong / 10, Ordering::SeqCst);
        until(PATIENCE, "three seconds are within the leeway", async || readiness(health).await.status == 200).await;
    }
    clock.0.store(0, Ordering::SeqCst);
    until(PATIENCE, "it knows", async || {
        readiness(health).await.json()["clock"]["ahead_of_store_milliseconds"].as_i64().unwrap().abs() < 1_000
    })
    .await;
}

/// D-21, I13: what is kept counts by the store's clock. A replica whose own is wrong ends nobody's session, and what it mints
/// is good elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_clock_is_wrong_ends_no_session_and_mints_what_is_good_elsewhere() {
    let deployment = Deployment::new(StoreKind::Postgres, "refresh.on_retry = \"refuse\"").await;
    let clock = Arc::new(Shifted::default());
    let wrong = boot::start(&deployment.config(), clock.clone(), Entropy).await.unwrap();
    let right = deployment.in_process().await;
    let gates = [wrong.listen[0], right.listen[0]];
    let mut pair = logged_in(gates[0]).await;
    for shift in [-86_400_000, -300_000, -30_000, 30_000, 300_000, 86_400_000] {
        clock.0.store(shift, Ordering::SeqCst);
        for gate in gates {
            let next = Pair::read(&refresh(gate, &pair.refresh, None).await);
            assert_eq!(call(gates[1], "/", &next.access).await.status, 200, "{shift} ms");
            let late = refresh(gates[0], &pair.refresh, None).await;
            assert_eq!(oauth_error(&late, 400), "invalid_grant", "late, and no theft: {shift} ms");
            pair = next;
        }
        let fresh = logged_in(gates[0]).await;
        assert_eq!(call(gates[1], "/", &fresh.access).await.status, 200, "{shift} ms");
    }
    Pair::read(&refresh(gates[1], &pair.refresh, None).await);
}
