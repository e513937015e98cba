//! The cookies that the application's own login gives.

use crate::support::client::{Pair, login};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER, laid_over};
use crate::support::raw::{RawResponse, exchange, request};
use crate::support::upstream::Script;

use super::SETTINGS;

/// The application's form in a browser, which never gets the application's cookie.
const BROWSER: &str = r#"
login.upstream.answer = "upstream"
cookie.mode = true
server.public_url = "https://app.example"
"#;

fn let_in(cookie: &str) -> Script {
    Script::answer(302, &[("Set-Cookie", cookie), ("Set-Cookie", "theme=dark"), ("Location", "/home")], "welcome")
}

/// A browser's `Cookie` line after an answer.
fn jar(answer: &RawResponse) -> String {
    let pairs = answer.values("set-cookie").into_iter().map(|line| line.split(';').next().unwrap_or_default());
    pairs.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn a_session_begins_with_the_cookie_of_its_login() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, SETTINGS).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    deployment.upstream.next(let_in("SID=swordfish; Path=/; HttpOnly"));
    let answer = login(gate, USER, PASSWORD).await;
    assert_eq!(answer.values("set-cookie"), [""; 0]);
    let pair = Pair::read(&answer);
    exchange(gate, request("GET", "/notes").bearer(&pair.access).bytes()).await;
    let seen = deployment.upstream.requests().pop().unwrap();
    assert_eq!(seen.values("cookie"), ["SID=swordfish"], "and none that is not kept");
}

/// CK-2: the largest jar that is taken fits into a browser's cookie, with the token around it.
#[tokio::test]
async fn a_browser_never_gets_the_kept_cookie_and_can_keep_its_own() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, &laid_over(SETTINGS, BROWSER)).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let submit = async |cookie: &str| {
        deployment.upstream.next(let_in(cookie));
        let form = format!("username={USER}&password=right");
        let form = request("POST", "/login").body("application/x-www-form-urlencoded", form);
        exchange(gate, form.header("Sec-Fetch-Site", "same-origin").header("Accept", "text/html").bytes()).await
    };
    let largest = "s".repeat(1536 - "SID=".len());
    let answer = submit(&format!("SID={largest}")).await;
    assert_eq!((answer.status, answer.header("location"), answer.text().as_str()), (302, Some("/home"), "welcome"));
    let lines = answer.values("set-cookie");
    assert!(lines.iter().all(|line| !line.starts_with("SID=") && line.len() < 4096), "{lines:?}");
    assert!(lines.contains(&"theme=dark"), "{lines:?}");
    let page = request("GET", "/notes").header("Cookie", &jar(&answer)).header("Sec-Fetch-Site", "same-origin");
    assert_eq!(exchange(gate, page.bytes()).await.status, 200);
    let seen = deployment.upstream.requests().pop().unwrap();
    assert_eq!(seen.values("cookie"), [format!("SID={largest}; theme=dark")]);

    let refused = Script::answer(403, &[("Set-Cookie", "SID=stranger"), ("Set-Cookie", "theme=dark")], "no");
    deployment.upstream.next(refused);
    let form = request("POST", "/login").body("application/x-www-form-urlencoded", "username=ann&password=wrong");
    let form = form.header("Sec-Fetch-Site", "same-origin").header("Accept", "text/html");
    assert_eq!(exchange(gate, form.bytes()).await.values("set-cookie"), ["theme=dark"]);

    let too_large = submit(&format!("SID=s{largest}")).await;
    assert_eq!(too_large.status, 502);
    assert_eq!(too_large.values("set-cookie"), [""; 0]);
}
