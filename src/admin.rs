//! What the operator looks at and calls.
//!
//! The health listener tells everybody health and metrics, and changes nothing. The [`door`] takes the [`calls`] that
//! change something, from callers that it knows; a command makes them as a [`client`].

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::authority::Authority;
use crate::domain::time::millis;
use crate::lifecycle::Phase;
use crate::telemetry::Metrics;

use self::bounded::Bounded;

mod bounded;
pub mod calls;
pub mod client;
pub mod door;
pub mod message;
mod socket;
pub mod token;

/// What the probes look at.
pub struct Health {
    pub phase: watch::Receiver<Phase>,
    /// Set once the store was reached and the keys were opened.
    pub authority: OnceLock<Arc<Authority>>,
    pub metrics: Arc<Metrics>,
}

/// Answers until it is dropped. Anyone who reaches it may ask, so it serves few at once, and none for long: it must not
/// take the descriptors of those who bring a token.
pub async fn serve(listener: TcpListener, health: Arc<Health>) {
    // Ends with the process only: an error on one connection is that connection's.
    let _ = axum::serve(Bounded::new(listener), router(health)).await;
}

/// `/livez`: the process answers. `/readyz`: it may be sent requests. `/metrics`: OpenMetrics text.
fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

/// Readiness does not depend on the store: a database that fails over must not take every application out. It does depend
/// on the clock, by which tokens are judged.
async fn readyz(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let phase = *health.phase.borrow();
    let ready = health.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let phase = match phase {
        Phase::Starting => "starting",
        Phase::Serving => "serving",
        Phase::Draining => "draining",
        Phase::Stopping => "stopping",
    };
    let authority = health.authority.get();
    let feed = authority.map(|authority| {
        json!({
            "mode": if authority.is_listening() { "listen" } else { "poll" },
            "age_milliseconds": authority.silence().map(millis),
            "stale": authority.is_stale(),
        })
    });
    let clock = authority.map(|authority| {
        json!({ "right": !authority.has_wrong_clock(), "ahead_of_store_milliseconds": authority.clock_offset_millis() })
    });
    (status, Json(json!({ "ready": ready, "phase": phase, "feed": feed, "clock": clock })))
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let metrics = &health.metrics;
    if let Some(authority) = health.authority.get() {
        metrics.revocations.set(signed(authority.revocations_held()));
        metrics.verified_tokens.set(signed(authority.tokens_cached()));
        metrics.feed_age_milliseconds.set(authority.silence().map_or(0, millis));
        metrics.feed_stale.set(i64::from(authority.is_stale()));
        metrics.clock_offset_milliseconds.set(authority.clock_offset_millis());
    }
    metrics.ready.set(i64::from(health.is_ready()));
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], metrics.encode())
}

impl Health {
    /// Whether this replica may be sent requests.
    fn is_ready(&self) -> bool {
        let serves = *self.phase.borrow() == Phase::Serving;
        serves && self.authority.get().is_none_or(|authority| !authority.has_wrong_clock())
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
