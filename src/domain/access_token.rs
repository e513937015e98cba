//! The access token: a JWT of type `at+jwt` (RFC 9068), read strictly.
//!
//! The library only checks the signature. Header and claims are parsed here, because a lenient parser is where token
//! forgeries live: every member has one type, no name stands twice, nothing critical is skipped, and one token has one
//! spelling.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::identity::Identity;
use super::keys::{Algorithm, KeyId, KeySet};
use super::session::{Epochs, Session, SessionId, Subject};
use super::time::Timestamp;
use super::vault::{SealedJar, Vault};
use super::{refresh_token, strict_json};

/// Longest accepted token, in bytes. Measured before anything is decoded.
pub const MAX_BYTES: usize = 16 * 1024;

/// Claims that a login can never set: they are ours.
pub const REGISTERED: [&str; 15] =
    ["iss", "sub", "aud", "client_id", "exp", "nbf", "iat", "jti", "sid", "ep", "cnf", "act", "azp", "events", VAULT];

/// The claim that carries the sealed vault.
const VAULT: &str = "vlt";

/// What every token of an issuer must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    pub issuer: String,
    pub audience: String,
    /// Allowance for clocks that differ, at most 60 s.
    pub leeway: Duration,
    /// Longest accepted `exp − iat`: what the revocations are kept for.
    pub max_lifetime: Duration,
}

/// Why an access token was refused. Goes to logs and counters; the client only learns `invalid_token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenFault {
    #[error("a refresh token is not an access token")]
    RefreshToken,
    #[error("longer than 16 KiB")]
    TooLong,
    #[error("not three base64url parts")]
    Malformed,
    #[error("the header is not strict JSON, or has a member that is not understood")]
    Header,
    #[error("not an access token (typ)")]
    Type,
    #[error("no such key")]
    UnknownKey,
    #[error("the algorithm is not the key's")]
    Algorithm,
    #[error("the signature is wrong")]
    Signature,
    #[error("the claims are not strict JSON, or one is missing or of the wrong type")]
    Claims,
    #[error("another issuer")]
    Issuer,
    #[error("another audience")]
    Audience,
    #[error("expired")]
    Expired,
    #[error("issued in the future")]
    IssuedInFuture,
    #[error("lives longer than this issuer's tokens may")]
    Lifetime,
    #[error("the upstream's cookies in it cannot be opened")]
    Vault,
    #[error("revoked")]
    Revoked,
}

impl TokenFault {
    /// A short word for logs and metric labels.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::RefreshToken => "refresh_token",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Header => "header",
            Self::Type => "type",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::IssuedInFuture => "issued_in_future",
            Self::Lifetime => "lifetime",
            Self::Vault => "vault",
            Self::Revoked => "revoked",
        }
    }
}

/// Verifies a token's text against keys and rules at `now`. Revocation is not judged here: it is asked on every request,
/// also for a token that was verified before.
///
/// # Errors
/// The first [`TokenFault`], cheapest checks first: no cryptography before the shape and the key are known.
pub fn verify(text: &str, keys: &KeySet, rules: &TokenRules, now: Timestamp) -> Result<Identity, TokenFault> {
    let identity = verify_genuine(text, keys, rules)?;
    check_times(&identity, rules, now)?;
    Ok(identity)
}

/// As [`verify`], whatever time it is: an expired token is good for nothing, but it still names the session it was of.
///
/// # Errors
/// As [`verify`], except for the times.
pub fn verify_genuine(text: &str, keys: &KeySet, rules: &TokenRules) -> Result<Identity, TokenFault> {
    if text.starts_with(refresh_token::PREFIX) {
        return Err(TokenFault::RefreshToken);
    }
    if text.len() > MAX_BYTES {
        return Err(TokenFault::TooLong);
    }
    let mut parts = text.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenFault::Malformed);
    };
    if header.is_empty() || payload.is_empty() || signature.is_empty() || decode(signature).is_none() {
        return Err(TokenFault::Malformed);
    }
    let (algorithm, kid) = read_header(&decode(header).ok_or(TokenFault::Malformed)?)?;
    let payload = decode(payload).ok_or(TokenFault::Malformed)?;
    let key = keys.get(&kid).ok_or(TokenFault::UnknownKey)?;
    if algorithm != key.algorithm.name() {
        return Err(TokenFault::Algorithm);
    }
    let signing_input = &text.as_bytes()[..text.len() - signature.len() - 1];
    if !key.verifies(signing_input, signature) {
        return Err(TokenFault::Signature);
    }
    read_claims(&payload, &key.id, rules)
}

/// Whether the token is in its lifetime at `now`; also asked of a token from the cache.
///
/// # Errors
/// [`TokenFault::Expired`] or [`TokenFault::IssuedInFuture`], exact to the second (RFC 7519 §4.1.4).
pub fn check_times(identity: &Identity, rules: &TokenRules, now: Timestamp) -> Result<(), TokenFault> {
    if identity.expires.plus(rules.leeway) <= now {
        return Err(TokenFault::Expired);
    }
    if identity.issued > now.plus(rules.leeway) {
        return Err(TokenFault::IssuedInFuture);
    }
    Ok(())
}

/// The header and claims of a new token of `session`, and when it expires.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub header: Value,
    pub claims: Value,
    pub expires: Timestamp,
}

