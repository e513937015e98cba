//! May this request pass? The only place that makes a [`Permit`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::access_token::TokenFault;
use super::cookie::CookieFault;
use super::identity::Identity;
use super::route::{AuthMode, Match, Route, WhenStale};

/// What a request brought to prove who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    Nothing,
    Bad(CredentialFault),
    Good(Arc<Identity>),
    /// Good as far as is known: the store has been silent for too long to be sure that nothing has ended it.
    Stale(Arc<Identity>),
}

/// Why what a request brought proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialFault {
    /// The `Authorization` field itself is not acceptable: repeated, another scheme, not a token (RFC 6750 §3.1).
    Field(FieldFault),
    Token(TokenFault),
    /// Our cookies could be read in two ways.
    Cookie(CookieFault),
    /// Cookies that another site may have made the browser send.
    CrossSite,
    /// The refresh token in a cookie gave no access token.
    Refresh(RefreshFault),
}

/// Why a refresh on the way gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshFault {
    /// The session has ended.
    Over,
    /// The store does not answer, or the browser holds later cookies by now: the same again may be right.
    NotNow,
    /// The session refreshes too often: wait this long.
    TooOften(Duration),
    /// We could not make a pair that a browser keeps.
    Failed,
}

/// What is wrong with the `Authorization` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldFault {
    Repeated,
    /// A token in the query as well (RFC 6750 §2).
    AlsoInQuery,
    /// A token in a cookie as well.
    AlsoInCookie,
    OtherScheme,
    Syntax,
}

/// That a request may go to an upstream. Cannot be made outside this module, so nothing is forwarded without a decision.
#[derive(Clone, Debug)]
pub struct Permit {
    upstream: String,
    identity: Option<Arc<Identity>>,
}

impl Permit {
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    #[must_use]
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }
}

/// Why a request does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoToken,
    BadCredential(CredentialFault),
    /// With the methods that the path's rules name.
    Method(Vec<String>),
    /// With the scopes the route asks for.
    Scope(Vec<String>),
    /// A role, claim or path segment does not fit.
    Forbidden,
    /// People log in at our endpoint, and not at the application's.
    AppLogin,
    /// The route asks for more certainty than there is without the store.
    Stale,
    /// Too many bad tokens came from there: wait this long.
    TooMany(Duration),
}

impl Refusal {
    /// Whether it is for a token that was never genuine. One that was, and has expired or been ended since, is what every
    /// honest client presents once in a while.
    #[must_use]
    pub const fn is_forgery(&self) -> bool {
        match self {
            Self::BadCredential(CredentialFault::Token(fault)) => {
                !matches!(fault, TokenFault::Expired | TokenFault::Vault | TokenFault::Revoked)
            }
            _ => false,
        }
    }
}

/// Whether the rule looks at the token at all; where it does not, none is verified.
#[must_use]
pub fn asks_for_credential(found: &Match<'_>) -> bool {
    !matches!(found, Match::Rule { route: Route { auth: AuthMode::None, .. }, .. })
}

/// Whether the rule wants to know how long the store has been silent; where it does not, nobody has to look.
#[must_use]
pub fn denies_when_stale(found: &Match<'_>) -> bool {
    match found {
        Match::Rule { route, .. } | Match::Fallback(route) => route.when_stale == WhenStale::Deny,
        Match::OtherMethods { .. } => false,
    }
}

/// Judges a request by its rule and its credential.
///
/// # Errors
/// The [`Refusal`] the client is to get.
pub fn decide(found: &Match<'_>, credential: &Credential) -> Result<Permit, Refusal> {
    let no_parameters = BTreeMap::new();
    let (route, parameters) = match found {
        Match::Rule { route, parameters, .. } => (*route, parameters),
        Match::Fallback(route) => (*route, &no_parameters),
        Match::OtherMethods { methods, .. } => {
            return Err(match credential {
                Credential::Nothing => Refusal::NoToken,
                Credential::Bad(fault) => Refusal::BadCredential(*fault),
                Credential::Good(_) | Credential::Stale(_) => {
                    Refusal::Method(methods.iter().map(|&method| method.to_owned()).collect())
                }
            });
        }
    };
    let identity = match (route.auth, credential) {
        (AuthMode::None, _) | (AuthMode::Optional, Credential::Nothing) => None,
        (AuthMode::Required, Credential::Nothing) => return Err(Refusal::NoToken),
        (_, Credential::Bad(fault)) => return Err(Refusal::BadCredential(*fault)),
        (_, Credential::Stale(_)) if route.when_stale == WhenStale::Deny => return Err(Refusal::Stale),
        (_, Credential::Good(identity) | Credential::Stale(identity)) => Some(Arc::clone(identity)),
    };
    if let Some(identity) = &identity {
        check_rule(route, parameters, identity)?;
    }
    Ok(Permit { upstream: route.upstream.clone(), identity })
}

