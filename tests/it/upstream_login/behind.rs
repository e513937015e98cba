//! The application's own login, asked past ours: its cookies would be somebody else's than the session's.

use super::*;

#[tokio::test]
async fn nobody_logs_in_at_the_application_behind_the_session() {
    let open = "\n[[route]]\npath = '/open/*'\nauth = 'none'\n";
    let site = Site::new(&format!("{JSON}{open}")).await;
    let pair = Pair::read(&site.login(let_in()).await);
    let asked = site.deployment.upstream.requests().len();

    for target in ["/api/login", "/api/login/", "/API/Login", "/api/login?as=ben", "/api//login", "/api/login/x"] {
        let bens = request("POST", target).bearer(&pair.access).body("application/json", r#"{"username":"ben"}"#);
        let answer = site.send(bens).await;
        assert!([400, 403].contains(&answer.status), "{target}: {}", answer.status);
        assert_eq!(site.send(request("POST", target)).await.status / 100, 4, "{target}");
    }
    assert_eq!(site.deployment.upstream.requests().len(), asked, "the application has heard of none of them");

    for (method, target) in [("GET", "/api/login"), ("GET", "/api/login/history"), ("POST", "/api/logins")] {
        assert_eq!(site.send(request(method, target).bearer(&pair.access)).await.status, 200, "{method} {target}");
    }
}

#[tokio::test]
async fn a_route_that_needs_no_token_does_not_lead_there_either() {
    let open = "\n[[route]]\npath = '/api/login'\nauth = 'none'\n";
    let site = Site::new(&format!("{JSON}{open}")).await;
    assert_eq!(site.send(request("POST", "/api/login")).await.status, 403);
    site.deployment.upstream.assert_untouched();
}

/// Else nothing could be posted any more.
#[tokio::test]
async fn below_a_login_at_the_root_is_everything_else() {
    let site = Site::new(&JSON.replace("POST /api/login", "POST /")).await;
    let pair = Pair::read(&site.login(let_in()).await);
    assert_eq!(site.send(request("POST", "/").bearer(&pair.access)).await.status, 403);
    assert_eq!(site.send(request("POST", "/notes").bearer(&pair.access)).await.status, 200);
}
