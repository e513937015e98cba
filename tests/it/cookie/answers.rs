//! What a browser is given to keep, and that no cache keeps it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sidegate::clock::SystemClock;
use sidegate::domain::session::SessionId;

use super::browser::{from_our_page, login, refresh_tokens};
use super::{ACCESS, Browser, REFRESH, SetCookie, Site};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind};
use crate::support::raw::{self, RawClient, RawResponse, request};
use crate::support::upstream::Script;

/// Insists that an answer brings both cookies, with every attribute.
fn assert_brings_a_pair(answer: &RawResponse) {
    let cookies = SetCookie::all(answer);
    assert_eq!(cookies.iter().map(|cookie| cookie.name.as_str()).collect::<Vec<_>>(), [ACCESS, REFRESH], "{answer:?}");
    for cookie in &cookies {
        let age = format!("Max-Age={}", cookie.max_age());
        assert_eq!(cookie.attributes, ["Path=/", &age, "Secure", "HttpOnly", "SameSite=Lax"], "{cookie:?}");
        assert!(cookie.name.len() + 1 + cookie.value.len() <= 4096 && cookie.max_age() > 0);
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", answer.head);
    assert_eq!(answer.header("expires"), None);
}

/// CK-1, CK-2, TOK-3.
#[tokio::test]
async fn a_login_gives_two_cookies_and_no_token_in_the_body() {
    let site = Site::new("session = { idle_ttl = \"20m\", max_ttl = \"30m\" }").await;
    let answer = raw::exchange(site.gate(), from_our_page(login()).bytes()).await;
    assert_eq!(answer.status, 200);
    assert_brings_a_pair(&answer);
    assert_eq!(SetCookie::all(&answer).iter().map(SetCookie::max_age).collect::<Vec<_>>(), [600, 1200]);
    assert_eq!(answer.json(), json!({ "token_type": "Cookie", "expires_in": 600 }));
}

/// CK-2: the refresh cookie goes no further than the session.
#[tokio::test]
async fn a_cookie_is_kept_no_longer_than_the_session_lives() {
    let mut site = Site::new("session = { idle_ttl = \"20m\", max_ttl = \"30m\" }").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    site.pass(Duration::from_mins(12)).await;
    let answer = browser.get(site.gate(), "/").await;
    assert_brings_a_pair(&answer);
    assert_eq!(SetCookie::all(&answer).iter().map(SetCookie::max_age).collect::<Vec<_>>(), [600, 18 * 60]);
    site.pass(Duration::from_mins(12)).await;
    let answer = browser.get(site.gate(), "/").await;
    assert_eq!(SetCookie::all(&answer).iter().map(SetCookie::max_age).collect::<Vec<_>>(), [360, 360]);
}

/// CK-2: half a pair would be no session, and one that is cut none either.
#[tokio::test]
async fn a_token_that_no_browser_keeps_is_a_failed_login_and_said_why() {
    let deployment = Deployment::new(StoreKind::Sqlite, "cookie.mode = true").await;
    let long = format!("about=\"{}\"", "x".repeat(3500));
    deployment.add_user("long", PASSWORD, &["--claim", &long]).await;
    let replica = deployment.replica().await;
    let body = json!({ "username": "long", "password": PASSWORD });
    let answer = raw::exchange(replica.gate, from_our_page(request("POST", "/login").json(&body)).bytes()).await;
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(SetCookie::all(&answer), []);
    assert!(!answer.text().contains("eyJ"));
    let said = replica.process.wait_for("more than browsers keep").await;
    assert!(said.contains("give its user fewer or shorter claims") && !said.contains("eyJ"), "{said}");
    let (_, session) = said.split_once("session=").expect("it is named");
    let config = deployment.config();
    let store = sidegate::store::open(&config.store, &config.realm, Arc::new(SystemClock)).await.unwrap();
    assert!(store.session(SessionId::parse(&session[..32]).unwrap()).await.unwrap().is_none(), "nobody holds it");
}

/// What caches of one maker or another read before `Cache-Control`.
const KEPT_BY: [&str; 7] = [
    "CDN-Cache-Control",
    "Cloudflare-CDN-Cache-Control",
    "Netlify-CDN-Cache-Control",
    "X-LiteSpeed-Cache-Control",
    "Edge-Control",
    "Surrogate-Control",
    "X-Accel-Expires",
];

/// A request whose access token has ended gets its answer, and new cookies with it: whatever the answer is.
#[tokio::test]
async fn the_new_cookies_come_with_whatever_answer_follows() {
    let settings =
        "[[route]]\npath = \"/admin\"\nroles = [\"admin\"]\n[[route]]\npath = \"/items\"\nmethods = [\"GET\"]";
    let mut site = Site::new(settings).await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let session = browser.session();
    let cacheable = [("Cache-Control", "public, max-age=600"), ("Expires", "Thu, 01 Jan 2099 00:00:00 GMT")];
    for (turn, (method, target, status)) in (1..).zip([
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("POST", "/form", 200),
        ("GET", "/status?code=404", 404),
        ("GET", "/status?code=304", 304),
        ("GET", "/cached", 200),
        ("GET", "/close", 502),
        ("GET", "/admin", 403),
        ("DELETE", "/items", 405),
        ("GET", "/auth/me", 200),
        ("GET", "/auth/sessions", 200),
        ("POST", "/auth/me", 405),
    ]) {
        site.pass_an_expiry().await;
        browser.forget_access();
        if target == "/cached" {
            let other: Vec<_> = cacheable.into_iter().chain(KEPT_BY.map(|name| (name, "max-age=600"))).collect();
            site.deployment.upstream.next(Script::answer(200, &other, "kept"));
        }
        let mut client = RawClient::connect(site.gate()).await;
        let asked = from_our_page(request(method, target).header("Content-Length", "0"));
        client.send(browser.with_cookies(asked).bytes()).await;
        let answer = client.try_response_to(method).await.unwrap();
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        assert_brings_a_pair(&answer);
        for name in KEPT_BY {
            assert_eq!(answer.header(name), None, "{target}");
        }
        browser.keep(&answer);
        assert_eq!(site.generation(&session).await, Some(turn), "{method} {target}");
    }
    let quiet = browser.get(site.gate(), "/").await;
    assert_eq!((quiet.status, SetCookie::all(&quiet)), (200, vec![]), "nothing to renew");
}

/// A WebSocket that is opened with an ended access token brings the cookies with its 101.
#[tokio::test]
async fn an_answer_that_switches_protocols_brings_them_too() {
    let mut site = Site::new("").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    site.pass_an_expiry().await;
    browser.forget_access();
    let upgrade = request("GET", "/ws")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Origin", super::OURS);
    let mut client = RawClient::connect(site.gate()).await;
    client.send(browser.with_cookies(upgrade).bytes()).await;
    let answer = client.head().await;
    assert_eq!(answer.status, 101, "{}", answer.head);
    assert_brings_a_pair(&answer);
}

/// An interim answer carries no cookie.
#[tokio::test]
async fn an_interim_answer_brings_nothing() {
    let mut site = Site::new("").await;
    let browser = Browser::logged_in(site.gate()).await;
    site.pass_an_expiry().await;
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    site.deployment.upstream.next(Script::new().read_body().send(hints).answering(200, &[], "ok"));
    let mut client = RawClient::connect(site.gate()).await;
    let asked = from_our_page(request("GET", "/").header("Connection", "close"));
    client.send(browser.with_cookies(asked).bytes()).await;
    let (_, bytes) = client.ending().await;
    let text = String::from_utf8_lossy(&bytes);
    let (_, last) = text.rsplit_once("HTTP/1.1 ").expect("there is an answer");
    assert!(last.starts_with("200"), "{text}");
    assert_eq!(text.matches(REFRESH).count(), 1, "{text}");
    assert!(last.contains(REFRESH));
}

/// CK-8.
#[tokio::test]
async fn the_application_neither_gets_our_cookies_nor_sets_them() {
    let site = Site::new("[[route]]\npath = \"/open\"\nauth = \"none\"").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    for target in ["/", "/open"] {
        site.deployment.upstream.next(Script::answer(
            200,
            &[
                ("Set-Cookie", "__Host-default-access=theirs; Path=/; Secure"),
                ("Set-Cookie", "sid=1; Path=/"),
                ("Set-Cookie", "__host-default-later=theirs"),
                ("Set-Cookie", "=__Host-default-refresh=theirs"),
            ],
            "",
        ));
        let held = browser.clone();
        let answer = browser.get(site.gate(), target).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.values("set-cookie"), ["sid=1; Path=/"], "{target}");
        assert_eq!(browser, held);
        let seen = site.deployment.upstream.requests().pop().unwrap();
        assert_eq!(seen.values("cookie"), ["theme=dark"], "{target}");
        assert!(!String::from_utf8_lossy(&seen.raw).contains("eyJ"));
    }
}

