//! That the recorder records, and misbehaves as announced.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::support::raw::{Ending, NoResponse, RawClient, exchange, request};

#[tokio::test]
async fn it_records_every_byte_of_a_request_and_echoes_it() {
    let upstream = Upstream::start().await;
    let bytes = b"PUT /a%2Fb?x=1 HTTP/1.1\r\nhOsT:  test \r\nX-Two: 1\r\nx-two: 2\r\nContent-Length: 5\r\n\r\nhello";

    let response = exchange(upstream.address(), bytes).await;

    let recorded = upstream.only_request();
    assert_eq!(String::from_utf8_lossy(&recorded.raw), String::from_utf8_lossy(bytes));
    assert_eq!(recorded.head().as_bytes(), &bytes[..bytes.len() - 5]);
    assert_eq!(
        (recorded.method(), recorded.target(), recorded.path()),
        ("PUT".into(), "/a%2Fb?x=1".into(), "/a%2Fb".into())
    );
    assert_eq!(recorded.headers()[0], ("hOsT".to_owned(), "test".to_owned()));
    assert_eq!((recorded.header("HOST"), recorded.header("x-absent")), (Some("test".to_owned()), None));
    assert_eq!(recorded.values("X-TWO"), ["1", "2"]);
    assert_eq!((recorded.text(), recorded.complete, recorded.connection), ("hello".to_owned(), true, 1));
    assert_eq!(response.status, 200);
    assert_eq!(response.header("server"), Some("recording-upstream"));
    let echo = response.json();
    assert_eq!(
        (&echo["method"], &echo["target"], &echo["body"]),
        (&"PUT".into(), &"/a%2Fb?x=1".into(), &"hello".into())
    );
    assert_eq!(echo["headers"][1], json!(["X-Two", "1"]));
}

