//! One vault, several replicas.

use std::time::Duration;

use futures_util::future::join_all;

use crate::support::client::{Pair, call, logged_in, refresh};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::raw::{exchange, request};
use crate::support::wait::until;

use super::SETTINGS;
use super::app::App;
use super::person::Person;

const PATIENCE: Duration = Duration::from_secs(20);

async fn deployed(kind: StoreKind) -> (App, Deployment) {
    let app = App::start().await;
    let deployment = Deployment::without_user(kind, &app.behind(SETTINGS)).await;
    (app, deployment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_learns_the_others_send() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let (_app, deployment) = deployed(kind).await;
        let replicas = join_all((0..3).map(|_| deployment.in_process())).await;
        let gates: Vec<_> = replicas.iter().map(|replica| replica.listen[0]).collect();
        let pair = logged_in(gates[0]).await;
        assert_eq!(call(gates[0], "/start", &pair.access).await.status, 200);

        until(PATIENCE, "the feed brings it", async || {
            exchange(gates[1], request("GET", "/cookies").bearer(&pair.access).bytes()).await.text() == "SID=swordfish1"
        })
        .await;
        let pair = Pair::read(&refresh(gates[2], &pair.refresh, None).await);
        assert_eq!(call(gates[2], "/page", &pair.access).await.text(), "swordfish1", "a refresh brings it, too");

        let late = deployment.in_process().await;
        assert_eq!(call(gates[1], "/turn", &pair.access).await.status, 200);
        until(PATIENCE, "it comes to the others", async || {
            call(late.listen[0], "/cookies", &pair.access).await.text() == "SID=swordfish2"
        })
        .await;
        let later = deployment.in_process().await;
        assert_eq!(
            call(later.listen[0], "/page", &pair.access).await.text(),
            "swordfish2",
            "it is loaded at the start"
        );
    }
}

/// As PHP does with `session_regenerate_id(true)`: the old id is gone while others are on their way with it. A client that
/// refreshes once and tries once more, as clients do, gets through; the session never ends for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_destroys_the_old_id_costs_no_session() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let (app, deployment) = deployed(kind).await;
        let replicas = join_all((0..3).map(|_| deployment.in_process())).await;
        let gates: Vec<_> = replicas.iter().map(|replica| replica.listen[0]).collect();
        let person = Person::at(gates[0]).await;
        assert_eq!(person.call(gates[0], "/start").await.status, 200);
        for round in 0..4 {
            let turned = person.call(gates[round % 3], "/turn").await;
            assert_eq!(turned.status, 200, "{kind:?} turn {round}");
            let page = person.call(gates[(round + 1) % 3], "/page").await;
            assert_eq!(page.status, 200, "{kind:?} page {round}");
        }
        // More than are stored at once, and all together: some are asked to try more than once.
        for round in 0..4 {
            let turn = person.call(gates[round % 3], "/turn");
            let pages = join_all((0..6).map(|n| person.call(gates[n % 3], "/page")));
            let (turned, pages) = tokio::join!(turn, pages);
            for answer in pages.iter().chain([&turned]) {
                assert!([200, 401].contains(&answer.status), "{kind:?} {round}: {}", answer.status);
            }
        }
        for gate in &gates {
            until(PATIENCE, "all is well", async || person.call(*gate, "/page").await.status == 200).await;
        }
        assert_eq!(app.living(), 1);
        for replica in &replicas {
            let metrics = exchange(replica.health, request("GET", "/metrics").bytes()).await.text();
            assert!(!metrics.contains("vaults_lost_total{outcome=\"ended\"}"), "{metrics}");
        }
        let pair = person.pair().await;
        Pair::read(&refresh(gates[0], &pair.refresh, None).await);
    }
}
