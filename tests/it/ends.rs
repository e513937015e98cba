//! Ending a session really ends it, whatever it is ended with, and everything that hangs on it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::client::{Pair, call, logged_in, logout, oauth_error, refresh};
use crate::support::deployment::{Deployment, StoreKind, USER};
use crate::support::raw::{self, request};
use crate::support::upstream::script::Script;

/// REV-4: an expired access token, an old refresh token, the RFC 7009 spelling, and a good field beside a useless body.
#[tokio::test]
async fn any_genuine_token_of_a_session_ends_it() {
    let deployment =
        Deployment::new(StoreKind::Sqlite, "access_token.ttl = \"1s\"\naccess_token.leeway = \"0s\"").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let post = || request("POST", "/logout");
    let (expired, old, spelled, beside) =
        (logged_in(gate).await, logged_in(gate).await, logged_in(gate).await, logged_in(gate).await);
    let newer = Pair::read(&refresh(gate, &old.refresh, None).await);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(call(gate, "/", &expired.access).await.status, 401, "it has expired");
    for (bytes, session) in [
        (post().bearer(&expired.access), &expired.refresh),
        (post().json(&json!({ "refresh_token": old.refresh })), &newer.refresh),
        (post().json(&json!({ "token": spelled.access })), &spelled.refresh),
        (post().bearer(&beside.access).json(&json!({ "refresh_token": "undefined" })), &beside.refresh),
    ] {
        assert_eq!(raw::exchange(gate, bytes.bytes()).await.status, 200);
        assert_eq!(oauth_error(&refresh(gate, session, None).await, 400), "invalid_grant");
    }
}

/// REV-2: garbage is no error, but who brings a credential is not told that it ended something when it did not.
#[tokio::test]
async fn what_is_no_token_of_ours_ends_nothing() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;
    assert_eq!(logout(gate, "garbage").await.status, 200);
    let forged = format!("{}AAAA", &pair.access[..pair.access.len() - 4]);
    let answer = raw::exchange(gate, request("POST", "/logout").bearer(&forged).bytes()).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"));
    assert_eq!(call(gate, "/", &pair.access).await.status, 200);
}

/// REV-6: however often the same token is sent, there is one end.
#[tokio::test]
async fn an_old_token_does_not_make_the_store_grow() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let running = deployment.in_process().await;
    let pair = logged_in(running.listen[0]).await;
    for _ in 0..20 {
        assert_eq!(logout(running.listen[0], &pair.refresh).await.status, 200);
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(deployment.home.path("sidegate.db"));
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let rows = sqlx::query("SELECT seq FROM revocation").fetch_all(&mut connection).await.unwrap();
    assert_eq!(rows.len(), 1);
}

/// BEAR-12, SES-4: an open WebSocket ends with its session, and not with a refresh.
#[tokio::test]
async fn an_open_web_socket_ends_with_its_session_and_not_with_a_refresh() {
    let deployment = Deployment::new(StoreKind::Sqlite, "revocation.poll_interval = \"20ms\"").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;
    let mut opening = format!("ws://{gate}/ws").into_client_request().unwrap();
    opening.headers_mut().insert("Authorization", format!("Bearer {}", pair.access).parse().unwrap());
    let stream = tokio::net::TcpStream::connect(gate).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(opening, stream).await.unwrap();
    for round in 0..2 {
        socket.send(Message::text(format!("hello {round}"))).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(format!("hello {round}")));
        if round == 0 {
            Pair::read(&refresh(gate, &pair.refresh, None).await);
            // Longer than the connection waits between two looks.
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    }
    let revoked = deployment.command(&["revoke", "--subject", USER]).await;
    assert_eq!(revoked.code, Some(0));
    let ended = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("the socket is cut");
    assert!(!matches!(ended, Some(Ok(Message::Text(_)))), "{ended:?}");
}

