//! Connections that go on after an answer: what one request leaves behind is never taken for another.

use std::time::Duration;

use super::{Edge, assert_problem};
use crate::support::client::{call, logged_in};
use crate::support::raw::{RawClient, exchange, request};
use crate::support::upstream::Script;
use crate::support::wire::chunk;

const RULES: &str = "[[route]]\npath = \"/admin/*\"\nroles = [\"admin\"]\n\n\
                     [[route]]\npath = \"/items\"\nmethods = [\"PATCH\"]\n\n\
                     [[route]]\npath = \"/gone/*\"\nauth = \"none\"\nupstream = \"gone\"\n";

/// What a thief would have taken for a request.
const SMUGGLED: &str = "GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// When the body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    WithTheHead,
    Later,
    /// And the next request right behind it, before the answer was read.
    LaterWithTheNext,
}

/// PRX-10, B3-3, B3-20: with a length and in chunks, sent at once and late, to every kind of answer, with methods that
/// seldom have a body: what comes next is answered as what it is, or the connection is closed.
#[tokio::test]
async fn a_body_nobody_reads_is_never_the_next_request() {
    let gone = crate::support::net::free_address();
    let edge = Edge::new(&format!("{RULES}\n[upstream.gone]\nurl = \"http://{gone}\"\n")).await;
    let access = logged_in(edge.gate).await.access;
    let mut reused = 0;
    let targets = [
        "/open/first",
        "/gone/first",
        "/closed",
        "/admin",
        "/items",
        "/login",
        "/auth/me",
        "/auth/sessions/x",
        "/.well-known/jwks.json",
    ];
    let methods = ["GET", "HEAD", "OPTIONS", "POST", "DELETE"];
    let when = [Body::WithTheHead, Body::Later, Body::LaterWithTheNext];
    let mut number = 0;
    for (target, method) in targets.iter().flat_map(|target| methods.map(|method| (target, method))) {
        for (body, chunked) in when.iter().flat_map(|body| [(*body, false), (*body, true)]) {
            number += 1;
            let shown = format!("{method} {target}, {body:?}, chunked: {chunked}");
            let asked = request(method, target);
            let asked = if *target == "/closed" { asked } else { asked.bearer(&access) };
            let (head, sent) = if chunked {
                let chunks = [chunk(SMUGGLED.as_bytes()), b"0\r\n\r\n".to_vec()].concat();
                (asked.header("Transfer-Encoding", "chunked").bytes(), chunks)
            } else {
                let length = SMUGGLED.len().to_string();
                (asked.header("Content-Length", &length).bytes(), SMUGGLED.into())
            };
            let next = format!("/open/next-{number}");
            let next_bytes = request("GET", &next).bytes();
            let mut client = RawClient::connect(edge.gate).await;
            match body {
                Body::WithTheHead => client.send([head, sent].concat()).await,
                Body::Later | Body::LaterWithTheNext => {
                    client.send(head).await;
                    // It may have been answered, and closed, by now.
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    let with_next = body == Body::LaterWithTheNext;
                    let sent = if with_next { [sent, next_bytes.clone()].concat() } else { sent };
                    let _ = client.try_send(sent).await;
                }
            }
            let first = client.try_response_to(method).await.unwrap_or_else(|missing| panic!("{shown}: {missing}"));
            assert!(first.status < 500 || *target == "/gone/first", "{shown}: {}", first.head);
            if body != Body::LaterWithTheNext {
                let _ = client.try_send(next_bytes).await;
            }
            // Closed or reset is as good; whatever is said is about the next one.
            if let Ok(second) = client.try_response().await {
                assert_eq!((second.status, &second.json()["target"]), (200, &next.as_str().into()), "{shown}");
                reused += 1;
            }
        }
    }
    let targets = edge.targets();
    assert!(!targets.iter().any(|target| target == "/open/smuggled"), "{targets:?}");
    // Only an application that is down ends its client's connection.
    assert!(reused > number * 7 / 10, "only {reused} of {number} connections went on: this shows little");
}

/// B3-9: a hundred at once are judged one by one, and answered in order.
#[tokio::test]
async fn of_a_hundred_pipelined_requests_each_is_judged_on_its_own() {
    let edge = Edge::new("").await;
    let target =
        |number: u32| if number.is_multiple_of(3) { format!("/closed/{number}") } else { format!("/open/{number}") };
    let all: Vec<u8> = (0..100).flat_map(|number| request("GET", &target(number)).bytes()).collect();
    // As one piece, and so that heads are cut anywhere.
    for piece in [all.len(), 700, 61] {
        let before = edge.seen();
        let mut client = RawClient::connect(edge.gate).await;
        for piece in all.chunks(piece) {
            client.send(piece).await;
        }
        for number in 0..100 {
            let (answer, target) = (client.response().await, target(number));
            if target.starts_with("/closed") {
                assert_problem(&answer, 401);
            } else {
                assert_eq!(answer.json()["target"], target);
            }
        }
        let expected: Vec<String> = (0..100).map(target).filter(|target| target.starts_with("/open")).collect();
        assert_eq!(edge.targets()[before..], expected);
    }
}