/// The endpoints live by cookies: who am I, refresh, password, and each gives cookies only.
#[tokio::test]
async fn every_endpoint_that_gives_a_pair_gives_it_in_cookies() {
    let site = Site::new("").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let me = browser.get(site.gate(), "/auth/me").await;
    assert_eq!((me.status, me.json()["sub"].as_str()), (200, Some("ann")));
    assert!(me.json()["expires"].is_string(), "a script cannot read the cookie");

    let first = browser.clone();
    let refreshed =
        browser.send(site.gate(), &from_our_page(request("POST", "/refresh").body("application/json", "{}"))).await;
    assert_eq!((refreshed.status, refreshed.json()["token_type"].as_str()), (200, Some("Cookie")));
    assert_brings_a_pair(&refreshed);
    assert_ne!(browser.refresh, first.refresh);

    let change = json!({ "password": PASSWORD, "new_password": "another good password" });
    let changed = browser.send(site.gate(), &from_our_page(request("POST", "/auth/password").json(&change))).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_brings_a_pair(&changed);
    assert!(!changed.text().contains("sgr1_") && !changed.text().contains("eyJ"));
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
}

/// A pair that the request's own refresh gave is not sent beside the later one that the endpoint gives.
#[tokio::test]
async fn an_answer_brings_one_pair() {
    let mut site = Site::new("").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    site.pass_an_expiry().await;
    let change = json!({ "password": PASSWORD, "new_password": "another good password" });
    let changed = browser.send(site.gate(), &from_our_page(request("POST", "/auth/password").json(&change))).await;
    assert_brings_a_pair(&changed);
    assert_eq!(refresh_tokens(&[changed]).len(), 1);
    assert_eq!(site.generation(&browser.session()).await, Some(2));
}

#[tokio::test]
async fn without_refresh_on_the_way_the_front_end_is_told_and_refreshes() {
    let mut site =
        Site::new("cookie.refresh_in_request = false\n[[route]]\npath = \"/perhaps\"\nauth = \"optional\"").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    site.pass_an_expiry().await;
    let told = browser.get(site.gate(), "/").await;
    assert_eq!((told.status, SetCookie::all(&told)), (401, vec![]));
    browser.forget_access();
    for target in ["/", "/perhaps"] {
        assert_eq!(browser.get(site.gate(), target).await.status, 401, "{target}: nobody is a stranger for that");
    }
    let refreshed = browser.send(site.gate(), &from_our_page(request("POST", "/refresh"))).await;
    assert_brings_a_pair(&refreshed);
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
}
