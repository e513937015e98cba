//! Each sign of success, and each place where the subject may stand.

use crate::support::raw::request;

use super::*;

#[tokio::test]
async fn a_json_login_gives_tokens_for_whom_the_answer_names() {
    let site = Site::new(JSON).await;
    let pair = Pair::read(&site.login(let_in()).await);
    let me = site.me(&pair).await;
    assert_eq!((&me["sub"], &me["roles"]), (&json!("7"), &json!(["clerk"])));
    let sessions = site.sessions().await;
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].subject.as_str(), "7");
    let refreshed = Pair::read(&client::refresh(site.running.listen[0], &pair.refresh, None).await);
    assert_eq!(site.me(&refreshed).await["roles"], json!(["clerk"]), "the claims outlive the first token");
}

#[tokio::test]
async fn a_form_login_gives_tokens_for_whom_logged_in() {
    let site = Site::new(FORM).await;
    let answer = site.login(sent_home()).await;
    assert_eq!(answer.header("set-cookie"), None, "the application's cookie is not the client's");
    assert_eq!(answer.header("location"), None);
    assert_eq!(site.me(&Pair::read(&answer)).await["sub"], "ann");
}

#[tokio::test]
async fn a_header_may_name_the_subject() {
    let settings = JSON.replace("json = \"/user/id\"", "header = \"X-User\"");
    let site = Site::new(&settings).await;
    let answer = Script::answer(200, &[("X-User", "u-17")], r#"{"user":{"id":"x"}}"#);
    assert_eq!(site.me(&Pair::read(&site.login(answer).await)).await["sub"], "u-17");
}

#[tokio::test]
async fn a_probe_is_asked_with_the_cookies_of_the_login_and_names_the_subject() {
    let settings = FORM.replace("form = \"username\"", "probe = \"GET /api/me?fields=all\"\njson = \"/id\"");
    let site =
        Site::new(&format!("{settings}\n[login.upstream.claims]\nroles = \"/roles\"\ntenant = \"/tenant\"")).await;
    let cookies = [
        ("Set-Cookie", "PHPSESSID=old; Path=/"),
        ("Set-Cookie", "lang=en; Path=/"),
        ("Set-Cookie", "gone=x; Max-Age=0"),
        ("Set-Cookie", "PHPSESSID=new; Path=/"),
        ("Location", "http://app.example/home.php"),
    ];
    site.deployment.upstream.next(Script::answer(302, &cookies, ""));
    let answer = site.login(Script::answer(200, &[], r#"{"id":"ann-4","roles":"admin","tenant":{"id":3}}"#)).await;
    let pair = Pair::read(&answer);
    assert_eq!(site.me(&pair).await["sub"], "ann-4");
    let session = &site.sessions().await[0];
    assert_eq!(serde_json::to_value(&session.claims).unwrap(), json!({ "roles": ["admin"], "tenant": { "id": 3 } }));
    let probe = site.last_asked();
    assert_eq!((probe.method(), probe.target()), ("GET".into(), "/api/me?fields=all".into()));
    assert_eq!(probe.header("cookie").as_deref(), Some("PHPSESSID=new; lang=en"));
    assert_eq!((probe.text(), probe.header("content-type")), (String::new(), None));
}

#[tokio::test]
async fn a_value_may_be_the_sign_and_a_chunked_answer_is_read() {
    let settings = JSON.replace("member = \"/user/id\"", "equals = { \"/status\" = \"ok\", \"/code\" = 0 }");
    let site = Site::new(&settings).await;
    let (chunks, script) = Script::streamed(&[("Content-Type", "text/html")]);
    let sending = async {
        chunks.push(r#"{"status":"ok","#).await;
        chunks.push(r#""code":0,"user":{"id":"ann"}}"#).await;
        chunks.end().await;
    };
    let (answer, ()) = tokio::join!(site.login(script), sending);
    assert_eq!(site.me(&Pair::read(&answer)).await["sub"], "ann");
}

#[tokio::test]
async fn oauth_clients_log_in_as_ever() {
    let site = Site::new(JSON).await;
    site.deployment.upstream.next(let_in());
    let form = "grant_type=password&username=ann&password=hunter2+hunter2&client_id=first-party";
    let answer = site.send(request("POST", "/login").body("application/x-www-form-urlencoded", form)).await;
    Pair::read(&answer);
}
