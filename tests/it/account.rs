//! What a person can do with their own sessions.

use serde_json::Value;

use crate::support::client::{Pair, call, logged_in, login, oauth_error, refresh};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::raw::{self, RawResponse, request};

async fn delete(gate: std::net::SocketAddr, path: &str, access: &str) -> RawResponse {
    raw::exchange(gate, request("DELETE", path).bearer(access).bytes()).await
}

async fn listed(gate: std::net::SocketAddr, access: &str) -> Vec<Value> {
    let response = call(gate, "/auth/sessions", access).await;
    assert_eq!((response.status, response.header("cache-control")), (200, Some("no-store")));
    response.json()["sessions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn sessions_are_shown_with_the_one_that_asks_and_ended_one_by_one_or_all_others() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, "").await;
        deployment.add_user("bob", "a long enough password", &[]).await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let bob = Pair::read(&login(gate, "bob", "a long enough password").await);
        let (first, second, third) = (logged_in(gate).await, logged_in(gate).await, logged_in(gate).await);

        let sessions = listed(gate, &first.access).await;
        assert_eq!(sessions.len(), 3);
        assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);
        for session in &sessions {
            assert_eq!(session["address"], "127.0.0.1");
            for time in ["created", "last_used", "ends"] {
                assert!(session[time].as_str().unwrap().ends_with('Z'), "{session}");
            }
        }

        let theirs = listed(gate, &second.access).await;
        let own = theirs.iter().find(|session| session["current"] == true).unwrap()["id"].as_str().unwrap().to_owned();
        let not_mine = format!("/auth/sessions/{}", listed(gate, &bob.access).await[0]["id"].as_str().unwrap());
        assert_eq!(delete(gate, &not_mine, &first.access).await.status, 404);
        assert_eq!(delete(gate, "/auth/sessions/nothing", &first.access).await.status, 404);
        assert_eq!(call(gate, "/", &bob.access).await.status, 200);

        assert_eq!(delete(gate, &format!("/auth/sessions/{own}"), &first.access).await.json()["ended"], 1);
        assert_eq!(call(gate, "/", &second.access).await.status, 401);
        assert_eq!(oauth_error(&refresh(gate, &second.refresh, None).await, 400), "invalid_grant");
        assert_eq!(call(gate, "/", &third.access).await.status, 200);

        assert_eq!(delete(gate, "/auth/sessions", &first.access).await.json()["ended"], 1);
        assert_eq!(call(gate, "/", &third.access).await.status, 401);
        assert_eq!(listed(gate, &first.access).await.len(), 1);
        assert_eq!(call(gate, "/", &bob.access).await.status, 200);
    }
}

#[tokio::test]
async fn the_bearer_is_told_who_they_are() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let me = call(gate, "/auth/me", &logged_in(gate).await.access).await.json();
    assert_eq!(
        (me["sub"].as_str(), &me["roles"], &me["scope"]),
        (Some(USER), &serde_json::json!(["clerk"]), &"".into())
    );
}

#[tokio::test]
async fn without_a_good_token_and_with_other_methods_nothing_is_told_or_ended() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;
    for path in [
        "/auth/me",
        "/auth/sessions",
        "/auth/sessions/0123456789abcdef0123456789abcdef",
        "/auth/logout-all",
        "/auth/password",
    ] {
        for method in ["GET", "POST", "DELETE", "PUT"] {
            let anonymous = raw::exchange(gate, request(method, path).bytes()).await;
            assert_eq!(anonymous.status, 401, "{method} {path}");
            assert_eq!(anonymous.header("www-authenticate"), Some("Bearer realm=\"default\""));
            let refresh_token = raw::exchange(gate, request(method, path).bearer(&pair.refresh).bytes()).await;
            assert_eq!(refresh_token.status, 401, "{method} {path}");
        }
        let other = raw::exchange(gate, request("PATCH", path).bearer(&pair.access).bytes()).await;
        assert_eq!(other.status, 405, "{path}");
        assert!(other.header("allow").is_some());
    }
    assert_eq!(call(gate, "/", &pair.access).await.status, 200);
    assert_eq!(deployment.upstream.requests().len(), 1);
}

