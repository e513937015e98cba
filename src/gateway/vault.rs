//! The upstream's own session on the wire: taken from whatever a client sends, sent by us, swallowed from every answer.

use std::sync::Arc;

use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use crate::authority::Lost;
use crate::domain::access_token::TokenFault;
use crate::domain::decision::{CredentialFault, Refusal};
use crate::domain::identity::Identity;
use crate::domain::vault::{CookieNames, Jar};

use super::answer::Answer;
use super::context::RequestContext;
use super::{Gateway, answer, forward};

impl Gateway {
    /// Puts the vault of the request's session into its `Cookie` field, and nobody else's cookie of these names.
    ///
    /// # Errors
    /// If the field cannot be written; the request is not forwarded then.
    pub(super) fn send_vault(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        let Some(vault) = &self.vault else { return Ok(()) };
        if self.identity_at_vault(context).is_some() {
            // The answer may bring a new cookie and forget the old one, whether or not the client waits for it.
            session.as_downstream_mut().set_abort_on_close(false);
        }
        context.vault = self.identity_at_vault(context).and_then(|identity| self.authority.vault_of(identity));
        write(request, &vault.cookies, context.vault.as_ref().and_then(|vault| vault.opened_jar()))
    }

    /// Keeps the vault's cookies from the client, takes up what the upstream says about them, and sees when it has
    /// forgotten the session.
    ///
    /// # Errors
    /// When the client is to get another answer, which is in the context then.
    pub(super) async fn receive_vault(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        let Some(vault) = &self.vault else { return Ok(()) };
        let swallowed = forward::take_set_cookies(response, |line| vault.cookies.are_set_by(line))?;
        let Some(identity) = self.identity_at_vault(context).cloned() else { return Ok(()) };
        if !response.status.is_informational() {
            session.as_downstream_mut().set_abort_on_close(true);
        }
        let is_lost = vault.lost.as_ref().is_some_and(|sign| sign.holds(response.status, &response.headers));
        // An answer that was to end something is the answer to that.
        if is_lost && context.observed.is_none() {
            let sent = context.vault.as_ref().map_or(0, |vault| vault.version());
            let lost = self.authority.vault_lost(&identity, sent, &self.origin(session)).await;
            if lost == Lost::Outdated && session.req_header().method.is_safe() && !context.is_second_try {
                // With the newer one, which is held here by now.
                context.is_second_try = true;
                self.watch(session, context);
                let mut again = Error::explain(ErrorType::Custom("vault_outdated"), "asked again with a newer cookie");
                again.set_retry(true);
                return Err(again);
            }
            return Err(self.answer_lost(lost, session, context));
        }
        let lines: Vec<&[u8]> = swallowed.iter().map(HeaderValue::as_bytes).collect();
        self.authority.change_vault(&identity, context.vault.as_ref(), &lines).await;
        Ok(())
    }

    /// Keeps the vault's cookies out of an application's answer that is passed on as one of ours.
    pub(super) fn keep_from_client(&self, answer: &mut Answer) {
        let Some(vault) = &self.vault else { return };
        let lines: Vec<HeaderValue> = answer.headers().get_all(SET_COOKIE).iter().cloned().collect();
        answer.headers_mut().remove(SET_COOKIE);
        for line in lines.into_iter().filter(|line| !vault.cookies.are_set_by(line.as_bytes())) {
            answer.headers_mut().append(SET_COOKIE, line);
        }
    }

    /// Whoever asks, if the request goes to the upstream whose cookies are kept.
    fn identity_at_vault<'c>(&self, context: &'c RequestContext) -> Option<&'c Arc<Identity>> {
        let permit = context.permit.as_ref()?;
        let is_there = self.vault.as_ref().is_some_and(|vault| vault.upstream == permit.upstream());
        permit.identity().filter(|_| is_there)
    }

    fn answer_lost(&self, lost: Lost, session: &Session, context: &mut RequestContext) -> Box<Error> {
        let refusal = Refusal::BadCredential(CredentialFault::Token(TokenFault::Revoked));
        let refused = answer::refusal(&refusal, self.authority.realm()).answer;
        let (reason, answer) = match lost {
            // The front end of a cookie session knows no other 401 than that nobody is logged in.
            Lost::Outdated if self.cookies.is_some() && session.get_header(AUTHORIZATION).is_none() => {
                ("vault_outdated", answer::not_now())
            }
            Lost::Outdated => ("vault_outdated", refused),
            Lost::Ended => ("vault_lost", self.login_page_for(session, context, refused)),
            Lost::Unknown => ("vault_unknown", answer::not_now()),
        };
        (context.decision, context.reason, context.instead) = ("refuse", reason, Some(answer));
        Error::explain(ErrorType::Custom(reason), "the upstream has forgotten its session")
    }
}

/// The vault first: where a name stands twice, most take the first.
fn write(request: &mut RequestHeader, names: &CookieNames, jar: Option<&Jar>) -> Result<()> {
    let jar = jar.filter(|jar| !jar.is_empty());
    let lines: Vec<HeaderValue> = request.headers.get_all(COOKIE).iter().cloned().collect();
    let left = lines.iter().filter_map(|line| names.strip(line.as_bytes()));
    if jar.is_none() && left.clone().eq(lines.iter().map(HeaderValue::as_bytes)) {
        return Ok(());
    }
    let cookie = jar.unwrap_or(&Jar::default()).cookie(left);
    request.remove_header(&COOKIE);
    if let Some(cookie) = cookie {
        let no_value = |_| Error::explain(ErrorType::InvalidHTTPHeader, "a kept cookie is no header value");
        request.insert_header(COOKIE, HeaderValue::from_bytes(&cookie).map_err(no_value)?)?;
    }
    Ok(())
}
