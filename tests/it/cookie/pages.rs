//! Where a person goes who has to log in.

use super::browser::from_our_page;
use super::{Browser, SetCookie, Site};
use crate::support::raw::{self, RawClient, request};

const SETTINGS: &str = r#"
cookie.unauthenticated_html = "redirect:/login.php?next={target}"
[[route]]
path = "/login.php"
auth = "none"
[[route]]
path = "/admin"
roles = ["admin"]
"#;

#[tokio::test]
async fn a_person_is_sent_to_the_login_page_and_a_script_is_told() {
    let site = Site::new(SETTINGS).await;
    let html = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
    let all = &["GET", "HEAD", "POST"][..];
    for (headers, sent) in [
        (&[("Sec-Fetch-Mode", "navigate"), ("Accept", html)][..], &["GET", "HEAD"][..]),
        // Also with a form of the own pages: who was signed out meanwhile.
        (&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "same-origin")], all),
        (&[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "cross-site")], &["GET", "HEAD"]),
        (&[("Accept", html)], &["GET", "HEAD"]),
        (&[("Sec-Fetch-Mode", "cors"), ("Accept", html)], &[]),
        (&[("Sec-Fetch-Site", "same-origin"), ("Accept", html)], &[]),
        (&[("Accept", "application/json")], &[]),
        (&[], &[]),
    ] {
        for method in all {
            let asked = request(method, "/orders?page=2&x=%C3%A4").header("Content-Length", "0");
            let asked = headers.iter().fold(asked, |asked, (name, value)| asked.header(name, value));
            let mut client = RawClient::connect(site.gate()).await;
            client.send(asked.bytes()).await;
            let answer = client.try_response_to(method).await.unwrap();
            let location = answer.header("location");
            if sent.contains(method) {
                let login = "/login.php?next=%2Forders%3Fpage%3D2%26x%3D%25C3%25A4";
                assert_eq!((answer.status, location), (303, Some(login)), "{method} {headers:?}");
                assert!(answer.header("vary").is_some_and(|vary| vary.contains("Cookie")));
            } else {
                assert_eq!((answer.status, location), (401, None), "{method} {headers:?}");
                assert!(answer.header("www-authenticate").is_some());
            }
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    assert_eq!(site.deployment.upstream.requests().len(), 0);
}

#[tokio::test]
async fn only_who_has_to_log_in_is_sent_there() {
    let site = Site::new(SETTINGS).await;
    let mut browser = Browser::logged_in(site.gate()).await;
    let page = |target: &str| from_our_page(request("GET", target).header("Sec-Fetch-Mode", "navigate"));
    assert_eq!(browser.send(site.gate(), &page("/admin")).await.status, 403);
    assert_eq!(browser.send(site.gate(), &page("/")).await.status, 200);
    let endpoint = raw::exchange(site.gate(), page("/auth/me").bytes()).await;
    assert_eq!(endpoint.status, 401, "an endpoint is no page");
}

#[tokio::test]
async fn a_dead_session_is_forgotten_on_the_way_to_the_login_page() {
    let mut site = Site::new(SETTINGS).await;
    let mut browser = Browser::logged_in(site.gate()).await;
    site.pass(std::time::Duration::from_hours(24 * 8)).await;
    let answer =
        browser.send(site.gate(), &from_our_page(request("GET", "/a").header("Sec-Fetch-Mode", "navigate"))).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/login.php?next=%2Fa")));
    assert_eq!(SetCookie::all(&answer).len(), 2);
    assert_eq!(browser, Browser::default());
}
