//! What to do with a request, from its head alone: answer it ourselves, refuse it, or let it pass.

use std::sync::Arc;

use http::{HeaderMap, Method, header};

use crate::authority::Authority;
use crate::config::checked::Endpoints;
use crate::domain::decision::{self, Credential, CredentialFault, FieldFault, Permit, Refusal};
use crate::domain::route::{Match, RoutePath, RouteTable};
use crate::domain::target::Target;

use super::cookies::Look;
use super::endpoints::Endpoint;

/// The outcome for one request, and the pattern of the route it was judged by.
#[derive(Debug)]
pub struct Admitted {
    pub admission: Admission,
    pub route: Option<Arc<str>>,
}

/// The outcome for one request.
#[derive(Debug)]
pub enum Admission {
    Endpoint(Endpoint, Credential),
    Forward(Permit),
    Refuse(Refusal),
}

/// Where a request goes: to one of ours, or by this rule to an application.
#[derive(Debug)]
pub enum Found<'a> {
    Endpoint(Endpoint),
    Route {
        found: Match<'a>,
        /// It is the application's own login, past ours.
        is_app_login: bool,
    },
}

impl Found<'_> {
    /// How far its cookies are looked at.
    #[must_use]
    pub fn look(&self) -> Look {
        match self {
            Self::Endpoint(Endpoint::Keys) => Look::Nothing,
            Self::Endpoint(Endpoint::Login) => Look::Provenance,
            Self::Endpoint(Endpoint::Refresh | Endpoint::Logout) => Look::Tokens,
            Self::Route { found, .. } if !decision::asks_for_credential(found) => Look::Nothing,
            Self::Endpoint(_) | Self::Route { .. } => Look::Identity,
        }
    }
}

/// The rules requests are judged by.
#[derive(Debug)]
pub struct Rules {
    pub routes: RouteTable,
    pub endpoints: Endpoints,
    /// Longest accepted `Authorization` value, in bytes.
    pub authorization_limit: usize,
    /// The application's own login, which is asked by ours and by nobody else.
    pub app_login: Option<AppLogin>,
}

/// Where the application logs people in.
#[derive(Debug)]
pub struct AppLogin {
    pub upstream: String,
    pub method: Method,
    pub path: String,
}

impl AppLogin {
    /// Also in other spellings that an application may take for the same, and below it: a script is given what follows its
    /// name.
    fn is(&self, method: &Method, target: &Target) -> bool {
        let (path, login) = (target.path(), self.path.trim_end_matches('/'));
        let begins = path.get(..login.len()).is_some_and(|start| start.eq_ignore_ascii_case(login));
        let is_there = match path.as_bytes().get(login.len()..) {
            Some([]) => true,
            // Below the root is everything.
            Some([b'/', below @ ..]) => !login.is_empty() || below.is_empty(),
            _ => false,
        };
        *method == self.method && begins && is_there
    }
}

impl Rules {
    /// Where a request goes.
    #[must_use]
    pub fn find<'a>(&'a self, method: &Method, target: &'a Target) -> Found<'a> {
        match Endpoint::of(target.path(), &self.endpoints) {
            Some(endpoint) if !self.endpoints.leave_to_page(method.as_str(), target.path()) => {
                Found::Endpoint(endpoint)
            }
            _ => Found::Route {
                found: self.routes.find(method, target),
                is_app_login: self.app_login.as_ref().is_some_and(|login| login.is(method, target)),
            },
        }
    }

    /// Judges a request by what it brought. Our endpoints judge by themselves, except where it comes from.
    #[must_use]
    pub fn admit(&self, found: &Found<'_>, credential: Credential, authority: &Authority) -> Admitted {
        let (found, is_app_login) = match (found, &credential) {
            (Found::Endpoint(_), Credential::Bad(fault @ CredentialFault::CrossSite)) => {
                return Admitted { admission: Admission::Refuse(Refusal::BadCredential(*fault)), route: None };
            }
            (Found::Endpoint(endpoint), _) => {
                return Admitted { admission: Admission::Endpoint(*endpoint, credential), route: None };
            }
            (Found::Route { found, is_app_login }, _) => (found, *is_app_login),
        };
        let credential = match credential {
            Credential::Good(identity) if decision::denies_when_stale(found) && authority.is_stale() => {
                Credential::Stale(identity)
            }
            credential => credential,
        };
        let admission = match decision::decide(found, &credential) {
            // The cookies of its answer would be somebody else's than the session's.
            Ok(permit) if is_app_login && self.logs_in_at(permit.upstream()) => Admission::Refuse(Refusal::AppLogin),
            Ok(permit) => Admission::Forward(permit),
            Err(refusal) => Admission::Refuse(refusal),
        };
        Admitted { admission, route: found.pattern().map(RoutePath::text) }
    }

