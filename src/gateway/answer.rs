//! What a client is told: the only file that turns an outcome into a status, a challenge and a body.
//!
//! Refusals of the gate are RFC 9457 problems with an RFC 6750 challenge; the token endpoints speak RFC 6749 §5. The
//! internal reason never leaves the process: a bad signature, an expired and a revoked token look the same from outside.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::authority::{LoginError, LogoutError, PasswordError, RefreshError, TokenPair};
use crate::domain::decision::{CredentialFault, FieldFault, RefreshFault, Refusal};
use crate::domain::head::HeadFault;
use crate::domain::target::TargetFault;

/// A whole answer of our own.
pub type Answer = Response<Bytes>;

/// An answer, and the word that logs and metrics get.
#[derive(Debug)]
pub struct Refused {
    pub answer: Answer,
    pub reason: &'static str,
}

/// The answer to a refusal by rule or credential. `realm` names the protection space (RFC 9110 §11.5).
#[must_use]
pub fn refusal(refusal: &Refusal, realm: &str) -> Refused {
    let bearer = |parameters: &str| format!("Bearer realm=\"{realm}\"{parameters}");
    let invalid_token = || bearer(", error=\"invalid_token\", error_description=\"the access token is not valid\"");
    let invalid_request = || bearer(", error=\"invalid_request\"");
    let (status, detail, challenge, reason) = match refusal {
        Refusal::NoToken => (401, "an access token is needed", Some(bearer("")), "no_token"),
        Refusal::BadCredential(CredentialFault::Token(fault)) => {
            (401, "the access token is not valid", Some(invalid_token()), fault.code())
        }
        Refusal::BadCredential(CredentialFault::Cookie(fault)) => {
            (401, "the session's cookies are ambiguous", Some(invalid_token()), fault.code())
        }
        Refusal::BadCredential(CredentialFault::CrossSite) => {
            (403, "another site may have caused this request", None, "cross_site")
        }
        Refusal::BadCredential(CredentialFault::Refresh(fault)) => match fault {
            RefreshFault::Over => (401, "the access token is not valid", Some(invalid_token()), "session_over"),
            RefreshFault::NotNow => (503, "the session could not be refreshed now", None, "refresh_not_now"),
            RefreshFault::TooOften(_) => (429, "the session is refreshed too often", None, "refresh_too_often"),
            RefreshFault::Failed => (500, "the session could not be refreshed", None, "refresh_failed"),
        },
        Refusal::BadCredential(CredentialFault::Field(fault)) => match fault {
            FieldFault::OtherScheme => (401, "an access token is needed", Some(bearer("")), "other_scheme"),
            FieldFault::Repeated => {
                (400, "there is more than one Authorization field", Some(invalid_request()), "repeated_authorization")
            }
            FieldFault::AlsoInQuery => {
                (400, "the access token is sent in more than one way", Some(invalid_request()), "token_also_in_query")
            }
            FieldFault::AlsoInCookie => {
                (400, "the access token is sent in more than one way", Some(invalid_request()), "token_also_in_cookie")
            }
            FieldFault::Syntax => {
                (400, "the Authorization field is malformed", Some(invalid_request()), "authorization_syntax")
            }
        },
        Refusal::Method(_) => (405, "this path does not take that method", None, "method"),
        Refusal::Scope(scopes) => {
            let parameters = format!(", error=\"insufficient_scope\", scope=\"{}\"", scopes.join(" "));
            (403, "the access token does not reach that far", Some(bearer(&parameters)), "scope")
        }
        Refusal::Forbidden => (403, "this is not allowed to you", None, "forbidden"),
        Refusal::AppLogin => (403, "people log in at another address here", None, "app_login"),
        Refusal::Stale => (503, "it cannot be told now whether this token was revoked", None, "stale"),
        Refusal::TooMany(_) => (429, "too many requests with a bad token came from there", None, "too_many_bad_tokens"),
    };
    let mut answer = problem(status, detail);
    if let Some(challenge) = challenge {
        insert(&mut answer, header::WWW_AUTHENTICATE, &challenge);
    }
    if let Refusal::Method(methods) = refusal {
        insert(&mut answer, header::ALLOW, &methods.join(", "));
    }
    match refusal {
        Refusal::TooMany(wait) | Refusal::BadCredential(CredentialFault::Refresh(RefreshFault::TooOften(wait))) => {
            retry_after(&mut answer, *wait);
        }
        Refusal::Stale | Refusal::BadCredential(CredentialFault::Refresh(RefreshFault::NotNow)) => {
            insert(&mut answer, header::RETRY_AFTER, RETRY_AFTER);
        }
        _ => {}
    }
    Refused { answer, reason }
}

