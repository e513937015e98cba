//! The endpoints with which a person looks after their own account: who am I, where am I logged in, a new password.
//!
//! Each of them needs the access token, and knows nobody but its subject.

use http::Method;
use serde_json::{Value, json};

use crate::authority::{Authority, PasswordRequest};
use crate::clock::rfc3339;
use crate::domain::decision::{Credential, Refusal};
use crate::domain::identity::Identity;
use crate::domain::session::{Session, SessionId};

use super::answer::{self, Answer, BadRequest};
use super::endpoints::{EndpointRequest, Fields};

/// `GET`: what the access token says about its bearer.
pub(super) fn me(request: &EndpointRequest) -> Result<Answer, Refusal> {
    let identity = bearer(request, &["GET", "HEAD"])?;
    Ok(answer::private_document(&json!({
        "sub": identity.subject.as_str(),
        "sid": identity.session.to_string(),
        "roles": identity.roles,
        "scope": identity.scopes.join(" "),
        "expires": rfc3339(identity.expires),
    })))
}

/// `POST` with `password` and `new_password`: a new pair for this session; every other one has ended.
pub(super) async fn password(authority: &Authority, request: &EndpointRequest) -> Result<Answer, Refusal> {
    let identity = bearer(request, &["POST"])?;
    let fields = match Fields::read(request) {
        Ok(fields) => fields,
        Err(fault) => return Ok(answer::bad_request(fault)),
    };
    let (Some(current), Some(new)) = (fields.password("password"), fields.password("new_password")) else {
        return Ok(answer::bad_request(BadRequest::Malformed("password or new_password is missing, or too long")));
    };
    let change = PasswordRequest { current, new, from: request.from.clone() };
    Ok(match authority.change_password(identity, change).await {
        Ok(pair) => request.give(&pair, authority),
        Err(error) => answer::password_error(&error),
    })
}

/// `GET`: the subject's sessions, newest first. `DELETE`: ends all but this one.
pub(super) async fn sessions(authority: &Authority, request: &EndpointRequest) -> Result<Answer, Refusal> {
    let identity = bearer(request, &["DELETE", "GET", "HEAD"])?;
    if request.method == Method::DELETE {
        return Ok(match authority.end_other_sessions(identity, &request.from).await {
            Ok(ended) => answer::private_document(&json!({ "ended": ended })),
            Err(error) => answer::logout_error(&error),
        });
    }
    Ok(match authority.sessions(identity).await {
        Ok(sessions) => {
            let list: Vec<Value> = sessions.iter().map(|session| shown(session, identity)).collect();
            answer::private_document(&json!({ "sessions": list }))
        }
        Err(_) => answer::not_now(),
    })
}

/// `DELETE`: ends this one session of the subject. `id` is `None` where the path has no session id.
pub(super) async fn session(
    authority: &Authority,
    request: &EndpointRequest,
    id: Option<SessionId>,
) -> Result<Answer, Refusal> {
    let identity = bearer(request, &["DELETE"])?;
    let Some(id) = id else { return Ok(answer::problem(404, NO_SUCH_SESSION)) };
    Ok(match authority.end_own_session(identity, id, &request.from).await {
        Ok(true) if id == identity.session => request.forget(answer::private_document(&json!({ "ended": 1 }))),
        Ok(true) => answer::private_document(&json!({ "ended": 1 })),
        Ok(false) => answer::problem(404, NO_SUCH_SESSION),
        Err(error) => answer::logout_error(&error),
    })
}

/// `POST`: ends every session of the subject, this one too.
pub(super) async fn logout_all(authority: &Authority, request: &EndpointRequest) -> Result<Answer, Refusal> {
    let identity = bearer(request, &["POST"])?;
    Ok(match authority.logout_all(identity, &request.from).await {
        Ok(()) => request.forget(answer::done()),
        Err(error) => answer::logout_error(&error),
    })
}

const NO_SUCH_SESSION: &str = "you have no such session";

/// The verified bearer of a request with one of these methods.
fn bearer<'r>(request: &'r EndpointRequest, methods: &[&str]) -> Result<&'r Identity, Refusal> {
    match &request.credential {
        Credential::Good(identity) if methods.contains(&request.method.as_str()) => Ok(identity),
        Credential::Good(_) | Credential::Stale(_) => {
            Err(Refusal::Method(methods.iter().map(|&method| method.to_owned()).collect()))
        }
        Credential::Bad(fault) => Err(Refusal::BadCredential(*fault)),
        Credential::Nothing => Err(Refusal::NoToken),
    }
}

/// A session as its owner sees it: when, from where, until when. Nothing that could be used as one.
fn shown(session: &Session, identity: &Identity) -> Value {
    json!({
        "id": session.id.to_string(),
        "current": session.id == identity.session,
        "created": rfc3339(session.created),
        "last_used": rfc3339(session.rotated),
        "ends": rfc3339(session.idle_end.min(session.absolute_end)),
        "address": session.last_from.address,
        "user_agent": session.last_from.user_agent,
    })
}
