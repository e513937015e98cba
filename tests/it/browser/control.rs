//! What a case tells the deployment to do: `POST /advance/660`, `/wire/swallow`, `/store/lock`, …

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::site::Site;
use crate::support::clock::Ahead;
use crate::support::relay::{Direction, Mode, Relay};

/// What can be told.
pub(super) struct Control {
    pub(super) clock: Arc<Ahead>,
    pub(super) relay: Arc<Relay>,
    pub(super) site: Arc<Site>,
    pub(super) database: PathBuf,
}

struct Shared {
    control: Control,
    /// Holds the store's one write lock.
    lock: Mutex<Option<SqliteConnection>>,
}

/// Serves until the test has ended, and says where.
pub(super) async fn serve(control: Control) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let router = Router::new()
        .route("/advance/{seconds}", post(advance))
        .route("/wire/{mode}", post(wire))
        .route("/store/{word}", post(store))
        .route("/release", post(release))
        .route("/seen", post(seen))
        .with_state(Arc::new(Shared { control, lock: Mutex::default() }));
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

/// The server's clock goes on by so many seconds.
async fn advance(State(shared): State<Arc<Shared>>, Path(seconds): Path<u64>) -> Response {
    shared.control.clock.advance(Duration::from_secs(seconds));
    done()
}

/// The wire between browser and gate. What is swallowed is lost; `sever` cuts it once.
async fn wire(State(shared): State<Arc<Shared>>, Path(mode): Path<String>) -> Response {
    let relay = &shared.control.relay;
    match mode.as_str() {
        "pass" => relay.set(Mode::Pass),
        "swallow-answers" => relay.set(Mode::Swallow(Direction::ToClient)),
        "reset" => relay.set(Mode::Reset),
        "sever" => relay.sever(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    }
    done()
}

/// While the store is locked, nothing can be written to it.
async fn store(State(shared): State<Arc<Shared>>, Path(word): Path<String>) -> Response {
    let mut held = shared.lock.lock().await;
    match word.as_str() {
        "lock" => {
            let options = SqliteConnectOptions::new().filename(&shared.control.database);
            let mut connection = options.connect().await.expect("the store is a file");
            sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.expect("nobody writes for long");
            *held = Some(connection);
        }
        "unlock" => drop(held.take()),
        _ => return StatusCode::NOT_FOUND.into_response(),
    }
    done()
}

async fn release(State(shared): State<Arc<Shared>>) -> Response {
    shared.control.site.release();
    done()
}

async fn seen(State(shared): State<Arc<Shared>>) -> Response {
    axum::Json(json!({ "seen": shared.control.site.seen() })).into_response()
}

fn done() -> Response {
    axum::Json(json!({})).into_response()
}
