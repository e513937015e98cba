//! What the operator can call: each call is made by somebody the [`door`](super::door) has admitted.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};

use crate::lifecycle::{Lifecycle, Phase};
use crate::telemetry::{Audit, Event};

use super::bounded::Bounded;
use super::door::{Caller, Door, Guard};
use super::message::{Drain, Drained, Failed};

/// What the calls work on.
pub struct Calls {
    pub lifecycle: Arc<Lifecycle>,
    pub audit: Audit,
}

/// Answers until the process stops, and then finishes the calls that are being made.
pub async fn serve(door: Door, calls: Calls) {
    let mut phase = calls.lifecycle.watch();
    let guard = Arc::new(Gate { guard: door.guard(), audit: calls.audit.clone() });
    let router =
        Router::new().route("/drain", post(drain)).layer(from_fn_with_state(guard, admit)).with_state(Arc::new(calls));
    let stopping = async move {
        let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
    };
    let service = router.into_make_service_with_connect_info::<Caller>();
    // An error on one connection is that connection's.
    let _ = axum::serve(Bounded::new(door), service).with_graceful_shutdown(stopping).await;
}

/// What stands before every call, also of what there is not.
struct Gate {
    guard: Guard,
    audit: Audit,
}

async fn admit(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match gate.guard.admit(caller.peer, request.headers()) {
        Ok(()) => {
            caller.known.set();
            next.run(request).await
        }
        Err(stranger) => {
            tracing::warn!(peer = ?caller.peer, reason = stranger.reason(), "a call of the operator's was refused");
            gate.audit.record(&Event::new("admin", "refused"));
            let status = StatusCode::from_u16(stranger.status()).unwrap_or(StatusCode::FORBIDDEN);
            (status, Json(Failed::new("this caller may not do that"))).into_response()
        }
    }
}

/// Answers when whoever routes here has had the time to hear that this replica is not ready any more.
async fn drain(State(calls): State<Arc<Calls>>, Json(Drain {}): Json<Drain>) -> Json<Drained> {
    tracing::info!("draining, as the operator asks: not ready any more");
    calls.audit.record(&Event::new("admin", "drain"));
    Arc::clone(&calls.lifecycle).drain().await;
    Json(Drained {})
}
