//! The API behind the gate, and the pages it serves.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path as Below, Request, State, WebSocketUpgrade};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// A running site; it records who asked for what.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    seen: Mutex<Vec<Value>>,
    /// A permit for each answer of `/api/held`.
    held: Semaphore,
}

impl Site {
    pub(super) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let site = Arc::new(Self { address, seen: Mutex::default(), held: Semaphore::new(0) });
        let router = Router::new()
            .route("/page/{*name}", get(page))
            .route("/api/held", any(held))
            .route("/api/own-401", any(own_401))
            .route("/api/elsewhere", any(elsewhere))
            .route("/api/socket", any(socket))
            .fallback(echo)
            .with_state(Arc::clone(&site));
        tokio::spawn(async { axum::serve(listener, router).await });
        site
    }

    /// Every request for the API so far: method, path, subject, body.
    pub(super) fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets every held answer go, and those to come.
    pub(super) fn release(&self) {
        self.held.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    async fn record(&self, request: Request) -> Value {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let request = json!({
            "method": head.method.as_str(),
            "path": head.uri.path(),
            "subject": header("x-auth-subject"),
            "authorization": header("authorization"),
            "cookie": header("cookie"),
            "language": header("content-language"),
            "body": String::from_utf8_lossy(&body),
        });
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        request
    }
}

/// A file of the tests' pages, or of the client.
async fn page(Below(name): Below<String>) -> Response {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["tests/browser/pages", "examples/browser", "tests/browser/node_modules"];
    let found: Option<PathBuf> = folders.iter().map(|folder| root.join(folder).join(&name)).find(|path| path.is_file());
    let Some(content) = found.and_then(|path| std::fs::read(path).ok()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let media_type = if Path::new(&name).extension().is_some_and(|extension| extension == "js") {
        "text/javascript"
    } else {
        "text/html"
    };
    ([(header::CONTENT_TYPE, media_type)], content).into_response()
}

async fn echo(State(site): State<Arc<Site>>, request: Request) -> Response {
    axum::Json(site.record(request).await).into_response()
}

async fn held(State(site): State<Arc<Site>>, request: Request) -> Response {
    let request = site.record(request).await;
    let _permit = site.held.acquire().await;
    axum::Json(request).into_response()
}

/// An API may have reasons of its own.
async fn own_401(State(site): State<Arc<Site>>, request: Request) -> Response {
    (StatusCode::UNAUTHORIZED, axum::Json(site.record(request).await)).into_response()
}

/// Redirects to another origin: the site itself, without the gate.
async fn elsewhere(State(site): State<Arc<Site>>) -> Response {
    let there = format!("http://{}/api/there", site.address);
    (StatusCode::FOUND, [(header::LOCATION, there)]).into_response()
}

/// Says `hello` to whoever gets in.
async fn socket(State(site): State<Arc<Site>>, upgrade: WebSocketUpgrade, request: Request) -> Response {
    site.record(request).await;
    upgrade.on_upgrade(async |mut socket| drop(socket.send("hello".into()).await))
}
