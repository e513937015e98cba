//! `/refresh` and `/logout` where the tokens are in cookies. Where the request comes from has been judged before.

use std::sync::Arc;

use http::header;

use crate::authority::{Authority, RefreshError, TokenPair};
use crate::domain::decision::{Credential, CredentialFault, FieldFault, Refusal};

use super::answer::{self, Answer, BadRequest};
use super::cookies::Cookies;
use super::endpoints::{self, EndpointRequest, Fields};

/// A new pair for the cookie's refresh token.
pub(super) async fn refresh(
    authority: &Arc<Authority>,
    request: &EndpointRequest,
    cookies: &Cookies,
) -> Result<Answer, Refusal> {
    refuse_ambiguous(&request.credential)?;
    if let Err(fault) = refresh_fields(authority, request) {
        return Ok(answer::bad_request(fault));
    }
    let presented = cookies.read(&request.headers).unwrap_or_default();
    let Some(token) = presented.refresh else {
        return Ok(answer::refresh_error(&RefreshError::InvalidGrant("no_cookie")));
    };
    Ok(match cookies.renew(token, request.from.clone(), request.arrived, authority).await {
        Ok(renewed) => cookies.deliver(&renewed.pair, authority),
        // The browser holds later cookies by now, or is about to.
        Err(RefreshError::AlreadyRotated) => answer::not_now(),
        Err(error) => {
            let mut answer = answer::refresh_error(&error);
            cookies.cleared_if_over(&error, token, authority).await.write(answer.headers_mut());
            answer
        }
    })
}

/// Ends what nobody holds the cookies of once this login is answered: the session whose cookies came with it, since the
/// new ones take their place, or the new one, if its cookies could not be given.
pub(super) async fn settle_login(
    authority: &Authority,
    request: &EndpointRequest,
    cookies: &Cookies,
    pair: &TokenPair,
    given: &Answer,
) {
    if !given.headers().contains_key(header::SET_COOKIE) {
        return authority.end_left_behind(&pair.refresh_token, &request.from).await;
    }
    let presented = cookies.read(&request.headers).unwrap_or_default();
    for token in [presented.refresh, presented.access].into_iter().flatten() {
        authority.end_left_behind(token, &request.from).await;
    }
}

/// Ends the session of the cookies, and has the browser forget them once that is certain.
pub(super) async fn logout(
    authority: &Authority,
    request: &EndpointRequest,
    cookies: &Cookies,
) -> Result<Answer, Refusal> {
    refuse_ambiguous(&request.credential)?;
    let presented = cookies.read(&request.headers).unwrap_or_default();
    let in_body = match Fields::read(request) {
        Ok(fields) => fields.get("refresh_token").or_else(|| fields.get("token")).is_some(),
        Err(fault) => return Ok(answer::bad_request(fault)),
    };
    if presented.is_empty() && (in_body || request.headers.contains_key(header::AUTHORIZATION)) {
        return endpoints::logout(authority, request).await.unwrap_or_else(|fault| Ok(answer::bad_request(fault)));
    }
    if in_body {
        return Ok(answer::bad_request(IN_A_BODY));
    }
    // Without any there is nothing to end.
    for token in [presented.refresh, presented.access].into_iter().flatten() {
        match authority.logout(token, &request.from).await {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => return Ok(answer::logout_error(&error)),
        }
    }
    Ok(request.forget(answer::done()))
}

fn refresh_fields(authority: &Authority, request: &EndpointRequest) -> Result<(), BadRequest> {
    let fields = Fields::read(request)?;
    fields.grant_type("refresh_token")?;
    if fields.client(request, authority.client_id())?.is_some_and(|client| client != authority.client_id()) {
        return Err(BadRequest::Client { basic: false });
    }
    if fields.get("refresh_token").is_some() { Err(IN_A_BODY) } else { Ok(()) }
}

const IN_A_BODY: BadRequest = BadRequest::Malformed("tokens are taken from cookies only");

/// Nothing is ended or rotated for cookies that could be read in two ways, or with a token beside them.
fn refuse_ambiguous(credential: &Credential) -> Result<(), Refusal> {
    match credential {
        Credential::Bad(fault @ (CredentialFault::Cookie(_) | CredentialFault::Field(FieldFault::AlsoInCookie))) => {
            Err(Refusal::BadCredential(*fault))
        }
        _ => Ok(()),
    }
}