    fn logs_in_at(&self, upstream: &str) -> bool {
        self.app_login.as_ref().is_some_and(|login| login.upstream == upstream)
    }

    /// What the `Authorization` field proves. A second token in the query would be the application's to choose from.
    #[must_use]
    pub fn credential(&self, headers: &HeaderMap, query: Option<&str>, authority: &Authority) -> Credential {
        match bearer_field(headers, self.authorization_limit) {
            Ok(None) => Credential::Nothing,
            Ok(Some(_)) if query.is_some_and(has_token) => {
                Credential::Bad(CredentialFault::Field(FieldFault::AlsoInQuery))
            }
            Ok(Some(token)) => match authority.authenticate(token) {
                Ok(identity) => Credential::Good(identity),
                // Only what is not known to be one is looked at for whether it is a token at all.
                Err(_) if !is_b64token(token) => Credential::Bad(CredentialFault::Field(FieldFault::Syntax)),
                Err(fault) => Credential::Bad(CredentialFault::Token(fault)),
            },
            Err(fault) => Credential::Bad(CredentialFault::Field(fault)),
        }
    }
}

/// The token of the one `Authorization: Bearer` field (RFC 6750 §2.1): scheme in any case, one space, `b64token`.
pub(super) fn bearer(headers: &HeaderMap, limit: usize) -> Result<Option<&str>, FieldFault> {
    match bearer_field(headers, limit)? {
        Some(token) if !is_b64token(token) => Err(FieldFault::Syntax),
        token => Ok(token),
    }
}

/// The same, but for the syntax of the token.
fn bearer_field(headers: &HeaderMap, limit: usize) -> Result<Option<&str>, FieldFault> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(FieldFault::Repeated);
    }
    if field.len() > limit {
        return Err(FieldFault::Syntax);
    }
    let value = std::str::from_utf8(field.as_bytes()).map_err(|_| FieldFault::Syntax)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        return Err(if is_scheme { FieldFault::OtherScheme } else { FieldFault::Syntax });
    }
    Ok(Some(token))
}

fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=').as_bytes();
    let is_in_it = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    !body.is_empty() && body.iter().all(is_in_it)
}

/// RFC 6750 §2.3.
fn has_token(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, FieldFault> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        bearer(&headers, 100).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn exactly_one_well_formed_bearer_token_is_read() {
        assert_eq!(read(&[]), Ok(None));
        for good in ["Bearer a.b-c_d~e+f/g==", "bearer a.b-c_d~e+f/g==", "BEARER a.b-c_d~e+f/g=="] {
            assert_eq!(read(&[good]), Ok(Some("a.b-c_d~e+f/g==".into())), "{good}");
        }
        for bad in [
            "Bearer",
            "Bearer ",
            "Bearer  a",
            "Bearer a b",
            "Bearer a, Bearer b",
            "Bearer \"a\"",
            "Bearer\ta",
            "Bearer =",
            "Bearer a=b",
            "",
            "Bearer ä",
        ] {
            assert_eq!(read(&[bad]), Err(FieldFault::Syntax), "{bad:?}");
        }
        assert_eq!(read(&[&format!("Bearer {}", "a".repeat(100))]), Err(FieldFault::Syntax));
        for other in ["Basic dTpw", "Digest x", "Bearerx a", "Token a"] {
            assert_eq!(read(&[other]), Err(FieldFault::OtherScheme), "{other}");
        }
        assert_eq!(read(&["Bearer a", "Bearer a"]), Err(FieldFault::Repeated));
        assert_eq!(read(&["Basic a", "Bearer a"]), Err(FieldFault::Repeated));
    }
}
