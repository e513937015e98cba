//! What passes through: streams, bodies, connections, and what becomes of an upstream that misbehaves.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Edge, assert_problem};
use crate::support::client::{call, logged_in};
use crate::support::net::free_address;
use crate::support::raw::{Ending, RawClient, exchange, request};
use crate::support::upstream::Script;
use crate::support::wire::chunk;

const SIZE: usize = 20 * 1024 * 1024;

/// Bytes in which every place can be told from the others.
fn pattern(size: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(size).collect()
}

#[tokio::test]
async fn a_request_streams_without_being_held_back() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let mut client = RawClient::connect(edge.gate).await;
    client.send(request("POST", "/up").bearer(&access).header("Transfer-Encoding", "chunked").bytes()).await;
    for part in ["first", "second", "third"] {
        client.send(chunk(part.as_bytes())).await;
        edge.deployment
            .upstream
            .wait_until(part, |seen| seen.first().is_some_and(|seen| seen.text().ends_with(part)))
            .await;
        assert!(!edge.last_seen().complete);
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.response().await.json()["body"], "firstsecondthird");
}

#[tokio::test]
async fn an_answer_streams_without_being_held_back() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let (chunks, script) = Script::streamed(&[("Content-Type", "text/plain")]);
    edge.deployment.upstream.next(script);
    let mut client = RawClient::connect(edge.gate).await;
    client.send(request("GET", "/down").bearer(&access).bytes()).await;
    assert_eq!(client.head().await.status, 200);
    for part in ["first", "second"] {
        chunks.push(part).await;
        assert_eq!(client.piece().await.as_deref(), Some(part.as_bytes()));
    }
    chunks.end().await;
    assert_eq!(client.piece().await, None);
}

#[tokio::test]
async fn large_bodies_arrive_as_they_were_sent() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let body = pattern(SIZE);
    edge.deployment.upstream.next(Script::answer(200, &[], &body));
    let answer = exchange(edge.gate, request("POST", "/large").bearer(&access).body("x/y", body.clone()).bytes()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "the answer's body differs");
    let seen = edge.last_seen();
    assert!(seen.complete && seen.body == body, "the request's body differs");
    assert_eq!(seen.header("content-length"), Some(SIZE.to_string()));
}

#[tokio::test]
async fn connections_are_reused_on_both_sides() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let mut client = RawClient::connect(edge.gate).await;
    for number in 0..5 {
        client.send(request("GET", &format!("/{number}")).bearer(&access).bytes()).await;
        let answer = client.response().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
        // A refused one in between, with a body nobody reads, does not end the connection.
        client.send(request("POST", "/x").body("text/plain", "hello").bytes()).await;
        assert_problem(&client.response().await, 401);
    }
    assert_eq!(edge.deployment.upstream.connections(), 1);
    let targets = edge.targets();
    assert_eq!(targets, ["/0", "/1", "/2", "/3", "/4"]);
}

/// PRX-21, PROB-4.
#[tokio::test]
async fn answers_without_a_body_stay_framed() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let mut client = RawClient::connect(edge.gate).await;
    client.send(request("HEAD", "/bytes?count=1000").bearer(&access).bytes()).await;
    let head = client.try_response_to("HEAD").await.expect("an answer");
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000")));
    for status in [204_u16, 304] {
        edge.deployment
            .upstream
            .next(Script::new().read_body().send(format!("HTTP/1.1 {status} X\r\nETag: \"x\"\r\n\r\n")));
        client.send(request("GET", "/none").bearer(&access).bytes()).await;
        let answer = client.response().await;
        assert_eq!((answer.status, answer.header("etag"), answer.text().as_str()), (status, Some("\"x\""), ""));
    }
    // An upstream that sends a body all the same: nobody gets it as an answer.
    edge.deployment.upstream.next(
        Script::new()
            .read_body()
            .send("HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil"),
    );
    client.send(request("GET", "/none").bearer(&access).bytes()).await;
    assert_eq!(client.response().await.status, 304);
    assert_eq!(call(edge.gate, "/after", &access).await.json()["target"], "/after");
    // Refused ones keep HEAD's rule too.
    let mut client = RawClient::connect(edge.gate).await;
    client.send(request("HEAD", "/x").header("Connection", "close").bytes()).await;
    assert_eq!(client.try_response_to("HEAD").await.expect("an answer").status, 401);
    assert_eq!(client.ending().await, (Ending::Closed, Vec::new()));
}

