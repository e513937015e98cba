//! The signature back-end of `jsonwebtoken`, on ring: the crypto library that TLS uses anyway.
//!
//! `jsonwebtoken` finds its back-end through one process-wide registration; [`install`] makes it and can be called any
//! number of times.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING,
    ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use signature::{Signer, Verifier};
use zeroize::Zeroizing;

use crate::clock::signing_randomness;
use crate::domain::keys as domain;

/// Registers the back-end. Must run before the first token is signed or verified.
pub fn install() {
    // An error means that it is registered already, by this function: nothing else in the program does.
    let _ = PROVIDER.install_default();
}

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// A fresh key pair as PKCS #8 (RFC 5958); `None` for a symmetric algorithm and for RSA, or if the crypto library refuses.
#[must_use]
pub fn generate_pair(algorithm: domain::Algorithm) -> Option<Zeroizing<Vec<u8>>> {
    let randomness = signing_randomness();
    let pkcs8 = match algorithm {
        domain::Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&randomness),
        _ => EcdsaKeyPair::generate_pkcs8(curve(algorithm.jose())?, &randomness),
    };
    Some(Zeroizing::new(pkcs8.ok()?.as_ref().to_vec()))
}

/// What verifies the signatures of a PKCS #8 key; `None` if it is no key of this algorithm, or a weak one.
#[must_use]
pub fn public_half(algorithm: domain::Algorithm, pkcs8: &[u8]) -> Option<domain::VerifyingKey> {
    if algorithm.is_rsa() {
        let pair = rsa_pair(pkcs8).ok()?;
        let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
        return domain::VerifyingKey::rsa(algorithm, &parts.n, &parts.e, pair.public().as_ref());
    }
    let public = match algorithm {
        domain::Algorithm::EdDsa => ed25519_pair(pkcs8).ok()?.public_key().as_ref().to_vec(),
        _ => ecdsa_pair(curve(algorithm.jose())?, pkcs8).ok()?.public_key().as_ref().to_vec(),
    };
    domain::VerifyingKey::public(algorithm, &public)
}

const fn curve(algorithm: Algorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::ES384 => Some(&ECDSA_P384_SHA384_FIXED_SIGNING),
        _ => None,
    }
}

const fn hash(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Some(hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn ecdsa_pair(curve: &'static EcdsaSigningAlgorithm, pkcs8: &[u8]) -> Result<EcdsaKeyPair> {
    let pair = EcdsaKeyPair::from_pkcs8(curve, pkcs8, &signing_randomness());
    pair.map_err(|_| Error::from(ErrorKind::InvalidEcdsaKey))
}

/// 2048 to 4096 bits, whose parts fit together.
fn rsa_pair(pkcs8: &[u8]) -> Result<RsaKeyPair> {
    RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| Error::from(ErrorKind::InvalidKeyFormat))
}

fn padding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        Algorithm::RS256 => Some(&RSA_PKCS1_SHA256),
        Algorithm::PS256 => Some(&RSA_PSS_SHA256),
        _ => None,
    }
}

fn ed25519_pair(pkcs8: &[u8]) -> Result<Ed25519KeyPair> {
    // Version 1, as openssl writes it, has no public half to compare with.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| Error::from(ErrorKind::InvalidKeyFormat))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is the library's")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let (algorithm, bytes) = (*algorithm, key.as_bytes());
    let secret = match (hash(algorithm), curve(algorithm)) {
        (Some(hash), _) => Secret::Hmac(hmac::Key::new(hash, bytes)),
        (None, Some(curve)) => Secret::Ecdsa(ecdsa_pair(curve, bytes)?),
        (None, None) if algorithm == Algorithm::EdDSA => Secret::Ed25519(ed25519_pair(bytes)?),
        (None, None) => match padding(algorithm) {
            Some(padding) => Secret::Rsa(Box::new(rsa_pair(bytes)?), padding),
            None => return Err(ErrorKind::InvalidAlgorithm.into()),
        },
    };
    Ok(Box::new(RingSigner { algorithm, secret }))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is the library's")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let (algorithm, bytes) = (*algorithm, key.try_get_as_bytes()?);
    let public =
        |scheme: &'static dyn VerificationAlgorithm| Public::Key(UnparsedPublicKey::new(scheme, bytes.to_vec()));
    let public = match (hash(algorithm), algorithm) {
        (Some(hash), _) => Public::Hmac(hmac::Key::new(hash, bytes)),
        (None, Algorithm::ES256) => public(&ECDSA_P256_SHA256_FIXED),
        (None, Algorithm::ES384) => public(&ECDSA_P384_SHA384_FIXED),
        (None, Algorithm::EdDSA) => public(&ED25519),
        (None, Algorithm::RS256) => public(&RSA_PKCS1_2048_8192_SHA256),
        (None, Algorithm::PS256) => public(&RSA_PSS_2048_8192_SHA256),
        (None, _) => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    Ok(Box::new(RingVerifier { algorithm, public }))
}

struct RingSigner {
    algorithm: Algorithm,
    secret: Secret,
}

enum Secret {
    Hmac(hmac::Key),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        match &self.secret {
            Secret::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Secret::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Secret::Rsa(pair, padding) => {
                let mut signed = vec![0; pair.public().modulus_len()];
                let done = pair.sign(*padding, &signing_randomness(), message, &mut signed);
                done.map(|()| signed).map_err(|_| signature::Error::new())
            }
            Secret::Ecdsa(pair) => {
                let signed = pair.sign(&signing_randomness(), message).map_err(|_| signature::Error::new())?;
                Ok(signed.as_ref().to_vec())
            }
        }
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

struct RingVerifier {
    algorithm: Algorithm,
    public: Public,
}

enum Public {
    Hmac(hmac::Key),
    Key(UnparsedPublicKey<Vec<u8>>),
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        let verified = match &self.public {
            Public::Hmac(key) => hmac::verify(key, message, signature),
            Public::Key(key) => key.verify(message, signature),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
