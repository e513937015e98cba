//! What proves who a request is from, and what a client is told when it does not.

use std::time::Duration;

use super::{Edge, assert_problem, undated};
use crate::support::client::{call, logged_in, logout};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::raw::{RawRequest, exchange, request};

const NO_TOKEN: &str = "Bearer realm=\"default\"";
const INVALID_REQUEST: &str = "Bearer realm=\"default\", error=\"invalid_request\"";
const INVALID_TOKEN: &str =
    "Bearer realm=\"default\", error=\"invalid_token\", error_description=\"the access token is not valid\"";

fn with(values: &[&str]) -> RawRequest {
    values.iter().fold(request("GET", "/notes"), |request, value| request.header("Authorization", value))
}

/// BEAR-1, BEAR-4, BEAR-5.
#[tokio::test]
async fn exactly_one_bearer_token_is_read() {
    let edge = Edge::new("").await;
    let token = logged_in(edge.gate).await.access;
    let anonymous = edge.refused(with(&[]).bytes()).await;
    assert_problem(&anonymous, 401);
    assert_eq!(anonymous.header("www-authenticate"), Some(NO_TOKEN));

    for other in
        [format!("Basic {token}"), format!("Token {token}"), format!("Bearerx {token}"), "Negotiate".to_owned()]
    {
        let answer = edge.refused(with(&[&other]).bytes()).await;
        assert_problem(&answer, 401);
        assert_eq!(answer.header("www-authenticate"), Some(NO_TOKEN), "{other}");
    }
    let good = format!("Bearer {token}");
    for values in [
        &["Bearer"][..],
        &["Bearer "],
        &[""],
        &["Bearer ="],
        &[&format!("Bearer  {token}")],
        &[&format!("Bearer\t{token}")],
        &[&format!("Bearer \"{token}\"")],
        &[&format!("Bearer {token}, Bearer {token}")],
        &[&format!("Bearer {token},x=y")],
        &[&format!("Bearer {token} x")],
        &[&format!("Bearer: {token}")],
        &["Bearer \u{e4}"],
        &[token.as_str()],
        &[&good, &good],
        &[&good, "Basic eDp5"],
        &["Basic eDp5", &good],
        &[&good, ""],
    ] {
        let answer = edge.refused(with(values).bytes()).await;
        assert_problem(&answer, 400);
        assert_eq!(answer.header("www-authenticate"), Some(INVALID_REQUEST), "{values:?}");
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let answer = exchange(edge.gate, with(&[&format!("{scheme} {token}")]).bytes()).await;
        assert_eq!(answer.status, 200, "{scheme}");
    }
}

/// BEAR-6: elsewhere than in its field a token is no token.
#[tokio::test]
async fn a_token_in_query_cookie_or_body_is_no_token() {
    let edge = Edge::new("").await;
    let token = logged_in(edge.gate).await.access;
    for bytes in [
        request("GET", &format!("/notes?access_token={token}")).bytes(),
        request("GET", "/notes").header("Cookie", &format!("access_token={token}")).bytes(),
        request("POST", "/notes").body("application/x-www-form-urlencoded", format!("access_token={token}")).bytes(),
        request("GET", "/notes").header("X-Authorization", &format!("Bearer {token}")).bytes(),
        request("GET", "/notes").header("Proxy-Authorization", &format!("Bearer {token}")).bytes(),
    ] {
        let answer = edge.refused(bytes).await;
        assert_problem(&answer, 401);
        assert_eq!(answer.header("www-authenticate"), Some(NO_TOKEN));
    }
}

