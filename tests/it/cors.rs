//! Pages of other origins: what a browser is told before it asks, and by every answer.

use std::net::SocketAddr;

use sidegate::boot::Running;

use crate::support::client::{logged_in, login};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::raw::{self, RawRequest, RawResponse, request};
use crate::support::upstream::Script;

const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";
const LISTED: &str = "[cors]\norigins = [\"https://app.example\", \"http://localhost:5173\"]\n\
                      expose_headers = [\"X-Total-Count\"]\nmax_age = \"5m\"\n";

async fn site(settings: &str) -> (Deployment, Running, SocketAddr) {
    let open = "[[route]]\npath = \"/open/*\"\nauth = \"none\"\n";
    let deployment = Deployment::new(StoreKind::Sqlite, &format!("{settings}\n{open}")).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    (deployment, running, gate)
}

fn preflight(target: &str, origin: &str) -> RawRequest {
    request("OPTIONS", target).header("Origin", origin).header("Access-Control-Request-Method", "PUT")
}

async fn ask(gate: SocketAddr, asked: RawRequest) -> RawResponse {
    raw::exchange(gate, asked.bytes()).await
}

/// The names of all fields that the protocol knows.
fn said(answer: &RawResponse) -> Vec<String> {
    let names = answer.headers.iter().map(|(name, _)| name.to_lowercase());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

/// Insists on an answer that a page of this origin can read, and no page of another.
fn assert_for(answer: &RawResponse, origin: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{}", answer.head);
    let exposed = answer.header("access-control-expose-headers");
    assert_eq!(exposed, Some("retry-after, www-authenticate, x-total-count"), "{}", answer.head);
    assert_eq!(answer.header("access-control-allow-credentials"), None, "{}", answer.head);
    assert!(varies_by_origin(answer), "{}", answer.head);
}

fn varies_by_origin(answer: &RawResponse) -> bool {
    answer.values("vary").iter().flat_map(|line| line.split(',')).any(|name| name.trim().eq_ignore_ascii_case("origin"))
}

#[tokio::test]
async fn a_preflight_from_a_listed_origin_passes_without_a_token_and_goes_no_further() {
    let (deployment, _running, gate) = site(LISTED).await;
    for target in
        ["/", "/orders/7?x=1", "/open/x", "/login", "/refresh", "/logout", "/auth/me", "/.well-known/jwks.json"]
    {
        for origin in [APP, "http://localhost:5173"] {
            let asked =
                preflight(target, origin).header("Access-Control-Request-Headers", "authorization,content-type");
            let answer = ask(gate, asked).await;
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{target} {}", answer.head);
            assert_for(&answer, origin);
            assert_eq!(answer.header("access-control-allow-methods"), Some("PUT"));
            assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,content-type"));
            assert_eq!(answer.header("access-control-max-age"), Some("300"));
            assert_eq!(answer.header("content-length"), None, "{}", answer.head);
            for name in ["Access-Control-Request-Method", "Access-Control-Request-Headers"] {
                assert!(answer.values("vary").iter().any(|line| line.contains(name)), "{}", answer.head);
            }
        }
    }
    deployment.upstream.assert_untouched();
}

/// CK-11.
#[tokio::test]
async fn a_preflight_from_any_other_origin_is_refused_and_told_nothing() {
    let (deployment, _running, gate) = site(LISTED).await;
    for origin in
        [EVIL, "null", "https://app.example.evil.example", "https://app.example:8443", "HTTPS://APP.EXAMPLE", "*"]
    {
        for target in ["/", "/open/x", "/refresh"] {
            let answer = ask(gate, preflight(target, origin)).await;
            assert_eq!((answer.status, said(&answer)), (403, Vec::new()), "{origin} {target}");
            assert!(varies_by_origin(&answer));
        }
    }
    deployment.upstream.assert_untouched();
}

/// BEAR-11: the exemption is for preflights, and for nothing that looks nearly like one.
#[tokio::test]
async fn what_is_no_preflight_needs_a_token_as_any_other_request() {
    let (deployment, _running, gate) = site(LISTED).await;
    let access = logged_in(gate).await.access;
    let asking = || preflight("/orders", APP);
    for (asked, status) in [
        (request("OPTIONS", "/orders"), 401),
        (request("OPTIONS", "/orders").header("Origin", APP), 401),
        (request("OPTIONS", "/orders").header("Access-Control-Request-Method", "PUT"), 401),
        (asking().header("Origin", APP), 401),
        (asking().header("Access-Control-Request-Method", "PUT"), 401),
        (asking().body("text/plain", "x"), 401),
        (asking().header("Transfer-Encoding", "chunked"), 401),
        (asking().header("X-HTTP-Method-Override", "DELETE"), 401),
        (asking().header("Authorization", "Basic eA=="), 401),
        (asking().bearer("nonsense"), 401),
        (request("GET", "/orders").header("Origin", APP).header("Access-Control-Request-Method", "PUT"), 401),
        (request("DELETE", "/orders").header("Origin", APP).header("Access-Control-Request-Method", "PUT"), 401),
    ] {
        let bytes = asked.bytes();
        let bytes = if status == 401 && String::from_utf8_lossy(&bytes).contains("chunked") {
            [&bytes[..], b"0\r\n\r\n"].concat()
        } else {
            bytes
        };
        assert_eq!(raw::exchange(gate, &bytes).await.status, status, "{}", String::from_utf8_lossy(&bytes));
    }
    deployment.upstream.assert_untouched();
    let answer = ask(gate, asking().bearer(&access)).await;
    assert_eq!((answer.status, deployment.upstream.only_request().method().as_str()), (200, "OPTIONS"));
    assert_for(&answer, APP);
}

#[tokio::test]
async fn without_a_list_nothing_is_answered_and_nothing_is_touched() {
    let (deployment, _running, gate) = site("").await;
    let access = logged_in(gate).await.access;
    let answer = ask(gate, preflight("/orders", APP)).await;
    assert_eq!((answer.status, said(&answer)), (401, Vec::new()));
    assert!(!varies_by_origin(&answer));
    deployment.upstream.assert_untouched();
    let own = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "X-Own"), ("Vary", "Origin")];
    deployment.upstream.next(Script::answer(200, &own, ""));
    let answer = ask(gate, preflight("/open/x", APP)).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "the application has its own rules");
    deployment.upstream.next(Script::answer(200, &own, ""));
    let answer = ask(gate, request("GET", "/orders").bearer(&access).header("Origin", APP)).await;
    assert_eq!(
        (answer.header("access-control-allow-origin"), answer.header("access-control-expose-headers")),
        (Some("*"), Some("X-Own"))
    );
}

