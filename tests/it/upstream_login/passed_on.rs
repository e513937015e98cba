//! `answer = "upstream"`: the application's own answer, with our cookies, and never one that is neither success nor refusal.

use super::*;

const PASSED_ON: &str = r#"
[login.upstream]
answer = "upstream"
username = "user"
password = "pass"
form = { user = "{user}", pass = "{pass}" }
[login.upstream.subject]
form = "user"
[cookie]
mode = true
[server]
public_url = "https://app.example"
[endpoint]
login = "/login.php"
"#;

async fn site() -> Site {
    Site::new(&crate::support::deployment::laid_over(FORM, PASSED_ON)).await
}

/// The browser's own form.
async fn submit(site: &Site, answer: Script) -> RawResponse {
    site.deployment.upstream.next(answer);
    let form = request("POST", "/login.php").body("application/x-www-form-urlencoded", "user=ann&pass=hunter2");
    site.send(form.header("Sec-Fetch-Site", "same-origin").header("Accept", "text/html")).await
}

/// Names of the cookies that an answer sets.
fn set(answer: &RawResponse) -> Vec<String> {
    let lines = answer.values("set-cookie");
    lines.iter().map(|line| line.split('=').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_success_is_the_applications_answer_with_our_cookies() {
    let site = site().await;
    let headers = [
        ("Set-Cookie", "PHPSESSID=s3ss10n; Path=/"),
        ("Set-Cookie", "__Host-default-access=forged"),
        ("Location", "/home.php"),
        ("Cache-Control", "public, max-age=60"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("X-App", "1"),
    ];
    let answer = submit(&site, Script::answer(302, &headers, "moved")).await;
    assert_eq!((answer.status, answer.text().as_str()), (302, "moved"));
    assert_eq!((answer.header("location"), answer.header("x-app")), (Some("/home.php"), Some("1")));
    assert_eq!((answer.header("cache-control"), answer.header("x-hop")), (Some("no-store"), None));
    assert_eq!(answer.header("content-length"), Some("5"));
    let cookies: Vec<&str> =
        answer.values("set-cookie").into_iter().filter(|line| line.starts_with("__Host-")).collect();
    assert_eq!(cookies.len(), 2, "{}", answer.head);
    let held: Vec<&str> = cookies.iter().map(|line| line.split(';').next().unwrap_or_default()).collect();
    let me = site.send(request("GET", "/auth/me").header("Cookie", &held.join("; "))).await;
    assert_eq!(me.json()["sub"], "ann", "{}", me.text());
    assert_eq!(site.sessions().await.len(), 1);
}

/// Neither a success nor a refusal hands out what the vault keeps.
#[tokio::test]
async fn what_the_vault_keeps_is_not_passed_on() {
    let settings = crate::support::deployment::laid_over(FORM, PASSED_ON);
    let site = Site::new(&crate::support::deployment::laid_over(&settings, "vault.cookies = [\"PHPSESSID\"]")).await;
    let headers = |place| [("Set-Cookie", "PHPSESSID=s3ss10n; Path=/"), ("Set-Cookie", "lang=en"), ("Location", place)];
    for (place, set_cookies) in
        [("/home", &["lang", "__Host-default-access", "__Host-default-refresh"][..]), ("/login.php", &["lang"])]
    {
        let answer = submit(&site, Script::answer(302, &headers(place), "")).await;
        assert_eq!(
            (answer.header("location"), set(&answer)),
            (Some(place), set_cookies.iter().map(|name| (*name).to_owned()).collect())
        );
    }
}

#[tokio::test]
async fn a_refusal_is_the_applications_answer_without_a_session() {
    let site = site().await;
    for refusal in [
        Script::answer(403, &[("Content-Type", "text/html")], "<p>wrong password</p>"),
        Script::answer(302, &[("Location", "/login.php?failed")], "<p>wrong password</p>"),
    ] {
        let answer = submit(&site, refusal).await;
        assert!(matches!(answer.status, 302 | 403), "{}", answer.head);
        assert_eq!(answer.text(), "<p>wrong password</p>");
        assert_eq!((set(&answer), answer.header("cache-control")), (vec![], Some("no-store")));
    }
    assert_eq!(site.sessions().await, []);
}

#[tokio::test]
async fn nothing_else_of_the_application_is_passed_on() {
    let site = site().await;
    let cookie = format!("PHPSESSID={MARK}");
    for (status, place, ours) in
        [(302, "/elsewhere", 502), (200, "/home", 502), (500, "/home", 503), (429, "/home", 429)]
    {
        let headers = [("Set-Cookie", cookie.as_str()), ("Location", place)];
        let answer = submit(&site, Script::answer(status, &headers, MARK)).await;
        assert_eq!(answer.status, ours, "{status} {place}");
        assert!(!answer.text().contains(MARK) && !answer.head.contains(MARK), "{}", answer.head);
    }
    assert_eq!(site.sessions().await, []);
    let cross_site = request("POST", "/login.php").body("application/x-www-form-urlencoded", "user=ann&pass=hunter2");
    let asked = site.deployment.upstream.requests().len();
    assert_eq!(site.send(cross_site.header("Sec-Fetch-Site", "cross-site")).await.status, 403);
    assert_eq!(site.deployment.upstream.requests().len(), asked, "another site's form logs nobody in");
}
