//! A client as people write them: logs in, calls, refreshes, logs out. Over a plain connection per request, so that
//! nothing is retried behind the test's back.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::raw::{self, RawRequest, RawResponse, request};
use super::wire::PATIENCE;

/// A pair of tokens as the wire had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub access: String,
    pub refresh: String,
}

impl Pair {
    /// Reads a token answer, and insists on its shape (RFC 6749 §5.1).
    pub fn read(response: &RawResponse) -> Self {
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let body = response.json();
        assert_eq!(body["token_type"], "Bearer");
        assert!(body["expires_in"].is_u64(), "{body}");
        let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

pub async fn login(gate: SocketAddr, user: &str, password: &str) -> RawResponse {
    let body = json!({ "username": user, "password": password });
    raw::exchange(gate, request("POST", "/login").json(&body).bytes()).await
}

/// Logs in the user of every deployment.
pub async fn logged_in(gate: SocketAddr) -> Pair {
    Pair::read(&login(gate, super::deployment::USER, super::deployment::PASSWORD).await)
}

/// A refresh, with an `Idempotency-Key` or without.
pub async fn refresh(gate: SocketAddr, token: &str, key: Option<&str>) -> RawResponse {
    raw::exchange(gate, refresh_request(token, key).bytes()).await
}

pub fn refresh_request(token: &str, key: Option<&str>) -> RawRequest {
    let request = request("POST", "/refresh").json(&json!({ "refresh_token": token }));
    match key {
        Some(key) => request.header("Idempotency-Key", key),
        None => request,
    }
}

pub async fn logout(gate: SocketAddr, token: &str) -> RawResponse {
    raw::exchange(gate, request("POST", "/logout").json(&json!({ "refresh_token": token })).bytes()).await
}

/// Ends every session of the access token's user.
pub async fn logout_all(gate: SocketAddr, access: &str) -> RawResponse {
    raw::exchange(gate, request("POST", "/auth/logout-all").bearer(access).bytes()).await
}

/// `GET` with the access token.
pub async fn call(gate: SocketAddr, target: &str, access: &str) -> RawResponse {
    raw::exchange(gate, request("GET", target).bearer(access).bytes()).await
}

/// Waits until the access token is refused: what ended elsewhere is heard of a little later.
///
/// # Panics
/// If it is still accepted after a long time.
pub async fn until_refused(gate: SocketAddr, access: &str) {
    let refused = async {
        while call(gate, "/", access).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("the token is refused in the end");
}

/// Insists on an RFC 6749 §5.2 error, and hands out its code.
pub fn oauth_error(response: &RawResponse, status: u16) -> String {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
    match &response.json()["error"] {
        Value::String(code) => code.clone(),
        other => panic!("no error code: {other}"),
    }
}

/// The session of an access token, read without a look at its signature.
///
/// # Panics
/// If it is no token.
pub fn sid(access: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(access.split('.').nth(1).expect("it has three parts")).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["sid"].as_str().expect("it names its session").to_owned()
}

/// What a replica says of one of its counts.
///
/// # Panics
/// If it says nothing of it.
pub async fn metric(health: SocketAddr, name: &str) -> u64 {
    let text = raw::exchange(health, request("GET", "/metrics").bytes()).await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}
