//! What client and application see of a kept cookie.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sidegate::domain::secret::hex;

use crate::support::client::{Pair, call, logged_in, refresh};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::raw::{exchange, request};

use super::SETTINGS;
use super::app::App;

/// CK-8: the client never gets it and need not send it; cookies of others pass.
#[tokio::test]
async fn a_kept_cookie_goes_to_the_application_and_never_to_the_client() {
    let app = App::start().await;
    let deployment = Deployment::without_user(StoreKind::Sqlite, &app.behind(SETTINGS)).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;

    let started = call(gate, "/start", &pair.access).await;
    assert_eq!((started.status, started.values("set-cookie")), (200, vec!["theme=dark"]));
    assert_eq!(app.last_cookies(), ["SID=entry1"], "what the login gave");
    assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish1");
    assert_eq!(app.last_cookies(), ["SID=swordfish1"]);

    for (lines, kept) in [
        (&["theme=dark"][..], "SID=swordfish1; theme=dark"),
        (&["SID=mine; theme=dark"], "SID=swordfish1; theme=dark"),
        (&["theme=dark;SID=mine", "a=1; sid=mine", "%53ID=mine"], "SID=swordfish1; theme=dark; a=1"),
        (&["$Version=1; =SID=mine", "b=2"], "SID=swordfish1; $Version=1; b=2"),
        (&["SID=mine"], "SID=swordfish1"),
    ] {
        let with = |mut request: crate::support::raw::RawRequest| {
            for line in lines {
                request = request.header("Cookie", line);
            }
            request
        };
        for method in ["GET", "POST", "DELETE"] {
            let request = with(request(method, "/page")).bearer(&pair.access);
            assert_eq!(exchange(gate, request.header("Content-Length", "0").bytes()).await.text(), "swordfish1");
            assert_eq!(app.last_cookies(), [kept], "{method} {lines:?}");
        }
        let upgrade = with(request("GET", "/page")).bearer(&pair.access).header("Connection", "Upgrade");
        let upgrade = upgrade.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
        exchange(gate, upgrade.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").bytes()).await;
        assert_eq!(app.last_cookies(), [kept], "an upgrade with {lines:?}");

        // Nobody else's session: the client's cookie is taken away, and none is sent.
        let kept = kept.strip_prefix("SID=swordfish1").unwrap().trim_start_matches("; ");
        let kept: Vec<&str> = Some(kept).filter(|kept| !kept.is_empty()).into_iter().collect();
        for target in ["/public/cookies", "/open/cookies"] {
            exchange(gate, with(request("GET", target)).bytes()).await;
            assert_eq!(app.last_cookies().join("; "), kept.join("; "), "{target} {lines:?}");
        }
    }
    exchange(gate, request("GET", "/open/page").bearer(&pair.access).bytes()).await;
    assert_eq!(app.last_cookies(), ["SID=swordfish1"], "an optional route with an identity");
    let unasked = exchange(gate, request("GET", "/public/start").bearer(&pair.access).bytes()).await;
    assert_eq!((unasked.values("set-cookie"), app.last_cookies()), (vec!["theme=dark"], vec![]));
    let stranger = exchange(gate, request("GET", "/open/page").bytes()).await;
    assert_eq!(stranger.status, 302, "to somebody anonymous nothing is lost");
    assert_eq!(stranger.values("set-cookie"), [""; 0]);
    assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish1", "and nothing of it was taken up");
}

#[tokio::test]
async fn a_kept_cookie_goes_to_no_other_upstream() {
    let (app, other) = (App::start().await, App::start().await);
    let routes = format!(
        "{SETTINGS}\n[upstream.default]\nurl = \"http://{}\"\n[upstream.other]\nurl = \"http://{}\"\n\
         [[route]]\npath = \"/other/*\"\nupstream = \"other\"",
        app.address, other.address
    );
    let deployment = Deployment::without_user(StoreKind::Sqlite, &routes).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;
    assert_eq!(call(gate, "/start", &pair.access).await.status, 200);

    let answer = call(gate, "/other/start", &pair.access).await;
    assert_eq!(answer.values("set-cookie"), ["theme=dark"], "its cookie of that name passes neither way");
    let mine = request("GET", "/other/cookies").bearer(&pair.access).header("Cookie", "SID=mine; a=1");
    exchange(gate, mine.bytes()).await;
    assert_eq!(other.last_cookies(), ["a=1"]);
    let lost = call(gate, "/other/page", &pair.access).await;
    assert_eq!((lost.status, lost.values("set-cookie")), (302, vec![]), "its sessions are its own");
    assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish1");
}

/// Neither a decoded token, nor what it says about itself, nor the store shows a cookie.
#[tokio::test]
async fn a_kept_cookie_can_be_read_nowhere() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let app = App::start().await;
        let deployment = Deployment::without_user(kind, &app.behind(SETTINGS)).await;
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let pair = logged_in(gate).await;
        assert_eq!(call(gate, "/start", &pair.access).await.status, 200);
        let pair = Pair::read(&refresh(gate, &pair.refresh, None).await);
        assert_eq!(call(gate, "/page", &pair.access).await.text(), "swordfish1");

        let me = call(gate, "/auth/me", &pair.access).await.text();
        assert!(!me.contains("vlt") && !me.contains("swordfish"), "{me}");
        let payload = URL_SAFE_NO_PAD.decode(pair.access.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let sealed = URL_SAFE_NO_PAD.decode(claims["vlt"].as_str().unwrap()).unwrap();
        let is_in = |bytes: &[u8]| bytes.windows(9).any(|part| part == b"swordfish");
        assert!(!is_in(&sealed) && !is_in(&payload));
        assert!(running.stop().await);
        let stored = match &deployment.database {
            Some(database) => database.dump(),
            None => std::fs::read(deployment.home.path("sidegate.db")).unwrap(),
        };
        assert!(!is_in(&stored) && !String::from_utf8_lossy(&stored).contains(&hex(b"swordfish")));
    }
}
