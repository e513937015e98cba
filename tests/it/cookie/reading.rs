//! Which cookies are believed.

use super::browser::from_our_page;
use super::{ACCESS, Browser, REFRESH, SetCookie, Site};
use crate::support::client::logged_in;
use crate::support::raw::{self, request};

/// CK-7: what could be read in two ways is no session's. Nothing is rotated or ended for it, and nothing cleared: it may be
/// somebody else's toss.
#[tokio::test]
async fn ambiguous_cookies_are_refused_and_change_nothing() {
    let mut site = Site::new("").await;
    let browser = Browser::logged_in(site.gate()).await;
    let (session, before) = (browser.session(), site.deployment.upstream.requests().len());
    let (access, refresh) = (browser.access.unwrap(), browser.refresh.unwrap());
    site.pass_an_expiry().await;
    let good = format!("{REFRESH}={refresh}");
    for lines in [
        vec![format!("{good}; {good}")],
        vec![good.clone(), good.clone()],
        vec![good.clone(), format!("{ACCESS}=a; {ACCESS}={access}")],
        vec![format!("{REFRESH}=\"{refresh}\"")],
        vec![good.clone(), format!("={good}")],
        vec![format!("={good}")],
        vec![good.to_lowercase()],
        vec![good.clone(), format!("{}=1", REFRESH.to_uppercase())],
        vec![format!("{REFRESH} ={refresh}")],
        vec![format!("{good}, {good}")],
    ] {
        for (method, target) in [("GET", "/"), ("POST", "/refresh"), ("POST", "/logout"), ("GET", "/auth/me")] {
            let asked = from_our_page(request(method, target).header("Content-Length", "0"));
            let asked = lines.iter().fold(asked, |asked, line| asked.header("Cookie", line));
            let answer = raw::exchange(site.gate(), asked.bytes()).await;
            assert_eq!((answer.status, SetCookie::all(&answer)), (401, vec![]), "{method} {target} {lines:?}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    assert_eq!(site.deployment.upstream.requests().len(), before);
    assert_eq!(site.generation(&session).await, Some(0));
}

/// CK-6, BEAR-4: a token in the field and a cookie are two ways, whatever either is worth.
#[tokio::test]
async fn a_cookie_beside_a_token_in_the_field_is_refused() {
    let site = Site::new("").await;
    let browser = Browser::logged_in(site.gate()).await;
    let access = browser.access.clone().unwrap();
    for (method, target) in [("GET", "/"), ("POST", "/refresh"), ("POST", "/logout"), ("GET", "/auth/me")] {
        for field in [format!("Bearer {access}"), "Bearer bad".to_owned(), "Basic dTpw".to_owned()] {
            let asked = from_our_page(request(method, target).header("Authorization", &field));
            let answer = raw::exchange(site.gate(), browser.with_cookies(asked).bytes()).await;
            assert_eq!((answer.status, SetCookie::all(&answer)), (400, vec![]), "{method} {target} {field}");
        }
    }
    assert_eq!(site.generation(&browser.session()).await, Some(0));
    assert_eq!(site.deployment.upstream.requests().len(), 0);
}

/// CK-6: a token that came another way is taken as ever, and needs no word of where the request comes from.
#[tokio::test]
async fn a_token_in_the_field_is_taken_and_needs_no_origin() {
    let site = Site::new("").await;
    let browser = Browser::logged_in(site.gate()).await;
    let access = browser.access.unwrap();
    for method in ["GET", "POST", "DELETE"] {
        let asked = request(method, "/").bearer(&access).header("Sec-Fetch-Site", "cross-site");
        assert_eq!(raw::exchange(site.gate(), asked.bytes()).await.status, 200, "{method}");
    }
    let sent = request("POST", "/logout").bearer(&access).bytes();
    let answer = raw::exchange(site.gate(), sent).await;
    assert_eq!((answer.status, SetCookie::all(&answer)), (200, vec![]));
    assert_eq!(raw::exchange(site.gate(), request("GET", "/").bearer(&access).bytes()).await.status, 401);
}

/// The refresh token is taken from where it was put, and nowhere else.
#[tokio::test]
async fn a_refresh_token_in_a_body_is_refused() {
    let site = Site::new("").await;
    let browser = Browser::logged_in(site.gate()).await;
    let token = browser.refresh.clone().unwrap();
    for target in ["/refresh", "/logout"] {
        let body = serde_json::json!({ "refresh_token": token });
        let asked = browser.with_cookies(from_our_page(request("POST", target).json(&body)));
        assert_eq!(raw::exchange(site.gate(), asked.bytes()).await.status, 400, "{target}");
    }
    let body = serde_json::json!({ "refresh_token": token });
    let without = from_our_page(request("POST", "/refresh").json(&body));
    assert_eq!(raw::exchange(site.gate(), without.bytes()).await.status, 400);
    assert_eq!(site.generation(&browser.session()).await, Some(0));
}

/// Without the mode cookies are nobody's: the application's to read.
#[tokio::test]
async fn without_the_mode_nothing_is_read_from_cookies() {
    let site = Site::new("cookie.mode = false").await;
    let pair = logged_in(site.gate()).await;
    let cookies = format!("{ACCESS}={}; {REFRESH}={}", pair.access, pair.refresh);
    let asked = from_our_page(request("GET", "/").header("Cookie", &cookies));
    assert_eq!(raw::exchange(site.gate(), asked.bytes()).await.status, 401);
    assert_eq!(site.deployment.upstream.requests().len(), 0);
}
