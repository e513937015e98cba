//! Raw heads and bodies: what two servers could frame or address differently is refused, in our own words, and closed.

use super::{Edge, assert_problem};
use crate::support::client::logged_in;
use crate::support::raw::{Ending, RawClient, exchange, request};

/// Refused with this status by an answer of ours, after which the connection is closed.
async fn assert_refused(edge: &Edge, head: &[u8], status: u16) {
    let before = edge.seen();
    let shown = head.escape_ascii().to_string();
    let mut client = RawClient::connect(edge.gate).await;
    client.send(head).await;
    let answer = client.try_response().await.unwrap_or_else(|missing| panic!("{missing}: {shown}"));
    assert_eq!(answer.status, status, "{shown}");
    assert_problem(&answer, status);
    assert_eq!(answer.header("connection"), Some("close"), "{shown}");
    let (_, rest) = client.ending().await;
    assert_eq!(rest, b"", "{shown}");
    edge.assert_only_a_probe_follows(before).await;
}

/// PRX-3 to PRX-5, B3-1, B3-2, B3-4.
#[tokio::test]
async fn a_body_whose_length_is_ambiguous_is_refused() {
    let edge = Edge::new("").await;
    let smuggled = "0\r\n\r\nGET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (lines, status) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", 400),
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nContent-Length: 6", 400),
        ("Content-Length: 5, 5", 400),
        ("Content-Length: 5, 6", 400),
        ("Content-Length: 5 5", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: -5", 400),
        ("Content-Length: -0", 400),
        ("Content-Length: 005", 400),
        ("Content-Length: 0x5", 400),
        ("Content-Length: 5_0", 400),
        ("Content-Length: 5.0", 400),
        ("Content-Length: \u{665}", 400),
        ("Content-Length:", 400),
        ("Content-Length: 9223372036854775808", 400),
        ("Content-Length: 18446744073709551616", 400),
        ("Content-Length : 5", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: chunked;q=1", 501),
        ("Transfer-Encoding: \"chunked\"", 501),
        ("Transfer-Encoding: \u{b}chunked", 400),
        ("Transfer-Encoding: ,chunked", 501),
        ("Transfer-Encoding: chunked,", 501),
        ("Transfer-Encoding: chunked, chunked", 501),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: identity, chunked", 501),
        ("Transfer-Encoding: chunked, identity", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding: gzip", 501),
        ("Transfer-Encoding:", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: xx\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 501),
        ("Transfer-Encoding:\r\n chunked", 501),
        ("Transfer-Encoding: \u{c}chunked", 400),
    ] {
        for target in ["/open/x", "/login", "/"] {
            let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{smuggled}");
            assert_refused(&edge, head.as_bytes(), status).await;
        }
    }
    assert_refused(&edge, b"POST /open/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
        .await;
}

/// PRX-8, B3-12.
#[tokio::test]
async fn lines_that_some_server_would_mend_are_refused() {
    let edge = Edge::new("").await;
    for head in [
        &b"GET /open/x HTTP/1.1\nHost: a\n\n"[..],
        b"GET /open/x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX: y\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\n\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX: y\rZ: 1\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX: y\x7f\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX: y\r\n\tfolded\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX\t: y\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\n:\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\n\xc3\xa4: z\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nX-User-Id\0: z\r\n\r\n",
        b"\r\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b" GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ] {
        assert_refused(&edge, head, 400).await;
    }
}

/// Bytes beyond ASCII mean nothing to HTTP (RFC 9110 §5.5): they arrive as they were sent, and are no part of a name.
#[tokio::test]
async fn a_value_beyond_ascii_arrives_as_it_was_sent() {
    let edge = Edge::new("").await;
    for value in [&b"\xff"[..], b"caf\xc3\xa9", b"caf\xe9", b"\x80\xfe x", b"a\tb"] {
        let bytes = [b"GET /open/x HTTP/1.1\r\nHost: a\r\nX-Name: ", value, b"\r\n\r\n"].concat();
        assert_eq!(exchange(edge.gate, &bytes).await.status, 200, "{}", value.escape_ascii());
        let seen = edge.last_seen();
        assert!(seen.raw.windows(value.len()).any(|part| part == value), "{}", seen.head());
        let credential = [b"GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ", value, b"\r\n\r\n"].concat();
        assert_problem(&edge.refused(&credential).await, 400);
    }
}

/// PRX-12, B3-14, B3-27.
#[tokio::test]
async fn request_lines_and_methods_are_exact() {
    let edge = Edge::new("").await;
    for (line, status) in [
        ("GET /open/x", 400),
        ("GET", 400),
        ("GET  /open/x HTTP/1.1", 400),
        ("GET /open/x  HTTP/1.1", 400),
        ("GET\t/open/x HTTP/1.1", 400),
        ("GET /open/x\tHTTP/1.1", 400),
        ("GET /open/x HTTP/1.1 ", 400),
        ("GET /open/x HTTP/1.1 HTTP/1.1", 400),
        ("GET /open/x /open/y HTTP/1.1", 400),
        ("GET /open/x http/1.1", 400),
        ("GET /open/x HTTP/0.9", 505),
        ("GET /open/x HTTP/1.2", 505),
        ("GET /open/x HTTP/1.11", 505),
        ("GET /open/x HTTP/2.0", 505),
        ("GET /open/x HTTP/3.0", 505),
        ("GET /open/x HTP/1.1", 400),
        ("PRI * HTTP/2.0", 505),
        ("get /open/x HTTP/1.1", 400),
        ("Get /open/x HTTP/1.1", 400),
        ("G\u{0}T /open/x HTTP/1.1", 400),
        ("G@T /open/x HTTP/1.1", 400),
        ("CONNECT a:443 HTTP/1.1", 405),
        ("CONNECT /open/x HTTP/1.1", 405),
        ("TRACE /open/x HTTP/1.1", 405),
        ("TRACK /open/x HTTP/1.1", 405),
    ] {
        assert_refused(&edge, format!("{line}\r\nHost: a\r\n\r\n").as_bytes(), status).await;
    }
}

/// PRX-6, B3-50.
#[tokio::test]
async fn there_is_exactly_one_host() {
    let edge = Edge::new("").await;
    for lines in [
        "X: y",
        "Host:",
        "Host: a\r\nHost: a",
        "Host: a\r\nHost: b",
        "Host: a/b",
        "Host: a, b",
        "Host: a b",
        "Host: u@a",
        "Host: a%2e",
        "Host: a:port",
        "Host: a:80:80",
        "Host: :80",
        "Host: [::1",
        "Host: [::1%25eth0]",
        "Host: http://a",
        "Host: a\\b",
        "Host: \u{e4}",
    ] {
        assert_refused(&edge, format!("GET /open/x HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes(), 400).await;
    }
    for host in ["a", "A.example.", "a:80", "[::1]", "[::1]:8080", "127.0.0.1"] {
        let answer = exchange(edge.gate, format!("GET /open/x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{host}");
        assert_eq!(edge.last_seen().header("host").as_deref(), Some(host));
    }
}

/// PRX-7, B3-16, B3-17: refused, whatever the rule; and the upstream gets no byte of it.
#[tokio::test]
async fn targets_that_two_servers_could_read_differently_are_refused() {
    let edge = Edge::new("").await;
    for target in [
        "open/x",
        "*",
        "http://a/open/x",
        "http://b/open/x",
        "http://a@b/open/x",
        "http:/\\a/open/x",
        "//a/open/x",
        "@evil/open/x",
        "a:80",
        "?/open/x",
        "/open/../admin",
        "/open/..;/admin",
        "/open/%2e%2e/admin",
        "/open/%2E./admin",
        "/open/.%2e/admin",
        "/open/%252e%252e/admin",
        "/open%2f..%2fadmin",
        "/open%2fx",
        "/open%5c..%5cadmin",
        "/open\\..\\admin",
        "//admin",
        "///",
        "/open//x",
        "/open/./x",
        "/open/.",
        "/admin/..",
        "/open//../admin",
        "/open;jsessionid=x",
        "/open;/../admin",
        "/admin;/open",
        "/admin%00",
        "/admin%0a",
        "/admin%0d%0aX:%20y",
        "/open/%c0%ae%c0%ae/admin",
        "/open/%e0%80%ae/admin",
        "/open/%",
        "/open/%zz",
        "/open/x#y",
        "/admin#/open",
        "/open/x|y",
        "/open/x`y",
        "/open/x^y",
        "/open/{x}",
        "/open/<x>",
        "/open/\"x\"",
        "/open/x?<b>",
        "/open/x?\"y\"",
    ] {
        assert_refused(&edge, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), 400).await;
    }
    assert_refused(&edge, b"GET /open/\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400).await;
    assert_refused(&edge, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400).await;
}

/// B3-16: what is not refused is judged in its one spelling, and that is what the upstream gets.
#[tokio::test]
async fn the_upstream_gets_the_spelling_that_was_judged() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    for target in
        ["/adm%69n", "/Open/x", "/OPEN/x", "/open", "/opens/x", "/admin?/open/x", "/admin%20/open", "/open%3F/x"]
    {
        if target == "/open" {
            // A rule for everything below a path holds for the path as well.
            assert_eq!(exchange(edge.gate, request("GET", target).bytes()).await.status, 200);
        } else {
            assert_problem(&edge.refused(request("GET", target).bytes()).await, 401);
        }
    }
    for (sent, forwarded) in [
        ("/open/adm%69n", "/open/admin"),
        ("/%6fpen/%7euser", "/open/~user"),
        ("/open/caf%c3%a9", "/open/caf%C3%A9"),
        ("/open/a%20b/", "/open/a%20b/"),
        ("/open/x?y=/../admin&z=%2e%2E;a", "/open/x?y=/../admin&z=%2e%2E;a"),
        ("/open/x?", "/open/x?"),
        ("/open/a:b@c,d=e+f!$&'()*", "/open/a:b@c,d=e+f!$&'()*"),
        ("/open/admin.", "/open/admin."),
        ("/open/admin::$DATA", "/open/admin::$DATA"),
        ("/open/...", "/open/..."),
    ] {
        assert_eq!(exchange(edge.gate, request("GET", sent).bytes()).await.status, 200, "{sent}");
        assert_eq!(edge.last_seen().target(), forwarded);
        let spelled = forwarded.replacen("/open", "/closed", 1);
        assert_problem(&edge.refused(request("GET", &spelled).bytes()).await, 401);
        assert_eq!(exchange(edge.gate, request("GET", &spelled).bearer(&access).bytes()).await.status, 200);
        assert_eq!(edge.last_seen().target(), spelled);
    }
}

/// PROB-5: whatever one byte of a head is changed to, no answer is Pingora's.
#[tokio::test]
async fn no_answer_is_ever_the_librarys_own() {
    let edge = Edge::new("").await;
    let head = "GET /open/x?y=z HTTP/1.1\r\nHost: a\r\nX-Y: z\r\nConnection: close\r\n\r\n";
    for at in [0, 2, 6, 11, 13, 15, 24, 34, 38, 40] {
        for byte in 0..=255_u8 {
            let mut bytes = head.as_bytes().to_vec();
            bytes[at] = byte;
            let mut client = RawClient::connect(edge.gate).await;
            client.send(&bytes).await;
            client.finish_sending().await;
            let (ending, said) = client.ending().await;
            let said = String::from_utf8_lossy(&said).into_owned();
            let shown = bytes.escape_ascii();
            assert!(!said.contains("Pingora"), "{shown}\n{said}");
            if ending == Ending::Closed && !said.is_empty() && !said.contains(" 200 OK") {
                assert!(said.contains("application/problem+json"), "{shown}\n{said}");
            }
        }
    }
}

/// B3-30: two hundred lines pass, more do not.
#[tokio::test]
async fn many_header_lines_are_refused() {
    let edge = Edge::new("").await;
    let with = |count: usize| {
        let lines: Vec<_> = (1..count).map(|number| format!("X-{number}: y\r\n")).collect();
        format!("GET /open/x HTTP/1.1\r\nHost: a\r\n{}\r\n", lines.concat())
    };
    assert_eq!(exchange(edge.gate, with(200)).await.status, 200);
    assert_refused(&edge, with(201).as_bytes(), 431).await;
    assert_refused(&edge, with(300).as_bytes(), 431).await;
    assert_refused(&edge, with(6000).as_bytes(), 431).await;
}

/// PRX-14, B3-29.
#[tokio::test]
async fn an_expectation_that_is_not_understood_is_refused() {
    let edge = Edge::new("").await;
    for expectation in ["y 100-continue", "100-continue, x", "101-continue", "100-continue;q=1", ""] {
        let head = format!("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: {expectation}\r\n\r\n");
        assert_refused(&edge, head.as_bytes(), 417).await;
    }
    let unauthorised = request("POST", "/x").header("Content-Length", "5").header("Expect", "100-continue");
    let answer = edge.refused(unauthorised.bytes()).await;
    assert_problem(&answer, 401);
    assert!(answer.interim.is_empty(), "a refused request needs no body");
}

/// PRX-10, B3-3, B3-9, B3-20: what follows a request is never taken for another one without being judged.
#[tokio::test]
async fn what_follows_a_refused_request_is_not_served_unjudged() {
    let edge = Edge::new("").await;
    let smuggled = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    for first in [
        "GET /x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", smuggled.len()),
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "GET /open/first HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        let mut client = RawClient::connect(edge.gate).await;
        client.send(format!("{first}{smuggled}{smuggled}")).await;
        client.finish_sending().await;
        let (_, said) = client.ending().await;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!said.contains("Pingora"), "{said}");
    }
    assert_eq!(exchange(edge.gate, request("GET", "/open/last").bytes()).await.status, 200);
    let reached = edge.targets();
    assert!(!reached.iter().any(|target| target == "/admin"), "{reached:?}");
}

/// PRX-9, B3-7: a badly framed body ends the request; the upstream never takes the rest for another one.
#[tokio::test]
async fn a_proxied_body_that_is_badly_framed_ends_the_request() {
    let edge = Edge::new("").await;
    for chunks in [
        "+1\r\nx\r\n0\r\n\r\n",
        "0x1\r\nx\r\n0\r\n\r\n",
        "1\nx\r\n0\r\n\r\n",
        "1\r\nxx\r\n0\r\n\r\n",
        "1\rx\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nx\r\n0\r\n\r\n",
        "-1\r\nx\r\n0\r\n\r\n",
        "x\r\n\r\n",
        "\r\n\r\n",
    ] {
        let before = edge.seen();
        let mut client = RawClient::connect(edge.gate).await;
        let head = "POST /open/chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{chunks}GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = client.try_response().await.unwrap_or_else(|missing| panic!("{chunks:?}: {missing}"));
        assert_problem(&answer, 400);
        assert_eq!(answer.header("connection"), Some("close"), "{chunks:?}");
        client.ending().await;
        edge.assert_nothing_complete_since(before).await;
    }
}

/// B3-8: trailers are dropped; extensions are not passed on.
#[tokio::test]
async fn trailers_and_chunk_extensions_do_not_reach_the_upstream() {
    let edge = Edge::new("").await;
    let access = logged_in(edge.gate).await.access;
    let head = request("POST", "/closed").bearer(&access).header("Transfer-Encoding", "chunked");
    let chunks =
        "5;x=\"y\"\r\nhello\r\n0\r\nX-Auth-Subject: root\r\nAuthorization: Bearer x\r\nContent-Length: 3\r\n\r\n";
    let answer = exchange(edge.gate, [head.bytes(), chunks.as_bytes().to_vec()].concat()).await;
    assert_eq!(answer.status, 200);
    let seen = edge.last_seen();
    assert_eq!((seen.text().as_str(), seen.header("x-auth-subject").as_deref()), ("hello", Some("ann")));
    let raw = String::from_utf8_lossy(&seen.raw).into_owned();
    assert!(!raw.contains("root") && !raw.contains("Bearer") && !raw.contains(";x="), "{raw}");
}
