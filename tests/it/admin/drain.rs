//! `sidegate drain`, as a preStop hook.

use std::net::SocketAddr;
use std::time::Duration;

use sidegate::clock::Stopwatch;

use crate::support::client::{call, logged_in};
use crate::support::deployment::{Deployment, Replica, StoreKind};
use crate::support::raw::{exchange, request};

async fn phase(health: SocketAddr) -> (u16, String) {
    let answer = exchange(health, request("GET", "/readyz").bytes()).await;
    (answer.status, answer.json()["phase"].as_str().unwrap().to_owned())
}

fn draining() -> (u16, String) {
    (503, "draining".to_owned())
}

async fn until_draining(replica: &Replica) {
    let begun = Stopwatch::start();
    while phase(replica.health).await != draining() {
        assert!(begun.elapsed() < Duration::from_secs(20), "still ready");
    }
}

/// OPS: not ready at once, serving meanwhile and afterwards, and gone without a second wait when SIGTERM comes.
#[tokio::test]
async fn a_drain_returns_after_its_delay_and_a_stop_does_not_wait_again() {
    let deployment = Deployment::new(StoreKind::Sqlite, "server.drain_delay = \"1500ms\"").await;
    let mut replica = deployment.replica().await;
    let access = logged_in(replica.gate).await.access;
    let begun = Stopwatch::start();
    let hook = deployment.home.start(&["--config", &replica.config, "drain"]);
    until_draining(&replica).await;
    let answer = call(replica.gate, "/", &access).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let hook = hook.finish().await;
    assert_eq!(hook.code, Some(0), "{hook:?}");
    assert!(hook.stdout.starts_with("drained: not ready any more"), "{hook:?}");
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert_eq!(phase(replica.health).await, draining());
    assert_eq!(call(replica.gate, "/", &access).await.status, 200, "it serves until it is told to stop");
    // Asked again, there is nothing to wait for.
    let again = deployment.command(&["--config", &replica.config, "drain"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    replica.process.terminate();
    assert_eq!(replica.process.exit().await.code(), Some(0));
    assert!(replica.process.output().contains("stopped"), "{}", replica.process.output());
}

/// With an hour's delay: were it waited for again, nothing here would end.
#[tokio::test]
async fn a_signal_in_the_middle_waits_for_what_is_left_and_an_interrupt_for_nothing() {
    let deployment = Deployment::new(StoreKind::Sqlite, "server.drain_delay = \"1h\"").await;
    let mut replica = deployment.replica().await;
    let hook = deployment.home.start(&["--config", &replica.config, "drain"]);
    until_draining(&replica).await;
    replica.process.signal("INT");
    assert_eq!(replica.process.exit().await.code(), Some(0));
    assert_eq!(hook.finish().await.code, Some(0), "the hook is answered before the process goes");

    let deployment = Deployment::new(StoreKind::Sqlite, "server.drain_delay = \"2s\"").await;
    let mut replica = deployment.replica().await;
    let begun = Stopwatch::start();
    let hook = deployment.home.start(&["--config", &replica.config, "drain"]);
    until_draining(&replica).await;
    replica.process.terminate();
    replica.process.wait_for("stopping").await;
    let (status, hook) = tokio::join!(replica.process.exit(), hook.finish());
    assert_eq!((status.code(), hook.code), (Some(0), Some(0)), "{hook:?}");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
}