/// PRX-15.
#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let edge = Edge::new("").await;
    let (chunks, script) = Script::streamed(&[]);
    edge.deployment.upstream.next(script);
    let mut client = RawClient::connect(edge.gate).await;
    client.send("GET /open/x HTTP/1.0\r\nHost: a\r\n\r\n").await;
    chunks.push("hello").await;
    chunks.end().await;
    let (_, said) = client.ending().await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.ends_with("\r\n\r\nhello"), "{said}");
    assert!(!said.to_ascii_lowercase().contains("transfer-encoding"), "{said}");
}

#[tokio::test]
async fn an_event_stream_may_be_silent_for_longer_than_any_answer() {
    let edge = Edge::changed("", |config| {
        config.limits.body_idle_timeout = Duration::from_millis(100);
        config.upstreams.get_mut("default").expect("it exists").response_timeout = Duration::from_millis(100);
    })
    .await;
    let access = logged_in(edge.gate).await.access;
    let (chunks, script) = Script::streamed(&[("Content-Type", "text/event-stream")]);
    edge.deployment.upstream.next(script);
    let mut client = RawClient::connect(edge.gate).await;
    client.send(request("GET", "/events").bearer(&access).header("Accept", "text/event-stream").bytes()).await;
    assert_eq!(client.head().await.header("content-type"), Some("text/event-stream"));
    chunks.push("data: 1\n\n").await;
    assert_eq!(client.piece().await.as_deref(), Some(&b"data: 1\n\n"[..]));
    assert!(tokio::time::timeout(Duration::from_millis(400), client.try_piece()).await.is_err(), "it is silent");
    chunks.push("data: 2\n\n").await;
    assert_eq!(client.piece().await.as_deref(), Some(&b"data: 2\n\n"[..]));
    drop(client);
    chunks.abandoned().await;
}

/// PRX-11, BEAR-11.
#[tokio::test]
async fn a_web_socket_passes_with_a_token_and_may_be_silent() {
    let edge = Edge::changed("", |config| {
        config.limits.body_idle_timeout = Duration::from_millis(100);
        config.upstreams.get_mut("default").expect("it exists").response_timeout = Duration::from_millis(100);
    })
    .await;
    let access = logged_in(edge.gate).await.access;
    let url = format!("ws://{}/ws", edge.gate);

    let stream = TcpStream::connect(edge.gate).await.expect("it listens");
    let anonymous = url.as_str().into_client_request().expect("a request");
    let refused = client_async(anonymous, stream).await.expect_err("no token");
    assert!(matches!(&refused, Error::Http(answer) if answer.status() == 401), "{refused}");
    edge.deployment.upstream.assert_untouched();

    let mut authorised = url.into_client_request().expect("a request");
    authorised.headers_mut().insert("Authorization", format!("Bearer {access}").parse().expect("a value"));
    let stream = TcpStream::connect(edge.gate).await.expect("it listens");
    let (mut socket, answer) = client_async(authorised, stream).await.expect("a handshake");
    assert_eq!(answer.headers().get("vary"), None);
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.expect("it is sent");
        assert_eq!(socket.next().await.expect("open").expect("a message"), Message::text(text));
        // Silence, longer than an answer may take.
        assert!(tokio::time::timeout(Duration::from_millis(300), socket.next()).await.is_err());
    }
    let large = Message::binary(pattern(300_000));
    socket.send(large.clone()).await.expect("it is sent");
    assert_eq!(socket.next().await.expect("open").expect("a message"), large);
    let seen = edge.last_seen();
    assert_eq!(seen.header("x-auth-subject").as_deref(), Some("ann"));
    assert_eq!(seen.header("authorization"), None);
    socket.close(None).await.expect("it closes");
    edge.deployment.upstream.wait_until_disconnected().await;
}