fn check_rule(route: &Route, parameters: &BTreeMap<&str, &str>, identity: &Identity) -> Result<(), Refusal> {
    if !route.scopes.iter().all(|scope| identity.scopes.contains(scope)) {
        return Err(Refusal::Scope(route.scopes.clone()));
    }
    let has_role = route.roles.is_empty() || route.roles.iter().any(|role| identity.roles.contains(role));
    let has_claims = route.claims.iter().all(|(name, value)| identity.claims.get(name) == Some(value));
    let segments_fit = route.segment_claims.iter().all(|(parameter, claim)| {
        match (parameters.get(parameter.as_str()), identity.claims.get(claim)) {
            (Some(segment), Some(Value::String(value))) => segment == value,
            (Some(segment), Some(Value::Number(value))) => *segment == value.to_string(),
            _ => false,
        }
    });
    if has_role && has_claims && segments_fit { Ok(()) } else { Err(Refusal::Forbidden) }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use serde_json::json;

    use super::*;
    use crate::domain::keys::KeyId;
    use crate::domain::route::RoutePath;
    use crate::domain::session::{Epochs, SessionId, Subject};
    use crate::domain::time::Timestamp;

    fn ann() -> Credential {
        let Value::Object(claims) = json!({ "sub": "ann", "tenant": "acme", "number": 7 }) else { unreachable!() };
        Credential::Good(Arc::new(Identity {
            subject: Subject::parse("ann").unwrap(),
            session: SessionId::from_bytes([1; 16]),
            client: "first-party".into(),
            scopes: vec!["read".into()],
            roles: vec!["clerk".into()],
            epochs: Epochs::default(),
            key: KeyId::stored("key".into()),
            issued: Timestamp::default(),
            expires: Timestamp::default(),
            claims,
            vault: None,
            headers: OnceLock::new(),
        }))
    }

    fn route(change: impl FnOnce(&mut Route)) -> Route {
        let mut route = Route::fallback("api");
        change(&mut route);
        route
    }

    fn outcome(
        route: &Route,
        parameters: &[(&'static str, &'static str)],
        credential: &Credential,
    ) -> Result<bool, Refusal> {
        let path = RoutePath::parse("/{id}").unwrap();
        decide(&Match::Rule { route, path: &path, parameters: parameters.iter().copied().collect() }, credential)
            .map(|permit| permit.identity().is_some())
    }

    #[test]
    fn the_credential_is_judged_by_the_routes_mode() {
        let bad = Credential::Bad(CredentialFault::Token(TokenFault::Expired));
        let refused = Err(Refusal::BadCredential(CredentialFault::Token(TokenFault::Expired)));
        let required = route(|_| ());
        assert_eq!(outcome(&required, &[], &Credential::Nothing), Err(Refusal::NoToken));
        assert_eq!(outcome(&required, &[], &bad), refused);
        assert_eq!(outcome(&required, &[], &ann()), Ok(true));
        let optional = route(|route| route.auth = AuthMode::Optional);
        assert_eq!(outcome(&optional, &[], &Credential::Nothing), Ok(false));
        assert_eq!(outcome(&optional, &[], &bad), refused);
        assert_eq!(outcome(&optional, &[], &ann()), Ok(true));
        let public = route(|route| route.auth = AuthMode::None);
        for credential in [Credential::Nothing, bad, ann()] {
            assert_eq!(outcome(&public, &[], &credential), Ok(false));
        }
        let path = RoutePath::parse("/x").unwrap();
        assert!(!asks_for_credential(&Match::Rule { route: &public, path: &path, parameters: BTreeMap::new() }));
        assert!(asks_for_credential(&Match::Fallback(&public)));
    }

    #[test]
    fn scopes_roles_claims_and_segments_must_all_fit() {
        let ann = ann();
        let scoped = route(|route| route.scopes = vec!["read".into(), "write".into()]);
        assert_eq!(outcome(&scoped, &[], &ann), Err(Refusal::Scope(vec!["read".into(), "write".into()])));
        let any_role = route(|route| route.roles = vec!["admin".into(), "clerk".into()]);
        assert_eq!(outcome(&any_role, &[], &ann), Ok(true));
        let admin = route(|route| route.roles = vec!["admin".into()]);
        assert_eq!(outcome(&admin, &[], &ann), Err(Refusal::Forbidden));
        let tenant = route(|route| drop(route.claims.insert("tenant".into(), json!("other"))));
        assert_eq!(outcome(&tenant, &[], &ann), Err(Refusal::Forbidden));
        let own = route(|route| drop(route.segment_claims.insert("id".into(), "number".into())));
        assert_eq!(outcome(&own, &[("id", "7")], &ann), Ok(true));
        assert_eq!(outcome(&own, &[("id", "8")], &ann), Err(Refusal::Forbidden));
        assert_eq!(outcome(&own, &[], &ann), Err(Refusal::Forbidden));
    }

    #[test]
    fn a_token_that_may_have_been_revoked_passes_where_the_route_says_so() {
        let Credential::Good(identity) = ann() else { unreachable!() };
        let stale = Credential::Stale(identity);
        assert_eq!(outcome(&route(|_| ()), &[], &stale), Ok(true));
        for auth in [AuthMode::Required, AuthMode::Optional] {
            let strict = route(|route| (route.auth, route.when_stale) = (auth, WhenStale::Deny));
            assert_eq!(outcome(&strict, &[], &stale), Err(Refusal::Stale));
            assert_eq!(outcome(&strict, &[], &ann()), Ok(true));
        }
        let optional = route(|route| (route.auth, route.when_stale) = (AuthMode::Optional, WhenStale::Deny));
        assert_eq!(outcome(&optional, &[], &Credential::Nothing), Ok(false), "nobody has to be known");
        let public = route(|route| (route.auth, route.when_stale) = (AuthMode::None, WhenStale::Deny));
        assert_eq!(outcome(&public, &[], &stale), Ok(false));
    }

    #[test]
    fn an_unnamed_method_is_told_only_to_those_with_a_token() {
        let path = RoutePath::parse("/x").unwrap();
        let found = Match::OtherMethods { path: &path, methods: vec!["GET"] };
        assert_eq!(decide(&found, &Credential::Nothing).unwrap_err(), Refusal::NoToken);
        assert_eq!(decide(&found, &ann()).unwrap_err(), Refusal::Method(vec!["GET".into()]));
    }
}