#[tokio::test]
async fn it_records_requests_on_one_connection_apart() {
    let upstream = Upstream::start().await;
    let mut client = RawClient::connect(upstream.address()).await;

    client.send(b"POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nX-T: 1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").await;
    let first = client.response().await;
    let second = client.response().await;
    exchange(upstream.address(), request("GET", "/3").bytes()).await;

    let seen: Vec<_> = upstream.requests().iter().map(|seen| (seen.target(), seen.text(), seen.connection)).collect();
    assert_eq!(
        seen,
        [("/1".into(), "one".into(), 1), ("/2".into(), String::new(), 1), ("/3".into(), String::new(), 2)]
    );
    assert!(upstream.requests()[0].raw.ends_with(b"3\r\none\r\n0\r\nX-T: 1\r\n\r\n"), "framing and trailers are kept");
    assert_eq!((&first.json()["connection"], &second.json()["connection"]), (&1.into(), &1.into()));
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn an_upstream_that_nobody_spoke_to_is_untouched() {
    let upstream = Upstream::start().await;

    upstream.assert_untouched();
}

#[tokio::test]
#[should_panic(expected = "nothing should have reached the upstream")]
async fn an_upstream_that_got_a_request_is_not_untouched() {
    let upstream = Upstream::start().await;
    exchange(upstream.address(), request("GET", "/").bytes()).await;

    upstream.assert_untouched();
}

#[tokio::test]
#[should_panic(expected = "it saw 1 connection(s)")]
async fn an_upstream_that_got_only_a_connection_is_not_untouched() {
    let upstream = Upstream::start().await;
    let _client = RawClient::connect(upstream.address()).await;

    upstream.assert_untouched();
}

#[tokio::test]
async fn it_records_a_head_that_never_ended() {
    let upstream = Upstream::start().await;
    let mut client = RawClient::connect(upstream.address()).await;
    client.send("GET /half HTTP/1.1\r\nX-").await;
    client.finish_sending().await;

    upstream.wait_until_disconnected().await;

    let recorded = upstream.only_request();
    assert_eq!((recorded.raw, recorded.complete), (b"GET /half HTTP/1.1\r\nX-".to_vec(), false));
}

#[tokio::test]
async fn it_records_a_body_while_it_arrives() {
    let upstream = Upstream::start().await;
    let mut client = RawClient::connect(upstream.address()).await;

    client.send("POST /upload HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello").await;
    upstream.wait_until("half of it is there", |seen| seen.iter().any(|request| request.body == b"hello")).await;
    assert!(!upstream.only_request().complete);
    client.send("world").await;

    assert_eq!(client.response().await.json()["body"], "helloworld");
    assert!(upstream.only_request().complete);
}

#[tokio::test]
async fn queued_scripts_go_before_paths_and_in_order() {
    let upstream = Upstream::start().await;
    upstream.next(Script::answer(201, &[("X-Script", "1")], "one"));
    upstream.next(Script::answer(503, &[], ""));
    let mut client = RawClient::connect(upstream.address()).await;
    let mut seen = Vec::new();

    for _ in 0..3 {
        client.send(request("GET", "/status?code=418").bytes()).await;
        seen.push(client.response().await);
    }

    assert_eq!(seen.iter().map(|response| response.status).collect::<Vec<_>>(), [201, 503, 418]);
    assert_eq!((seen[0].header("x-script"), seen[0].text()), (Some("1"), "one".to_owned()));
}

#[tokio::test]
async fn a_streamed_answer_arrives_chunk_by_chunk() {
    let upstream = Upstream::start().await;
    let (chunks, script) = Script::streamed(&[("Content-Type", "text/plain")]);
    upstream.next(script);
    let mut client = RawClient::connect(upstream.address()).await;
    client.send(request("GET", "/").bytes()).await;

    assert_eq!(client.head().await.header("content-type"), Some("text/plain"));
    for part in ["first", "second"] {
        chunks.push(part).await;
        assert_eq!(client.piece().await.as_deref(), Some(part.as_bytes()));
    }
    chunks.end().await;
    assert_eq!(client.piece().await, None);

    client.send(request("GET", "/again").bytes()).await;
    assert_eq!(client.response().await.json()["connection"], 1);
}

#[tokio::test]
async fn a_streamed_answer_that_is_dropped_is_reset() {
    let upstream = Upstream::start().await;
    let (chunks, script) = Script::streamed(&[]);
    upstream.next(script);
    let mut client = RawClient::connect(upstream.address()).await;
    client.send(request("GET", "/").bytes()).await;
    client.head().await;

    drop(chunks);

    assert!(matches!(client.try_piece().await, Err(NoResponse::Broken(_))));
}

#[tokio::test]
async fn it_notices_that_the_peer_gave_up_on_a_streamed_answer() {
    let upstream = Upstream::start().await;
    let (chunks, script) = Script::streamed(&[]);
    upstream.next(script);
    let mut client = RawClient::connect(upstream.address()).await;
    client.send(request("GET", "/").bytes()).await;
    client.head().await;
    assert_eq!(upstream.open_connections(), 1);

    drop(client);

    chunks.abandoned().await;
    upstream.wait_until_disconnected().await;
}

#[tokio::test]
async fn events_go_on_until_the_peer_leaves() {
    let upstream = Upstream::start().await;
    let mut client = RawClient::connect(upstream.address()).await;
    client.send(request("GET", "/sse").bytes()).await;

    assert_eq!(client.head().await.header("content-type"), Some("text/event-stream"));
    let mut events = String::new();
    while !events.contains("data: 2\n\n") {
        events += &String::from_utf8(client.piece().await.expect("there is no end")).expect("it is text");
    }
    drop(client);

    upstream.wait_until_disconnected().await;
}

#[tokio::test]
async fn a_web_socket_echoes() {
    let upstream = Upstream::start().await;
    let url = format!("ws://{}/ws", upstream.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("the handshake is answered");

    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.expect("it is open");
        assert_eq!(socket.next().await.expect("an echo").expect("a frame"), Message::text(text));
    }

    socket.close(None).await.expect("it closes");
    upstream.wait_until_disconnected().await;
    assert_eq!(upstream.only_request().header("upgrade").as_deref(), Some("websocket"));
}

#[tokio::test]
async fn a_continue_is_sent_when_it_is_awaited() {
    let upstream = Upstream::start().await;
    let mut client = RawClient::connect(upstream.address()).await;
    client.send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    client.send("hi").await;

    let response = client.response().await;

    assert_eq!((response.interim.as_slice(), response.status), (&[100][..], 200));
}

#[tokio::test]
async fn a_head_request_gets_no_body() {
    let upstream = Upstream::start().await;
    let mut client = RawClient::connect(upstream.address()).await;
    client.send(request("HEAD", "/").bytes()).await;
    let response = client.try_response_to("HEAD").await.expect("it is answered");

    assert!(response.header("content-length").is_some_and(|length| length != "0"));
    assert!(client.stays_open(Duration::from_millis(30)).await);
}

#[tokio::test]
async fn misbehaviour_is_as_announced() {
    let upstream = Upstream::start().await;
    let outcome = async |target: &str| {
        let mut client = RawClient::connect(upstream.address()).await.with_deadline(Duration::from_millis(300));
        client.send(request("GET", target).bytes()).await;
        client.try_response().await
    };

    assert_eq!(outcome("/hang").await.expect_err("never"), NoResponse::Silence(Duration::from_millis(300)));
    assert_eq!(outcome("/close").await.expect_err("nothing"), NoResponse::Closed);
    let cut = NoResponse::Broken("HTTP/1.1 200 OK\r\nContent-Le".to_owned());
    assert_eq!(outcome("/close-in-head").await.expect_err("half"), cut);
    assert!(matches!(outcome("/close-in-body").await, Err(NoResponse::Broken(_))));
    assert!(matches!(outcome("/reset").await, Err(NoResponse::Broken(_))));
    assert_eq!(outcome("/slow?ms=20").await.expect("late").status, 200);
    assert_eq!(outcome("/slow?ms=2000").await.expect_err("later"), NoResponse::Silence(Duration::from_millis(300)));
    assert_eq!(outcome("/bytes?count=70000").await.expect("large").body.len(), 70_000);
    assert_eq!(outcome("/huge-head?bytes=50000").await.expect("large").header("x-huge").map(str::len), Some(50_000));
    assert!(outcome("/invalid-head").await.expect("it has an end").head.contains("\r\nno colon here\r\n"));
    let nominating = outcome("/nominate").await.expect("it is whole");
    assert_eq!((nominating.header("connection"), nominating.header("x-foo")), (Some("x-foo"), Some("1")));
}

#[tokio::test]
async fn an_early_answer_comes_before_the_body_and_closes() {
    let upstream = Upstream::start().await;
    let mut client = RawClient::connect(upstream.address()).await;
    client.send("POST /early HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n").await;

    assert_eq!(client.response().await.text(), "early");
    client.ending().await;
    assert!(!upstream.only_request().complete);
}

#[tokio::test]
async fn surplus_bytes_follow_the_answer() {
    let upstream = Upstream::start().await;
    let mut client = RawClient::connect(upstream.address()).await;
    client.send(request("GET", "/surplus").header("Connection", "close").bytes()).await;

    assert_eq!(client.response().await.text(), "exact");
    let (ending, rest) = client.ending().await;
    assert_eq!((ending, rest.ends_with(b"smuggled")), (Ending::Closed, true));
}

#[tokio::test]
async fn a_dropped_upstream_is_gone() {
    let upstream = Upstream::start().await;
    let (address, url) = (upstream.address(), upstream.url());
    let shared = Arc::downgrade(&upstream.shared);
    let mut client = RawClient::connect(address).await;
    client.send(request("GET", "/hang").bytes()).await;
    upstream.wait_until("it has the request", |seen| seen.len() == 1).await;

    drop(upstream);

    client.ending().await;
    // Not by its port: another test's upstream may have got it meanwhile.
    assert!(shared.upgrade().is_none(), "neither the listener nor a connection is left");
    assert_eq!(url, format!("http://{address}"));
}