/// Drafts the access token of a session. `now` is the store's clock, `jti` 16 fresh random bytes, `lifetime` the
/// configured one; the token never outlives the session.
#[must_use]
pub fn draft(
    session: &Session,
    now: Timestamp,
    lifetime: Duration,
    rules: &TokenRules,
    key: (&KeyId, Algorithm),
    jti: [u8; 16],
) -> Draft {
    let issued = now.as_secs();
    let expires = now.plus(lifetime).min(session.absolute_end).as_secs();
    let mut claims = session.claims.clone();
    claims.retain(|name, _| !REGISTERED.contains(&name.as_str()));
    claims.insert("iss".into(), json!(rules.issuer));
    claims.insert("sub".into(), json!(session.subject.as_str()));
    claims.insert("aud".into(), json!(rules.audience));
    claims.insert("client_id".into(), json!(session.client));
    claims.insert("exp".into(), json!(expires));
    claims.insert("iat".into(), json!(issued));
    claims.insert("jti".into(), json!(URL_SAFE_NO_PAD.encode(jti)));
    claims.insert("sid".into(), json!(session.id.to_string()));
    claims.insert("ep".into(), json!([session.epochs.realm, session.epochs.subject]));
    if let Some(vault) = &session.vault {
        claims.insert(VAULT.into(), json!(vault.claim()));
    }
    let (kid, algorithm) = key;
    Draft {
        header: json!({ "typ": "at+jwt", "alg": algorithm.name(), "kid": kid.as_str() }),
        claims: Value::Object(claims),
        expires: Timestamp::from_secs(expires),
    }
}

/// Canonical base64url without padding: no other alphabet, no spare bits (RFC 7515 §2).
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn read_header(bytes: &[u8]) -> Result<(String, String), TokenFault> {
    let members = strict_json::object(bytes).map_err(|_| TokenFault::Header)?;
    // We mint three members and need no other: whatever else stands there asks for something we do not do
    // (crit, b64, zip, jku, jwk, x5c, …: RFC 8725 §3.10, RFC 7515 §4.1.11).
    if members.keys().any(|name| !matches!(name.as_str(), "typ" | "alg" | "kid")) {
        return Err(TokenFault::Header);
    }
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let is_access_token = text("typ")
        .is_some_and(|typ| ["at+jwt", "application/at+jwt"].iter().any(|name| typ.eq_ignore_ascii_case(name)));
    if !is_access_token {
        return Err(TokenFault::Type);
    }
    match (text("alg"), text("kid")) {
        (Some(algorithm), Some(kid)) => Ok((algorithm.to_owned(), kid.to_owned())),
        _ => Err(TokenFault::Header),
    }
}

fn read_claims(payload: &[u8], key: &KeyId, rules: &TokenRules) -> Result<Identity, TokenFault> {
    let mut claims = strict_json::object(payload).map_err(|_| TokenFault::Claims)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).ok_or(TokenFault::Claims);
    if text("iss")? != rules.issuer {
        return Err(TokenFault::Issuer);
    }
    if text("aud")? != rules.audience {
        return Err(TokenFault::Audience);
    }
    let (issued, expires) = (date(&claims, "iat")?, date(&claims, "exp")?);
    // None of ours has one; what cannot begin after it was issued needs no rule about the present.
    if claims.contains_key("nbf") && date(&claims, "nbf")? > issued {
        return Err(TokenFault::Claims);
    }
    if expires <= issued || expires.since(issued) > rules.max_lifetime {
        return Err(TokenFault::Lifetime);
    }
    let subject = Subject::parse(text("sub")?).ok_or(TokenFault::Claims)?;
    let session = SessionId::parse(text("sid")?).ok_or(TokenFault::Claims)?;
    let epochs = match claims.get("ep").and_then(Value::as_array).map(Vec::as_slice) {
        Some([realm, subject]) => Epochs {
            realm: realm.as_u64().ok_or(TokenFault::Claims)?,
            subject: subject.as_u64().ok_or(TokenFault::Claims)?,
        },
        _ => return Err(TokenFault::Claims),
    };
    is_name(text("jti")?).then_some(()).ok_or(TokenFault::Claims)?;
    let client = Some(text("client_id")?).filter(|client| is_name(client)).ok_or(TokenFault::Claims)?.to_owned();
    let scopes = match claims.get("scope") {
        None => Vec::new(),
        Some(Value::String(scope)) => scope.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        Some(_) => return Err(TokenFault::Claims),
    };
    let role_names = match claims.get("roles") {
        None => Vec::new(),
        Some(Value::Array(names)) => names
            .iter()
            .map(|role| role.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or(TokenFault::Claims)?,
        Some(_) => return Err(TokenFault::Claims),
    };
    let vault = match claims.remove(VAULT) {
        None => None,
        Some(Value::String(vault)) => Some(SealedJar::read(&vault).ok_or(TokenFault::Claims)?),
        Some(_) => return Err(TokenFault::Claims),
    };
    let vault = vault.map(|sealed| Arc::new(Vault::new(sealed)));
    let key = key.clone();
    let headers = OnceLock::new();
    Ok(Identity {
        subject,
        session,
        client,
        scopes,
        roles: role_names,
        epochs,
        key,
        issued,
        expires,
        claims,
        vault,
        headers,
    })
}

/// What can stand in a log line and in a header.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control)
}

/// A `NumericDate` as we mint it: whole seconds, not negative, below 2⁵³ / 1000.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Timestamp, TokenFault> {
    claims
        .get(name)
        .and_then(Value::as_u64)
        .filter(|seconds| *seconds < (1 << 53) / 1000)
        .and_then(|seconds| i64::try_from(seconds).ok())
        .map(Timestamp::from_secs)
        .ok_or(TokenFault::Claims)
}
