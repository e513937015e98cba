//! Keys of access tokens: an algorithm is bound to its key when the key is made, and never taken from a token.

use std::collections::HashMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Serialize;

use super::secret::sha256;

/// Signature algorithms of our own issuer (RFC 7518 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Es256,
    Hs256,
}

impl Algorithm {
    pub const ALL: [Self; 2] = [Self::Es256, Self::Hs256];

    /// The exact `alg` value; compared case-sensitively (RFC 7515 §4.1.1).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    const fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The RFC 7638 thumbprint of a key, base64url: its `kid`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key as published under `/.well-known/jwks.json` (RFC 7517 §4). Symmetric keys have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicJwk {
    pub kty: &'static str,
    pub crv: &'static str,
    pub x: String,
    pub y: String,
    #[serde(rename = "use")]
    pub purpose: &'static str,
    pub alg: &'static str,
    pub kid: String,
}

/// What verifies one key's signatures.
#[derive(Clone)]
pub struct VerifyingKey {
    pub id: KeyId,
    pub algorithm: Algorithm,
    pub public: Option<PublicJwk>,
    decoding: DecodingKey,
}

impl VerifyingKey {
    /// From an uncompressed P-256 point, `4 ‖ x:32 ‖ y:32` (SEC 1 §2.3.3). `None` if it has another shape.
    #[must_use]
    pub fn es256(point: &[u8]) -> Option<Self> {
        let [4, coordinates @ ..] = point else { return None };
        let (x, y) = (coordinates.get(..32)?, coordinates.get(32..)?);
        if y.len() != 32 {
            return None;
        }
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let decoding = DecodingKey::from_ec_components(&x, &y).ok()?;
        let id = thumbprint(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#));
        let public = PublicJwk { kty: "EC", crv: "P-256", x, y, purpose: "sig", alg: "ES256", kid: id.0.clone() };
        Some(Self { id, algorithm: Algorithm::Es256, public: Some(public), decoding })
    }

    /// From 32 random bytes.
    #[must_use]
    pub fn hs256(secret: &[u8; 32]) -> Self {
        let id = thumbprint(&format!(r#"{{"k":"{}","kty":"oct"}}"#, URL_SAFE_NO_PAD.encode(secret)));
        Self { id, algorithm: Algorithm::Hs256, public: None, decoding: DecodingKey::from_secret(secret) }
    }

    /// Whether `signature` (base64url) is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, self.algorithm.jose()).unwrap_or(false)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}, {})", self.algorithm, self.id)
    }
}

/// The verifying keys of one issuer, found by `kid`; never tried in sequence.
#[derive(Clone, Debug, Default)]
pub struct KeySet(HashMap<String, VerifyingKey>);

impl KeySet {
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.0.get(kid)
    }

    /// The published set, sorted by `kid` so that its bytes are stable.
    #[must_use]
    pub fn published(&self) -> Vec<&PublicJwk> {
        let mut keys: Vec<_> = self.0.values().filter_map(|key| key.public.as_ref()).collect();
        keys.sort_by(|a, b| a.kid.cmp(&b.kid));
        keys
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<VerifyingKey> for KeySet {
    fn from_iter<I: IntoIterator<Item = VerifyingKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.id.0.clone(), key)).collect())
    }
}

fn thumbprint(canonical_jwk: &str) -> KeyId {
    KeyId(URL_SAFE_NO_PAD.encode(sha256(canonical_jwk.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithm_names_are_exact() {
        assert_eq!(Algorithm::parse("ES256"), Some(Algorithm::Es256));
        for bad in ["es256", "ES256 ", "none", "None", "", "RS256", "HS256\0"] {
            assert_eq!(Algorithm::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_point_of_another_shape_is_no_key() {
        for bad in [vec![], vec![4; 64], vec![4; 66], vec![2; 33], vec![3; 65]] {
            assert!(VerifyingKey::es256(&bad).is_none(), "{} bytes", bad.len());
        }
    }

    #[test]
    fn a_symmetric_key_is_never_published() {
        let set: KeySet = [VerifyingKey::hs256(&[7; 32])].into_iter().collect();
        assert_eq!((set.len(), set.published().len()), (1, 0));
    }
}
