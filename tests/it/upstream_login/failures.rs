//! Every shape of an answer that is no success: no session, and nothing of it for the client.

use std::time::Duration;

use super::*;

/// What the client is told.
#[derive(Clone, Copy)]
pub(super) enum Told {
    /// The name or the password is wrong.
    Wrong,
    /// Try again later.
    Later,
    Slower,
    /// Nobody knows.
    Unclear,
}

impl Told {
    fn check(self, answer: &RawResponse, case: &str) {
        let (status, code) = match self {
            Self::Wrong => (400, "invalid_grant"),
            Self::Later => (503, "temporarily_unavailable"),
            Self::Slower => (429, "temporarily_unavailable"),
            Self::Unclear => (502, "server_error"),
        };
        assert_eq!(answer.status, status, "{case}: {}", answer.text());
        assert_eq!(client::oauth_error(answer, status), code, "{case}");
        assert_eq!(answer.header("retry-after").is_some(), status == 503 || status == 429, "{case}");
    }
}

pub(super) async fn assert_each(site: &Site, cases: Vec<(&str, Script, Told)>) {
    for (case, script, told) in cases {
        let answer = site.login(script).await;
        told.check(&answer, case);
        assert!(!answer.text().contains(MARK) && !answer.head.contains(MARK), "{case}: {}", answer.text());
        assert_eq!(answer.header("set-cookie"), None, "{case}");
        assert_eq!(answer.header("location"), None, "{case}");
        assert_eq!(site.sessions().await, [], "{case}: nobody is logged in");
    }
}

/// An answer that carries the mark wherever it can.
fn marked(status: u16, body: &str) -> Script {
    let cookie = format!("PHPSESSID={MARK}");
    Script::answer(status, &[("Set-Cookie", &cookie), ("X-Mark", MARK)], format!("{body}{}", " ".repeat(8)))
}

fn json_of(value: &Value) -> Script {
    marked(200, &value.to_string())
}

