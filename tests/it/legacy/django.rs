//! The Django site: a browser, and forms with a token against forgery.

use super::application::Kind;
use super::browser::Browser;
use super::site::{EXPIRY, Site};
use crate::support::raw::RawResponse;

const OURS: [&str; 2] = ["__Host-default-access", "__Host-default-refresh"];
const THEIRS: [&str; 2] = ["sessionid", "csrftoken"];
const PASSWORD: &str = "correct horse battery";
const NEW_PASSWORD: &str = "quite another phrase";

async fn sign_in(browser: &mut Browser<'_>, password: &str) -> RawResponse {
    sign_in_at(browser, "/accounts/login/", password).await
}

/// As the form is sent, with the token of the page that the browser has seen: the gate's own counts.
async fn sign_in_at(browser: &mut Browser<'_>, page: &str, password: &str) -> RawResponse {
    let form = browser.open(page).await;
    let (token, next) = (token_of(&form), value_of(&form, "next"));
    let fields =
        [("csrfmiddlewaretoken", token.as_str()), ("username", "ann"), ("password", password), ("next", next.as_str())];
    browser.submit(page, &fields).await
}

async fn signed_in(site: &Site) -> Browser<'_> {
    let mut browser = Browser::new(site);
    let answer = sign_in(&mut browser, PASSWORD).await;
    assert_eq!((answer.status, answer.header("location")), (302, Some("/")), "{}", answer.text());
    assert_eq!(browser.cookies(), OURS);
    browser
}

/// What a form of this page sends along.
fn token_of(page: &RawResponse) -> String {
    value_of(page, "csrfmiddlewaretoken")
}

fn value_of(page: &RawResponse, field: &str) -> String {
    let text = page.text();
    let value = text.split(&format!("name=\"{field}\" value=\"")).nth(1).and_then(|rest| rest.split('"').next());
    value.unwrap_or_else(|| panic!("{} has no {field}: {text}", page.status)).to_owned()
}

async fn assert_at_home(browser: &mut Browser<'_>) -> String {
    let home = browser.open("/").await;
    assert!(home.status == 200 && home.text().contains("Hello, ann"), "{} {}", home.status, home.text());
    token_of(&home)
}

async fn assert_has_to_sign_in(browser: &mut Browser<'_>) {
    let sent = browser.open("/").await;
    assert_eq!((sent.status, sent.header("location")), (303, Some("/accounts/login/?next=%2F")), "{}", sent.text());
}

/// OLD-14, OLD-7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_by_a_form_with_a_token_and_notices_no_refresh() {
    let site = Site::start(Kind::Django).await;
    let mut browser = Browser::new(&site);
    assert_has_to_sign_in(&mut browser).await;
    let again = sign_in(&mut browser, "wrong").await;
    assert!(again.status == 200 && again.text().contains("enter a correct username and password"), "{}", again.text());
    assert_eq!(browser.cookies(), Vec::<&str>::new());
    assert_has_to_sign_in(&mut browser).await;

    let mut elsewhere = Browser::new(&site);
    let sent = elsewhere.open("/accounts/password/").await;
    let arrived = sign_in_at(&mut elsewhere, sent.header("location").unwrap(), PASSWORD).await;
    assert_eq!((arrived.status, arrived.header("location")), (302, Some("/accounts/password/")), "{}", arrived.text());

    let mut browser = signed_in(&site).await;
    for _ in 0..3 {
        assert_at_home(&mut browser).await;
        site.time_passes(EXPIRY);
    }
    assert_eq!(browser.fetch("GET", "/auth/me").await.json()["sub"], "ann");
    site.assert_kept_apart(&THEIRS);
}

/// OLD-14, OLD-11.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_in_django_ends_the_other_browsers_sessions() {
    let site = Site::with_replicas(Kind::Django, 2).await;
    let (mut here, mut elsewhere) = (signed_in(&site).await, signed_in(&site).await);
    assert_at_home(&mut elsewhere).await;
    let page = here.open("/accounts/password/").await;
    let token = token_of(&page);
    let change = |old, token| {
        [
            ("csrfmiddlewaretoken", token),
            ("old_password", old),
            ("new_password1", NEW_PASSWORD),
            ("new_password2", NEW_PASSWORD),
        ]
    };
    let forged = here.submit("/accounts/password/", &change(PASSWORD, "forged")).await;
    assert_eq!(forged.status, 403, "Django looks at its token still");
    let mistyped = here.submit("/accounts/password/", &change("wrong", token.as_str())).await;
    assert_eq!(mistyped.status, 200, "{}", mistyped.text());
    assert_at_home(&mut elsewhere).await;

    let changed = here.submit("/accounts/password/", &change(PASSWORD, token.as_str())).await;
    assert_eq!((changed.status, changed.header("location")), (302, Some("/?changed")), "{}", changed.text());
    assert_has_to_sign_in(&mut elsewhere).await;
    // With the new id that Django gave the session, on the other replica too.
    assert_at_home(&mut here).await;
    here.reaches(1);
    site.time_passes(EXPIRY);
    assert_at_home(&mut here).await;

    assert_eq!(sign_in(&mut elsewhere, PASSWORD).await.status, 200);
    assert_eq!(sign_in(&mut elsewhere, NEW_PASSWORD).await.status, 302);
    assert_at_home(&mut elsewhere).await;
    site.assert_kept_apart(&THEIRS);
}

/// OLD-14, OLD-10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn djangos_own_logout_ends_our_session_and_so_does_its_forgetting() {
    let mut site = Site::start(Kind::Django).await;
    let held = {
        let mut browser = signed_in(&site).await;
        let token = assert_at_home(&mut browser).await;
        let out = browser.submit("/accounts/logout/", &[("csrfmiddlewaretoken", token.as_str())]).await;
        assert_eq!((out.status, out.header("location")), (302, Some("/goodbye")), "{}", out.text());
        assert_eq!(browser.open("/goodbye").await.status, 200);
        assert_has_to_sign_in(&mut browser).await;
        let browser = signed_in(&site).await;
        OURS.map(|name| (name, browser.cookie(name).to_owned()))
    };
    site.application.forget_everybody().await;
    let mut browser = Browser::holding(&site, &held);
    let lost = browser.fetch("GET", "/").await;
    assert_eq!((lost.status, lost.header("location")), (401, None), "{}", lost.text());
    assert_eq!(sign_in(&mut browser, PASSWORD).await.status, 302);
    assert_at_home(&mut browser).await;
    site.assert_kept_apart(&THEIRS);
}
