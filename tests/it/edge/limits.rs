//! Limits and deadlines: each at its edge, with a connection that is closed and others that go on.

use std::sync::Arc;
use std::time::Duration;

use sidegate::clock::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Edge, assert_problem};
use crate::support::client::logged_in;
use crate::support::raw::{Ending, RawClient, exchange, request};
use crate::support::upstream::Script;

const SHORT: Duration = Duration::from_millis(200);
/// Far more than any deadline here, far less than any default.
const LONG: Duration = Duration::from_secs(5);

async fn metrics(edge: &Edge) -> String {
    exchange(edge.running.health, request("GET", "/metrics").bytes()).await.text()
}

/// PRX-18, B3-32: one deadline for the whole head, however it is dripped.
#[tokio::test]
async fn a_dripped_head_has_one_deadline() {
    let edge = Edge::changed("", |config| config.limits.header_timeout = SHORT).await;
    let head = b"GET /open/x HTTP/1.1\r\nHost: a\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
    let begun = Stopwatch::start();
    let mut client = RawClient::connect(edge.gate).await;
    for byte in head {
        if client.try_send([*byte]).await.is_err() || !client.stays_open(Duration::from_millis(10)).await {
            break;
        }
        assert!(begun.elapsed() < LONG, "still open");
    }
    let answer = client.response().await;
    assert_problem(&answer, 408);
    assert!(begun.elapsed() >= SHORT, "after {:?}", begun.elapsed());
    assert_eq!(answer.header("connection"), Some("close"));
    edge.assert_only_a_probe_follows(0).await;
}

/// PRX-18: nobody is owed an answer who has said nothing.
#[tokio::test]
async fn silent_and_idle_connections_are_closed() {
    let edge = Edge::changed("", |config| {
        config.limits.header_timeout = SHORT;
        config.limits.keep_alive = 3 * SHORT;
    })
    .await;
    let begun = Stopwatch::start();
    let mut silent = RawClient::connect(edge.gate).await.with_deadline(LONG);
    assert_eq!(silent.ending().await, (Ending::Closed, Vec::new()));
    assert!(begun.elapsed() >= SHORT);

    let mut idle = RawClient::connect(edge.gate).await.with_deadline(LONG);
    for _ in 0..3 {
        idle.send(request("GET", "/open/x").bytes()).await;
        assert_eq!(idle.response().await.header("connection"), Some("keep-alive"));
    }
    let begun = Stopwatch::start();
    assert_eq!(idle.ending().await, (Ending::Closed, Vec::new()));
    assert!(begun.elapsed() >= SHORT, "after {:?}", begun.elapsed());
}

/// PRX-18, B3-32.
#[tokio::test]
async fn a_body_that_stalls_ends_the_request() {
    let edge = Edge::changed("", |config| config.limits.body_idle_timeout = 3 * SHORT).await;
    let mut client = RawClient::connect(edge.gate).await.with_deadline(LONG);
    client.send(request("POST", "/open/x").header("Content-Length", "100").bytes()).await;
    client.send("not a hundred").await;
    let answer = client.response().await;
    assert_problem(&answer, 408);
    assert_eq!(answer.header("connection"), Some("close"));
    edge.deployment.upstream.wait_until_disconnected().await;
    edge.assert_nothing_complete_since(0).await;
    // Slow is not stalled.
    let mut client = RawClient::connect(edge.gate).await;
    client.send(request("POST", "/open/x").header("Content-Length", "10000").bytes()).await;
    for _ in 0..10 {
        tokio::time::sleep(SHORT / 2).await;
        client.send("x".repeat(1000)).await;
    }
    assert_eq!(client.response().await.json()["body"], "x".repeat(10_000));
}

/// PRX-18, B3-32: a byte now and then is no body.
#[tokio::test]
async fn a_body_that_drips_ends_the_request() {
    let edge = Edge::changed("", |config| config.limits.body_idle_timeout = 3 * SHORT).await;
    let mut client = RawClient::connect(edge.gate).await.with_deadline(LONG);
    client.send(request("POST", "/open/x").header("Transfer-Encoding", "chunked").bytes()).await;
    let begun = Stopwatch::start();
    while client.try_send("1\r\nx\r\n").await.is_ok() && client.stays_open(SHORT / 10).await {
        assert!(begun.elapsed() < 4 * LONG, "still open");
    }
    assert_problem(&client.response().await, 408);
    assert!(begun.elapsed() >= 3 * SHORT, "after {:?}", begun.elapsed());
    edge.deployment.upstream.wait_until_disconnected().await;
    edge.assert_nothing_complete_since(0).await;
}

