//! Many requests at once, slow ones, and ones whose answer nobody read: one rotation for each expiry, and nobody is logged
//! out.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;

use super::browser::{from_our_page, refresh_tokens};
use super::{Browser, SetCookie, Site};
use crate::support::deployment::StoreKind;
use crate::support::postgres::{Durability, Server};
use crate::support::raw::{self, RawClient, RawResponse, request};
use crate::support::wait::{blocking, until};
use crate::support::wire::PATIENCE;

const AT_ONCE: usize = 50;

const NEARLY_THE_WINDOW: Duration = Duration::from_secs(9 * 60 + 30);

/// As many requests as a page may cause, spread over the replicas, all with what the browser holds now.
async fn burst(browser: &Browser, gates: &[SocketAddr]) -> Vec<RawResponse> {
    let sent = gates.iter().cycle().take(AT_ONCE).enumerate().map(|(index, gate)| {
        let asked = from_our_page(request(if index % 4 == 0 { "POST" } else { "GET" }, &format!("/part/{index}")));
        raw::exchange(*gate, browser.with_cookies(asked.header("Content-Length", "0")).bytes())
    });
    join_all(sent).await
}

async fn one_rotation_for_each_expiry(kind: StoreKind) {
    let mut site = Site::of(kind, 3, "").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let session = browser.session();
    for expiry in 1..=3 {
        site.pass_an_expiry().await;
        browser.forget_access();
        let answers = burst(&browser, &site.gates()).await;
        let statuses: BTreeSet<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200].into(), "at expiry {expiry}");
        assert_eq!(site.generation(&session).await, Some(expiry), "one generation more");
        let tokens = refresh_tokens(&answers);
        assert_eq!(tokens.len(), AT_ONCE, "each answer brings it");
        assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 1, "the same for all of them");
        assert!(SetCookie::all(&answers[0]).iter().all(|cookie| cookie.max_age() > 0));
        for answer in &answers {
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        // Whichever comes last.
        browser.keep(&answers[(expiry as usize * 17) % AT_ONCE]);
        let quiet = burst(&browser, &site.gates()).await;
        assert!(quiet.iter().all(|answer| answer.status == 200 && SetCookie::all(answer).is_empty()));
    }
    assert_eq!(site.deployment.upstream.requests().len(), AT_ONCE * 6);
}

/// CK-10, TOK-17, E-I4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_requests_over_three_replicas_turn_the_ratchet_once_on_sqlite() {
    one_rotation_for_each_expiry(StoreKind::Sqlite).await;
}

/// CK-10, TOK-17, E-I4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_requests_over_three_replicas_turn_the_ratchet_once_on_postgres() {
    one_rotation_for_each_expiry(StoreKind::Postgres).await;
}

/// An application that answers after the next rotation: its cookies are older than what the browser holds by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_puts_no_older_pair_over_a_newer_one() {
    let mut site = Site::new("").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let session = browser.session();
    site.pass_an_expiry().await;
    browser.forget_access();

    let (mut slow, tell) = site.slow_page(&browser, site.gate()).await;
    assert_eq!(site.generation(&session).await, Some(1));

    // Meanwhile the same browser goes on: with the same cookies, and after the next expiry with the new ones.
    for generation in [1, 2] {
        let answer = browser.get(site.gate(), "/").await;
        assert_eq!((answer.status, SetCookie::all(&answer).len()), (200, 2));
        assert_eq!(site.generation(&session).await, Some(generation));
        site.pass_an_expiry().await;
    }
    let held = browser.clone();
    tell.send(()).unwrap();
    let answer = slow.response().await;
    assert_eq!((answer.status, answer.text()), (200, "at last".to_owned()));
    assert_eq!(SetCookie::all(&answer), [], "the browser holds later ones");
    browser.keep(&answer);
    assert_eq!(browser, held);
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
    assert_eq!(site.generation(&session).await, Some(3));
}