/// BEAR-2, B1-24, B1-25, B5-20: every kind of bad token gets the same bytes.
#[tokio::test]
async fn every_bad_token_gets_the_same_answer() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    let ended = logged_in(edge.gate).await;
    assert_eq!(logout(edge.gate, &ended.refresh).await.status, 200);
    let mut bad = vec![ended.access, pair.refresh.clone()];
    for settings in ["", "realm = \"other\"", "access_token.audience = \"other\"", "access_token.issuer = \"other\""] {
        let elsewhere = Deployment::new(StoreKind::Sqlite, settings).await;
        let running = elsewhere.in_process().await;
        bad.push(logged_in(running.listen[0]).await.access);
    }
    let parts: Vec<&str> = pair.access.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let flipped = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
        String::from_utf8(bytes).expect("it is text")
    };
    bad.extend([
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{signature}."),
        format!("{header}.{payload}.{signature}.{signature}.{signature}"),
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.{signature}A"),
        format!("{header}.{payload}.{}", &signature[1..]),
        format!("{header}.{payload}.{}", signature.replace(['-', '_'], "/") + "+"),
        format!("{payload}.{header}.{signature}"),
        format!("{header}.{payload}.{}", "A".repeat(signature.len())),
        format!("{header}.{payload}.{payload}"),
        "x".to_owned(),
        "a.b.c".to_owned(),
        "....".to_owned(),
        ".".repeat(5000),
        "e30.e30.e30".to_owned(),
        "x".repeat(16_000),
    ]);
    bad.extend((0..header.len()).step_by(9).map(|at| format!("{}.{payload}.{signature}", flipped(header, at))));
    bad.extend((0..payload.len()).step_by(23).map(|at| format!("{header}.{}.{signature}", flipped(payload, at))));
    bad.extend((0..signature.len()).step_by(9).map(|at| format!("{header}.{payload}.{}", flipped(signature, at))));

    let mut answers = Vec::new();
    for token in &bad {
        let answer = edge.refused(request("GET", "/notes").bearer(token).bytes()).await;
        assert_problem(&answer, 401);
        assert_eq!(answer.header("www-authenticate"), Some(INVALID_TOKEN), "{token}");
        answers.push(undated(&answer));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the answers differ: {answers:#?}");
    assert_eq!(call(edge.gate, "/notes", &pair.access).await.status, 200);
}

/// BEAR-2: also a token that was verified, and cached, while it was good.
#[tokio::test]
async fn a_token_expires_on_the_second() {
    let edge = Edge::changed("", |config| {
        config.access_token.ttl = Duration::from_secs(1);
        config.access_token.leeway = Duration::ZERO;
    })
    .await;
    let pair = logged_in(edge.gate).await;
    let call = || exchange(edge.gate, request("GET", "/notes").bearer(&pair.access).bytes());
    let first = call().await;
    assert!(matches!(first.status, 200 | 401), "{}", first.text());
    let mut expired = call().await;
    for _ in 0..500 {
        if expired.status == 401 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        expired = call().await;
    }
    assert_problem(&expired, 401);
    assert_eq!(expired.header("www-authenticate"), Some(INVALID_TOKEN));
    assert_problem(&edge.refused(request("GET", "/notes").bearer(&pair.access).bytes()).await, 401);
}

/// BEAR-7: whether a path exists is no business of who has no token.
#[tokio::test]
async fn without_a_token_every_path_and_method_looks_the_same() {
    let edge = Edge::new("[[route]]\npath = \"/here\"\nmethods = [\"GET\"]\nroles = [\"admin\"]\n").await;
    let mut answers = Vec::new();
    for (method, path) in
        [("GET", "/here"), ("POST", "/here"), ("GET", "/nowhere"), ("DELETE", "/"), ("OPTIONS", "/here"), ("FOO", "/x")]
    {
        let answer = edge.refused(request(method, path).bytes()).await;
        assert_problem(&answer, 401);
        answers.push(undated(&answer));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

/// BEAR-11: no method and no upgrade is a way around.
#[tokio::test]
async fn every_kind_of_request_needs_the_token() {
    let edge = Edge::new("").await;
    for request in [
        request("OPTIONS", "/x"),
        request("OPTIONS", "/x").header("Origin", "http://a").header("Access-Control-Request-Method", "GET"),
        request("GET", "/ws")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        request("GET", "/ws").header("Connection", "Upgrade, HTTP2-Settings").header("Upgrade", "h2c"),
        request("GET", "/sse").header("Accept", "text/event-stream"),
        request("POST", "/x").header("X-HTTP-Method-Override", "GET").header("Content-Length", "0"),
        request("GET", "/x").header("User-Agent", "kube-probe/1.33"),
        request("GET", "/x").header("X-Original-URL", "/open/x").header("X-Rewrite-URL", "/open/x"),
        request("GET", "/x").header("X-Forwarded-Uri", "/open/x").header("X-Forwarded-For", "127.0.0.1"),
        request("GET", "/x").header("X-Auth-Subject", "root"),
    ] {
        let answer = edge.refused(request.bytes()).await;
        assert_problem(&answer, 401);
        assert_eq!(answer.header("www-authenticate"), Some(NO_TOKEN));
    }
}