#[tokio::test]
async fn no_failure_of_a_json_login_makes_a_session() {
    use Told::{Later, Slower, Unclear, Wrong};
    let site = Site::new(&format!("{JSON}[login.upstream.refused]\nstatus = [200]\nmember = \"/error\"\n")).await;
    let good = r#"{"user":{"id":7}}"#;
    let mut cases = vec![
        ("401", marked(401, MARK), Wrong),
        ("403 with what looks like success", marked(403, good), Wrong),
        ("422", marked(422, MARK), Wrong),
        ("404", marked(404, MARK), Wrong),
        ("408", marked(408, good), Later),
        ("500 with what looks like success", marked(500, good), Later),
        ("502", marked(502, MARK), Later),
        ("503", marked(503, good), Later),
        ("200 with an error", json_of(&json!({ "error": MARK, "user": { "id": 7 } })), Wrong),
        ("200 with an error page", marked(200, &format!("<html>{MARK}</html>")), Unclear),
        ("200 without a body", marked(200, ""), Unclear),
        ("201", marked(201, good), Unclear),
        ("204", Script::answer(204, &[], ""), Unclear),
        ("302 to itself", Script::answer(302, &[("Location", "/api/login"), ("Set-Cookie", MARK)], good), Unclear),
        ("doubled members", marked(200, r#"{"user":{"id":7},"user":{"id":8}}"#), Unclear),
        ("doubled members further in", marked(200, r#"{"user":{"id":7,"id":8}}"#), Unclear),
        ("half of it", marked(200, r#"{"user":{"id":7}"#), Unclear),
        ("more than one", marked(200, r#"{"user":{"id":7}} {"user":{"id":8}}"#), Unclear),
        ("a list", marked(200, r#"[{"user":{"id":7}}]"#), Unclear),
        ("no user", json_of(&json!({ "user": null, "message": MARK })), Unclear),
        ("gzip by its name", Script::answer(200, &[("Content-Encoding", "gzip"), ("X-Mark", MARK)], good), Unclear),
        ("no UTF-8", Script::answer(200, &[], b"{\"user\":{\"id\":\"\xff\"}}"), Unclear),
        ("too long", json_of(&json!({ "user": { "id": 7 }, "more": "x".repeat(1024 * 1024) })), Unclear),
        ("roles that are none", json_of(&json!({ "user": { "id": 7, "roles": [{ "name": MARK }] } })), Unclear),
        ("roles without end", json_of(&json!({ "user": { "id": 7, "roles": ["x".repeat(5000)] } })), Unclear),
        ("429", Script::answer(429, &[("Retry-After", "17"), ("X-Mark", MARK)], good), Slower),
        ("429 without a time", marked(429, good), Slower),
    ];
    let subjects = [
        json!(""),
        json!("   "),
        json!("\t"),
        json!(" ann"),
        json!("ann "),
        json!("\u{200b}ann"),
        json!("ann\u{202e}"),
        json!("\u{2060} \u{feff}"),
        json!("a\u{0}b"),
        json!("a\r\nSet-Cookie: x=y"),
        json!("x".repeat(256)),
        json!("é".repeat(128)),
        json!(["ann"]),
        json!([7, 8]),
        json!({ "id": 7 }),
        json!(true),
        json!(0),
        json!(-7),
        json!(7.5),
        json!(1e300),
    ];
    cases.extend(subjects.iter().map(|id| ("a bad subject", json_of(&json!({ "user": { "id": id } })), Unclear)));
    assert_each(&site, cases).await;
    let answer = site.login(Script::answer(429, &[("Retry-After", "17")], "")).await;
    assert_eq!(answer.header("retry-after"), Some("17"), "the application's own time");
    Pair::read(&site.login(let_in()).await);
}

#[tokio::test]
async fn no_failure_of_a_form_login_makes_a_session() {
    use Told::{Unclear, Wrong};
    let site = Site::new(FORM).await;
    let to = |place: &str, cookie: &str| {
        let headers: Vec<(&str, &str)> = [("Location", place), ("Set-Cookie", cookie), ("X-Mark", MARK)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Script::answer(302, &headers, MARK)
    };
    let cookie = "PHPSESSID=x; Path=/";
    assert_each(
        &site,
        vec![
            ("the form again", marked(200, "<form>wrong password</form>"), Unclear),
            ("back to the form", to("/login.php?failed=1", cookie), Wrong),
            ("back to the form, in full", to("http://app.example/login.php", cookie), Wrong),
            ("elsewhere", to("/maintenance", cookie), Unclear),
            ("nowhere", to("", cookie), Unclear),
            ("home without a cookie", to("/home.php", ""), Unclear),
            ("home with another cookie", to("/home.php", "SESSION=x"), Unclear),
            ("home with an empty cookie", to("/home.php", "PHPSESSID="), Unclear),
            ("home with a deleted cookie", to("/home.php", "PHPSESSID=deleted; Max-Age=0"), Unclear),
            (
                "two places",
                Script::answer(302, &[("Location", "/home"), ("Location", "/x"), ("Set-Cookie", cookie)], ""),
                Unclear,
            ),
            (
                "home and back to the form",
                Script::answer(302, &[("Location", "/home"), ("Location", "/login.php"), ("Set-Cookie", cookie)], ""),
                Wrong,
            ),
            ("301", Script::answer(301, &[("Location", "/home"), ("Set-Cookie", cookie)], ""), Unclear),
        ],
    )
    .await;
    for name in [" ann", "ann ", "ann\u{7}", &"x".repeat(256)] {
        let answer = client::login(site.running.listen[0], name, PASSWORD).await;
        Told::Wrong.check(&answer, name);
    }
    assert_eq!(site.sessions().await, []);
}

#[tokio::test]
async fn no_failure_on_the_way_makes_a_session_or_says_that_the_password_is_wrong() {
    let site = Site::new(&format!("{JSON}[upstream.default]\nresponse_timeout = \"300ms\"\n")).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let good = r#"{"user":{"id":7}}"#;
    let endless = || Script::new().read_body().send(format!("{head}Content-Length: 1000\r\n\r\n{good}"));
    assert_each(
        &site,
        vec![
            ("closed", Script::new().read_body().close(), Told::Later),
            ("closed in the head", Script::new().read_body().send("HTTP/1.1 200 OK\r\nConte").close(), Told::Later),
            ("closed in the body", endless().close(), Told::Later),
            ("reset in the body", endless().reset(), Told::Later),
            (
                "closed in a chunk",
                Script::new()
                    .read_body()
                    .send(format!("{head}Transfer-Encoding: chunked\r\n\r\n11\r\n{good}\r\n"))
                    .close(),
                Told::Later,
            ),
            ("no answer", Script::new().read_body().hang(), Told::Later),
            ("no end", endless().hang(), Told::Later),
            ("too slow", Script::new().read_body().wait(Duration::from_secs(5)).answering(200, &[], good), Told::Later),
            ("no HTTP", Script::new().read_body().send("hello\r\n\r\n").close(), Told::Later),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_application_that_is_not_there_is_no_wrong_password() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, JSON).await;
    let nowhere = crate::support::net::free_address();
    let running = deployment.in_process_with(&format!("upstream.default.url = \"http://{nowhere}\"")).await;
    Told::Later.check(&client::login(running.listen[0], "ann", PASSWORD).await, "refused");
}

#[tokio::test]
async fn no_failure_of_a_probe_makes_a_session() {
    use Told::{Later, Unclear};
    let settings = FORM.replace("form = \"username\"", "probe = \"GET /api/me\"\nheader = \"X-User\"");
    let site = Site::new(&settings).await;
    let named = |status: u16, names: &[&str]| {
        let headers: Vec<(&str, &str)> = names.iter().map(|name| ("X-User", *name)).collect();
        Script::answer(status, &headers, MARK)
    };
    let cases = vec![
        ("401", named(401, &["ann"]), Unclear),
        ("302", named(302, &["ann"]), Unclear),
        ("500", named(500, &["ann"]), Later),
        ("no name", named(200, &[]), Unclear),
        ("an empty name", named(200, &[""]), Unclear),
        ("two names", named(200, &["ann", "ben"]), Unclear),
        ("the same name twice", named(200, &["ann", "ann"]), Unclear),
        ("closed", Script::new().read_body().close(), Later),
    ];
    for (case, probe, told) in cases {
        site.deployment.upstream.next(sent_home());
        assert_each(&site, vec![(case, probe, told)]).await;
    }
    site.deployment.upstream.next(sent_home());
    assert_eq!(site.me(&Pair::read(&site.login(named(200, &["ben"])).await)).await["sub"], "ben");
}
