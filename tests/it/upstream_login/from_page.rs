//! Logins that have to come from the application's own page: with the token in its form, and the cookies it sets.

use std::time::Duration;

use super::failures::{Told, assert_each};
use super::*;
use crate::support::deployment::laid_over;

/// A form as Django, Laravel and Rails have it.
const FROM_PAGE: &str = r#"
[login.upstream]
page = "GET /login.php?from=gate"
form = { csrf_token = "{page:csrf_token}" }
"#;

const TOKEN: &str = r#"<form><input type="hidden" name="csrf_token" value="t0k3n"></form>"#;

const HTML: (&str, &str) = ("Content-Type", "text/html; charset=utf-8");

fn settings() -> String {
    laid_over(FORM, FROM_PAGE)
}

fn page(body: &str) -> Script {
    Script::answer(200, &[HTML, ("Set-Cookie", "csrf=c1; Path=/; SameSite=Lax")], body)
}

/// `Cookie` and body of the last login that reached the application.
fn last_login(site: &Site) -> (Option<String>, String) {
    let login = site.last_asked();
    (login.header("cookie"), login.text())
}

/// OLD-3.
#[tokio::test]
async fn a_login_carries_the_pages_token_and_cookies_and_says_where_it_comes_from() {
    let site = Site::new(&format!("{}\n[server]\npublic_url = \"https://app.example\"\n", settings())).await;
    let cookies = [
        HTML,
        ("Set-Cookie", "csrf=old; Path=/"),
        ("Set-Cookie", "csrf=c1; Path=/; Secure; HttpOnly; SameSite=Strict"),
        ("Set-Cookie", "gone=x; Max-Age=0"),
        ("Set-Cookie", "PHPSESSID=visitor; Path=/elsewhere"),
    ];
    let body = "<!doctype html><title>csrf_token</title>\
                <!-- <input name='csrf_token' value='commented'> -->\
                <script>'<input name=\"csrf_token\" value=\"scripted\">'</script>\
                <form method=post><INPUT type=hidden value=\"a&amp;b&#43;&quot;c&quot;\" name=csrf_token></form>";
    site.deployment.upstream.next(Script::answer(200, &cookies, body));
    site.deployment.upstream.next(sent_home());
    let login = request("POST", "/login").json(&json!({
        "username": "ann", "password": PASSWORD, "csrf_token": "the client's own", "page:csrf_token": "the client's own"
    }));
    let login = login.header("Cookie", "csrf=fixed").header("Referer", "https://evil.example/");
    let login = login.header("User-Agent", "test/1.0");
    assert_eq!(site.me(&Pair::read(&site.send(login).await)).await["sub"], "ann");

    let asked = site.deployment.upstream.requests();
    let [page, login] = &asked[..] else { panic!("a page and a login: {asked:#?}") };
    assert_eq!((page.method(), page.target()), ("GET".into(), "/login.php?from=gate".into()));
    assert_eq!(page.header("host").as_deref(), Some("app.example"));
    assert_eq!(page.header("user-agent").as_deref(), Some("test/1.0"));
    assert_eq!(page.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    for name in ["cookie", "origin", "referer", "content-type"] {
        assert_eq!(page.header(name), None, "{name}");
    }
    assert_eq!((login.method(), login.target()), ("POST".into(), "/login.php".into()));
    assert_eq!(login.text(), "action=login&csrf_token=a%26b%2B%22c%22&pass=hunter2+hunter2&user=ann");
    assert_eq!(login.header("cookie").as_deref(), Some("csrf=c1; PHPSESSID=visitor"));
    assert_eq!(login.header("origin").as_deref(), Some("https://app.example"));
    assert_eq!(login.header("referer").as_deref(), Some("https://app.example/login.php?from=gate"));
    assert_eq!(login.header("user-agent").as_deref(), Some("test/1.0"));
}

#[tokio::test]
async fn each_login_has_a_page_of_its_own() {
    let site = Site::new(&settings()).await;
    for number in ["1", "2"] {
        let headers = [HTML, ("Set-Cookie", &format!("csrf=c{number}"))];
        let body = format!("<input name=csrf_token value=t{number}>");
        site.deployment.upstream.next(Script::answer(200, &headers, body));
        Pair::read(&site.login(sent_home()).await);
        let (cookie, body) = last_login(&site);
        assert_eq!(cookie, Some(format!("csrf=c{number}")));
        assert!(body.contains(&format!("csrf_token=t{number}")), "{body}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_still_the_clients_fault() {
    let site = Site::new(&settings()).await;
    let refused = Script::answer(302, &[("Location", "/login.php?error=1"), ("Set-Cookie", "PHPSESSID=x")], "");
    site.deployment.upstream.next(page(TOKEN));
    assert_eq!(client::oauth_error(&site.login(refused).await, 400), "invalid_grant");
    assert_eq!(site.sessions().await, []);
}

/// Rails and Laravel say the token in the page's head, too; a JSON login takes it from there.
#[tokio::test]
async fn a_json_login_may_take_a_value_from_the_pages_head() {
    let over = "[login.upstream]\npage = \"GET /\"\n\
                json = { t = [\"{page:csrf-token}/{page:x[y]}\"] }";
    let site = Site::new(&laid_over(JSON, over)).await;
    let body = "<meta content='a\"b' name='csrf-token'><input name=x[y] value=z><input name='z' value='no'>";
    site.deployment.upstream.next(page(body));
    Pair::read(&site.login(let_in()).await);
    let asked: Value = serde_json::from_str(&site.last_asked().text()).expect("JSON");
    assert_eq!(asked, json!({ "username": "ann", "password": PASSWORD, "t": ["a\"b/z"] }));
}

/// Some applications want a cookie back, and nothing else of the page.
#[tokio::test]
async fn a_page_may_be_asked_for_its_cookies_alone() {
    let site = Site::new(&laid_over(FORM, "login.upstream.page = \"GET /login.php\"")).await;
    let cases = vec![
        ("no cookie", Script::answer(200, &[HTML], TOKEN), Told::Unclear),
        ("a deleted one", Script::answer(200, &[("Set-Cookie", "test=; Max-Age=0")], ""), Told::Unclear),
    ];
    for case in cases {
        assert_page_fails(&site, case).await;
    }
    site.deployment.upstream.next(Script::answer(200, &[("Set-Cookie", "test=1")], ""));
    Pair::read(&site.login(sent_home()).await);
    assert_eq!(last_login(&site).0.as_deref(), Some("test=1"));
}

#[tokio::test]
async fn a_probe_is_asked_with_the_cookies_of_the_page_and_the_login() {
    let by_probe = settings().replace("form = \"username\"", "probe = \"GET /me\"\njson = \"/id\"");
    let site = Site::new(&by_probe).await;
    let cookies = [HTML, ("Set-Cookie", "csrf=c1"), ("Set-Cookie", "PHPSESSID=visitor"), ("Set-Cookie", "once=x")];
    site.deployment.upstream.next(Script::answer(200, &cookies, TOKEN));
    let cookies = [
        ("Set-Cookie", "PHPSESSID=member"),
        ("Set-Cookie", "once=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Location", "/home"),
    ];
    site.deployment.upstream.next(Script::answer(302, &cookies, ""));
    let me = Script::answer(200, &[], r#"{"id":"ann-4"}"#);
    assert_eq!(site.me(&Pair::read(&site.login(me).await)).await["sub"], "ann-4");
    assert_eq!(site.last_asked().header("cookie").as_deref(), Some("csrf=c1; PHPSESSID=member"));
}

/// OLD-7.
#[tokio::test]
async fn the_vault_keeps_the_pages_cookies_and_then_the_logins() {
    let vault = "[vault]\ncookies = [\"PHPSESSID\", \"csrf\", \"once\"]\n";
    let site = Site::new(&laid_over(&settings(), vault)).await;
    let cookies = [
        HTML,
        ("Set-Cookie", "csrf=c1"),
        ("Set-Cookie", "PHPSESSID=visitor"),
        ("Set-Cookie", "once=x"),
        ("Set-Cookie", "other=x"),
    ];
    site.deployment.upstream.next(Script::answer(200, &cookies, TOKEN));
    let cookies = [("Set-Cookie", "PHPSESSID=member"), ("Set-Cookie", "once=; Max-Age=0"), ("Location", "/home")];
    let pair = Pair::read(&site.login(Script::answer(302, &cookies, "")).await);
    assert_eq!(site.send(request("GET", "/notes").bearer(&pair.access)).await.status, 200);
    assert_eq!(site.last_asked().header("cookie").as_deref(), Some("csrf=c1; PHPSESSID=member"));
}

/// No session, nothing of the page for the client, and no password on its way.
async fn assert_page_fails(site: &Site, (case, page, told): (&str, Script, Told)) {
    let asked = site.deployment.upstream.requests().len();
    assert_each(site, vec![(case, page, told)]).await;
    assert_eq!(site.deployment.upstream.requests().len(), asked + 1, "{case}: only the page was asked");
    assert_eq!(site.last_asked().method(), "GET", "{case}");
}

/// OLD-1, OLD-2.
#[tokio::test]
async fn no_page_that_is_not_as_it_should_be_makes_a_session_or_a_wrong_password() {
    use Told::{Later, Slower, Unclear};
    let site = Site::new(&format!("{}[upstream.default]\nresponse_timeout = \"2s\"\n", settings())).await;
    let with = |status: u16, headers: &[(&str, &str)]| {
        let headers = [&[("Set-Cookie", MARK), ("X-Mark", MARK)], headers].concat();
        Script::answer(status, &headers, format!("{TOKEN}{MARK}"))
    };
    let of = |body: &str| page(&format!("<p>{MARK}{body}"));
    let many = "x".repeat(9000);
    let begun = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n{TOKEN}");
    let mut cases = vec![
        ("401", with(401, &[HTML]), Unclear),
        ("403", with(403, &[HTML]), Unclear),
        ("404", with(404, &[HTML]), Unclear),
        ("408", with(408, &[HTML]), Later),
        ("429", with(429, &[HTML, ("Retry-After", "17")]), Slower),
        ("500", with(500, &[HTML]), Later),
        ("503", with(503, &[HTML]), Later),
        ("201", with(201, &[HTML]), Unclear),
        ("a redirect", with(302, &[HTML, ("Location", "/login.php")]), Unclear),
        ("a redirect elsewhere", with(307, &[HTML, ("Location", "https://evil.example/")]), Unclear),
        ("no type", with(200, &[]), Unclear),
        ("text", with(200, &[("Content-Type", "text/plain; x=text/html")]), Unclear),
        ("JSON", with(200, &[("Content-Type", "application/json")]), Unclear),
        ("gzip by its name", with(200, &[HTML, ("Content-Encoding", "gzip")]), Unclear),
        ("nothing", page(""), Unclear),
        ("no field", of(r#"<input name="csrf" value="x">"#), Unclear),
        ("a field in a comment", of(&format!("<!-- {TOKEN} -->")), Unclear),
        ("a field in a comment without end", of(&format!("<!-- {TOKEN}")), Unclear),
        ("a field in a script", of(&format!("<script>{TOKEN}</script>")), Unclear),
        ("a field in a text", of(&format!("<textarea>{TOKEN}</textarea>")), Unclear),
        ("two fields", of(&format!("{TOKEN}<input name=csrf_token value=other>")), Unclear),
        ("an empty field", of("<input name=csrf_token>"), Unclear),
        ("half a field", of("<input name=csrf_token value='t0k3n"), Unclear),
        ("UTF-16", page(&TOKEN.chars().flat_map(|char| [char, '\0']).collect::<String>()), Unclear),
        ("too many cookies", Script::answer(200, &[HTML, ("Set-Cookie", &format!("a={many}"))], TOKEN), Unclear),
        ("10 MB", of(&format!("{TOKEN}{}", " ".repeat(10_000_000))), Unclear),
        ("closed", Script::new().read_body().close(), Later),
        ("closed in the page", Script::new().read_body().send(begun.clone()).close(), Later),
        ("reset in the page", Script::new().read_body().send(begun.clone()).reset(), Later),
        ("no end", Script::new().read_body().send(begun).hang(), Later),
        ("no HTTP", Script::new().read_body().send("hello\r\n\r\n").close(), Later),
    ];
    let encoded = TOKEN.replace('<', "&lt;").replace('>', "&gt;");
    cases.push(("a field that is only shown", of(&encoded), Unclear));
    for case in cases {
        assert_page_fails(&site, case).await;
    }
    site.deployment.upstream.next(page(&format!("<p>{MARK}{TOKEN}")));
    Pair::read(&site.login(sent_home()).await);
}

/// Its end is not waited for.
#[tokio::test]
async fn a_page_that_never_ends_is_too_long() {
    let site = Site::new(&settings()).await;
    let (chunks, script) = Script::streamed(&[HTML]);
    let sending = async {
        for _ in 0..17 {
            chunks.push(format!("{TOKEN}{}", "<a a=a>".repeat(10_000))).await;
        }
        chunks.abandoned().await;
    };
    let (answer, ()) = tokio::join!(site.login(script), sending);
    assert_eq!(client::oauth_error(&answer, 502), "server_error");
    assert_eq!(site.sessions().await, []);
}

/// Page and login share the time that one answer may take.
#[tokio::test]
async fn a_slow_page_leaves_less_time_for_the_login() {
    let site = Site::new(&format!("{}[upstream.default]\nresponse_timeout = \"4s\"\n", settings())).await;
    let slowly = || Script::new().read_body().wait(Duration::from_millis(2500));
    let body = TOKEN;
    site.deployment.upstream.next(slowly().answering(200, &[HTML, ("Set-Cookie", "csrf=c1")], body));
    let home = [("Set-Cookie", "PHPSESSID=x"), ("Location", "/home")];
    let answer = site.login(slowly().answering(302, &home, "")).await;
    assert_eq!(client::oauth_error(&answer, 503), "temporarily_unavailable");
    assert_eq!(site.sessions().await, []);
}

/// OLD-4.
#[tokio::test]
async fn the_log_says_what_of_the_page_was_missing_and_holds_no_secret() {
    let over =
        "[upstream.default]\nresponse_timeout = \"2s\"\n[log]\nlevel = \"trace\"\n[audit]\noutput = \"stdout\"\n";
    let deployment = Deployment::without_user(StoreKind::Sqlite, &format!("{}{over}", settings())).await;
    let mut replica = deployment.replica().await;
    let cookie = format!("csrf={MARK}");
    let html = [HTML, ("Set-Cookie", cookie.as_str())];
    let cases = [
        (Script::answer(302, &html, TOKEN), "the login page was answered with 302"),
        (Script::answer(200, &[], TOKEN), "the login page is not HTML"),
        (Script::answer(200, &html, MARK), "the field `csrf_token` of the login page is not there"),
        (Script::answer(200, &html, "<input name=csrf_token>"), "the field `csrf_token` of the login page is empty"),
        (
            Script::answer(200, &html, format!("{TOKEN}<input name=csrf_token value={MARK}>")),
            "the field `csrf_token` of the login page is there more than once, with different values",
        ),
        (Script::answer(200, &html, " ".repeat(2_000_000)), "its body is longer than 1048576 bytes"),
    ];
    let mut expected = Vec::new();
    for (page, why) in cases {
        deployment.upstream.next(page);
        assert_eq!(client::login(replica.gate, "ann", PASSWORD).await.status, 502, "{why}");
        expected.push(format!("the application's answer is unclear: {why}"));
    }
    for page in [Script::answer(503, &html, MARK), Script::new().read_body().hang(), Script::new().close()] {
        deployment.upstream.next(page);
        assert_eq!(client::login(replica.gate, "ann", PASSWORD).await.status, 503);
    }
    deployment.upstream.next(Script::answer(200, &html, TOKEN));
    deployment.upstream.next(sent_home());
    Pair::read(&client::login(replica.gate, "ann", PASSWORD).await);
    replica.process.terminate();
    replica.process.exit().await;

    let said = replica.process.output();
    expected.extend([
        "the application cannot answer a login".to_owned(),
        "the application has not answered a login in time".to_owned(),
        "the application does not answer a login".to_owned(),
    ]);
    for words in expected {
        let line = said.lines().find(|line| line.contains(&words));
        let line = line.unwrap_or_else(|| panic!("{words:?} is not in the log: {said}"));
        assert!(line.contains("page"), "{line}");
    }
    for secret in [PASSWORD, "hunter2", MARK, "s3ss10n", "t0k3n"] {
        assert!(!said.contains(secret), "{secret} is in the log: {said}");
    }
}
