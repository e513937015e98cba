//! The main job, end to end: log in, call, be refused, refresh, go on, log out, be refused at once.

use crate::support::client::{Pair, call, logged_in, logout, oauth_error, refresh, until_refused};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::raw::{self, exchange, request};

async fn whole_life_of_a_session(kind: StoreKind) {
    let deployment = Deployment::new(kind, "").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];

    let anonymous = raw::exchange(gate, request("GET", "/api/notes").bytes()).await;
    assert_eq!(anonymous.status, 401);
    assert_eq!(anonymous.header("www-authenticate"), Some("Bearer realm=\"default\""));
    deployment.upstream.assert_untouched();

    let first = logged_in(gate).await;
    assert_eq!(call(gate, "/api/notes?page=2", &first.access).await.status, 200);
    let seen = deployment.upstream.only_request();
    assert_eq!(seen.target(), "/api/notes?page=2");
    assert_eq!(seen.header("x-auth-subject").as_deref(), Some(USER));
    assert_eq!(seen.header("x-auth-roles").as_deref(), Some("clerk"));
    assert_eq!(seen.header("authorization"), None);

    let second = Pair::read(&refresh(gate, &first.refresh, None).await);
    assert_ne!(second.access, first.access);
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(oauth_error(&refresh(gate, &first.refresh, None).await, 400), "invalid_grant");
    assert_eq!(call(gate, "/api/notes", &second.access).await.status, 200);

    let calls = deployment.upstream.requests().len();
    assert_eq!(logout(gate, &second.refresh).await.status, 200);
    for access in [&first.access, &second.access] {
        assert_eq!(call(gate, "/api/notes", access).await.status, 401);
    }
    assert_eq!(oauth_error(&refresh(gate, &second.refresh, None).await, 400), "invalid_grant");
    assert_eq!(deployment.upstream.requests().len(), calls);
    assert!(running.stop().await);
}

#[tokio::test]
async fn a_session_lives_and_ends_on_sqlite() {
    whole_life_of_a_session(StoreKind::Sqlite).await;
}

#[tokio::test]
async fn a_session_lives_and_ends_on_postgres() {
    whole_life_of_a_session(StoreKind::Postgres).await;
}

#[tokio::test]
async fn what_a_command_revokes_is_refused_by_running_processes() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, "revocation.poll_interval = \"20ms\"").await;
        let (one, other) = (deployment.replica().await, deployment.replica().await);
        let pair = logged_in(one.gate).await;
        for gate in [one.gate, other.gate] {
            assert_eq!(call(gate, "/", &pair.access).await.status, 200);
        }
        let revoked = deployment.command(&["revoke", "--subject", USER]).await;
        assert_eq!(revoked.code, Some(0), "{}", revoked.stderr);
        for gate in [one.gate, other.gate] {
            until_refused(gate, &pair.access).await;
        }
        let again = logged_in(other.gate).await;
        assert_eq!(call(one.gate, "/", &again.access).await.status, 200);
    }
}

/// TOK-12: less, as often as asked for; never more, and then the token is as good as before.
#[tokio::test]
async fn a_refresh_may_ask_for_less_and_not_for_more() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::without_user(kind, "").await;
        deployment.add_user(USER, PASSWORD, &["--scope", "notes:read notes:write"]).await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let pair = logged_in(gate).await;
        let asking = async |token: &str, scope: &str, key: Option<&str>| {
            let body = serde_json::json!({ "refresh_token": token, "scope": scope });
            let request = request("POST", "/refresh").json(&body);
            let request = key.map_or(request.clone(), |key| request.header("Idempotency-Key", key));
            exchange(gate, request.bytes()).await
        };
        let scope_of = async |access: &str| call(gate, "/auth/me", access).await.json()["scope"].clone();
        for wider in ["notes:read admin", "Notes:read", "notes:read  notes:write", " notes:read"] {
            assert_eq!(oauth_error(&asking(&pair.refresh, wider, None).await, 400), "invalid_scope", "{wider:?}");
        }
        let key = Some("the-key-of-one-refresh");
        for _ in 0..2 {
            let answer = asking(&pair.refresh, "notes:read", key).await;
            assert_eq!(answer.json()["scope"], "notes:read");
            assert_eq!(scope_of(&Pair::read(&answer).access).await, "notes:read");
        }
        assert_eq!(oauth_error(&asking(&pair.refresh, "admin", key).await, 400), "invalid_scope");
        let answer = asking(&pair.refresh, "notes:write notes:read", key).await;
        assert_eq!(scope_of(&Pair::read(&answer).access).await, "notes:write notes:read");
        let next = Pair::read(&refresh(gate, &Pair::read(&answer).refresh, None).await);
        assert_eq!(scope_of(&next.access).await, "notes:read notes:write", "the session has lost nothing");
        // What it asks for does not save a stolen token from being one.
        assert_eq!(oauth_error(&asking("sgr1_nothing", "admin", None).await, 400), "invalid_grant");
    }
}
