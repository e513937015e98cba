//! Cookie mode: what a request's cookies prove, and what a browser is told to keep.
//!
//! Where a request comes from is judged before anything is rotated. What a refresh on the way gives goes out with whatever
//! answer follows, and never into a shared cache.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use serde_json::json;
use zeroize::Zeroizing;

use crate::authority::{Authority, RefreshError, RenewalRequest, Renewed, TokenPair};
use crate::clock::Stopwatch;
use crate::config::checked::CookieMode;
use crate::domain::access_token::TokenFault;
use crate::domain::cookie::{CookieFault, Kind, Presented, SessionCookies};
use crate::domain::csrf::{self, Provenance};
use crate::domain::decision::{Credential, CredentialFault, FieldFault, RefreshFault};
use crate::domain::identity::Identity;
use crate::domain::login_page::{Asking, LoginPage};
use crate::domain::session::{Origin, SessionId};

use super::answer::{self, Answer};
use super::forward;

/// The rules of one gateway's cookies.
#[derive(Debug)]
pub struct Cookies {
    names: SessionCookies,
    mode: CookieMode,
}

/// What an answer is to bring to the browser; nothing, as a rule.
#[derive(Clone, Debug, Default)]
pub struct SetCookies {
    lines: Vec<HeaderValue>,
    /// Of the pair in them. A later one of the same session makes them void.
    pair: Option<(SessionId, u32)>,
    /// Whose request was refreshed. The end of the session makes them void.
    identity: Option<Arc<Identity>>,
}

/// How far a request's cookies are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody has to be known.
    Nothing,
    /// Only where the request comes from: it is to set cookies.
    Provenance,
    /// The endpoint takes the tokens itself.
    Tokens,
    /// Who it is; refreshed if need be.
    Identity,
}

/// What is known of a request when its cookies are asked.
pub struct Asked<'a> {
    pub method: &'a str,
    pub headers: &'a HeaderMap,
    pub from: Origin,
    pub arrived: Stopwatch,
}

impl Cookies {
    #[must_use]
    pub fn new(realm: &str, mode: CookieMode) -> Self {
        Self { names: SessionCookies::new(realm, mode.same_site), mode }
    }

    /// What the cookies prove, and what the answer is to bring. `None`: there are none, and the `Authorization` field is
    /// asked.
    pub async fn credential(
        &self,
        look: Look,
        asked: &Asked<'_>,
        authority: &Arc<Authority>,
    ) -> (Option<Credential>, SetCookies) {
        let bad = |fault| (Some(Credential::Bad(fault)), SetCookies::default());
        let presented = match (look, self.read(asked.headers)) {
            (Look::Nothing, _) => return (None, SetCookies::default()),
            // Whatever the browser holds is about to be replaced.
            (Look::Provenance, _) => Presented::default(),
            (_, Ok(presented)) => presented,
            (_, Err(fault)) => return bad(CredentialFault::Cookie(fault)),
        };
        if !presented.is_empty() && asked.headers.contains_key(header::AUTHORIZATION) {
            return bad(CredentialFault::Field(FieldFault::AlsoInCookie));
        }
        let by_cookie = match look {
            Look::Provenance => true,
            Look::Tokens => !presented.is_empty() || !has_bearer(asked.headers),
            Look::Identity | Look::Nothing => !presented.is_empty(),
        };
        if by_cookie && Self::needs_provenance(asked) && !vouched(asked.headers, &self.mode.origins) {
            return bad(CredentialFault::CrossSite);
        }
        if look != Look::Identity || presented.is_empty() {
            return (None, SetCookies::default());
        }
        let fault = match presented.access.map(|token| authority.authenticate(token)) {
            Some(Ok(identity)) => return (Some(Credential::Good(identity)), SetCookies::default()),
            Some(Err(fault)) => Some(fault),
            None => None,
        };
        match (presented.refresh, fault) {
            (Some(token), _) if self.mode.refresh_in_request => self.renewed(token, asked, authority).await,
            // Its access token has ended, and the browser has dropped that cookie by itself.
            (Some(_), None) => bad(CredentialFault::Token(TokenFault::Expired)),
            (None, None) => (Some(Credential::Nothing), SetCookies::default()),
            (None, Some(fault @ TokenFault::Revoked)) => {
                let cleared = self.cleared_after(presented.access.unwrap_or_default(), authority).await;
                (Some(Credential::Bad(CredentialFault::Token(fault))), cleared)
            }
            (_, Some(fault)) => bad(CredentialFault::Token(fault)),
        }
    }

