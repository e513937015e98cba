//! Refusals as answers: each one ours, in one shape whatever is accepted, and each one counted and logged.

use super::{Edge, assert_problem, undated};
use crate::support::client::logged_in;
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::net::free_address;
use crate::support::raw::{RawClient, exchange, request};

/// PROB-1, PROB-2, BEAR-14: what a client would rather read changes nothing, and nothing of the inside is told.
#[tokio::test]
async fn a_refusal_has_one_shape_whatever_is_accepted() {
    let gone = free_address();
    let edge = Edge::new(&format!(
        "[upstream.gone]\nurl = \"http://{gone}\"\n[[route]]\npath = \"/gone\"\nauth = \"none\"\nupstream = \"gone\"\n\
         [[route]]\npath = \"/admin\"\nroles = [\"admin\"]\n[[route]]\npath = \"/items\"\nmethods = [\"POST\"]\n"
    ))
    .await;
    let access = logged_in(edge.gate).await.access;
    for (target, status) in
        [("/closed?no-token", 401), ("/admin", 403), ("/items", 405), ("/a//b", 400), ("/gone", 502)]
    {
        let asked = |accept: Option<&str>| {
            let asked = request("GET", target);
            let asked = if target.ends_with("no-token") { asked } else { asked.bearer(&access) };
            accept.map_or(asked.clone(), |accept| asked.header("Accept", accept)).bytes()
        };
        let plain = exchange(edge.gate, asked(None)).await;
        assert_problem(&plain, status);
        for accept in ["text/html", "application/xml;q=1", "*/*;q=0", "image/png, text/plain"] {
            assert_eq!(undated(&exchange(edge.gate, asked(Some(accept))).await), undated(&plain), "{target} {accept}");
        }
        let said = format!("{}{}", plain.head, plain.text()).to_lowercase();
        for inside in [&gone.to_string(), "127.0.0.1", "pingora", "sidegate", "panick", "sql", "src/", "kid", ".rs"] {
            assert!(!said.contains(inside), "{inside}: {said}");
        }
    }
    let login = |accept: &str| request("POST", "/login").header("Accept", accept).body("text/plain", "x").bytes();
    let expected = undated(&exchange(edge.gate, login("*/*")).await);
    assert_eq!(undated(&exchange(edge.gate, login("text/html")).await), expected);
}

/// PROB-5, PRX-17, PRX-18: what is refused before it is a request is answered, counted and logged as any other.
#[tokio::test]
async fn a_refusal_before_there_is_a_request_is_counted_and_logged() {
    let settings = "limit = { request_line = \"256B\", headers = \"1KiB\", authorization = \"1KiB\", header_timeout = \"300ms\", \
                    body_idle_timeout = \"300ms\" }\nlog.format = \"json\"\n\
                    [[route]]\npath = \"/open/*\"\nauth = \"none\"\n";
    let deployment = Deployment::new(StoreKind::Sqlite, settings).await;
    let mut replica = deployment.replica().await;
    let long_line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(400));
    let long_headers = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2000));
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400, "head_header_line"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "head_host"),
        ("GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target_dot_segment"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "head_framing"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "head_method"),
        ("GET / HTTP/1.1\r\nHost:", 408, "head_slow"),
        (long_line.as_str(), 414, "head_long_target"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: x\r\n\r\n", 417, "head_expectation"),
        (long_headers.as_str(), 431, "head_long_headers"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "head_transfer_coding"),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "head_version"),
        ("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", 408, "client_slow"),
        ("POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400, "body_framing"),
    ];
    for (bytes, status, _) in cases {
        let mut client = RawClient::connect(replica.gate).await;
        client.send(bytes).await;
        let answer = client.response().await;
        assert_problem(&answer, status);
        assert_eq!(answer.header("connection"), Some("close"), "{status}");
        client.ending().await;
    }
    for path in ["/login", "/refresh"] {
        let head =
            request("POST", path).header("Content-Type", "application/json").header("Content-Length", "9").bytes();
        assert_eq!(exchange(replica.gate, head).await.status, 408);
    }
    let metrics = exchange(replica.health, request("GET", "/metrics").bytes()).await.text();
    replica.process.terminate();
    assert_eq!(replica.process.exit().await.code(), Some(0));
    let log = replica.process.stdout();
    for (_, status, reason) in cases {
        // What reached the upstream before it failed has been permitted.
        let (outcome, decision) = if reason == "client_slow" { ("failed", "failed") } else { (reason, "refuse") };
        let counted = format!("sidegate_requests_total{{outcome=\"{outcome}\"}} ");
        assert!(metrics.contains(&counted), "{counted}\n{metrics}");
        let line = log.lines().find(|line| line.contains(&format!("\"reason\":\"{reason}\"")));
        let line: serde_json::Value =
            serde_json::from_str(line.unwrap_or_else(|| panic!("no {reason} in\n{log}"))).expect("a line is JSON");
        assert_eq!((&line["status"], &line["decision"]), (&status.into(), &decision.into()), "{line}");
        assert_eq!((&line["target"], &line["client"]), (&"sidegate::access".into(), &"127.0.0.1".into()), "{line}");
    }
}
