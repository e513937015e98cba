//! The application's own form, at the path that it is sent to.

use super::*;

const SAME_PATH: &str = r#"
endpoint.login = "/login.php"
cookie = { mode = true, unauthenticated_html = "redirect:/login.php?next={target}" }
[[route]]
path = "/login.php"
methods = ["GET"]
auth = "none"
"#;

/// What is posted is a login; what is read is the form. Nothing of it can be asked for with another method.
#[tokio::test]
async fn the_form_may_stand_where_it_is_sent_to() {
    let site = Site::new(&format!("{SAME_PATH}{FORM}")).await;
    let ours = |request: RawRequest| request.header("Sec-Fetch-Site", "same-origin");

    for target in ["/login.php", "/login.php?next=%2F"] {
        let page = site.send(request("GET", target)).await;
        assert_eq!((page.status, site.last_asked().target()), (200, target.to_owned()));
    }
    let asked = site.deployment.upstream.requests().len();
    site.deployment.upstream.next(sent_home());
    let form =
        ours(request("POST", "/login.php")).body("application/x-www-form-urlencoded", "username=ann&password=pw");
    let answer = site.send(form).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(site.deployment.upstream.requests().len(), asked + 1);
    assert_eq!((site.last_asked().method(), site.last_asked().target()), ("POST".to_owned(), "/login.php".to_owned()));
    assert_eq!(site.last_asked().header("cookie"), None);

    for method in ["PUT", "DELETE", "OPTIONS"] {
        assert_eq!(site.send(ours(request(method, "/login.php"))).await.status, 405, "{method}");
    }
    assert_eq!(site.deployment.upstream.requests().len(), asked + 1);
}

/// Without a route for it, the page is for who is logged in, as everything else; and with built-in users there is none.
#[tokio::test]
async fn the_forms_page_follows_the_routes() {
    let site = Site::new(FORM).await;
    assert_eq!(site.send(request("GET", "/login")).await.status, 401);
    let deployment = Deployment::without_user(StoreKind::Sqlite, "").await;
    let running = deployment.in_process().await;
    assert_eq!(raw::exchange(running.listen[0], request("GET", "/login").bytes()).await.status, 405);
    site.deployment.upstream.assert_untouched();
    deployment.upstream.assert_untouched();
}