/// The same where the browser has gone on at another replica, more than once: the oldest pair is a thief's by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_asks_how_far_other_replicas_have_come() {
    let mut site = Site::of(StoreKind::Postgres, 2, "").await;
    let gates = site.gates();
    let mut browser = Browser::logged_in(gates[0]).await;
    let session = browser.session();
    site.pass_an_expiry().await;
    browser.forget_access();

    let (mut slow, tell) = site.slow_page(&browser, gates[0]).await;

    for generation in [1, 2, 3] {
        assert_eq!(browser.get(gates[1], "/").await.status, 200);
        assert_eq!(site.generation(&session).await, Some(generation));
        site.pass_an_expiry().await;
    }
    tell.send(()).unwrap();
    let answer = slow.response().await;
    assert_eq!((answer.status, SetCookie::all(&answer)), (200, vec![]), "the browser holds later ones");
    assert_eq!(browser.get(gates[1], "/").await.status, 200);
    assert_eq!(site.generation(&session).await, Some(4));
}

/// A slow answer that nobody has overtaken brings its cookies, however late it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_very_slow_answer_still_brings_the_new_pair() {
    let mut site = Site::new("").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    site.pass_an_expiry().await;
    browser.forget_access();
    let (mut slow, tell) = site.slow_page(&browser, site.gate()).await;
    site.pass_an_expiry().await;
    tell.send(()).unwrap();
    let answer = slow.response().await;
    assert_eq!((answer.status, SetCookie::all(&answer).len()), (200, 2));
    browser.keep(&answer);
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
}

/// The other replica does not know what this one has handed out: the browser is left with an older pair, and heals with its
/// next request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_pair_that_a_browser_got_after_all_heals() {
    let mut site = Site::of(StoreKind::Postgres, 2, "").await;
    let gates = site.gates();
    let mut browser = Browser::logged_in(gates[0]).await;
    let session = browser.session();
    site.pass_an_expiry().await;
    browser.get(gates[0], "/").await;
    let older = browser.clone();
    site.pass_an_expiry().await;
    browser.get(gates[1], "/").await;
    assert_eq!(site.generation(&session).await, Some(2));

    let mut left = older;
    let answer = left.get(gates[0], "/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(left.refresh, browser.refresh, "the one that is live");
    assert_eq!(site.generation(&session).await, Some(2));
}

/// The person goes to another page before this one has answered: the cookies were rotated, and nobody read them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_navigation_logs_nobody_out() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let mut site = Site::of(kind, 2, "").await;
        let mut browser = Browser::logged_in(site.gate()).await;
        let session = browser.session();
        for generation in 1..=3 {
            site.pass_an_expiry().await;
            browser.forget_access();
            let mut aborted = RawClient::connect(site.gate()).await;
            aborted.send(browser.with_cookies(from_our_page(request("GET", "/hang"))).bytes()).await;
            drop(aborted);
            until(PATIENCE, "it is rotated", async || site.generation(&session).await == Some(generation)).await;
            // It comes back with what it still holds, most of the window later, to any replica.
            site.pass(NEARLY_THE_WINDOW).await;
            let answer = browser.get(site.gates()[1], "/").await;
            assert_eq!((answer.status, SetCookie::all(&answer).len()), (200, 2), "{kind:?}, turn {generation}");
            assert_eq!(site.generation(&session).await, Some(generation), "the same successor, and no other");
        }
    }
}

/// A request that was under way for two rotations: it gets nothing, and nothing is taken from whoever has gone on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_race_clears_nothing() {
    let mut site = Site::of(StoreKind::Sqlite, 2, "").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let session = browser.session();
    let mut loser = Browser { access: None, ..browser.clone() };
    for _ in 0..2 {
        browser.send(site.gate(), &from_our_page(request("POST", "/refresh"))).await;
        site.pass(Duration::from_secs(20)).await;
    }
    // Where it was refreshed the outcome is still known; the cookies that it gave are not.
    for asked in [request("GET", "/"), request("POST", "/refresh")] {
        let answer = loser.send(site.gate(), &from_our_page(asked)).await;
        assert_eq!((answer.status, SetCookie::all(&answer)), (200, vec![]), "{}", answer.head);
    }
    // Elsewhere it is a late one, for a minute.
    for asked in [request("GET", "/"), request("POST", "/refresh"), request("GET", "/auth/me")] {
        let answer = loser.send(site.gates()[1], &from_our_page(asked)).await;
        assert_eq!((answer.status, SetCookie::all(&answer)), (503, vec![]), "{}", answer.head);
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(browser.get(site.gate(), "/").await.status, 200);
    assert_eq!(site.generation(&session).await, Some(2));
}

