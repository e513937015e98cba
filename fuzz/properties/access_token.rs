//! The access token. Input: a header and claims, one line each, that are signed with a real key; whatever does not begin
//! with `{` is read as a token's text.
//!
//! Of the texts, only tokens that were signed here verify. Of what is signed, only a header of exactly our three members
//! and claims without doubt are accepted: no member is repeated, issuer and audience are ours, the lifetime is not longer
//! than it may be, and the identity says what the claims say. It is good from `iat` to `exp`, with the leeway, and not a
//! millisecond longer. An accepted token has one spelling: with one character changed or added it is none.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Map, Value, json};
use sidegate::authority::jose;
use sidegate::domain::access_token::{MAX_BYTES, TokenFault, TokenRules, verify, verify_genuine};
use sidegate::domain::identity::Identity;
use sidegate::domain::keys::{Algorithm, KeySet, VerifyingKey};
use sidegate::domain::strict_json;
use sidegate::domain::time::Timestamp;

struct Issuer {
    secret: hmac::Key,
    kid: String,
    keys: KeySet,
    rules: TokenRules,
    /// Every token that was ever signed, but for those that this input signs.
    signed: Vec<String>,
}

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| {
    jose::install();
    let secret = [7; 32];
    let hs256 = VerifyingKey::secret(Algorithm::Hs256, &secret).expect("a key");
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("a key");
    let eddsa = VerifyingKey::public(Algorithm::EdDsa, pair.public_key().as_ref()).expect("a key");
    let es256 = VerifyingKey::public(Algorithm::Es256, &published_point()).expect("a key");
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let kid = hs256.id.to_string();
    let by_secret = |input: &str| hmac::sign(&secret, input.as_bytes()).as_ref().to_vec();
    let by_pair = |input: &str| pair.sign(input.as_bytes()).as_ref().to_vec();
    let header = |key: &VerifyingKey| json!({ "typ": "at+jwt", "alg": key.algorithm.name(), "kid": key.id.as_str() });
    let claims = json!({
        "iss": "https://issuer", "sub": "ann", "aud": "api", "client_id": "first-party", "iat": 1_800_000_000,
        "exp": 1_800_000_600, "jti": "AAAAAAAAAAAAAAAAAAAAAA", "sid": "00112233445566778899aabbccddeeff",
        "ep": [0, 0], "roles": ["clerk"],
    });
    let signed = vec![
        token(header(&hs256).to_string().as_bytes(), claims.to_string().as_bytes(), by_secret),
        token(header(&eddsa).to_string().as_bytes(), claims.to_string().as_bytes(), by_pair),
    ];
    let rules = TokenRules {
        issuer: "https://issuer".to_owned(),
        audience: "api".to_owned(),
        leeway: Duration::from_secs(5),
        max_lifetime: Duration::from_mins(10),
    };
    Issuer { kid, keys: [hs256, eddsa, es256].into_iter().collect(), rules, signed, secret }
});

pub fn holds(input: &[u8]) {
    if input.starts_with(b"{") {
        let end = input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len());
        what_is_signed_is_read_strictly(&input[..end], input.get(end + 1..).unwrap_or_default());
    } else if let Ok(text) = std::str::from_utf8(input) {
        let Issuer { keys, rules, signed, .. } = &*ISSUER;
        let verified = verify_genuine(text, keys, rules).is_ok();
        assert_eq!(verified, signed.iter().any(|token| token == text), "{text}");
    }
}

fn what_is_signed_is_read_strictly(header: &[u8], claims: &[u8]) {
    let Issuer { secret, keys, rules, kid, .. } = &*ISSUER;
    let (strict_header, strict_claims) = (strictly(header), strictly(claims));
    let token = token(header, claims, |input| hmac::sign(secret, input.as_bytes()).as_ref().to_vec());
    let verdict = verify_genuine(&token, keys, rules);
    let identity = match verdict {
        Ok(identity) => identity,
        Err(fault) => {
            assert!(!matches!(fault, TokenFault::RefreshToken | TokenFault::Revoked), "{fault:?}");
            assert_ne!(fault, TokenFault::Signature, "it was signed");
            return;
        }
    };
    assert!(token.len() <= MAX_BYTES);
    let strict_header = strict_header.expect("the header is strict JSON");
    let typ = strict_header["typ"].as_str().expect("a text").to_ascii_lowercase();
    assert!(typ == "at+jwt" || typ == "application/at+jwt", "{typ}");
    assert_eq!((strict_header.len(), &strict_header["alg"], &strict_header["kid"]), (3, &json!("HS256"), &json!(kid)));
    assert_says(&identity, &strict_claims.expect("the claims are strict JSON"), rules);
    assert_lifetime(&token, &identity);
    assert_one_spelling(&token);
}