/// B3-9: also behind a body, of whichever kind, that arrives together with it.
#[tokio::test]
async fn a_request_behind_a_body_begins_where_the_body_ends() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let counted = request("POST", "/counted").bearer(&access).body("text/plain", "0123456789").bytes();
    let chunked = request("POST", "/chunked").bearer(&access).header("Transfer-Encoding", "chunked").bytes();
    let chunked = [chunked, chunk(b"01234"), b"5;a=b\r\n56789\r\n0\r\nX: y\r\n\r\n".to_vec()].concat();
    let refresh = request("POST", "/refresh").body("application/json", "{}").bytes();
    let all = [counted, chunked, refresh, request("GET", "/last").bearer(&access).bytes()].concat();
    for piece in [all.len(), 300, 7, 1] {
        let mut client = RawClient::connect(edge.gate).await;
        for piece in all.chunks(piece) {
            client.send(piece).await;
        }
        for target in ["/counted", "/chunked"] {
            let echo = client.response().await.json();
            assert_eq!((&echo["target"], &echo["body"]), (&target.into(), &"0123456789".into()));
        }
        assert_eq!(client.response().await.json()["error"], "invalid_request");
        assert_eq!(client.response().await.json()["target"], "/last");
    }
}

/// PRX-9, B3-7: a chunk that one server would mend and another would not is refused, whenever it comes; a good one is
/// framed anew.
#[tokio::test]
async fn a_chunk_is_as_it_should_be_or_refused() {
    let edge = Edge::new("").await;
    let head = "POST /open/chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "1 \r\nx\r\n0\r\n\r\n",
        "1\t\r\nx\r\n0\r\n\r\n",
        " 1\r\nx\r\n0\r\n\r\n",
        "1;a\nb\r\nx\r\n0\r\n\r\n",
        "1;a\rb\r\nx\r\n0\r\n\r\n",
        "1;a\0b\r\nx\r\n0\r\n\r\n",
        "1;\nxx\r\n1c\r\n0\r\n\r\n",
        "1\r\nx\r\n0;\nx\r\n\r\n",
        "1\r\nx\r\n\r\n0\r\n\r\n",
        "1\r\nx\n0\r\n\r\n",
        "\r\n1\r\nx\r\n0\r\n\r\n",
        "1\r\nx\r\n0\r\n\n",
        "1\r\nx\r\n0\n\n",
        "1\r\nx\r\n0\r\nX: y\n\r\n",
        "1\r\nx\r\n0\r\n X: y\r\n\r\n",
        "1\r\nx\r\n0\r\nX : y\r\n\r\n",
        "00000000000000001\r\nx\r\n0\r\n\r\n",
    ] {
        for late in [false, true] {
            let before = edge.seen();
            let mut client = RawClient::connect(edge.gate).await;
            if late {
                client.send(head).await;
                edge.deployment.upstream.wait_until("the head is there", |seen| seen.len() > before).await;
                client.send(format!("{chunks}{SMUGGLED}")).await;
            } else {
                client.send(format!("{head}{chunks}{SMUGGLED}")).await;
            }
            let answer = client.try_response().await.unwrap_or_else(|missing| panic!("{chunks:?}, {late}: {missing}"));
            assert_problem(&answer, 400);
            assert_eq!(answer.header("connection"), Some("close"), "{chunks:?}, {late}");
            let (_, rest) = client.ending().await;
            assert_eq!(String::from_utf8_lossy(&rest), "", "{chunks:?}, {late}");
            edge.assert_nothing_complete_since(before).await;
        }
    }
    for (chunks, framed) in [
        ("1\r\nx\r\n0\r\n\r\n", "1\r\nx\r\n0\r\n\r\n"),
        ("01;a=\"b c\";d\r\nx\r\n000;e\r\n\r\n", "1\r\nx\r\n0\r\n\r\n"),
        ("A\r\n0123456789\r\n0\r\nX-Auth-Subject: root\r\nY:\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n"),
        ("0\r\n\r\n", "0\r\n\r\n"),
    ] {
        assert_eq!(exchange(edge.gate, format!("{head}{chunks}")).await.status, 200, "{chunks:?}");
        let seen = edge.last_seen();
        let body = String::from_utf8_lossy(&seen.raw[seen.head().len()..]).into_owned();
        assert!(body.eq_ignore_ascii_case(framed), "{body:?}");
    }
}