/// What a burst shares is no way around a logout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_refresh_ends_with_its_session() {
    let mut site = Site::new("").await;
    let browser = Browser::logged_in(site.gate()).await;
    site.pass_an_expiry().await;
    let held = Browser { access: None, ..browser };
    let mut first = held.clone();
    assert_eq!(first.get(site.gate(), "/").await.status, 200);
    assert_eq!(first.send(site.gate(), &from_our_page(request("POST", "/logout"))).await.status, 200);
    let mut second = held.clone();
    let answer = second.get(site.gate(), "/").await;
    assert_eq!((answer.status, SetCookie::all(&answer)), (401, vec![]), "whoever has logged in since keeps that");
    site.pass(Duration::from_mins(17)).await;
    assert_eq!(second.get(site.gate(), "/").await.status, 401);
    assert_eq!(second, Browser::default(), "and is cleared");
}

/// A refresh at the limit is told to wait, and is not logged out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_refreshes_too_often_waits_and_keeps_the_cookies() {
    let mut site = Site::new("rate.refresh_per_session = \"2/1h\"").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    for status in [200, 200, 429] {
        site.pass_an_expiry().await;
        let held = browser.clone();
        let answer = browser.get(site.gate(), "/").await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 429 {
            assert!(answer.header("retry-after").is_some());
            assert_eq!(browser, held);
        }
    }
}

/// A store that is gone in the middle: 503, and the cookies are as good as they were when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_costs_nobody_the_cookies() {
    let server = blocking(|| Server::start(Durability::Off)).await;
    let mut site = Site::on(server.database().await, "store.timeout = \"300ms\"").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let session = browser.session();
    site.pass_an_expiry().await;
    let held = browser.clone();

    let stopping = server.clone();
    blocking(move || stopping.stop()).await;
    let before = site.deployment.upstream.requests().len();
    let mut tries = vec![browser.clone(), Browser { access: None, ..browser.clone() }];
    for browser in &mut tries {
        for asked in
            [request("GET", "/"), request("GET", "/auth/me"), request("POST", "/refresh"), request("POST", "/form")]
        {
            let answer = browser.send(site.gate(), &from_our_page(asked.header("Content-Length", "0"))).await;
            assert_eq!((answer.status, SetCookie::all(&answer)), (503, vec![]), "{}", answer.text());
            assert!(answer.header("retry-after").is_some());
        }
    }
    assert_eq!((&browser, site.deployment.upstream.requests().len()), (&held, before));

    let starting = server.clone();
    blocking(move || starting.start_again()).await;
    until(PATIENCE, "it is refreshed", async || browser.get(site.gate(), "/").await.status == 200).await;
    assert_ne!(browser.refresh, held.refresh);
    assert_eq!(site.generation(&session).await, Some(1));
}

/// What could not be stored ends here at once and there later; the cookies stay, so that it can be asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_that_is_not_stored_yet_clears_nothing() {
    let server = blocking(|| Server::start(Durability::Off)).await;
    let site = Site::on(server.database().await, "store.timeout = \"300ms\"").await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let stopping = server.clone();
    blocking(move || stopping.stop()).await;
    let answer = browser.send(site.gate(), &from_our_page(request("POST", "/logout"))).await;
    assert_eq!((answer.status, SetCookie::all(&answer)), (503, vec![]), "{}", answer.text());
    assert_ne!(browser.get(site.gate(), "/").await.status, 200, "here it has ended");
    assert!(browser.refresh.is_some());

    let starting = server.clone();
    blocking(move || starting.start_again()).await;
    until(PATIENCE, "it is cleared", async || {
        let answer = browser.send(site.gate(), &from_our_page(request("POST", "/logout"))).await;
        answer.status == 200 && browser == Browser::default()
    })
    .await;
}
