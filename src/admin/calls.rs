//! What the operator can call: each call is made by somebody the [`door`](super::door) has admitted.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};

use crate::authority::Authority;
use crate::authority::keys::KeysError;
use crate::authority::revoke::RevokeError;
use crate::domain::secret::hex;
use crate::lifecycle::{Lifecycle, Phase};
use crate::telemetry::{Audit, Event};

use super::bounded::Bounded;
use super::door::{Caller, Door, Guard};
use super::message::{Drain, Drained, Failed, Heard, Revoke, Revoked, Silent};

/// What the calls work on.
pub struct Calls {
    pub authority: Arc<Authority>,
    pub lifecycle: Arc<Lifecycle>,
    pub audit: Audit,
}

/// Answers until the process stops, and then finishes the calls that are being made.
pub async fn serve(door: Door, calls: Calls) {
    let mut phase = calls.lifecycle.watch();
    let guard = Arc::new(Gate { guard: door.guard(), audit: calls.audit.clone() });
    let router = Router::new()
        .route("/drain", post(drain))
        .route("/revoke", post(revoke))
        .layer(from_fn_with_state(guard, admit))
        .with_state(Arc::new(calls));
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

/// Ends what is asked for, to its end even if the caller goes, and waits until every replica has heard.
async fn revoke(State(calls): State<Arc<Calls>>, Json(asked): Json<Revoke>) -> Result<Json<Revoked>, Refused> {
    let selection = asked.words().read().map_err(|error| Refused(StatusCode::BAD_REQUEST, error.to_string()))?;
    let authority = Arc::clone(&calls.authority);
    let ended = tokio::spawn(async move { authority.revoke(&selection).await }).await;
    let ended = ended.map_err(|_| Refused(StatusCode::INTERNAL_SERVER_ERROR, "it failed: see the log".into()))??;
    tracing::info!("as the operator asks: {}", ended.to_string().replace('\n', "; "));
    let waited = calls.authority.until_heard(asked.wait()).await;
    let unknown = waited.as_ref().err().map(ToString::to_string);
    let heard = waited.ok().map(|heard| Heard {
        replicas: heard.replicas,
        silent: heard.silent.into_iter().map(|replica| Silent { name: replica.name, id: hex(&replica.id.0) }).collect(),
        milliseconds: u64::try_from(heard.took.as_millis()).unwrap_or(u64::MAX),
    });
    Ok(Json(Revoked { done: ended.to_string(), heard, unknown }))
}

/// Why a call of somebody who may make it was not carried out.
struct Refused(StatusCode, String);

impl From<RevokeError> for Refused {
    fn from(error: RevokeError) -> Self {
        let status = match &error {
            RevokeError::NoSession { .. } | RevokeError::NoKey(_) => StatusCode::NOT_FOUND,
            RevokeError::Partly { .. } | RevokeError::Keys(KeysError::Store(_)) => StatusCode::SERVICE_UNAVAILABLE,
            RevokeError::Keys(KeysError::Keyring(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Failed::new(self.1))).into_response()
    }
}
