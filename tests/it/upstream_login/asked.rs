//! What the application is asked: the configured request, and nothing else of the client's.

use super::*;

#[tokio::test]
async fn the_application_gets_exactly_the_configured_request() {
    let site = Site::new(&format!("{FORM}[server]\npublic_url = \"https://app.example\"\n")).await;
    site.deployment.upstream.next(sent_home());
    let body = "username=ann+%26+ben&password=a%26action%3Dx%0D%0A&unknown=x";
    let login = request("POST", "/login?next=/evil&user=eve")
        .body("application/x-www-form-urlencoded", body)
        .header("User-Agent", "test/1.0")
        .header("Cookie", "PHPSESSID=fixed; sid=1")
        .header("X-HTTP-Method-Override", "DELETE")
        .header("X-Forwarded-For", "203.0.113.7")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "evil.example")
        .header("Remote-User", "eve")
        .header("X-Auth-Subject", "eve")
        .header("X-Other", "1")
        .header("Accept-Encoding", "gzip")
        .header("Origin", "https://evil.example")
        .header("Referer", "https://evil.example/");
    Pair::read(&site.send(login).await);
    let asked = site.last_asked();
    assert_eq!((asked.method(), asked.target()), ("POST".into(), "/login.php".into()));
    assert_eq!(asked.text(), "action=login&pass=a%26action%3Dx%0D%0A&user=ann+%26+ben");
    let mut headers: Vec<(String, String)> =
        asked.headers().into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    headers.sort();
    let expected = [
        ("accept", "application/json, text/html;q=0.9, */*;q=0.8"),
        ("accept-encoding", "identity"),
        ("content-length", "55"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("host", "app.example"),
        ("user-agent", "test/1.0"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "app.example"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(site.deployment.upstream.requests().len(), 1, "the redirect is not followed");
}

/// An application that ends a session whose user agent changes compares every byte.
#[tokio::test]
async fn the_user_agent_of_a_login_is_that_of_later_requests() {
    let site = Site::new(FORM).await;
    for agent in ["x".repeat(700), "Fuchs/1 \u{fc}".to_owned()] {
        site.deployment.upstream.next(sent_home());
        let body = "username=ann&password=pw";
        let form = request("POST", "/login").body("application/x-www-form-urlencoded", body);
        let pair = Pair::read(&site.send(form.header("User-Agent", &agent)).await);
        let at_login = site.last_asked().header("user-agent");
        site.send(request("GET", "/page").bearer(&pair.access).header("User-Agent", &agent)).await;
        let later = site.last_asked().header("user-agent");
        assert!(later.is_some());
        assert_eq!(at_login, later);
    }
}

/// What a page in Latin-1 sends cannot be read, and is not sent on as something else.
#[tokio::test]
async fn a_form_that_is_not_utf_8_is_refused_and_not_changed() {
    let site = Site::new(FORM).await;
    for body in ["username=J%FCrgen&password=pw", "username=ann&password=%FC", "us%FCr=1&username=ann&password=pw"] {
        let answer = site.send(request("POST", "/login").body("application/x-www-form-urlencoded", body)).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains("not UTF-8"), "{}", answer.text());
    }
    assert_eq!(site.deployment.upstream.requests().len(), 0);
}

#[tokio::test]
async fn what_is_submitted_is_always_a_text_in_json() {
    let settings = JSON.replace(
        "json = { username = \"{username}\", password = \"{password}\" }",
        "json = { user = { name = \"corp\\\\{username}\", pass = \"{password}\" }, keep = \"{remember}\", v = 2, tags = [true, \"{{x}}\"] }",
    );
    let site = Site::new(&settings).await;
    site.deployment.upstream.next(let_in());
    let login =
        json!({ "username": "ann\",\"admin\":\"1", "password": PASSWORD, "remember": true, "user": { "$ne": null } });
    Pair::read(&site.send(request("POST", "/login").json(&login)).await);
    let asked: Value = serde_json::from_str(&site.last_asked().text()).expect("JSON");
    assert_eq!(
        asked,
        json!({
            "user": { "name": "corp\\ann\",\"admin\":\"1", "pass": PASSWORD },
            "keep": "true", "v": 2, "tags": [true, "{x}"]
        })
    );
    let before = site.deployment.upstream.requests().len();
    let operator = json!({ "username": "ann", "password": { "$ne": null } });
    assert_eq!(site.send(request("POST", "/login").json(&operator)).await.status, 400);
    assert_eq!(site.deployment.upstream.requests().len(), before, "nothing was asked");
}

#[tokio::test]
async fn fields_have_the_names_that_the_operator_gives_them() {
    let settings = r#"
        [login]
        provider = "upstream"
        [login.upstream]
        request = "PUT /session?v=1"
        username = "email"
        password = "pin"
        success = { member = "/ok" }
        subject = { form = "email" }
    "#;
    let site = Site::new(settings).await;
    site.deployment.upstream.next(Script::answer(200, &[], r#"{"ok":true}"#));
    let login = request("POST", "/login").json(&json!({ "email": "ann@example.org", "pin": "1234" }));
    assert_eq!(site.me(&Pair::read(&site.send(login).await)).await["sub"], "ann@example.org");
    let asked = site.last_asked();
    assert_eq!((asked.method(), asked.target()), ("PUT".into(), "/session?v=1".into()));
    assert_eq!(asked.text(), "email=ann%40example.org&pin=1234");
    let in_query = request("POST", "/login?pin=1234").json(&json!({ "email": "ann@example.org" }));
    assert_eq!(client::oauth_error(&site.send(in_query).await, 400), "invalid_request");
}
