//! The application no longer knows its session.

use sidegate::boot::Running;

use crate::support::client::{Pair, call, logged_in, oauth_error, refresh, until_refused};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::raw::{RawClient, exchange, request};

use super::SETTINGS;
use super::app::App;

/// The client gets a 401 as for any ended session, and nothing of the application's answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_session_ends_ours_with_a_clean_401() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let app = App::start().await;
        let settings = format!("audit.output = \"file:audit.log\"\n{SETTINGS}");
        let deployment = Deployment::without_user(kind, &app.behind(&settings)).await;
        let (one, other) = (deployment.in_process().await, deployment.in_process().await);
        let gate = one.listen[0];
        for method in ["GET", "HEAD", "POST"] {
            let pair = logged_in(gate).await;
            assert_eq!(call(gate, "/start", &pair.access).await.status, 200);
            app.forget();
            let lost = request(method, "/page").bearer(&pair.access).body("text/plain", "some body");
            let mut client = RawClient::connect(gate).await;
            client.send(lost.bytes()).await;
            let lost = client.try_response_to(method).await.unwrap();
            assert_eq!(lost.status, 401, "{method}");
            let challenge = lost.header("www-authenticate").unwrap();
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
            assert_eq!((lost.header("location"), lost.values("set-cookie")), (None, vec![]));
            assert_eq!(lost.header("cache-control"), Some("no-store"));
            assert!(!lost.text().contains("please log in"), "{}", lost.text());
            assert_eq!(call(gate, "/cookies", &pair.access).await.status, 401, "the session has ended");
            assert_eq!(oauth_error(&refresh(gate, &pair.refresh, None).await, 400), "invalid_grant");
            until_refused(other.listen[0], &pair.access).await;
        }
        let audit = std::fs::read_to_string(deployment.home.path("audit.log")).unwrap();
        let ends = audit.lines().filter(|line| line.contains("\"session_end\"") && line.contains("\"vault_lost\""));
        assert_eq!(ends.count(), 3, "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_lost_answers_at_once_end_one_session_once() {
    let app = App::start().await;
    let settings = format!("audit.output = \"file:audit.log\"\n{SETTINGS}");
    let deployment = Deployment::without_user(StoreKind::Sqlite, &app.behind(&settings)).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let (pair, other) = (logged_in(gate).await, logged_in(gate).await);
    assert_eq!(call(gate, "/start", &pair.access).await.status, 200);
    app.forget();
    assert_eq!(call(gate, "/start", &other.access).await.status, 200);
    let calls = futures_util::future::join_all((0..20).map(|_| call(gate, "/page", &pair.access)));
    for answer in calls.await {
        assert_eq!(answer.status, 401);
    }
    assert_eq!(call(gate, "/page", &other.access).await.text(), "swordfish2", "of all sessions, this one");
    let audit = std::fs::read_to_string(deployment.home.path("audit.log")).unwrap();
    assert_eq!(audit.lines().filter(|line| line.contains("vault_lost")).count(), 1, "{audit}");
}

/// They hear of each other's changes every five seconds only.
async fn two_deaf_replicas(app: &App, settings: &str) -> (Deployment, [Running; 2]) {
    let settings = format!("revocation.poll_interval = \"5s\"\n{settings}");
    let deployment = Deployment::without_user(StoreKind::Postgres, &app.behind(&settings)).await;
    let deaf = "revocation.feed = \"poll\"";
    let replicas = [deployment.in_process_with(deaf).await, deployment.in_process_with(deaf).await];
    (deployment, replicas)
}

/// An answer that changes the cookie is on its way into the store while another request fails for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_has_changed_elsewhere_costs_a_refresh_and_no_session() {
    let app = App::start().await;
    let (_deployment, [one, other]) = two_deaf_replicas(&app, SETTINGS).await;
    let pair = logged_in(one.listen[0]).await;
    assert_eq!(call(one.listen[0], "/start", &pair.access).await.status, 200);
    let pair = Pair::read(&refresh(one.listen[0], &pair.refresh, None).await);
    assert_eq!(call(other.listen[0], "/page", &pair.access).await.text(), "swordfish1");
    assert_eq!(call(one.listen[0], "/turn", &pair.access).await.status, 200);

    // A read is asked again unseen; whether anything else may be, the client decides.
    let post = request("POST", "/page").bearer(&pair.access).header("Content-Length", "0");
    let outdated = exchange(other.listen[0], post.bytes()).await;
    let challenge = outdated.header("www-authenticate").unwrap_or_default();
    // The feed may have been faster.
    assert!(challenge.contains("invalid_token") || outdated.text() == "swordfish2", "{}", outdated.text());
    let again = exchange(other.listen[0], post.bytes()).await;
    assert_eq!(again.text(), "swordfish2", "it has been read by now");
    assert_eq!(call(one.listen[0], "/turn", &pair.access).await.status, 200);
    assert_eq!(call(other.listen[0], "/page", &pair.access).await.text(), "swordfish3");
    let pair = Pair::read(&refresh(other.listen[0], &pair.refresh, None).await);
    assert_eq!(call(other.listen[0], "/page", &pair.access).await.text(), "swordfish3");
    let metrics = exchange(other.health, request("GET", "/metrics").bytes()).await.text();
    assert!(!metrics.contains("vaults_lost_total{outcome=\"ended\"}"), "{metrics}");
}

/// The opening of a WebSocket is a read as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_with_an_outdated_cookie_is_asked_again_and_costs_no_session() {
    let app = App::start().await;
    let (_deployment, [one, other]) = two_deaf_replicas(&app, SETTINGS).await;
    let pair = logged_in(one.listen[0]).await;
    assert_eq!(call(one.listen[0], "/start", &pair.access).await.status, 200);
    let pair = Pair::read(&refresh(one.listen[0], &pair.refresh, None).await);
    assert_eq!(call(other.listen[0], "/page", &pair.access).await.text(), "swordfish1");
    assert_eq!(call(one.listen[0], "/turn", &pair.access).await.status, 200);

    let upgrade = request("GET", "/page").bearer(&pair.access).header("Connection", "Upgrade");
    let upgrade = upgrade.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
    let upgrade = upgrade.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = exchange(other.listen[0], upgrade.bytes()).await;
    assert_eq!((answer.status, answer.text()), (200, "swordfish2".to_owned()));
    assert_eq!(app.last_cookies(), ["SID=swordfish2"]);
    assert_eq!(call(one.listen[0], "/page", &pair.access).await.text(), "swordfish2");
}

/// A logout by a link, first sent with a cookie that has changed meanwhile: the answer that counts is the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_again_is_watched_again() {
    let app = App::start().await;
    let event = "[[on_response]]\nrequest = \"GET /leave\"\nstatus = [200]\nend = \"session\"";
    let (_deployment, [one, other]) = two_deaf_replicas(&app, &format!("{SETTINGS}{event}")).await;
    let pair = logged_in(one.listen[0]).await;
    assert_eq!(call(one.listen[0], "/start", &pair.access).await.status, 200);
    assert_eq!(call(other.listen[0], "/page", &pair.access).await.text(), "swordfish1");
    assert_eq!(call(one.listen[0], "/turn", &pair.access).await.status, 200);

    let left = call(other.listen[0], "/leave", &pair.access).await;
    assert_eq!((left.status, left.text()), (200, "done".to_owned()));
    assert_eq!(app.living(), 0);
    assert_eq!(call(other.listen[0], "/auth/me", &pair.access).await.status, 401);
    assert_eq!(refresh(one.listen[0], &pair.refresh, None).await.status, 400, "and everywhere");
}
