//! The store is away while the application's answer says that something is over.

use std::time::Duration;

use sqlx::{Connection, Executor, SqliteConnection};

use super::{EVENTS, answered, asking, goes_on, is_over, lives, two};
use crate::support::client::{Pair, call, logged_in, login, oauth_error, refresh};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::upstream::Script;
use crate::support::wait::until;

const PATIENCE: Duration = Duration::from_secs(20);

/// A deployment whose store takes no writes until the connection is given back.
async fn locked(deployment: &Deployment) -> SqliteConnection {
    let file = deployment.home.path("sidegate.db");
    let mut lock = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    lock.execute("BEGIN IMMEDIATE").await.unwrap();
    lock
}

async fn unlock(mut lock: SqliteConnection) {
    lock.execute("ROLLBACK").await.unwrap();
}

async fn deployed(timeout: &str) -> Deployment {
    Deployment::new(StoreKind::Sqlite, &format!("store.timeout = \"{timeout}\"\n{EVENTS}")).await
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_here_at_once_and_stored_when_the_store_is_back() {
    let deployment = deployed("300ms").await;
    let (running, other) = (deployment.in_process().await, deployment.in_process().await);
    let gate = running.listen[0];
    for (target, status) in [("/logout.php", 200), ("/account/close", 204)] {
        let (own, elsewhere) = two(gate).await;
        let lock = locked(&deployment).await;
        let asked = asking("POST", target, &own.access);
        assert_eq!(answered(&deployment, gate, &asked, Script::answer(status, &[], "")).await.status, status);
        assert_eq!(call(gate, "/", &own.access).await.status, 401, "{target}");
        assert_eq!(call(gate, "/", &elsewhere.access).await.status == 401, target == "/account/close");
        assert_eq!(call(other.listen[0], "/", &own.access).await.status, 200, "the other one cannot know");
        unlock(lock).await;
        until(PATIENCE, "the other one knows", async || call(other.listen[0], "/", &own.access).await.status == 401)
            .await;
        is_over(gate, &own).await;
    }
}

/// Whose password was changed must not be served on, and the person who changed it must not be logged out by the store.
#[tokio::test]
async fn the_others_end_although_the_store_is_away_and_the_own_session_waits_for_it() {
    let deployment = deployed("300ms").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let (own, elsewhere) = two(gate).await;
    let lock = locked(&deployment).await;
    let asked = asking("POST", "/account/password", &own.access);
    assert_eq!(answered(&deployment, gate, &asked, Script::answer(200, &[], "")).await.status, 200);
    for pair in [&own, &elsewhere] {
        assert_eq!(call(gate, "/", &pair.access).await.status, 401);
        assert_eq!(oauth_error(&refresh(gate, &pair.refresh, None).await, 503), "temporarily_unavailable");
    }
    unlock(lock).await;
    // The very first refresh after that may come before anything was tried again.
    goes_on(gate, &own).await;
    is_over(gate, &elsewhere).await;
    let later = logged_in(gate).await;
    lives(gate, &later).await;
}

#[tokio::test]
async fn a_deleted_user_is_refused_when_the_store_is_back() {
    let deployment = deployed("300ms").await;
    deployment.add_user("bob", "a long enough password", &[]).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let ann = logged_in(gate).await;
    let bob = Pair::read(&login(gate, "bob", "a long enough password").await);
    let lock = locked(&deployment).await;
    let asked = asking("DELETE", "/users/bob", &ann.access);
    assert_eq!(answered(&deployment, gate, &asked, Script::answer(204, &[], "")).await.status, 204);
    unlock(lock).await;
    until(PATIENCE, "bob is refused", async || call(gate, "/", &bob.access).await.status == 401).await;
    is_over(gate, &bob).await;
    lives(gate, &ann).await;
}

/// A store that takes its time holds the answer up for a moment only, and what it does in the end counts once.
#[tokio::test]
async fn an_answer_waits_for_a_slow_store_no_longer_than_it_must() {
    let deployment = deployed("30s").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let (own, elsewhere) = two(gate).await;
    let lock = locked(&deployment).await;
    let asked = asking("POST", "/account/password", &own.access);
    let answer = tokio::time::timeout(PATIENCE, answered(&deployment, gate, &asked, Script::answer(200, &[], "done")));
    assert_eq!(answer.await.expect("it does not wait for the store").text(), "done");
    assert_eq!(call(gate, "/", &elsewhere.access).await.status, 401, "refused here at once");
    unlock(lock).await;
    goes_on(gate, &own).await;
    is_over(gate, &elsewhere).await;
    let epochs = running.authority.store_missing_ends().await;
    assert!(epochs.is_empty(), "{epochs:?}");
}

/// Whoever stops waits for what is being stored, and names what the store never took.
#[tokio::test]
async fn a_stop_waits_for_what_is_being_stored_and_names_what_is_lost() {
    let deployment = deployed("300ms").await;
    let replica = deployment.replica().await;
    let gate = replica.gate;
    let own = logged_in(gate).await;
    let lock = locked(&deployment).await;
    let asked = asking("POST", "/account/password", &own.access);
    assert_eq!(answered(&deployment, gate, &asked, Script::answer(200, &[], "")).await.status, 200);
    replica.process.signal("TERM");
    let line = replica.process.wait_for("never took it").await;
    assert!(line.contains("sidegate revoke --subject ann"), "{line}");
    unlock(lock).await;
}
