//! A deployment, and the script that uses it with somebody else's client.
//!
//! The script has a control address for what a client cannot do: put the server's clock forward, ask what the API saw.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path as Segment, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use sidegate::boot::{self, Running};
use sidegate::clock::Entropy;
use tokio::net::TcpListener;

use crate::support::clock::Ahead;
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::process::Process;

/// What one case plays against.
pub(super) struct Stage {
    deployment: Arc<Deployment>,
    running: Running,
    control: SocketAddr,
}

/// What runs a script.
#[derive(Clone, Copy, Debug)]
pub(super) enum Runtime {
    Node,
    Python,
}

struct Control {
    clock: Arc<Ahead>,
    deployment: Arc<Deployment>,
}

impl Stage {
    /// API and sidegate, with these settings laid over the deployment's.
    pub(super) async fn new(settings: &str) -> Self {
        let deployment = Arc::new(Deployment::new(StoreKind::Sqlite, settings).await);
        let clock = Arc::new(Ahead::default());
        let running = Box::pin(boot::start(&deployment.config(), clock.clone(), Entropy)).await.expect("it starts");
        let control = serve(Control { clock, deployment: Arc::clone(&deployment) }).await;
        Self { deployment, running, control }
    }

    /// Runs the case to its end.
    ///
    /// # Panics
    /// If it fails, with what it said.
    pub(super) async fn play(self, runtime: Runtime, script: &str, case: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let stage = json!({
            "gate": format!("http://{}", self.running.listen[0]),
            "control": format!("http://{}", self.control),
            "user": USER,
            "password": PASSWORD,
        });
        let mut command = runtime.command();
        command.args([script, case]).current_dir(folder).env("STAGE", stage.to_string());
        // No proxy of the machine stands between a client and its server.
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        let mut process = Process::start(&mut command);
        let status = process.exit_within(Duration::from_mins(1)).await;
        assert!(status.success(), "{case}:\n{}", process.output());
        drop(self.deployment);
    }
}

impl Runtime {
    fn command(self) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (program, packages, runner) = match self {
            Self::Node => ("node".into(), root.join("tests/clients/node_modules"), "run.mjs"),
            Self::Python => (root.join("target/python/bin/python"), root.join("target/python"), "run.py"),
        };
        assert!(packages.exists(), "scripts/setup --tests installs the clients into {}", packages.display());
        let mut command = Command::new(program);
        // The libraries insist on https, which nobody speaks here.
        command.arg(runner).env("OAUTHLIB_INSECURE_TRANSPORT", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// Serves until the test has ended, and says where.
async fn serve(control: Control) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let router = Router::new()
        .route("/advance/{seconds}", post(advance))
        .route("/seen", get(seen))
        .with_state(Arc::new(control));
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

/// The server's clock goes on by so many seconds.
async fn advance(State(control): State<Arc<Control>>, Segment(seconds): Segment<u64>) -> Json<Value> {
    control.clock.advance(Duration::from_secs(seconds));
    Json(json!({}))
}

/// What reached the API: target and subject of each request.
async fn seen(State(control): State<Arc<Control>>) -> Json<Value> {
    let requests = control.deployment.upstream.requests();
    let seen = requests.iter().map(|request| {
        json!({
            "target": request.target(),
            "subject": request.header("x-auth-subject"),
            "authorization": request.header("authorization"),
            "body": String::from_utf8_lossy(&request.body),
        })
    });
    Json(seen.collect())
}