/// SES-4: also an event stream that nobody announced ends with its session, and its line is in the log.
#[tokio::test]
async fn an_open_event_stream_ends_with_its_session_and_leaves_its_line() {
    let deployment = Deployment::new(StoreKind::Sqlite, "revocation.poll_interval = \"20ms\"").await;
    let replica = deployment.replica().await;
    let pair = logged_in(replica.gate).await;
    let mut client = raw::RawClient::connect(replica.gate).await;
    client.send(request("GET", "/sse").header("Accept", "*/*").bearer(&pair.access).bytes()).await;
    assert_eq!(client.head().await.status, 200);
    let mut other = raw::RawClient::connect(replica.gate).await;
    let (_chunks, stream) = Script::streamed(&[("Content-Type", "text/event-stream")]);
    deployment.upstream.next(stream);
    let with_token = request("GET", &format!("/orders/{}", pair.access));
    other.send(with_token.header("Accept", "text/event-stream").bearer(&pair.access).bytes()).await;
    assert_eq!(other.head().await.status, 200);
    assert_eq!(logout(replica.gate, &pair.refresh).await.status, 200);
    client.ending().await;
    other.ending().await;
    for path in ["\"/sse\"", "\"/orders/[token]\""] {
        let line = replica.process.wait_for(path).await;
        assert!(line.contains("sidegate::access") && line.contains("session_ended"), "{line}");
        assert!(line.contains("subject=\"ann\""), "{line}");
    }
    assert!(!replica.process.output().contains(&pair.access), "a token in the path is in the log");
}

/// B3-24: the one upgrade that passes is a WebSocket, asked for with GET.
#[tokio::test]
async fn an_upgrade_by_another_method_is_an_ordinary_request() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let access = logged_in(gate).await.access;
    for method in ["POST", "PUT", "OPTIONS"] {
        let asking = request(method, "/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
        let asking =
            asking.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        let answer = raw::exchange(gate, asking.bearer(&access).bytes()).await;
        assert_ne!(answer.status, 101, "{method}");
    }
    for seen in deployment.upstream.requests() {
        assert_eq!(seen.header("upgrade"), None, "{}", seen.head());
    }
}

/// An upstream on the same machine answers 101 before the end of the request's empty body was dealt with: chance must not
/// decide whether the tunnel lives.
#[tokio::test]
async fn every_web_socket_lives_however_fast_the_upstream_answers() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let access = logged_in(gate).await.access;
    let some = async |number: usize| {
        for _ in 0..30 {
            let mut opening = format!("ws://{gate}/ws").into_client_request().unwrap();
            opening.headers_mut().insert("Authorization", format!("Bearer {access}").parse().unwrap());
            let stream = tokio::net::TcpStream::connect(gate).await.unwrap();
            let (mut socket, _) = tokio_tungstenite::client_async(opening, stream).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            socket.send(Message::text(number.to_string())).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(number.to_string()));
        }
    };
    futures_util::future::join_all((0..8).map(some)).await;
}

/// What ends a tunnel is the end of the connection, never an answer written into it.
#[tokio::test]
async fn a_tunnel_that_fails_gets_no_answer_written_into_it() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let mut config = deployment.config();
    config.limits.stream_idle = Duration::from_millis(300);
    let running =
        sidegate::boot::start(&config, std::sync::Arc::new(sidegate::clock::SystemClock), sidegate::clock::Entropy);
    let running = running.await.unwrap();
    let gate = running.listen[0];
    let access = logged_in(gate).await.access;
    let opening = request("GET", "/ws")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .bearer(&access);
    let mut stream = tokio::net::TcpStream::connect(gate).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &opening.bytes()).await.unwrap();
    let mut read = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut read);
    // Closed or reset: both end it.
    let _ = tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the silent tunnel ends");
    let text = String::from_utf8_lossy(&read);
    assert!(text.starts_with("HTTP/1.1 101"), "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
}

/// TOK-11: two applications of a realm with clients of their own cannot use or harm each other's sessions.
#[tokio::test]
async fn another_client_gets_nothing_and_ends_nothing() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let mut other = deployment.config();
    other.access_token.client_id = "other".into();
    let ours = deployment.in_process().await;
    let theirs =
        sidegate::boot::start(&other, std::sync::Arc::new(sidegate::clock::SystemClock), sidegate::clock::Entropy);
    let theirs = theirs.await.unwrap();
    let first = logged_in(ours.listen[0]).await;
    let second = Pair::read(&refresh(ours.listen[0], &first.refresh, Some("0123456789abcdef")).await);
    for token in [&first.refresh, &second.refresh] {
        let answer = refresh(theirs.listen[0], token, Some("0123456789abcdef")).await;
        assert_eq!(oauth_error(&answer, 400), "invalid_grant");
    }
    Pair::read(&refresh(ours.listen[0], &second.refresh, None).await);
}