/// Who reads slowly but steadily gets all of it, however much the system would take at once.
#[tokio::test]
async fn a_slow_reader_is_not_taken_for_one_that_has_stopped() {
    let patience = Duration::from_secs(2);
    let edge = Edge::changed("", |config| config.limits.body_idle_timeout = patience).await;
    edge.deployment.upstream.next(Script::answer(200, &[], vec![b'x'; 50_000_000]));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    let mut client = socket.connect(edge.gate).await.unwrap();
    client.write_all(&request("GET", "/open/large").bytes()).await.unwrap();
    let begun = Stopwatch::start();
    let mut piece = vec![0; 20_000];
    while begun.elapsed() < 3 * patience {
        client.read_exact(&mut piece).await.expect("there is more");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(edge.deployment.upstream.open_connections(), 1, "the answer was given up");
}

/// What was waited for one body is not counted against the next one, which may be another client's behind a proxy.
#[tokio::test]
async fn each_body_has_a_pace_of_its_own() {
    let edge = Edge::changed("", |config| config.limits.body_idle_timeout = 3 * SHORT).await;
    let mut client = RawClient::connect(edge.gate).await.with_deadline(LONG);
    for _ in 0..6 {
        client.send(request("POST", "/open/x").header("Content-Length", "1").bytes()).await;
        tokio::time::sleep(SHORT).await;
        client.send("x").await;
        assert_eq!(client.response().await.status, 200);
    }
}

/// PRX-18, B3-32: a client that does not read does not keep an answer, and the upstream, waiting.
#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let edge = Edge::changed("", |config| config.limits.body_idle_timeout = SHORT).await;
    edge.deployment.upstream.next(Script::answer(200, &[], vec![b'x'; 50_000_000]));
    let mut client = RawClient::connect(edge.gate).await.with_deadline(LONG);
    client.send(request("GET", "/open/large").bytes()).await;
    edge.deployment.upstream.wait_until_disconnected().await;
    let (_, received) = client.ending().await;
    assert!(received.len() < 50_000_000);
    edge.assert_only_a_probe_follows(1).await;
}

/// PRX-17, B3-30, B1-18.
#[tokio::test]
async fn sizes_are_exact() {
    let edge = Edge::new("limit = { request_line = \"256B\", headers = \"2KiB\", authorization = \"1KiB\" }").await;
    let line = |length: usize| format!("GET /open/{} HTTP/1.1", "x".repeat(length - 19));
    let with_line = |length: usize| format!("{}\r\nHost: a\r\n\r\n", line(length));
    assert_eq!(exchange(edge.gate, with_line(256)).await.status, 200);
    for length in [257, 258, 300, 100_000] {
        assert_problem(&edge.refused(with_line(length)).await, 414);
    }
    let endless = edge.refused("GET /".to_owned() + &"x".repeat(10_000)).await;
    assert_problem(&endless, 414);

    let with_headers = |length: usize| {
        let fixed = "Host: a\r\nX: \r\n".len();
        format!("GET /open/x HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(length - fixed))
    };
    assert_eq!(exchange(edge.gate, with_headers(2048)).await.status, 200);
    for length in [2049, 2050, 3000, 1_000_000] {
        let answer = edge.refused(with_headers(length)).await;
        assert_problem(&answer, 431);
        assert_eq!(answer.header("connection"), Some("close"));
    }

    let authorised = |length: usize| {
        let value = format!("Bearer {}", "x".repeat(length - "Bearer ".len()));
        request("GET", "/x").header("Authorization", &value).bytes()
    };
    assert_problem(&edge.refused(authorised(1024)).await, 401);
    assert_problem(&edge.refused(authorised(1025)).await, 400);
}

#[tokio::test]
async fn a_connection_serves_so_many_requests_and_says_when_it_is_the_last() {
    let edge = Edge::new("limit.requests_per_connection = 3").await;
    let mut client = RawClient::connect(edge.gate).await;
    for expected in ["keep-alive", "keep-alive", "close"] {
        client.send(request("GET", "/open/x").bytes()).await;
        assert_eq!(client.response().await.header("connection"), Some(expected));
    }
    assert_eq!(client.ending().await, (Ending::Closed, Vec::new()));
}

/// PRX-17: over the limit nobody waits; a slot that is free again is used.
#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once() {
    let edge = Edge::new("limit.connections = 2").await;
    let open = |edge: &Edge| RawClient::connect(edge.gate);
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = open(&edge).await;
        client.send(request("GET", "/open/x").bytes()).await;
        assert_eq!(client.response().await.status, 200);
        kept.push(client);
    }
    for _ in 0..3 {
        let mut refused = open(&edge).await.with_deadline(LONG);
        let (_, said) = refused.ending().await;
        assert_eq!(said, b"");
    }
    let counted = metrics(&edge).await;
    assert!(counted.contains("sidegate_connections_refused_total 3\n"), "{counted}");
    assert!(counted.contains("sidegate_connections 2\n"), "{counted}");
    for client in &mut kept {
        client.send(request("GET", "/open/x").bytes()).await;
        assert_eq!(client.response().await.status, 200);
    }
    drop(kept.pop());
    let begun = Stopwatch::start();
    loop {
        let mut client = open(&edge).await;
        if client.try_send(request("GET", "/open/x").bytes()).await.is_ok() && client.try_response().await.is_ok() {
            break;
        }
        assert!(begun.elapsed() < LONG, "the slot is not free again");
    }
}

/// B3-30: many clients at once, each with its own answer (B3-71).
#[tokio::test]
async fn nobody_gets_another_ones_answer() {
    let edge = Arc::new(Edge::new("").await);
    let access = logged_in(edge.gate).await.access;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..40 {
        let (edge, access) = (Arc::clone(&edge), access.clone());
        clients.spawn(async move {
            for round in 0..10 {
                let target = format!("/{number}/{round}");
                let (bytes, misbehaving) = match (number + round) % 5 {
                    0 => (request("GET", &format!("/close-in-body?{target}")).bearer(&access).bytes(), true),
                    1 => (request("GET", &format!("/reset?{target}")).bearer(&access).bytes(), true),
                    _ => (request("GET", &target).bearer(&access).bytes(), false),
                };
                let mut client = RawClient::connect(edge.gate).await;
                client.send(bytes).await;
                let answer = client.try_response().await;
                if !misbehaving {
                    assert_eq!(answer.expect("an answer").json()["target"], target);
                }
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.expect("each got its own");
    }
}
