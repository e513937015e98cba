//! The kind of API sidegate is made for: plain HTTP, a few resources, its own login that protects nothing.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::page;

/// JSON and a line end, for people at a terminal.
struct Line(Value);

impl IntoResponse for Line {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], format!("{}\n", self.0)).into_response()
    }
}

type Notes = Arc<Mutex<Vec<String>>>;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener) {
    let notes: Notes = Arc::new(Mutex::new(vec!["buy milk".into(), "call Ann".into()]));
    let router = Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/api/login", post(login))
        .route("/api/notes", get(list).post(add))
        .route("/api/notes/{number}", get(show))
        .route("/api/admin/stats", get(stats))
        .layer(middleware::from_fn(print_and_echo))
        .with_state(notes)
        .merge(page::router());
    let _ = axum::serve(listener, router).await;
}

/// Prints what arrived, and tells the caller which identity headers it saw.
async fn print_and_echo(request: Request, next: Next) -> Response {
    let seen: Vec<String> = request
        .headers()
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-auth-") || name.as_str() == "authorization")
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
        .collect();
    let seen = if seen.is_empty() { "no identity".to_owned() } else { seen.join(", ") };
    // Nobody may be reading.
    let _ = writeln!(std::io::stdout().lock(), "  the API got {} {} ({seen})", request.method(), request.uri().path());
    let mut response = next.run(request).await;
    if let Ok(value) = seen.parse() {
        response.headers_mut().insert("x-the-api-saw", value);
    }
    response
}

async fn list(State(notes): State<Notes>) -> Line {
    Line(json!({ "notes": *notes.lock().unwrap_or_else(PoisonError::into_inner) }))
}

async fn show(State(notes): State<Notes>, Path(number): Path<usize>) -> Response {
    match notes.lock().unwrap_or_else(PoisonError::into_inner).get(number) {
        Some(note) => Line(json!({ "note": note })).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn add(State(notes): State<Notes>, body: String) -> impl IntoResponse {
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.push(body.chars().take(200).collect());
    (StatusCode::CREATED, Line(json!({ "number": notes.len() - 1 })))
}

async fn login() -> Line {
    Line(json!({ "welcome": true, "note": "this API's own login; nothing here asks for it" }))
}

async fn stats(State(notes): State<Notes>) -> Line {
    Line(json!({ "notes": notes.lock().unwrap_or_else(PoisonError::into_inner).len() }))
}
