//! A deployment whose API serves pages, and the script that opens them in a browser.
//!
//! The script has a control address for what a page cannot do: advance the server's clock, cut the wire between browser
//! and gate, lock the store, let the API's held answers go.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sidegate::boot::{self, Running};
use sidegate::clock::Entropy;
use tokio::sync::Semaphore;

use super::cases::FOLDER;
use super::control::{self, Control};
use super::site::Site;
use crate::support::clock::Ahead;
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::process::Process;
use crate::support::relay::Relay;

/// What one case plays against.
pub(super) struct Stage {
    deployment: Deployment,
    running: Running,
    relay: Arc<Relay>,
    site: Arc<Site>,
    control: SocketAddr,
}

/// The pages are for everybody; what they ask for is not.
const ROUTES: &str = r#"
store.timeout = "300ms"
[[route]]
path = "/page/*"
methods = ["GET"]
auth = "none"
"#;

/// A second user, with the password of the first.
const ANOTHER: &str = "bob";

/// Browsers are large, and tests many.
static BROWSERS: Semaphore = Semaphore::const_new(2);

impl Stage {
    /// Browser, relay, sidegate, site. `settings` are laid over the deployment's; `{page}` is the
    /// address of the pages, `{site}` the site's own, without the gate.
    pub(super) async fn new(settings: &str) -> Self {
        let site = Site::start().await;
        let relay = Arc::new(Relay::to(site.address).await);
        let settings = settings
            .replace("{page}", &format!("http://{}", relay.address))
            .replace("{site}", &format!("http://{}", site.address));
        let upstream = format!("upstream.default.url = \"http://{}\"\n{settings}\n{ROUTES}", site.address);
        let deployment = Deployment::new(StoreKind::Sqlite, &upstream).await;
        deployment.add_user(ANOTHER, PASSWORD, &[]).await;
        let clock = Arc::new(Ahead::default());
        let running = Box::pin(boot::start(&deployment.config(), clock.clone(), Entropy)).await.expect("it starts");
        relay.switch(running.listen[0]);
        let database = deployment.home.path("sidegate.db");
        let control = Control { clock, relay: Arc::clone(&relay), site: Arc::clone(&site), database };
        let control = control::serve(control).await;
        Self { deployment, running, relay, site, control }
    }

    /// Runs the case to its end.
    ///
    /// # Panics
    /// If it fails, with what it said.
    pub(super) async fn play(self, script: &str, case: &str) {
        let stage = json!({
            "page": format!("http://{}", self.relay.address),
            "control": format!("http://{}", self.control),
            "health": format!("http://{}", self.running.health),
            "site": format!("http://{}", self.site.address),
            "user": USER,
            "another": ANOTHER,
            "password": PASSWORD,
        });
        play(script, case, &stage).await;
        drop(self.deployment);
    }
}

/// Runs a case to its end, and tells it what it plays against.
///
/// # Panics
/// If it fails, with what it said.
pub(super) async fn play(script: &str, case: &str, stage: &Value) {
    let _slot = BROWSERS.acquire().await.expect("it is never closed");
    let modules = Path::new(FOLDER).join("node_modules");
    assert!(modules.exists(), "scripts/setup --tests installs what the browser's scripts need");
    let mut command = Command::new("node");
    command.args(["run.mjs", script, case]).current_dir(FOLDER).env("STAGE", stage.to_string());
    let mut process = Process::start(&mut command);
    let status = process.exit_within(Duration::from_mins(2)).await;
    assert!(status.success(), "{case} failed");
}