/// A page that cannot read a refusal cannot refresh: it sees a network error.
#[tokio::test]
async fn every_refusal_and_every_endpoint_can_be_read_by_a_listed_page() {
    let settings = format!(
        "{LISTED}upstream.gone.url = \"http://127.0.0.1:1\"\n[[route]]\npath = \"/gone\"\nupstream = \"gone\"\n\
         [[route]]\npath = \"/admin\"\nroles = [\"admin\"]\n[[route]]\npath = \"/items\"\nmethods = [\"POST\"]\n"
    );
    // Keys of a table come before the next table's heading.
    let settings = settings.replace("upstream.gone.url", "[upstream.gone]\nurl");
    let (_deployment, _running, gate) = site(&settings).await;
    let pair = logged_in(gate).await;
    let from = |method: &str, target: &str| request(method, target).header("Origin", APP);
    let with_token = |method: &str, target: &str| from(method, target).bearer(&pair.access);
    let log_in = serde_json::json!({ "username": USER, "password": PASSWORD });
    let refresh = serde_json::json!({ "refresh_token": pair.refresh });
    for (asked, status) in [
        (from("GET", "/orders"), 401),
        (from("GET", "/orders").bearer("nonsense"), 401),
        (from("GET", "/orders").header("Authorization", "Bearer a b"), 400),
        (with_token("GET", "/admin"), 403),
        (with_token("GET", "/items"), 405),
        (with_token("GET", "/gone"), 502),
        (with_token("GET", "/a//b"), 400),
        (with_token("GET", "/close"), 502),
        (with_token("GET", "/orders"), 200),
        (with_token("GET", "/status?code=404"), 404),
        (with_token("GET", "/auth/me"), 200),
        (with_token("PUT", "/auth/me"), 405),
        (with_token("GET", "/auth/sessions"), 200),
        (from("GET", "/.well-known/jwks.json"), 200),
        (from("POST", "/login").json(&log_in), 200),
        (from("POST", "/login"), 400),
        (from("GET", "/login"), 405),
        (from("POST", "/login").body("application/json", "x".repeat(17_000)), 413),
        (from("POST", "/refresh").json(&refresh), 200),
        (from("POST", "/refresh").json(&serde_json::json!({ "refresh_token": "x" })), 400),
        (from("POST", "/logout").json(&refresh), 200),
        (from("GET", "/open/x"), 200),
    ] {
        let shown = String::from_utf8_lossy(&asked.bytes()).lines().next().unwrap_or_default().to_owned();
        let answer = ask(gate, asked).await;
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        assert_for(&answer, APP);
    }
}