/// PRX-11, B3-24: what comes before 101 is no message, and 101 needs a question.
#[tokio::test]
async fn a_tunnel_opens_only_when_both_sides_want_it() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    // The upstream answers something else: what the client sent early goes nowhere.
    let upgrade = request("GET", "/status?code=200")
        .bearer(&access)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut client = RawClient::connect(edge.gate).await;
    client.send([upgrade.bytes(), b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()].concat()).await;
    client.finish_sending().await;
    client.ending().await;
    edge.assert_only_probes_and(&["/status?code=200"]).await;

    edge.deployment.upstream.next(
        Script::new()
            .read_body()
            .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nevil"),
    );
    let answer = exchange(edge.gate, request("GET", "/open/unasked").bytes()).await;
    assert_problem(&answer, 502);
    for lines in [
        "Upgrade: websocket",
        "Upgrade: foo\r\nConnection: Upgrade",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAAA",
    ] {
        let answer = exchange(edge.gate, format!("GET /open/plain HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")).await;
        assert_eq!(answer.status, 200);
        let head = edge.last_seen().head().to_ascii_lowercase();
        assert!(!head.contains("h2c") && !head.contains("foo") && !head.contains("http2-settings"), "{head}");
    }
}

/// PRX-22.
#[tokio::test]
async fn an_upstream_that_is_down_is_502() {
    let edge = Edge::new(&format!("upstream.default.url = \"http://{}\"", free_address())).await;
    let access = logged_in(edge.gate).await.access;
    for bytes in [
        request("GET", "/x").bearer(&access).bytes(),
        request("POST", "/x").bearer(&access).json(&serde_json::json!({})).bytes(),
        request("GET", "/open/x").bytes(),
    ] {
        let answer = exchange(edge.gate, bytes).await;
        assert_problem(&answer, 502);
        assert_eq!(answer.json()["detail"], "the application did not answer");
    }
    assert_problem(&exchange(edge.gate, request("GET", "/x").bytes()).await, 401);
    edge.deployment.upstream.assert_untouched();
}

/// PRX-22.
#[tokio::test]
async fn an_upstream_that_hangs_is_504() {
    let edge = Edge::changed("", |config| {
        config.upstreams.get_mut("default").expect("it exists").response_timeout = Duration::from_millis(200);
    })
    .await;
    edge.deployment.upstream.next(Script::new().hang());
    assert_problem(&exchange(edge.gate, request("GET", "/open/hang").bytes()).await, 504);
}

/// PRX-20, PRX-22, B3-21.
#[tokio::test]
async fn an_upstream_that_misbehaves_is_502_and_harms_nobody_else() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let get = |target: &str| request("GET", target).bearer(&access).bytes();
    for target in ["/close", "/close-in-head", "/invalid-head", "/huge-head?bytes=2000000"] {
        assert_problem(&exchange(edge.gate, get(target)).await, 502);
    }
    for script in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX Y: z\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 99 Low\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "\0\0\0\0\0\0\r\n\r\n",
    ] {
        edge.deployment.upstream.next(Script::new().read_body().send(script).close());
        let answer = exchange(edge.gate, get("/evil")).await;
        assert_problem(&answer, 502);
    }
    for target in ["/close-in-body", "/reset"] {
        let mut client = RawClient::connect(edge.gate).await;
        client.send(get(target)).await;
        let cut = client.try_response().await.expect_err("a body that is cut is no whole answer");
        assert!(matches!(cut, crate::support::raw::NoResponse::Broken(_)), "{cut}");
    }
    for _ in 0..5 {
        let surplus =
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nexactHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        edge.deployment.upstream.next(Script::new().read_body().send(surplus));
        assert_eq!(exchange(edge.gate, get("/surplus")).await.text(), "exact");
    }
    assert_eq!(exchange(edge.gate, get("/early")).await.text(), "early");
    for number in 0..5 {
        let target = format!("/after-{number}");
        assert_eq!(call(edge.gate, &target, &access).await.json()["target"], target);
    }
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let mut client = RawClient::connect(edge.gate).await;
    let head = request("POST", "/early").bearer(&access).header("Content-Length", "1000000").bytes();
    client.send([head, vec![b'x'; 1000]].concat()).await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "early"));
    assert_eq!(call(edge.gate, "/after", &access).await.json()["target"], "/after");
}

