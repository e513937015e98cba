//! Answers of the application that end sessions, seen from both sides: what it answers, and who is refused afterwards.

use std::net::SocketAddr;

use sidegate::boot::Running;

use crate::support::client::{Pair, call, logged_in, oauth_error, refresh};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::raw::{self, RawResponse, request};
use crate::support::upstream::Script;

mod ends;
mod gone;
mod outage;
mod races;

/// An application with a logout, a change of the password, an end of the account, and an administration of users.
const EVENTS: &str = r#"
revocation.poll_interval = "20ms"

[[route]]
path = "/users/{id}"
roles = ["clerk"]

[[on_response]]
request = ["GET /logout.php", "POST /logout.php"]
status = [200, 302]
location_not = "/error*"
end = "session"

[[on_response]]
request = "POST /account/password"
status = ["2xx"]
end = "other_sessions"

[[on_response]]
request = "POST /account/close"
status = [204]
end = "subject"

[[on_response]]
request = "DELETE /users/{id}"
status = [204]
end = "subject"
subject = "id"
"#;

/// The application answers so, this once.
async fn answered(deployment: &Deployment, gate: SocketAddr, asked: &[u8], script: Script) -> RawResponse {
    deployment.upstream.next(script);
    raw::exchange(gate, asked).await
}

fn asking(method: &str, target: &str, access: &str) -> Vec<u8> {
    request(method, target).bearer(access).header("Content-Length", "0").bytes()
}

/// What a client notices of an end that lets its session go on: a 401, and after a refresh nothing.
async fn goes_on(gate: SocketAddr, pair: &Pair) -> Pair {
    assert_eq!(call(gate, "/", &pair.access).await.status, 401);
    let next = Pair::read(&refresh(gate, &pair.refresh, None).await);
    assert_eq!(call(gate, "/", &next.access).await.status, 200);
    next
}

async fn is_over(gate: SocketAddr, pair: &Pair) {
    assert_eq!(call(gate, "/", &pair.access).await.status, 401);
    assert_eq!(oauth_error(&refresh(gate, &pair.refresh, None).await, 400), "invalid_grant");
}

async fn lives(gate: SocketAddr, pair: &Pair) {
    assert_eq!(call(gate, "/", &pair.access).await.status, 200);
}

/// One sidegate in this process, before an application that the test plays.
async fn one_gate(settings: &str) -> (Deployment, Running, SocketAddr) {
    let deployment = Deployment::new(StoreKind::Sqlite, settings).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    (deployment, running, gate)
}

/// Two sessions of one user.
async fn two(gate: SocketAddr) -> (Pair, Pair) {
    (logged_in(gate).await, logged_in(gate).await)
}

const BOTH: [StoreKind; 2] = [StoreKind::Sqlite, StoreKind::Postgres];
