//! What an answer changes in the vault, and what it cannot.

use crate::support::client::{Pair, call, logged_in, refresh};
use crate::support::deployment::{Deployment, OPERATOR_SECRET, StoreKind};
use crate::support::raw::{exchange, request};
use crate::support::wait::blocking;

use super::SETTINGS;
use super::app::App;

async fn deployed(kind: StoreKind) -> (App, Deployment) {
    let app = App::start().await;
    let deployment = Deployment::without_user(kind, &app.behind(SETTINGS)).await;
    (app, deployment)
}

#[tokio::test]
async fn a_new_id_is_taken_up_and_a_deleted_cookie_is_sent_no_more() {
    let (app, deployment) = deployed(StoreKind::Sqlite).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;
    assert_eq!(call(gate, "/start", &pair.access).await.status, 200);
    for turn in 2..6 {
        let turned = call(gate, "/turn", &pair.access).await;
        assert_eq!((turned.status, turned.values("set-cookie")), (200, vec![]));
        assert_eq!(call(gate, "/page", &pair.access).await.text(), format!("swordfish{turn}"));
    }
    assert_eq!(call(gate, "/leave", &pair.access).await.status, 200);
    call(gate, "/cookies", &pair.access).await;
    assert_eq!(app.last_cookies(), [""; 0]);
}

/// The same value again is no news: an answer that was on its way for long does not bring back what was replaced.
#[tokio::test]
async fn an_answer_that_repeats_what_it_was_asked_with_changes_nothing() {
    let (_app, deployment) = deployed(StoreKind::Sqlite).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;
    assert_eq!(call(gate, "/start", &pair.access).await.status, 200);
    assert_eq!(stored(running.health).await, 1);
    for _ in 0..5 {
        assert_eq!(call(gate, "/same", &pair.access).await.values("set-cookie"), [""; 0]);
    }
    assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish1");
    assert_eq!(stored(running.health).await, 1);
}

#[tokio::test]
async fn a_change_that_is_too_large_is_not_taken_up() {
    let (app, deployment) = deployed(StoreKind::Sqlite).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;
    assert_eq!(call(gate, "/start", &pair.access).await.status, 200);
    let large = call(gate, "/large", &pair.access).await;
    assert_eq!((large.status, large.values("set-cookie")), (200, vec![]));
    assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish1");
    assert_eq!(app.last_cookies(), ["SID=swordfish1"]);
    let metrics = exchange(running.health, request("GET", "/metrics").bytes()).await.text();
    assert!(metrics.contains("sidegate_vault_changes_total{outcome=\"too_large\"} 1\n"), "{metrics}");
}

/// No request reads the store for its cookie, nor for a change that another request of this replica has seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_is_sent_while_the_store_is_away() {
    let server = blocking(|| crate::support::postgres::Server::start(crate::support::postgres::Durability::Off)).await;
    let app = App::start().await;
    let settings = format!("store.timeout = \"500ms\"\n{SETTINGS}");
    let deployment = Deployment::without_user_on(server.database().await, &app.behind(&settings)).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;
    assert_eq!(call(gate, "/start", &pair.access).await.status, 200);
    let pair = Pair::read(&refresh(gate, &pair.refresh, None).await);

    let stopping = server.clone();
    blocking(move || stopping.stop()).await;
    for _ in 0..20 {
        assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish1");
    }
    assert_eq!(call(gate, "/turn", &pair.access).await.status, 200, "it changes all the same");
    for _ in 0..20 {
        assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish2");
    }
    app.forget();
    assert_eq!(call(gate, "/page", &pair.access).await.status, 503, "nobody can tell whether it is lost");

    let starting = server.clone();
    blocking(move || starting.start_again()).await;
    assert!(running.stop().await);
    let after = deployment.in_process().await;
    let pair = Pair::read(&refresh(after.listen[0], &pair.refresh, None).await);
    call(after.listen[0], "/cookies", &pair.access).await;
    assert_eq!(app.last_cookies(), ["SID=swordfish2"], "it was stored before the end");
}

#[tokio::test]
async fn a_vault_survives_a_new_operator_secret() {
    let (_app, deployment) = deployed(StoreKind::Sqlite).await;
    let running = deployment.in_process().await;
    let pair = logged_in(running.listen[0]).await;
    assert_eq!(call(running.listen[0], "/start", &pair.access).await.status, 200);
    assert!(running.stop().await);

    deployment.home.write("new", format!("{}\n", OPERATOR_SECRET.replace('2', "3")));
    let running = deployment.in_process_with("key.secret_files = [\"new\", \"secret\"]").await;
    let gate = running.listen[0];
    assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish1");
    let pair = Pair::read(&refresh(gate, &pair.refresh, None).await);
    assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish1");
    assert_eq!(call(gate, "/turn", &pair.access).await.status, 200);
    let pair = Pair::read(&refresh(gate, &pair.refresh, None).await);
    assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish2");
}

async fn stored(health: std::net::SocketAddr) -> u64 {
    crate::support::client::metric(health, "sidegate_vault_changes_total{outcome=\"stored\"}").await
}