/// Whoever answers before the body is there still reads some of it: a reset could take the answer away.
#[tokio::test]
async fn a_refused_upload_learns_why() {
    let down = Edge::new(&format!("upstream.default.url = \"http://{}\"", free_address())).await;
    for (target, status) in [("/open/x", 502), ("/closed", 401), ("/login", 413)] {
        for _ in 0..10 {
            let upload = request("POST", target).body("application/json", vec![b'x'; 3_000_000]).bytes();
            let mut client = RawClient::connect(down.gate).await;
            client.try_send(upload).await.unwrap_or_else(|error| panic!("{target}: {error}"));
            assert_eq!(client.response().await.status, status, "{target}");
        }
    }
    let mut client = RawClient::connect(down.gate).await;
    client.send(request("POST", "/closed").body("text/plain", vec![b'x'; 100_000]).bytes()).await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.header("connection")), (401, Some("keep-alive")));
    // A client that waits to be asked may send its body or not: the next bytes could be either.
    let mut client = RawClient::connect(down.gate).await;
    client
        .send(request("POST", "/closed").header("Content-Length", "5").header("Expect", "100-continue").bytes())
        .await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
}

/// PRX-1, BEAR-13, B3-70.
#[tokio::test]
async fn what_the_upstream_said_to_us_does_not_reach_the_client() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let headers = [
        ("Connection", "x-foo, Keep-Alive"),
        ("Connection", "set-cookie"),
        ("X-Foo", "1"),
        ("X-Bar", "2"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authenticate", "Basic"),
        ("TE", "trailers"),
        ("Trailer", "X-Late"),
        ("Upgrade", "h2c"),
        ("Alt-Svc", "h3=\":443\""),
        ("Set-Cookie", "a=b"),
    ];
    for (target, access) in [("/x", Some(&access)), ("/open/x", None)] {
        edge.deployment.upstream.next(Script::answer(200, &headers, "ok"));
        let bytes = access.map_or(request("GET", target), |access| request("GET", target).bearer(access)).bytes();
        let answer = exchange(edge.gate, bytes).await;
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.header("connection")),
            (200, "ok", Some("keep-alive"))
        );
        assert_eq!(answer.header("x-bar"), Some("2"));
        for name in [
            "x-foo",
            "set-cookie",
            "keep-alive",
            "proxy-connection",
            "proxy-authenticate",
            "te",
            "trailer",
            "upgrade",
            "alt-svc",
        ] {
            assert!(answer.values(name).is_empty(), "{name}: {}", answer.head);
        }
        let marks = (answer.header("cache-control"), answer.header("vary"));
        assert_eq!(
            marks,
            if access.is_some() { (Some("private"), Some("Authorization, Cookie")) } else { (None, None) }
        );
    }
    edge.deployment.upstream.next(Script::answer(200, &[("Cache-Control", "max-age=60"), ("Vary", "Accept")], "ok"));
    let answer = call(edge.gate, "/x", &access).await;
    assert_eq!(answer.values("cache-control"), ["max-age=60"]);
    assert_eq!(answer.values("vary"), ["Accept", "Authorization, Cookie"]);
    // How the body is framed cannot be nominated away.
    edge.deployment.upstream.next(Script::answer(
        200,
        &[("Connection", "content-length, transfer-encoding")],
        "framed",
    ));
    assert_eq!(call(edge.gate, "/x", &access).await.text(), "framed");
}

