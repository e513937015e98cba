//! The PHP application: a browser, its form, its redirects.

use super::application::Kind;
use super::browser::Browser;
use super::site::{EXPIRY, Site};
use crate::support::raw::RawResponse;

const OURS: [&str; 2] = ["__Host-default-access", "__Host-default-refresh"];
const THEIRS: &str = "PHPSESSID";
const PASSWORD: &str = "correct horse battery";

async fn sign_in(browser: &mut Browser<'_>, password: &str) -> RawResponse {
    browser.submit("/login.php", &[("do", "login"), ("user", "ann"), ("pass", password)]).await
}

async fn signed_in(site: &Site) -> Browser<'_> {
    let mut browser = Browser::new(site);
    assert_leads_to(&sign_in(&mut browser, PASSWORD).await, 302, "/index.php");
    assert_eq!(browser.cookies(), OURS);
    browser
}

/// It is the member's page, of the same session of the application as before.
async fn assert_visit(browser: &mut Browser<'_>, number: u32) {
    let page = browser.open("/index.php").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    assert!(text.contains("Hello <b>ann</b>") && text.contains(&format!("visit <b>{number}</b>")), "{text}");
}

fn assert_leads_to(answer: &RawResponse, status: u16, place: &str) {
    assert_eq!((answer.status, answer.header("location")), (status, Some(place)), "{}", answer.text());
}

async fn assert_has_to_sign_in(browser: &mut Browser<'_>) {
    assert_leads_to(&browser.open("/index.php").await, 303, "/login.php");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_by_the_applications_form_and_notices_no_refresh() {
    let site = Site::start(Kind::Php).await;
    let mut browser = Browser::new(&site);
    assert_has_to_sign_in(&mut browser).await;
    let form = browser.open("/login.php").await;
    assert!(form.status == 200 && form.text().contains("name=\"pass\""), "{}", form.text());

    assert_leads_to(&sign_in(&mut browser, "wrong").await, 302, "/login.php?error=1");
    assert_eq!(browser.cookies(), Vec::<&str>::new());
    assert_has_to_sign_in(&mut browser).await;

    let mut browser = signed_in(&site).await;
    assert_visit(&mut browser, 1).await;
    for round in 2..5 {
        let before = OURS.map(|name| browser.cookie(name).to_owned());
        site.time_passes(EXPIRY);
        assert_visit(&mut browser, round).await;
        assert_ne!(OURS.map(|name| browser.cookie(name).to_owned()), before);
    }
    site.time_passes(EXPIRY);
    let put = browser.submit("/shelf.php", &[("book", "Moby Dick")]).await;
    assert_leads_to(&put, 302, "/index.php");
    assert!(browser.open("/index.php").await.text().contains("Moby Dick"));
    assert_eq!(browser.fetch("GET", "/auth/me").await.json()["sub"], "ann");
    site.assert_kept_apart(&[THEIRS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_ends_the_other_browsers_sessions_and_not_this_one() {
    let site = Site::with_replicas(Kind::Php, 2).await;
    let (mut here, mut elsewhere) = (signed_in(&site).await, signed_in(&site).await);
    assert_visit(&mut elsewhere, 1).await;
    assert_visit(&mut here, 1).await;

    let mistyped = here.submit("/account.php", &[("old", "wrong"), ("new", "a new one")]).await;
    assert_leads_to(&mistyped, 302, "/account.php?error=1");
    assert_visit(&mut elsewhere, 2).await;

    let changed = here.submit("/account.php", &[("old", PASSWORD), ("new", "a new one")]).await;
    assert_leads_to(&changed, 302, "/account.php?done=1");
    assert_has_to_sign_in(&mut elsewhere).await;
    // With the new number that the application gave the session, on the other replica too.
    assert_visit(&mut here, 2).await;
    here.reaches(1);
    site.time_passes(EXPIRY);
    assert_visit(&mut here, 3).await;

    assert_leads_to(&sign_in(&mut elsewhere, PASSWORD).await, 302, "/login.php?error=1");
    assert_leads_to(&sign_in(&mut elsewhere, "a new one").await, 302, "/index.php");
    assert_visit(&mut elsewhere, 1).await;
    site.assert_kept_apart(&[THEIRS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_php_applications_own_logout_ends_our_session() {
    let site = Site::start(Kind::Php).await;
    let mut browser = signed_in(&site).await;
    let stolen = OURS.map(|name| (name, browser.cookie(name).to_owned()));

    assert_leads_to(&browser.open("/logout.php").await, 302, "/bye.php");
    assert_eq!(browser.open("/bye.php").await.status, 200);
    assert_has_to_sign_in(&mut browser).await;

    let mut thief = Browser::holding(&site, &stolen);
    assert_eq!(thief.fetch("GET", "/index.php").await.status, 401);
    site.time_passes(EXPIRY);
    let mut thief = Browser::holding(&site, &stolen);
    assert_eq!(thief.fetch("GET", "/index.php").await.status, 401);
    site.assert_kept_apart(&[THEIRS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_logout_ends_the_browsers_session() {
    let site = Site::start(Kind::Php).await;
    let mut browser = signed_in(&site).await;

    assert_eq!(browser.fetch("POST", "/logout").await.status, 200);

    assert_eq!(browser.cookies(), Vec::<&str>::new());
    assert_has_to_sign_in(&mut browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_php_application_forgets_a_session_ours_ends() {
    let mut site = Site::start(Kind::Php).await;
    let cookies = {
        let mut browser = signed_in(&site).await;
        assert_visit(&mut browser, 1).await;
        OURS.map(|name| (name, browser.cookie(name).to_owned()))
    };
    site.application.forget_everybody().await;

    let mut browser = Browser::holding(&site, &cookies);
    let lost = browser.fetch("GET", "/index.php").await;
    assert_eq!((lost.status, lost.header("location")), (401, None), "{}", lost.text());
    site.time_passes(EXPIRY);
    assert_has_to_sign_in(&mut browser).await;
    assert_leads_to(&sign_in(&mut browser, PASSWORD).await, 302, "/index.php");
    assert_visit(&mut browser, 1).await;
    site.assert_kept_apart(&[THEIRS]);
}
