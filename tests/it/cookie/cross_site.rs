//! Requests that another site made the browser send.

use super::browser::login;
use super::{Browser, OURS, SetCookie, Site};
use crate::support::raw::{self, RawRequest, request};

const FRONT_END: &str = "https://app.example";

/// What a request says of where it comes from, and whether that is good enough to change something.
const PROVENANCE: [(Option<&str>, &[&str], bool); 22] = [
    (Some("same-origin"), &[], true),
    (Some("same-origin"), &[OURS], true),
    (Some("same-origin"), &["null"], true),
    (Some("same-origin"), &[OURS, OURS], false),
    (Some("same-site"), &[FRONT_END], true),
    (Some("cross-site"), &[FRONT_END], true),
    (None, &[OURS], true),
    (None, &[FRONT_END], true),
    (None, &[], false),
    (None, &["null"], false),
    (None, &["https://evil.example"], false),
    (None, &["https://shop.example.evil.example"], false),
    (None, &["https://shop.example:443"], false),
    (None, &["https://shop.example/"], false),
    (None, &["http://shop.example"], false),
    (None, &["https://SHOP.example"], false),
    (None, &[OURS, "https://evil.example"], false),
    (Some("cross-site"), &[], false),
    (Some("cross-site"), &["https://evil.example"], false),
    (Some("same-site"), &["https://evil.shop.example"], false),
    (Some("none"), &[], false),
    (Some("same-site"), &[], false),
];

fn said(request: RawRequest, site: Option<&str>, origins: &[&str]) -> RawRequest {
    let request = site.into_iter().fold(request, |request, site| request.header("Sec-Fetch-Site", site));
    origins.iter().fold(request, |request, origin| request.header("Origin", origin))
}

fn with_type(request: RawRequest, content_type: &str) -> RawRequest {
    if content_type.is_empty() { request.header("Content-Length", "0") } else { request.body(content_type, "a=1") }
}

const TYPES: [&str; 5] =
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"];

/// CK-4: Origin × Sec-Fetch-Site × content type × method.
#[tokio::test]
async fn what_changes_something_comes_from_a_page_of_ours() {
    let site = Site::new(&format!("cookie.origins = [\"{FRONT_END}\"]")).await;
    let browser = Browser::logged_in(site.gate()).await;
    let mut reached = 0;
    for (fetch_site, origins, trusted) in PROVENANCE {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "FOO"] {
            let safe = matches!(method, "GET" | "HEAD" | "OPTIONS");
            for content_type in if safe { &TYPES[..1] } else { &TYPES } {
                let asked = with_type(request(method, "/any"), content_type);
                let asked = browser.with_cookies(said(asked, fetch_site, origins));
                let mut client = raw::RawClient::connect(site.gate()).await;
                client.send(asked.bytes()).await;
                let answer = client.try_response_to(method).await.unwrap();
                let expected = if safe || trusted { 200 } else { 403 };
                assert_eq!(answer.status, expected, "{method} {fetch_site:?} {origins:?} {content_type}");
                assert_eq!(SetCookie::all(&answer), []);
                reached += usize::from(expected == 200);
            }
        }
    }
    assert_eq!(site.deployment.upstream.requests().len(), reached, "what was refused went nowhere");
}

/// CK-4, CK-10: also before anybody is logged in: a login from elsewhere would make somebody act as somebody else.
#[tokio::test]
async fn our_endpoints_ask_where_the_request_comes_from() {
    let site = Site::new(&format!("cookie.origins = [\"{FRONT_END}\"]")).await;
    for (fetch_site, origins, trusted) in PROVENANCE {
        let answer = raw::exchange(site.gate(), said(login(), fetch_site, origins).bytes()).await;
        assert_eq!(answer.status, if trusted { 200 } else { 403 }, "{fetch_site:?} {origins:?}");
        assert_eq!(SetCookie::all(&answer).len(), if trusted { 2 } else { 0 });
    }
    let mut browser = Browser::logged_in(site.gate()).await;
    for (fetch_site, origins, _) in PROVENANCE.into_iter().filter(|(.., trusted)| !trusted) {
        for (method, target) in
            [("POST", "/refresh"), ("POST", "/logout"), ("POST", "/auth/logout-all"), ("POST", "/auth/password")]
        {
            for content_type in TYPES {
                let asked = said(with_type(request(method, target), content_type), fetch_site, origins);
                let answer = raw::exchange(site.gate(), browser.with_cookies(asked).bytes()).await;
                assert_eq!(answer.status, 403, "{method} {target} {fetch_site:?} {origins:?}");
                assert_eq!(SetCookie::all(&answer), []);
            }
        }
    }
    assert_eq!(site.generation(&browser.session()).await, Some(0));
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
}