/// PRX-13.
#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let post = || request("POST", "/pay").bearer(&access).json(&serde_json::json!({"amount": 1})).bytes();
    let count = || edge.deployment.upstream.requests().iter().filter(|seen| seen.target() == "/pay").count();
    edge.deployment.upstream.next(Script::new().read_body().close());
    assert_problem(&exchange(edge.gate, post()).await, 502);
    assert_eq!(count(), 1);
    edge.deployment.upstream.next(Script::new().reset());
    assert_problem(&exchange(edge.gate, post()).await, 502);
    assert_eq!(count(), 2);
    // Also not on a connection that was kept and dies under it.
    assert_eq!(call(edge.gate, "/x", &access).await.status, 200);
    edge.deployment.upstream.next(Script::new().read_body().reset());
    assert_problem(&exchange(edge.gate, post()).await, 502);
    assert_eq!(count(), 3);
    // One that dies before it is used is replaced, and nothing is lost.
    edge.deployment.upstream.next(Script::answer(200, &[], "bye").close());
    assert_eq!(call(edge.gate, "/x", &access).await.status, 200);
    edge.deployment.upstream.wait_until_disconnected().await;
    assert_eq!(exchange(edge.gate, post()).await.status, 200);
    assert_eq!(count(), 4);
    assert!(edge.last_seen().header("x-auth-subject").is_some());
}

/// PRX-14.
#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_from_the_upstream() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let head = || request("POST", "/up").bearer(&access).header("Content-Length", "5").header("Expect", "100-continue");
    let mut client = RawClient::connect(edge.gate).await;
    client.send(head().bytes()).await;
    edge.deployment.upstream.wait_until("the head is there", |seen| !seen.is_empty()).await;
    assert!(!client.stays_open(Duration::from_secs(10)).await, "100 should have come");
    client.send("hello").await;
    let answer = client.response().await;
    assert_eq!((answer.interim.as_slice(), answer.status), (&[100][..], 200));
    assert_eq!(answer.json()["body"], "hello");
    // Dead after its 100: that is still no answer.
    edge.deployment.upstream.next(Script::new().read_body().close());
    let mut client = RawClient::connect(edge.gate).await;
    client.send([head().bytes(), b"hello".to_vec()].concat()).await;
    let answer = client.response().await;
    assert_eq!(answer.interim, [100]);
    assert_problem(&answer, 502);
    // Early hints pass as they are.
    edge.deployment.upstream.next(
        Script::new().read_body().send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").answering(200, &[], "ok"),
    );
    let answer = call(edge.gate, "/x", &access).await;
    assert_eq!((answer.interim.as_slice(), answer.status), (&[103][..], 200));
}

#[tokio::test]
async fn a_client_that_goes_frees_the_upstream() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    for target in ["/hang", "/sse"] {
        let mut client = RawClient::connect(edge.gate).await;
        client.send(request("GET", target).bearer(&access).bytes()).await;
        edge.deployment.upstream.wait_until(target, |seen| seen.iter().any(|seen| seen.target() == target)).await;
        drop(client);
        edge.deployment.upstream.wait_until_disconnected().await;
    }
    let mut client = RawClient::connect(edge.gate).await;
    client.send(request("POST", "/up").bearer(&access).header("Content-Length", "100").bytes()).await;
    edge.deployment.upstream.wait_until("/up", |seen| seen.iter().any(|seen| seen.target() == "/up")).await;
    drop(client);
    edge.deployment.upstream.wait_until_disconnected().await;
    assert!(!edge.last_seen().complete);
}