#[tokio::test]
async fn a_head_that_is_refused_before_it_is_read_names_the_origin_if_it_can_be_told() {
    let (deployment, _running, gate) =
        site(&format!("{LISTED}[limit]\nauthorization = \"1KiB\"\nheaders = \"2KiB\"\nrequest_line = \"512B\"\n"))
            .await;
    let origin = format!("Origin: {APP}\r\n");
    let long = "x".repeat(3000);
    for (head, status) in [
        (format!("GET / HTTP/1.1\r\n{origin}Host: a\r\nHost: b\r\n\r\n"), 400),
        (format!("GET /../x HTTP/1.1\r\nHost: a\r\n{origin}\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{origin}X: {long}\r\n\r\n"), 431),
        (format!("POST / HTTP/1.1\r\nHost: a\r\n{origin}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
        (format!("TRACE / HTTP/1.1\r\nHost: a\r\n{origin}\r\n"), 405),
    ] {
        let answer = raw::exchange(gate, &head).await;
        assert_eq!(answer.status, status, "{head:.60}");
        assert_for(&answer, APP);
        let unlisted = raw::exchange(gate, head.replace(APP, EVIL)).await;
        assert_eq!((unlisted.status, said(&unlisted)), (status, Vec::new()), "{head:.60}");
        let twice = raw::exchange(gate, head.replacen(&origin, &format!("{origin}{origin}"), 1)).await;
        assert_eq!((twice.status, said(&twice)), (status, Vec::new()), "{head:.60}");
    }
    deployment.upstream.assert_untouched();
}

/// CK-11: an answer names one listed origin or none; nothing is reflected.
#[tokio::test]
async fn no_other_origin_is_ever_named() {
    let (_deployment, _running, gate) = site(LISTED).await;
    let access = logged_in(gate).await.access;
    for origin in [EVIL, "null", "https://app.example/", "https://app.example, https://evil.example", ""] {
        for (target, status) in [("/orders", 200), ("/auth/me", 200), ("/admin//x", 400), ("/close", 502)] {
            let answer = ask(gate, request("GET", target).bearer(&access).header("Origin", origin)).await;
            assert_eq!((answer.status, said(&answer)), (status, Vec::new()), "{origin} {target}");
            assert!(varies_by_origin(&answer), "{origin} {target}: a cache must tell them apart");
        }
    }
    let twice = request("GET", "/orders").bearer(&access).header("Origin", APP).header("Origin", APP);
    assert_eq!(said(&ask(gate, twice).await), [""; 0]);
    let nobody = ask(gate, request("GET", "/orders").bearer(&access)).await;
    assert_eq!(said(&nobody), [""; 0]);
    assert!(varies_by_origin(&nobody));
    let failed = ask(gate, request("POST", "/login").header("Origin", EVIL).json(&serde_json::json!({}))).await;
    assert_eq!((failed.status, said(&failed)), (400, Vec::new()));
    assert_eq!(login(gate, USER, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn what_the_application_says_of_pages_is_replaced_for_listed_ones_and_kept_for_others() {
    let (deployment, _running, gate) = site(LISTED).await;
    let access = logged_in(gate).await.access;
    let own = [
        ("Access-Control-Allow-Origin", EVIL),
        ("access-control-allow-origin", "*"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "X-Own"),
        ("Vary", "Accept-Encoding"),
        ("X-Total-Count", "7"),
    ];
    for script in [Script::answer(200, &own, "{}"), Script::answer(304, &own, ""), Script::answer(500, &own, "oh")] {
        deployment.upstream.next(script);
        let answer = ask(gate, request("GET", "/orders").bearer(&access).header("Origin", APP)).await;
        assert_for(&answer, APP);
        assert_eq!(answer.header("x-total-count"), Some("7"));
        assert!(answer.values("vary").contains(&"Accept-Encoding"), "{}", answer.head);
    }
    deployment.upstream.next(Script::answer(200, &own[2..], ""));
    let answer = ask(gate, request("GET", "/orders").bearer(&access).header("Origin", EVIL)).await;
    assert_eq!(answer.header("access-control-expose-headers"), Some("X-Own"), "not ours to touch");
}

/// Two requests of one connection are two pages.
#[tokio::test]
async fn each_request_of_a_connection_is_answered_for_its_own_origin() {
    let (_deployment, _running, gate) = site(LISTED).await;
    let mut client = raw::RawClient::connect(gate).await;
    for origin in [APP, "http://localhost:5173", EVIL, APP] {
        for asked in [
            preflight("/x", origin),
            request("GET", "/open/x").header("Origin", origin),
            request("GET", "/x").header("Origin", origin),
        ] {
            client.send(asked.bytes()).await;
            let answer = client.response().await;
            if origin == EVIL {
                assert_eq!(said(&answer), [""; 0]);
            } else {
                assert_for(&answer, origin);
            }
        }
    }
}

/// The protocol does not know WebSockets: browsers ask for none of this there.
#[tokio::test]
async fn an_answered_upgrade_is_left_alone() {
    let (_deployment, _running, gate) = site(LISTED).await;
    let access = logged_in(gate).await.access;
    let opening = request("GET", "/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let opening = opening.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut client = raw::RawClient::connect(gate).await;
    client.send(opening.bearer(&access).header("Origin", APP).bytes()).await;
    let answer = client.head().await;
    assert_eq!((answer.status, said(&answer), varies_by_origin(&answer)), (101, Vec::new(), false), "{}", answer.head);
}

/// CK-11: only pages that may act for whoever is logged in have the browser send cookies.
#[tokio::test]
async fn cookies_are_sent_along_for_pages_that_may_use_them_and_for_no_others() {
    let other = "https://tools.example";
    let settings = format!(
        "[cors]\norigins = [\"{APP}\", \"{other}\"]\n[cookie]\nmode = true\norigins = [\"{APP}\", \"https://third.example\"]\n"
    );
    let (_deployment, _running, gate) = site(&settings).await;
    let credentials = async |asked: RawRequest, status: u16| {
        let answer = ask(gate, asked).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        answer.header("access-control-allow-credentials").map(str::to_owned)
    };
    for (origin, status, expected) in
        [(APP, 204, Some("true")), (other, 204, None), ("https://third.example", 403, None)]
    {
        assert_eq!(credentials(preflight("/auth/me", origin), status).await.as_deref(), expected, "{origin}");
    }
    for (origin, expected) in [(APP, Some("true")), (other, None), ("https://third.example", None), (EVIL, None)] {
        let asked = request("GET", "/auth/me").header("Origin", origin);
        assert_eq!(credentials(asked, 401).await.as_deref(), expected, "{origin}");
    }
}