    async fn renewed(
        &self,
        token: &str,
        asked: &Asked<'_>,
        authority: &Arc<Authority>,
    ) -> (Option<Credential>, SetCookies) {
        let (credential, set_cookies) = match self.renew(token, asked.from.clone(), asked.arrived, authority).await {
            Ok(Renewed { identity, pair }) => match self.holding(&pair, authority) {
                Some(set_cookies) => {
                    let set_cookies = SetCookies { identity: Some(Arc::clone(&identity)), ..set_cookies };
                    (Credential::Good(identity), set_cookies)
                }
                None => (Credential::Bad(CredentialFault::Refresh(RefreshFault::Failed)), SetCookies::default()),
            },
            Err(error) => {
                let fault = match error {
                    RefreshError::InvalidGrant(_) | RefreshError::Scope => RefreshFault::Over,
                    RefreshError::Limited(wait) => RefreshFault::TooOften(wait),
                    RefreshError::AlreadyRotated
                    | RefreshError::Unavailable(_)
                    | RefreshError::SecretNotHere
                    | RefreshError::Internal => RefreshFault::NotNow,
                };
                let over = self.cleared_if_over(&error, token, authority).await;
                (Credential::Bad(CredentialFault::Refresh(fault)), over)
            }
        };
        (Some(credential), set_cookies)
    }

    /// A refresh with the token of a cookie.
    ///
    /// # Errors
    /// [`RefreshError`].
    pub async fn renew(
        &self,
        token: &str,
        from: Origin,
        arrived: Stopwatch,
        authority: &Arc<Authority>,
    ) -> Result<Renewed, RefreshError> {
        authority.renew(&RenewalRequest { token: Zeroizing::new(token.to_owned()), from, arrived }).await
    }

    /// The tokens of a request.
    ///
    /// # Errors
    /// [`CookieFault`].
    pub fn read<'h>(&self, headers: &'h HeaderMap) -> Result<Presented<'h>, CookieFault> {
        self.names.read(headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes))
    }

    /// A pair for the browser; `None` if it would not keep one of the two, which is logged.
    #[must_use]
    pub fn holding(&self, pair: &TokenPair, authority: &Authority) -> Option<SetCookies> {
        let access = self.names.set(Kind::Access, &pair.access_token, pair.expires_in);
        let refresh = self.names.set(Kind::Refresh, &pair.refresh_token, pair.refresh_expires_in);
        match (access, refresh) {
            (Ok(access), Ok(refresh)) => {
                authority.hand_out(pair);
                let lines = [access, refresh].iter().filter_map(|line| sensitive(line)).collect();
                Some(SetCookies { lines, pair: Some((pair.session, pair.generation)), identity: None })
            }
            (Err(too_large), _) | (_, Err(too_large)) => {
                tracing::error!(session = %pair.session, "{too_large}: give its user fewer or shorter claims");
                None
            }
        }
    }

    /// Has the browser forget both.
    #[must_use]
    pub fn cleared(&self) -> SetCookies {
        let lines = [Kind::Access, Kind::Refresh].map(|kind| self.names.clear(kind));
        SetCookies { lines: lines.iter().filter_map(|line| sensitive(line)).collect(), ..SetCookies::default() }
    }

    /// The same after a refresh with this token has failed for good; nothing if it may be tried again.
    pub(super) async fn cleared_if_over(&self, error: &RefreshError, token: &str, authority: &Authority) -> SetCookies {
        if error.ends_the_session() { self.cleared_after(token, authority).await } else { SetCookies::default() }
    }

    /// The same after a failure. Not if the browser may have logged out or in since it sent this token: the answer could
    /// come after that login's, and would take its cookies away.
    async fn cleared_after(&self, token: &str, authority: &Authority) -> SetCookies {
        if authority.may_be_left_behind(token).await { SetCookies::default() } else { self.cleared() }
    }

    /// The answer that gives a pair: the tokens are not in its body.
    #[must_use]
    pub fn deliver(&self, pair: &TokenPair, authority: &Authority) -> Answer {
        let Some(set_cookies) = self.holding(pair, authority) else {
            return answer::problem(500, "the session's cookies would be too large");
        };
        let mut body = json!({ "token_type": "Cookie", "expires_in": pair.expires_in });
        if let Some(scope) = &pair.scope {
            body["scope"] = json!(scope);
        }
        let mut answer = answer::private_document(&body);
        // Else the browser holds later ones.
        if set_cookies.still_good(authority) {
            set_cookies.write(answer.headers_mut());
        }
        answer
    }

    /// Takes ours out of what the application gets.
    ///
    /// # Errors
    /// If a line cannot be written.
    pub fn strip(&self, request: &mut RequestHeader) -> pingora::Result<()> {
        let lines = request.headers.get_all(header::COOKIE);
        let left: Vec<_> = lines.iter().filter_map(|line| self.names.without_ours(line.as_bytes())).collect();
        if lines.iter().map(HeaderValue::as_bytes).eq(left.iter().map(Vec::as_slice)) {
            return Ok(());
        }
        request.remove_header(&header::COOKIE);
        for left in left {
            request.append_header(header::COOKIE, left)?;
        }
        Ok(())
    }

    /// Drops what the application would set in our name.
    ///
    /// # Errors
    /// If a line cannot be written.
    pub fn drop_theirs(&self, response: &mut ResponseHeader) -> pingora::Result<()> {
        forward::take_set_cookies(response, |line| self.names.is_set_by(line)).map(drop)
    }

    /// Where a person goes who would get this 401, if anywhere. `target` is the path and query that was asked for.
    #[must_use]
    pub fn login_page(&self, method: &str, headers: &HeaderMap, target: &str) -> Option<Answer> {
        let page: &LoginPage = self.mode.login_page.as_ref()?;
        let asking = Asking {
            method,
            sec_fetch_mode: headers.get("sec-fetch-mode").map(HeaderValue::as_bytes),
            other_sec_fetch: ["sec-fetch-site", "sec-fetch-dest"].iter().any(|name| headers.contains_key(*name)),
            same_origin: headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin"),
            accept: headers.get(header::ACCEPT).map(HeaderValue::as_bytes),
        };
        let location = HeaderValue::from_str(&page.location(target)).ok()?;
        asking.is_navigation().then(|| answer::see_other(location))
    }

    fn needs_provenance(asked: &Asked<'_>) -> bool {
        !csrf::is_safe(asked.method) || asked.headers.contains_key(header::UPGRADE)
    }
}