/// B3-21: an upstream that answers before the body is there, and keeps its connection, gets no other request on it.
#[tokio::test]
async fn an_answer_before_the_body_spoils_no_upstream_connection() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    for round in 0..5 {
        edge.deployment.upstream.next(Script::new().answering(200, &[], "early"));
        let mut client = RawClient::connect(edge.gate).await;
        let head = request("POST", "/upload").bearer(&access).header("Content-Length", "100000").bytes();
        client.send([head, b"half of it".to_vec()].concat()).await;
        assert_eq!(client.response().await.text(), "early");
        let target = format!("/after-{round}");
        assert_eq!(call(edge.gate, &target, &access).await.json()["target"], target);
        drop(client);
        assert_eq!(call(edge.gate, &target, &access).await.json()["target"], target);
    }
    let seen = edge.deployment.upstream.requests();
    assert!(seen.iter().filter(|seen| seen.target() == "/upload").all(|seen| !seen.complete));
}

/// PRX-20, B3-21: what an upstream says too much, or says twice, is nobody's answer.
#[tokio::test]
async fn what_an_upstream_says_too_much_is_nobodys_answer() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    for (number, (method, said)) in [
        ("HEAD", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{evil}", evil.len())),
        ("GET", format!("HTTP/1.1 204 No Content\r\nContent-Length: {}\r\n\r\n{evil}", evil.len())),
        (
            "GET",
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{evil}"
            ),
        ),
        ("GET", format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{evil}")),
        ("GET", format!("{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", interim.repeat(500))),
        ("GET", format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{evil}")),
        ("GET", format!("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n{evil}")),
    ]
    .into_iter()
    .enumerate()
    {
        edge.deployment.upstream.next(Script::new().read_body().send(said.clone()));
        let mut client = RawClient::connect(edge.gate).await;
        client.send(request(method, "/evil").bearer(&access).bytes()).await;
        if let Ok(answer) = client.try_response_to(method).await {
            assert!(!answer.text().contains("evil"), "{said}\n{}", answer.text());
            let _ = client.try_send(request("GET", "/next").bearer(&access).bytes()).await;
            if let Ok(next) = client.try_response().await {
                assert_eq!(next.json()["target"], "/next", "{said}");
            }
        }
        let target = format!("/after-{number}");
        assert_eq!(call(edge.gate, &target, &access).await.json()["target"], target, "{said}");
    }
}

/// PRX-13: a GET whose kept connection died under it is asked again, in the same name.
#[tokio::test]
async fn what_is_asked_again_is_asked_in_the_same_name() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    assert_eq!(call(edge.gate, "/first", &access).await.status, 200);
    edge.deployment.upstream.next(Script::new().read_body().reset());
    let answer = call(edge.gate, "/again", &access).await;
    let asked: Vec<_> =
        edge.deployment.upstream.requests().into_iter().filter(|seen| seen.target() == "/again").collect();
    assert!((1..=2).contains(&asked.len()), "{asked:#?}");
    assert_eq!(answer.status, if asked.len() == 2 { 200 } else { 502 });
    for seen in asked {
        assert_eq!(seen.header("x-auth-subject").as_deref(), Some("ann"));
        assert_eq!(seen.header("authorization"), None);
    }
}

/// PRX-14: an upstream that never says 100 ends as any that does not answer.
#[tokio::test]
async fn an_upstream_that_never_asks_for_the_body_is_504() {
    let edge = Edge::changed("", |config| {
        config.upstreams.get_mut("default").expect("it exists").response_timeout = Duration::from_millis(200);
    })
    .await;
    edge.deployment.upstream.next(Script::new().hang());
    let head = request("POST", "/open/up").header("Content-Length", "5").header("Expect", "100-continue").bytes();
    let mut client = RawClient::connect(edge.gate).await;
    client.send(head).await;
    let answer = client.response().await;
    assert_problem(&answer, 504);
    assert!(answer.interim.is_empty());
    client.ending().await;
    assert_eq!(exchange(edge.gate, request("GET", "/open/after").bytes()).await.status, 200);
}

/// B3-29: an expectation where there is nothing to wait for.
#[tokio::test]
async fn an_expectation_without_a_body_is_harmless() {
    let edge = Edge::new("").await;
    for lines in [
        "Expect: 100-continue",
        "Expect: 100-continue\r\nContent-Length: 0",
        "Expect: 100-continue\r\nExpect: 100-continue",
    ] {
        let mut client = RawClient::connect(edge.gate).await;
        client.send(format!("GET /open/x HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")).await;
        assert_eq!(client.response().await.json()["target"], "/open/x", "{lines}");
        let mut client = RawClient::connect(edge.gate).await;
        client.send(format!("GET /closed HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")).await;
        assert_problem(&client.response().await, 401);
        client.send(request("GET", "/open/next").bytes()).await;
        assert_eq!(client.response().await.json()["target"], "/open/next", "{lines}");
    }
}