/// CK-4: whatever else it brings, for its answer sets cookies.
#[tokio::test]
async fn a_login_with_a_token_beside_it_asks_too() {
    let site = Site::new("").await;
    for header in [("Origin", "https://evil.example"), ("X-Nothing", "1")] {
        let asked = login().header("Authorization", "Bearer x").header(header.0, header.1);
        let answer = raw::exchange(site.gate(), asked.bytes()).await;
        assert_eq!((answer.status, SetCookie::all(&answer)), (403, vec![]), "{header:?}");
    }
}

/// CK-10: `<img src=/logout>`.
#[tokio::test]
async fn nothing_is_changed_by_a_link() {
    let site = Site::new("").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    for target in ["/login", "/refresh", "/logout", "/auth/logout-all", "/auth/password"] {
        for fetch_site in ["same-origin", "cross-site"] {
            let answer = browser.send(site.gate(), &request("GET", target).header("Sec-Fetch-Site", fetch_site)).await;
            assert_eq!((answer.status, SetCookie::all(&answer)), (405, vec![]), "{target} {fetch_site}");
        }
    }
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
}

/// CK-5: what the request says of the host counts for nothing.
#[tokio::test]
async fn the_host_of_the_request_is_not_asked() {
    let site = Site::new("server.trusted_proxies = [\"127.0.0.1\"]").await;
    let browser = Browser::logged_in(site.gate()).await;
    for host in ["evil.example", "shop.example"] {
        let asked = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nOrigin: https://evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nContent-Length: 0\r\nCookie: {}={}\r\n\r\n",
            super::ACCESS,
            browser.access.as_ref().unwrap()
        );
        assert_eq!(raw::exchange(site.gate(), asked).await.status, 403, "{host}");
    }
    assert_eq!(site.deployment.upstream.requests().len(), 0);
}

/// B3-26: a browser sends cookies with every WebSocket, whoever opens it.
#[tokio::test]
async fn a_web_socket_from_another_site_is_refused() {
    let site = Site::new("").await;
    let browser = Browser::logged_in(site.gate()).await;
    for (origin, status) in [(Some("https://evil.example"), 403), (None, 403), (Some("null"), 403), (Some(OURS), 101)] {
        let upgrade = request("GET", "/ws")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        let mut client = raw::RawClient::connect(site.gate()).await;
        client.send(browser.with_cookies(said(upgrade, None, origin.as_slice())).bytes()).await;
        assert_eq!(client.head().await.status, status, "{origin:?}");
    }
    assert_eq!(site.deployment.upstream.requests().len(), 1);
}

/// What is judged first is where the request comes from: nothing has been rotated for it.
#[tokio::test]
async fn a_request_from_another_site_rotates_nothing() {
    let mut site = Site::new("[[route]]\npath = \"/maybe\"\nauth = \"optional\"").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let session = browser.session();
    site.pass_an_expiry().await;
    browser.forget_access();
    for target in ["/", "/maybe", "/auth/logout-all"] {
        let asked = browser.with_cookies(request("POST", target).header("Sec-Fetch-Site", "cross-site"));
        let answer = raw::exchange(site.gate(), asked.bytes()).await;
        assert_eq!((answer.status, SetCookie::all(&answer)), (403, vec![]), "{target}");
    }
    assert_eq!(site.generation(&session).await, Some(0));
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
    assert_eq!(site.generation(&session).await, Some(1));
}

/// Where nobody has to be known, nothing is asked.
#[tokio::test]
async fn a_route_without_tokens_looks_at_nothing() {
    let mut site = Site::new("[[route]]\npath = \"/open\"\nauth = \"none\"").await;
    let browser = Browser::logged_in(site.gate()).await;
    site.pass_an_expiry().await;
    let asked = browser.with_cookies(request("POST", "/open").header("Sec-Fetch-Site", "cross-site"));
    let answer = raw::exchange(site.gate(), asked.bytes()).await;
    assert_eq!((answer.status, SetCookie::all(&answer)), (200, vec![]));
    assert_eq!(site.generation(&browser.session()).await, Some(0));
}