/// The answer to a request target that could be read in two ways.
#[must_use]
pub fn bad_target(fault: TargetFault) -> Refused {
    Refused { answer: problem(400, &fault.to_string()), reason: fault.code() }
}

/// The answer to a head that is malformed, ambiguous or too long; the connection closes after it.
#[must_use]
pub fn bad_head(fault: HeadFault) -> Refused {
    if let HeadFault::Target(fault) = fault {
        return bad_target(fault);
    }
    let mut answer = problem(fault.status(), &fault.to_string());
    if fault == HeadFault::Method {
        insert(&mut answer, header::ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    Refused { answer, reason: fault.code() }
}

/// Sends a person to another page.
#[must_use]
pub fn see_other(location: HeaderValue) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    answer.headers_mut().insert(header::LOCATION, location);
    insert(&mut answer, header::CACHE_CONTROL, "no-store");
    insert(&mut answer, header::VARY, "Cookie, Authorization, Accept, Sec-Fetch-Mode");
    answer
}

/// An RFC 9457 problem without a type of its own.
#[must_use]
pub fn problem(status: u16, detail: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    with_body(status, "application/problem+json", &body)
}

/// A new pair (RFC 6749 §5.1).
#[must_use]
pub fn token_pair(pair: &TokenPair) -> Answer {
    let mut body = json!({
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "expires_in": pair.expires_in,
        "refresh_token": pair.refresh_token.as_str(),
    });
    if let Some(scope) = &pair.scope {
        body["scope"] = json!(scope);
    }
    with_body(StatusCode::OK, "application/json", &body)
}

/// Done, and there is nothing to tell.
#[must_use]
pub fn done() -> Answer {
    with_body(StatusCode::OK, "application/json", &json!({}))
}

/// A document about the person who asked.
#[must_use]
pub fn private_document(body: &Value) -> Answer {
    with_body(StatusCode::OK, "application/json", body)
}

/// A document that anyone may keep for a while.
#[must_use]
pub fn public_document(body: &Value) -> Answer {
    let mut answer = with_body(StatusCode::OK, "application/json", body);
    insert(&mut answer, header::CACHE_CONTROL, "public, max-age=300");
    answer.headers_mut().remove(header::PRAGMA);
    answer
}

/// What is wrong with a request to a token endpoint (RFC 6749 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    Malformed(&'static str),
    ContentType,
    TooLarge,
    Slow,
    Method,
    GrantType,
    Client { basic: bool },
}

/// The answer to a bad request to a token endpoint.
#[must_use]
pub fn bad_request(fault: BadRequest) -> Answer {
    match fault {
        BadRequest::Malformed(description) => oauth_error(400, "invalid_request", description),
        BadRequest::ContentType => oauth_error(
            415,
            "invalid_request",
            "the body must be application/x-www-form-urlencoded or application/json",
        ),
        BadRequest::TooLarge => oauth_error(413, "invalid_request", "the body is too large"),
        BadRequest::Slow => oauth_error(408, "invalid_request", "the body did not arrive in time"),
        BadRequest::Method => {
            let mut answer = oauth_error(405, "invalid_request", "only POST is answered here");
            insert(&mut answer, header::ALLOW, "POST");
            answer
        }
        BadRequest::GrantType => oauth_error(400, "unsupported_grant_type", "this grant type is not offered here"),
        BadRequest::Client { basic } => {
            let mut answer = oauth_error(401, "invalid_client", "the client is not known or has no secret");
            if basic {
                insert(&mut answer, header::WWW_AUTHENTICATE, "Basic realm=\"sidegate\"");
            }
            answer
        }
    }
}

