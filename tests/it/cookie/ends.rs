//! The end of a session, and that the browser is told to forget it then and only then.

use std::time::Duration;

use super::browser::from_our_page;
use super::{ACCESS, Browser, REFRESH, SetCookie, Site};
use crate::support::deployment::{PASSWORD, USER};
use crate::support::raw::{self, RawResponse, request};

/// CK-3: the same names and attributes.
fn assert_forgets(answer: &RawResponse) {
    let cookies = SetCookie::all(answer);
    assert_eq!(cookies.iter().map(|cookie| cookie.name.as_str()).collect::<Vec<_>>(), [ACCESS, REFRESH], "{answer:?}");
    for cookie in cookies {
        assert_eq!(cookie.value, "");
        assert_eq!(cookie.attributes, ["Path=/", "Max-Age=0", "Secure", "HttpOnly", "SameSite=Strict"]);
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// CK-3.
#[tokio::test]
async fn a_logout_ends_the_session_and_clears_both_cookies() {
    let site = Site::new("cookie.same_site = \"Strict\"").await;
    for (method, target) in [("POST", "/logout"), ("POST", "/auth/logout-all"), ("DELETE", "/auth/sessions/")] {
        let mut browser = Browser::logged_in(site.gate()).await;
        let (held, session) = (browser.clone(), browser.session());
        let target = if target.ends_with('/') { format!("{target}{session}") } else { target.to_owned() };
        let answer = browser.send(site.gate(), &from_our_page(request(method, &target))).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_forgets(&answer);
        let again = held.clone().get(site.gate(), "/").await;
        let with_others = target.ends_with("all");
        assert_eq!((again.status, SetCookie::all(&again).len()), (401, if with_others { 2 } else { 0 }), "{target}");
    }
}

/// A browser without cookies is as logged out as it can be.
#[tokio::test]
async fn a_logout_with_old_cookies_or_none_is_no_error() {
    let mut site = Site::new("cookie.same_site = \"Strict\"").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let old = browser.clone();
    site.pass_an_expiry().await;
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
    let mut older = old.clone();
    let answer = older.send(site.gate(), &from_our_page(request("POST", "/logout"))).await;
    assert_eq!(answer.status, 200);
    assert_forgets(&answer);
    assert_eq!(browser.get(site.gate(), "/").await.status, 401, "any token of the session ends it");
    let garbage = Browser { access: Some("a.b.c".into()), refresh: Some("sgr1_x".into()) };
    let asked = garbage.with_cookies(from_our_page(request("POST", "/logout")));
    let answer = raw::exchange(site.gate(), asked.bytes()).await;
    assert_eq!(answer.status, 200);
    assert_forgets(&answer);
    let none = raw::exchange(site.gate(), from_our_page(request("POST", "/logout")).bytes()).await;
    assert_eq!((none.status, SetCookie::all(&none)), (200, vec![]));
}

/// CK-3: cleared on failures, too, where the end is certain.
#[tokio::test]
async fn a_session_that_is_over_is_cleared() {
    let mut site = Site::new("cookie.same_site = \"Strict\"\nsession.idle_ttl = \"1h\"").await;
    let mut revoked = Browser::logged_in(site.gate()).await;
    site.deployment.set_password(USER, PASSWORD).await;
    crate::support::client::until_refused(site.gate(), revoked.access.as_deref().unwrap()).await;
    let mut only_access = Browser { refresh: None, ..revoked.clone() };
    for browser in [&mut revoked, &mut only_access] {
        let answer = browser.get(site.gate(), "/").await;
        assert_eq!(answer.status, 401);
        assert_forgets(&answer);
    }
    let mut idle = Browser::logged_in(site.gate()).await;
    site.pass(Duration::from_mins(61)).await;
    let answer = idle.get(site.gate(), "/").await;
    assert_eq!(answer.status, 401);
    assert_forgets(&answer);

    for garbage in ["sgr1_x", "", "a.b.c"] {
        let mut forged = Browser { access: None, refresh: Some(garbage.into()) };
        let answer = forged.get(site.gate(), "/").await;
        assert_eq!(answer.status, 401, "{garbage}");
        assert_forgets(&answer);
    }
}

/// A bad access token alone says nothing about the session.
#[tokio::test]
async fn a_bad_access_token_alone_clears_nothing() {
    let site = Site::new("").await;
    let mut browser = Browser { access: Some("a.b.c".into()), refresh: None };
    let answer = browser.get(site.gate(), "/").await;
    assert_eq!((answer.status, SetCookie::all(&answer)), (401, vec![]));
}

/// A stolen cookie that is used too late ends the session for both, and everywhere.
#[tokio::test]
async fn a_refresh_token_from_before_the_window_ends_the_session() {
    let mut site = Site::new("cookie.same_site = \"Strict\"").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let mut thief = Browser { access: None, refresh: browser.refresh.clone() };
    site.pass_an_expiry().await;
    browser.get(site.gate(), "/").await;
    site.pass_an_expiry().await;
    for browser in [&mut thief, &mut browser] {
        assert_eq!(browser.get(site.gate(), "/").await.status, 401);
    }
    // Until then it may hold a later login's.
    site.pass(Duration::from_mins(17)).await;
    let answer = thief.get(site.gate(), "/").await;
    assert_eq!(answer.status, 401);
    assert_forgets(&answer);
}
