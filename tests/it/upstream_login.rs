//! Logins that the application itself decides: what it is asked, what its answers mean, and that nothing else than a clear
//! success ever makes a session.

use std::sync::Arc;

use serde_json::{Value, json};
use sidegate::boot::Running;
use sidegate::clock::SystemClock;
use sidegate::domain::session::Session;
use sidegate::store::{self, Store};

use crate::support::client::{self, Pair};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::raw::{self, RawRequest, RawResponse, request};
use crate::support::upstream::{Recorded, Script};

mod asked;
mod behind;
mod ended;
mod failures;
mod from_page;
mod limits;
mod operator;
mod page;
mod passed_on;
mod successes;

/// A JSON login that says who was let in.
const JSON: &str = r#"
[login]
provider = "upstream"
[login.upstream]
request = "POST /api/login"
json = { username = "{username}", password = "{password}" }
[login.upstream.success]
status = [200]
member = "/user/id"
[login.upstream.subject]
json = "/user/id"
[login.upstream.claims]
roles = "/user/roles"
"#;

/// The form of an application made for browsers.
const FORM: &str = r#"
[login]
provider = "upstream"
[login.upstream]
request = "POST /login.php"
form = { user = "{username}", pass = "{password}", action = "login", remember = "{remember}" }
[login.upstream.success]
status = [302]
sets_cookie = "PHPSESSID"
location = "/home*"
location_not = "/login.php*"
[login.upstream.subject]
form = "username"
"#;

const PASSWORD: &str = "hunter2 hunter2";

/// What failures say: no client may see it.
const MARK: &str = "only-the-application-says-this";

/// One sidegate in this process, before an application that the test plays.
struct Site {
    deployment: Deployment,
    running: Running,
    store: Arc<dyn Store>,
}

impl Site {
    async fn new(settings: &str) -> Self {
        Self::on(StoreKind::Sqlite, settings).await
    }

    async fn on(kind: StoreKind, settings: &str) -> Self {
        let deployment = Deployment::without_user(kind, settings).await;
        let running = deployment.in_process().await;
        let config = deployment.config();
        let store = store::open(&config.store, &config.realm, Arc::new(SystemClock)).await.expect("the store opens");
        Self { deployment, running, store }
    }

    /// A login that the application answers so.
    async fn login(&self, answer: Script) -> RawResponse {
        self.deployment.upstream.next(answer);
        client::login(self.running.listen[0], "ann", PASSWORD).await
    }

    async fn send(&self, request: RawRequest) -> RawResponse {
        raw::exchange(self.running.listen[0], request.bytes()).await
    }

    /// Everybody who is logged in.
    async fn sessions(&self) -> Vec<Session> {
        self.store.living_sessions(None, 1000).await.expect("the store answers").sessions
    }

    fn last_asked(&self) -> Recorded {
        self.deployment.upstream.requests().pop().expect("the application was asked")
    }

    /// What an access token says about its bearer.
    async fn me(&self, pair: &Pair) -> Value {
        self.send(request("GET", "/auth/me").bearer(&pair.access)).await.json()
    }
}

fn let_in() -> Script {
    Script::answer(200, &[], json!({ "user": { "id": 7, "roles": ["clerk"] } }).to_string())
}

fn sent_home() -> Script {
    Script::answer(302, &[("Set-Cookie", "PHPSESSID=s3ss10n; Path=/; HttpOnly"), ("Location", "/home.php")], "")
}
