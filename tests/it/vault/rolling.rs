//! An application that sets another cookie at each answer, as Laravel does: few writes, and none is lost.

use std::time::Duration;

use futures_util::future::join_all;
use sidegate::clock::Stopwatch;

use crate::support::client::{Pair, call, logged_in, metric, refresh};
use crate::support::deployment::{Deployment, StoreKind};

use super::SETTINGS;
use super::app::App;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_changes_all_the_time_is_stored_about_once_a_second() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let app = App::start().await;
        let deployment = Deployment::without_user(kind, &app.behind(SETTINGS)).await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let pair = logged_in(gate).await;
        assert_eq!(call(gate, "/start", &pair.access).await.status, 200);
        let watch = Stopwatch::start();
        let mut rolled = 0;
        while rolled < 60 || watch.elapsed() < Duration::from_millis(2500) {
            join_all((0..4).map(|_| call(gate, "/roll", &pair.access))).await;
            rolled += 4;
        }
        assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish1");
        let stored = metric(running.health, "sidegate_vault_changes_total{outcome=\"stored\"}").await;
        let most = 7 + watch.elapsed().as_secs();
        assert!((2..=most).contains(&stored), "{stored} writes for {rolled} changes in {:?}", watch.elapsed());

        let last = call(gate, "/cookies", &pair.access).await.text();
        assert!(running.stop().await);
        let after = deployment.in_process().await;
        let pair = Pair::read(&refresh(after.listen[0], &pair.refresh, None).await);
        assert_eq!(call(after.listen[0], "/cookies", &pair.access).await.text(), last, "the last one is stored");
    }
}

/// Each replica makes its own change to what the others have stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_three_replicas_at_once_end_in_one_vault() {
    let app = App::start().await;
    let deployment = Deployment::without_user(StoreKind::Postgres, &app.behind(SETTINGS)).await;
    let replicas = join_all((0..3).map(|_| deployment.in_process())).await;
    let gates: Vec<_> = replicas.iter().map(|replica| replica.listen[0]).collect();
    let pair = logged_in(gates[0]).await;
    assert_eq!(call(gates[0], "/start", &pair.access).await.status, 200);
    let pair = Pair::read(&refresh(gates[0], &pair.refresh, None).await);
    for _ in 0..5 {
        for answer in join_all(gates.iter().map(|gate| call(*gate, "/roll", &pair.access))).await {
            assert_eq!(answer.status, 200);
        }
    }
    for replica in replicas {
        assert!(replica.stop().await);
    }
    let after = deployment.in_process().await;
    let pair = Pair::read(&refresh(after.listen[0], &pair.refresh, None).await);
    assert_eq!(call(after.listen[0], "/page", &pair.access).await.text(), "swordfish1");
    let cookie = call(after.listen[0], "/cookies", &pair.access).await.text();
    assert!(cookie.starts_with("SID=swordfish1."), "{cookie}");
}