async fn change(gate: std::net::SocketAddr, access: &str, current: &str, new: &str) -> RawResponse {
    let body = serde_json::json!({ "password": current, "new_password": new });
    raw::exchange(gate, request("POST", "/auth/password").bearer(access).json(&body).bytes()).await
}

#[tokio::test]
async fn a_new_password_ends_every_other_session_and_gives_this_one_a_new_pair() {
    const NEW: &str = "an entirely new password";
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, "").await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let (own, other) = (logged_in(gate).await, logged_in(gate).await);
        assert_eq!(change(gate, &own.access, "not the password", NEW).await.status, 403);
        assert_eq!(change(gate, &own.access, PASSWORD, "short").await.status, 422);
        assert_eq!(change(gate, &own.access, PASSWORD, "Password1234!").await.status, 422);
        assert_eq!(change(gate, &own.access, PASSWORD, "").await.status, 400);
        assert_eq!(call(gate, "/", &other.access).await.status, 200);

        let pair = Pair::read(&change(gate, &own.access, PASSWORD, NEW).await);
        assert_eq!(call(gate, "/", &pair.access).await.status, 200);
        for access in [&own.access, &other.access] {
            assert_eq!(call(gate, "/", access).await.status, 401);
        }
        assert_eq!(oauth_error(&refresh(gate, &other.refresh, None).await, 400), "invalid_grant");
        let next = Pair::read(&refresh(gate, &pair.refresh, None).await);
        assert_eq!(call(gate, "/", &next.access).await.status, 200);
        assert_eq!(oauth_error(&login(gate, USER, PASSWORD).await, 400), "invalid_grant");
        Pair::read(&login(gate, USER, NEW).await);
    }
}

/// PW-8, I5: whatever the order, no session of the old password is left.
#[tokio::test]
async fn a_login_under_way_with_the_old_password_does_not_survive() {
    let deployment = Deployment::new(StoreKind::Sqlite, "login.users.argon2_memory = \"8MiB\"").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let mut current = PASSWORD.to_owned();
    let mut own = logged_in(gate).await;
    for round in 0..8 {
        let new = format!("an entirely new password {round}");
        let (logins, changed) = tokio::join!(
            futures_util::future::join_all((0..4).map(|_| login(gate, USER, &current))),
            change(gate, &own.access, &current, &new),
        );
        own = Pair::read(&changed);
        for login in logins.iter().filter(|login| login.status == 200) {
            let old = Pair::read(login);
            assert_eq!(call(gate, "/", &old.access).await.status, 401);
            assert_eq!(oauth_error(&refresh(gate, &old.refresh, None).await, 400), "invalid_grant");
        }
        assert_eq!(call(gate, "/", &own.access).await.status, 200);
        current = new;
    }
}

/// A refresh that was under way when the password changed is late, and no theft: the new pair lives.
#[tokio::test]
async fn a_refresh_that_a_password_change_has_overtaken_ends_nothing() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, "").await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let first = logged_in(gate).await;
        let before = Pair::read(&refresh(gate, &first.refresh, None).await);
        let body = serde_json::json!({ "password": PASSWORD, "new_password": "quite another password" });
        let changed = request("POST", "/auth/password").bearer(&before.access).json(&body);
        let pair = Pair::read(&raw::exchange(gate, changed.bytes()).await);
        for late in [&before.refresh, &first.refresh] {
            let answer = refresh(gate, late, None).await;
            assert_eq!(oauth_error(&answer, 400), "invalid_grant");
            assert!(answer.text().contains("already rotated"), "{}", answer.text());
        }
        assert_eq!(call(gate, "/", &pair.access).await.status, 200);
        Pair::read(&refresh(gate, &pair.refresh, None).await);
    }
}