/// The answer to a login that gave no session.
#[must_use]
pub fn login_error(error: &LoginError) -> Answer {
    match error {
        LoginError::Refused => oauth_error(400, "invalid_grant", "the user name or the password is wrong"),
        LoginError::Limited(wait) => too_many(*wait, "too many attempts to log in"),
        LoginError::Busy => unavailable("too many logins at once"),
        LoginError::Unavailable(_) | LoginError::NoAnswer => unavailable("logins are not possible at the moment"),
        LoginError::Unclear => {
            oauth_error(502, "server_error", "the application's answer to the login was not understood")
        }
        LoginError::Internal => oauth_error(500, "server_error", "the login failed"),
    }
}

/// The answer to a password that was not changed.
#[must_use]
pub fn password_error(error: &PasswordError) -> Answer {
    match error {
        PasswordError::Refused => problem(403, "the current password is wrong"),
        PasswordError::Limited(wait) => too_many(*wait, "too many attempts with a wrong password"),
        PasswordError::Weak(weak) => problem(422, &weak.to_string()),
        PasswordError::Busy => unavailable("too many passwords at once"),
        PasswordError::Unavailable(_) => unavailable("passwords cannot be changed at the moment"),
        PasswordError::Internal => problem(500, "the password could not be changed"),
    }
}

/// The answer to a refresh that gave no pair.
#[must_use]
pub fn refresh_error(error: &RefreshError) -> Answer {
    match error {
        RefreshError::InvalidGrant(_) => oauth_error(400, "invalid_grant", "the refresh token is not valid"),
        RefreshError::Scope => oauth_error(400, "invalid_scope", "the login did not give that much"),
        RefreshError::AlreadyRotated => oauth_error(400, "invalid_grant", "the refresh token was already rotated"),
        RefreshError::Limited(wait) => too_many(*wait, "too many attempts to refresh"),
        RefreshError::Unavailable(_) | RefreshError::SecretNotHere => {
            unavailable("refreshing is not possible at the moment")
        }
        RefreshError::Internal => oauth_error(500, "server_error", "the refresh failed"),
    }
}

/// The answer to a logout that is not certain (RFC 7009 §2.2.1).
#[must_use]
pub fn logout_error(error: &LogoutError) -> Answer {
    unavailable(match error {
        LogoutError::NotStored(_) => "ended here at once, and everywhere as soon as the session store answers",
        LogoutError::Unavailable(_) | LogoutError::SecretNotHere => "nothing was ended: try again",
    })
}

/// The answer to a question that the store would have to answer.
#[must_use]
pub fn not_now() -> Answer {
    unavailable("the session store does not answer at the moment")
}

/// Seconds after which a client may try again what was not possible.
const RETRY_AFTER: &str = "2";

fn unavailable(description: &str) -> Answer {
    let mut answer = oauth_error(503, "temporarily_unavailable", description);
    insert(&mut answer, header::RETRY_AFTER, RETRY_AFTER);
    answer
}

/// 429 (RFC 6585 §4): the same again is right, later.
fn too_many(wait: Duration, description: &str) -> Answer {
    let mut answer = oauth_error(429, "temporarily_unavailable", description);
    retry_after(&mut answer, wait);
    answer
}

/// In whole seconds, so that whoever waits that long has waited long enough (RFC 9110 §10.2.3).
fn retry_after(answer: &mut Answer, wait: Duration) {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    insert(answer, header::RETRY_AFTER, &seconds.to_string());
}

fn oauth_error(status: u16, error: &str, description: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_body(status, "application/json", &json!({ "error": error, "error_description": description }))
}

/// Every answer of ours is about one client at one moment, so none may be kept (RFC 6749 §5.1). The line end is for
/// people at a terminal.
fn with_body(status: StatusCode, content_type: &'static str, body: &Value) -> Answer {
    let mut answer = Response::new(Bytes::from(format!("{body}\n")));
    *answer.status_mut() = status;
    insert(&mut answer, header::CONTENT_TYPE, content_type);
    insert(&mut answer, header::CACHE_CONTROL, "no-store");
    insert(&mut answer, header::PRAGMA, "no-cache");
    answer
}

/// Our values are ASCII by construction; one that is not (a scope from the configuration) is left out.
fn insert(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// The bytes of an answer for a connection on which no request could be read; closes it.
#[must_use]
pub fn on_the_wire(answer: &Answer) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", answer.status()).into_bytes();
    for (name, value) in answer.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", answer.body().len()).as_bytes());
    bytes.extend_from_slice(answer.body());
    bytes
}