impl SetCookies {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Unless the browser has got a later pair since, or the session has ended: it may hold another one's by now.
    #[must_use]
    pub fn still_good(&self, authority: &Authority) -> bool {
        let later = self.pair.is_some_and(|(session, generation)| authority.has_handed_out_later(session, generation));
        let ended = self.identity.as_ref().is_some_and(|identity| authority.has_ended(identity));
        !self.is_empty() && !later && !ended
    }

    /// The same of an answer that the application may have taken long for: other replicas may have gone on meanwhile.
    pub async fn still_good_after_all(&self, authority: &Authority) -> bool {
        if !self.still_good(authority) {
            return false;
        }
        let (Some(identity), Some((_, generation))) = (&self.identity, self.pair) else { return true };
        // Also looked at again: the store may have taken its time.
        !authority.has_gone_on(identity, generation).await && self.still_good(authority)
    }

    pub fn write(&self, headers: &mut HeaderMap) {
        for line in &self.lines {
            headers.append(header::SET_COOKIE, line.clone());
        }
    }

    /// Adds them to an application's answer, which nobody may keep then, whatever it said.
    ///
    /// # Errors
    /// If a line cannot be written.
    pub fn write_on(&self, response: &mut ResponseHeader) -> pingora::Result<()> {
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        for line in &self.lines {
            response.append_header(header::SET_COOKIE, line)?;
        }
        let kept_by: Vec<_> = response.headers.keys().filter(|name| has_it_kept(name)).cloned().collect();
        for name in kept_by {
            response.remove_header(&name);
        }
        response.insert_header(header::CACHE_CONTROL, "no-store")
    }
}

/// Whether such a field tells one cache or another to keep an answer, some of them before `Cache-Control`: RFC 9213 and
/// what came before it.
fn has_it_kept(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("cache-control")
        || matches!(name, "expires" | "pragma" | "edge-control" | "surrogate-control" | "x-accel-expires")
}

/// Our lines are ASCII by construction.
fn sensitive(line: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(line).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn has_bearer(headers: &HeaderMap) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .is_some_and(|field| field.as_bytes().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer ")))
}

fn vouched(headers: &HeaderMap, origins: &csrf::TrustedOrigins) -> bool {
    let lines = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    let (sec_fetch_site, origin) = (lines("sec-fetch-site"), lines("origin"));
    origins.vouch_for(Provenance { sec_fetch_site: &sec_fetch_site, origin: &origin })
}