/// The object, if nothing in it is said twice: then a lenient reader finds the same, and nothing that it drops.
fn strictly(text: &[u8]) -> Option<Map<String, Value>> {
    let lenient: Option<Map<String, Value>> = serde_json::from_slice(text).ok();
    let strict = strict_json::object(text).ok();
    let repeats = lenient.as_ref().is_some_and(|object| members(object.values()) + object.len() < colons(text));
    let expected = if repeats { None } else { lenient };
    assert_eq!(strict, expected, "{:?}", String::from_utf8_lossy(text));
    strict
}

fn members<'v>(values: impl Iterator<Item = &'v Value>) -> usize {
    let below = values.map(|value| match value {
        Value::Object(object) => object.len() + members(object.values()),
        Value::Array(items) => members(items.iter()),
        _ => 0,
    });
    below.sum()
}

/// Colons outside of strings: JSON has one for each member.
fn colons(text: &[u8]) -> usize {
    let (mut colons, mut in_string, mut escaped) = (0, false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b':' if !in_string => colons += 1,
            _ => {}
        }
    }
    colons
}

fn assert_says(identity: &Identity, claims: &Map<String, Value>, rules: &TokenRules) {
    assert_eq!(&identity.claims, claims);
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(rules.issuer), &json!(rules.audience)));
    assert_eq!(claims["sub"], json!(identity.subject.as_str()));
    assert_eq!(claims["sid"], json!(identity.session.to_string()));
    assert_eq!(claims["client_id"], json!(identity.client));
    assert_eq!(claims["ep"], json!([identity.epochs.realm, identity.epochs.subject]));
    assert_eq!(
        (&claims["iat"], &claims["exp"]),
        (&json!(identity.issued.as_secs()), &json!(identity.expires.as_secs()))
    );
    assert!(claims["jti"].is_string());
    assert!(identity.issued < identity.expires && identity.expires.since(identity.issued) <= rules.max_lifetime);
    assert_eq!(claims.get("roles").cloned().unwrap_or_else(|| json!([])), json!(identity.roles));
    let scopes = claims.get("scope").map_or("", |scope| scope.as_str().expect("a text"));
    assert_eq!(scopes.split(' ').filter(|scope| !scope.is_empty()).collect::<Vec<_>>(), identity.scopes);
}

fn assert_lifetime(token: &str, identity: &Identity) {
    let Issuer { keys, rules, .. } = &*ISSUER;
    let moment = Duration::from_millis(1);
    let (first, end) = (identity.issued.minus(rules.leeway), identity.expires.plus(rules.leeway));
    let at = |now: Timestamp| verify(token, keys, rules, now).map(|_| ());
    assert_eq!(at(first.minus(moment)), Err(TokenFault::IssuedInFuture));
    assert_eq!((at(first), at(end.minus(moment))), (Ok(()), Ok(())));
    assert_eq!(at(end), Err(TokenFault::Expired));
}

fn assert_one_spelling(token: &str) {
    let Issuer { keys, rules, .. } = &*ISSUER;
    let refused = |text: &str| assert!(verify_genuine(text, keys, rules).is_err(), "{text} verifies as {token} does");
    for added in ["=", ".", "A", " ", "\n", "\0"] {
        refused(&format!("{token}{added}"));
        refused(&format!("{added}{token}"));
    }
    // Every input tries another place; the last character of each part is where spare bits are.
    let places = token.match_indices('.').map(|(dot, _)| dot - 1).chain([token.len() - 1, token.len() * 7 % 31]);
    for place in places {
        for character in "AEgw19-_=+/".chars().filter(|character| !token[place..].starts_with(*character)) {
            refused(&format!("{}{character}{}", &token[..place], &token[place + 1..]));
        }
    }
}

fn token(header: &[u8], claims: &[u8], sign: impl Fn(&str) -> Vec<u8>) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(&input));
    format!("{input}.{signature}")
}

/// The public key of RFC 7515 appendix A.3, as an uncompressed point.
fn published_point() -> Vec<u8> {
    let coordinates = ["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"];
    let coordinates = coordinates.map(|text| URL_SAFE_NO_PAD.decode(text).expect("base64url"));
    [&[4], coordinates.concat().as_slice()].concat()
}
