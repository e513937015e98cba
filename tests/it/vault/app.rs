//! A legacy application: keeps its sessions in a cookie `SID`, as PHP does, and sends strangers to its login page.
//!
//! What it does is the last segment of the path: `login` lets everybody in, `start` begins a session, `turn` gives it a new id and forgets the old
//! one, `roll` gives the cookie a new value at each answer, and takes the old ones too, `leave` ends it, `large` sets a
//! cookie that is too large, `cookies` answers anybody with what it was sent.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running application; gone when dropped.
pub(super) struct App {
    pub(super) address: SocketAddr,
    sessions: Shared,
    serving: JoinHandle<()>,
}

type Shared = Arc<Mutex<Sessions>>;

#[derive(Default)]
struct Sessions {
    living: BTreeSet<String>,
    /// How many ids and values were given.
    given: u32,
    entered: u32,
    /// The `Cookie` lines of each request.
    seen: Vec<Vec<String>>,
}

impl App {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sessions = Shared::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&sessions));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, sessions, serving }
    }

    /// Settings that put it behind a sidegate, with others.
    pub(super) fn behind(&self, settings: &str) -> String {
        format!("upstream.default.url = \"http://{}\"\n{settings}", self.address)
    }

    /// Forgets every session.
    pub(super) fn forget(&self) {
        self.sessions().living.clear();
    }

    /// How many sessions that `start` began it knows.
    pub(super) fn living(&self) -> usize {
        self.sessions().living.iter().filter(|id| id.starts_with("swordfish")).count()
    }

    /// The `Cookie` lines of the last request.
    pub(super) fn last_cookies(&self) -> Vec<String> {
        self.sessions().seen.last().cloned().unwrap_or_default()
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Sessions {
    /// By its own login.
    fn enter(&mut self) -> String {
        self.entered += 1;
        let id = format!("entry{}", self.entered);
        self.living.insert(id.clone());
        id
    }

    fn begin(&mut self) -> String {
        self.given += 1;
        let id = format!("swordfish{}", self.given);
        self.living.insert(id.clone());
        id
    }
}

async fn answer(State(sessions): State<Shared>, request: Request) -> Response {
    let mut sessions = sessions.lock().unwrap();
    let lines = request.headers().get_all(COOKIE).iter();
    let lines: Vec<String> = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect();
    let cookies = lines.join("; ");
    sessions.seen.push(lines);
    let value = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("SID=")).unwrap_or_default().to_owned();
    let id = value.split('.').next().unwrap_or_default().to_owned();
    let what = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    match what.as_str() {
        "cookies" => return cookies.into_response(),
        "login" => return welcome(&sessions.enter()),
        "start" => {
            sessions.living.remove(&id);
            return with_cookies(&[&format!("SID={}; Path=/; HttpOnly", sessions.begin()), "theme=dark"]);
        }
        _ if !sessions.living.contains(&id) => return stranger(),
        _ => {}
    }
    match what.as_str() {
        "turn" => {
            sessions.living.remove(&id);
            with_cookies(&[&format!("SID={}", sessions.begin())])
        }
        "roll" => {
            sessions.given += 1;
            with_cookies(&[&format!("SID={id}.{}", sessions.given)])
        }
        "same" => with_cookies(&[&format!("SID={value}")]),
        "leave" => {
            sessions.living.remove(&id);
            with_cookies(&["SID=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/"])
        }
        "large" => with_cookies(&[&format!("SID={id}.{}", "x".repeat(2000))]),
        _ => id.into_response(),
    }
}

fn with_cookies(lines: &[&str]) -> Response {
    let lines: HeaderMap = lines.iter().map(|line| (SET_COOKIE, line.parse().unwrap())).collect();
    (lines, "done").into_response()
}

/// As PHP does after a good password.
fn welcome(id: &str) -> Response {
    let headers = [(SET_COOKIE, format!("SID={id}; path=/; HttpOnly")), (LOCATION, "/home".to_owned())];
    (StatusCode::FOUND, headers, "").into_response()
}

/// As PHP does: a new session for whoever has none, and a page to log in.
fn stranger() -> Response {
    let headers = [(SET_COOKIE, "SID=stranger; path=/"), (LOCATION, "/login.php?next=%2F")];
    (StatusCode::FOUND, headers, "please log in").into_response()
}
