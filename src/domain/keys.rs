//! Keys of access tokens: an algorithm is bound to its key when the key is made, and never taken from a token.

use std::collections::HashMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Serialize;

use super::secret::sha256;

/// Signature algorithms of our own issuer (RFC 7518 §3, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Es256,
    Es384,
    EdDsa,
    Rs256,
    Ps256,
    Hs256,
    Hs384,
    Hs512,
}

impl Algorithm {
    pub const ALL: [Self; 8] =
        [Self::Es256, Self::Es384, Self::EdDsa, Self::Rs256, Self::Ps256, Self::Hs256, Self::Hs384, Self::Hs512];

    /// The exact `alg` value; compared case-sensitively (RFC 7515 §4.1.1).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The library's name for it.
    #[must_use]
    pub const fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
        }
    }

    /// Bytes of a secret: as many as the hash has (RFC 7518 §3.2). `None` for a key pair.
    #[must_use]
    pub const fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            Self::Es256 | Self::Es384 | Self::EdDsa | Self::Rs256 | Self::Ps256 => None,
        }
    }

    /// Whether its keys are RSA keys: those are imported, never made here.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rs256 | Self::Ps256)
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
    /// A kid as it was stored; what is none is no key's.
    #[must_use]
    pub const fn stored(kid: String) -> Self {
        Self(kid)
    }

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
    #[serde(flatten)]
    pub material: PublicMaterial,
    #[serde(rename = "use")]
    pub purpose: &'static str,
    pub alg: &'static str,
    pub kid: String,
}

/// What a public key consists of, each part in base64url (RFC 7518 §6, RFC 8037 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PublicMaterial {
    Curve {
        crv: &'static str,
        x: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        y: Option<String>,
    },
    Rsa {
        n: String,
        e: String,
    },
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
    /// From the public half of a key pair: an uncompressed point `4 ‖ x ‖ y` (SEC 1 §2.3.3) on P-256 or P-384, or the 32
    /// bytes of an Ed25519 key (RFC 8032 §5.1.5). `None` if it has another shape, or the algorithm has no public half.
    #[must_use]
    pub fn public(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (kty, crv, x, y) = match (algorithm, key) {
            (Algorithm::Es256, [4, coordinates @ ..]) if coordinates.len() == 64 => {
                ("EC", "P-256", encode(&coordinates[..32]), Some(encode(&coordinates[32..])))
            }
            (Algorithm::Es384, [4, coordinates @ ..]) if coordinates.len() == 96 => {
                ("EC", "P-384", encode(&coordinates[..48]), Some(encode(&coordinates[48..])))
            }
            (Algorithm::EdDsa, x) if x.len() == 32 => ("OKP", "Ed25519", encode(x), None),
            _ => return None,
        };
        let decoding = match &y {
            Some(y) => DecodingKey::from_ec_components(&x, y),
            None => DecodingKey::from_ed_components(&x),
        };
        let id = thumbprint(&match &y {
            Some(y) => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#),
            None => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"}}"#),
        });
        let material = PublicMaterial::Curve { crv, x, y };
        let public = PublicJwk { kty, material, purpose: "sig", alg: algorithm.name(), kid: id.0.clone() };
        Some(Self { id, algorithm, public: Some(public), decoding: decoding.ok()? })
    }

    /// From an RSA key's modulus and exponent, big-endian without leading zeros, and the two as `RSAPublicKey` (RFC 8017
    /// appendix A.1.1). `None` if the modulus has fewer than 2048 bits (RFC 7518 §3.3) or more than 4096, or the
    /// algorithm is none of RSA's.
    #[must_use]
    pub fn rsa(algorithm: Algorithm, modulus: &[u8], exponent: &[u8], der: &[u8]) -> Option<Self> {
        let fits = (256..=512).contains(&modulus.len()) && modulus.first().is_some_and(|byte| *byte >= 0x80);
        if !algorithm.is_rsa() || !fits {
            return None;
        }
        let (n, e) = (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(exponent));
        let id = thumbprint(&format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#));
        let material = PublicMaterial::Rsa { n, e };
        let public = PublicJwk { kty: "RSA", material, purpose: "sig", alg: algorithm.name(), kid: id.0.clone() };
        Some(Self { id, algorithm, public: Some(public), decoding: DecodingKey::from_rsa_der(der) })
    }

    /// From the random bytes of an HMAC key. `None` if they are not as many as [`Algorithm::secret_bytes`].
    #[must_use]
    pub fn secret(algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        if algorithm.secret_bytes() != Some(secret.len()) {
            return None;
        }
        let id = thumbprint(&format!(r#"{{"k":"{}","kty":"oct"}}"#, URL_SAFE_NO_PAD.encode(secret)));
        Some(Self { id, algorithm, public: None, decoding: DecodingKey::from_secret(secret) })
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
        for bad in ["es256", "ES256 ", "none", "None", "", "RS1", "RS512", "HS256\0"] {
            assert_eq!(Algorithm::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_key_of_another_shape_is_no_key() {
        for bad in [vec![], vec![4; 64], vec![4; 66], vec![2; 33], vec![3; 65], vec![4; 33], vec![5; 97]] {
            for algorithm in Algorithm::ALL {
                assert!(VerifyingKey::public(algorithm, &bad).is_none(), "{algorithm}, {} bytes", bad.len());
            }
        }
        assert!(VerifyingKey::public(Algorithm::Es384, &[4; 65]).is_none(), "a P-256 key");
        assert!(VerifyingKey::secret(Algorithm::Hs384, &[7; 32]).is_none(), "shorter than its hash");
        assert!(VerifyingKey::secret(Algorithm::Es256, &[7; 32]).is_none());
    }

    /// RFC 8037 appendix A.3.
    #[test]
    fn the_thumbprint_of_the_published_example_is_right() {
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = VerifyingKey::public(Algorithm::EdDsa, &x).unwrap();
        assert_eq!(key.id.as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    /// RFC 7638 §3.1.
    #[test]
    fn the_thumbprint_of_the_published_rsa_example_is_right() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj\
                 hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let modulus = URL_SAFE_NO_PAD.decode(n).unwrap();
        let key = VerifyingKey::rsa(Algorithm::Rs256, &modulus, &[1, 0, 1], &[]).unwrap();
        assert_eq!(key.id.as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert!(VerifyingKey::rsa(Algorithm::Es256, &modulus, &[1, 0, 1], &[]).is_none());
        assert!(VerifyingKey::rsa(Algorithm::Rs256, &modulus[..128], &[1, 0, 1], &[]).is_none(), "1024 bits");
    }

    #[test]
    fn a_symmetric_key_is_never_published() {
        let set: KeySet = VerifyingKey::secret(Algorithm::Hs256, &[7; 32]).into_iter().collect();
        assert_eq!((set.len(), set.published().len()), (1, 0));
    }
}
