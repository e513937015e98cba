//! Somebody logs in where somebody was: the session before ends, and nothing that is still under way for it touches the
//! cookies of the new one.

use std::time::Duration;

use super::browser::{from_our_page, login};
use super::{Browser, SetCookie, Site};
use crate::support::client::until_refused;
use crate::support::deployment::{StoreKind, USER};
use crate::support::raw::request;

/// A page that answers after a logout and a new login: its session is over, and its cookies would end the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_of_an_ended_session_leaves_the_new_one_alone() {
    let mut site = Site::new("").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    site.pass_an_expiry().await;
    let (mut slow, tell) = site.slow_page(&browser, site.gate()).await;

    assert_eq!(browser.send(site.gate(), &from_our_page(request("POST", "/logout"))).await.status, 200);
    let mut browser = Browser::logged_in(site.gate()).await;
    tell.send(()).unwrap();
    let answer = slow.response().await;
    assert_eq!((answer.status, SetCookie::all(&answer)), (200, vec![]));
    browser.keep(&answer);
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
}

/// SES-2, B2-13: the login itself is enough, at any replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_leaves_a_later_login_alone() {
    let mut site = Site::of(StoreKind::Postgres, 2, "").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let before = browser.session();
    site.pass_an_expiry().await;
    let mut other_page = browser.clone();
    let (mut slow, tell) = site.slow_page(&browser, site.gates()[1]).await;
    // The same pair, which no browser of ours keeps.
    assert_eq!(other_page.get(site.gates()[1], "/").await.status, 200);

    assert_eq!(browser.send(site.gate(), &from_our_page(login())).await.status, 200);
    assert_eq!(site.generation(&before).await, None, "the session before has ended");
    assert_ne!(browser.session(), before);
    until_refused(site.gates()[1], other_page.access.as_deref().unwrap()).await;
    tell.send(()).unwrap();
    let answer = slow.response().await;
    assert_eq!((answer.status, SetCookie::all(&answer)), (200, vec![]));
    for gate in site.gates() {
        assert_eq!(browser.get(gate, "/").await.status, 200);
    }
}

/// Requests that were sent before the login's answer came, and are answered after it: their session is over, and the
/// browser holds another. Also where nobody has heard of the login yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_after_another_login_clears_nothing() {
    let mut site = Site::of(StoreKind::Sqlite, 2, "revocation.poll_interval = \"5s\"").await;
    let before = Browser::logged_in(site.gate()).await;
    site.pass_an_expiry().await;
    let mut browser = before.clone();
    assert_eq!(browser.send(site.gate(), &from_our_page(login())).await.status, 200);
    for gate in site.gates() {
        for (method, target, status) in [("GET", "/", 401), ("POST", "/refresh", 400), ("GET", "/auth/me", 401)] {
            let answer = before.clone().send(gate, &from_our_page(request(method, target))).await;
            assert_eq!((answer.status, SetCookie::all(&answer)), (status, vec![]), "{}", answer.head);
        }
        assert_eq!(browser.get(gate, "/").await.status, 200);
    }
}

/// Whoever knows no password ends nothing, nor who only sends a page's form from elsewhere.
#[tokio::test]
async fn a_login_that_fails_ends_nothing() {
    let mut site = Site::new("").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let wrong =
        request("POST", "/login").json(&serde_json::json!({ "username": USER, "password": "not the password at all" }));
    assert_eq!(browser.send(site.gate(), &from_our_page(wrong)).await.status, 400);
    let forged = login().header("Sec-Fetch-Site", "cross-site");
    assert_eq!(browser.send(site.gate(), &forged).await.status, 403);
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
    site.pass(Duration::from_mins(11)).await;
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
}
