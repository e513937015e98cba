//! The signing keys of the realm: kept in the store, sealed under an operator secret, opened here.
//!
//! ```text
//! sealed = nonce:12 ‖ ChaCha20-Poly1305(K_seal, nonce, key, aad = realm ‖ 0 ‖ algorithm ‖ 0 ‖ kid)
//! ```
//! A stolen database yields no key, and a sealed key cannot be moved to another realm, algorithm or name.

use std::fmt;
use std::time::Duration;

use jsonwebtoken::EncodingKey;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::clock::Entropy;
use crate::domain::key_life::{KeyTimes, Phase, phases};
use crate::domain::keys::{Algorithm, KeyId, KeySet, VerifyingKey};
use crate::domain::revocation::ALLOWANCE;
use crate::domain::secret::OperatorSecret;
use crate::domain::time::Timestamp;
use crate::store::{SealedKey, SigningKeys, StoredKey};

use super::jose;

/// The realm's keys as of one version: every one that is not banned verifies, one signs.
pub struct Keyring {
    version: u64,
    keys: Vec<RingKey>,
    verifying: KeySet,
    banned: Vec<KeyId>,
    keep: Duration,
}

struct RingKey {
    signing: SigningKey,
    times: KeyTimes,
}

/// A key that can sign.
pub struct SigningKey {
    id: KeyId,
    algorithm: Algorithm,
    encoding: EncodingKey,
}

/// Why the realm's keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    #[error("the realm has no {0} signing key")]
    NoKey(Algorithm),
    #[error("the signing key {kid} was sealed with the operator secret {secret}, which is not configured")]
    NoSecret { kid: String, secret: String },
    #[error("the signing key {0} does not open: it was changed in the store")]
    Damaged(String),
    #[error("a key could not be made")]
    Generate,
    #[error("{0} keys are not made here")]
    Imported(Algorithm),
    #[error("the file holds no {0} key that can be used")]
    Unfit(Algorithm),
}

impl Keyring {
    /// Opens the realm's keys.
    ///
    /// # Errors
    /// [`KeyringError`] if one does not open.
    pub fn open(realm: &str, keys: &SigningKeys, secrets: &[OperatorSecret]) -> Result<Self, KeyringError> {
        let (mut ring, mut verifying, mut banned) = (Vec::new(), Vec::new(), Vec::new());
        for stored in &keys.list {
            if stored.banned.is_some() {
                banned.push(KeyId::stored(stored.key.kid.clone()));
                continue;
            }
            let (public, encoding) = unseal(realm, &stored.key, secrets)?;
            let signing = SigningKey { id: public.id.clone(), algorithm: public.algorithm, encoding };
            ring.push(RingKey { signing, times: times(stored) });
            verifying.push(public);
        }
        let verifying = verifying.into_iter().collect();
        Ok(Self { version: keys.version, keys: ring, verifying, banned, keep: kept_after(keys) })
    }

    /// Makes a new key and seals it under `secret`.
    ///
    /// # Errors
    /// [`KeyringError::Generate`] if the crypto library refuses.
    pub fn generate(
        realm: &str,
        algorithm: Algorithm,
        secret: &OperatorSecret,
        entropy: Entropy,
    ) -> Result<SealedKey, KeyringError> {
        let private = match algorithm.secret_bytes() {
            Some(length) => Zeroizing::new(Zeroizing::new(entropy.bytes::<64>())[..length].to_vec()),
            None if algorithm.is_rsa() => return Err(KeyringError::Imported(algorithm)),
            None => jose::generate_pair(algorithm).ok_or(KeyringError::Generate)?,
        };
        let verifying = verifying_key(algorithm, &private).ok_or(KeyringError::Generate)?;
        seal(realm, algorithm, &verifying.id.to_string(), &private, secret, entropy)
    }

    /// Seals a key that was made elsewhere, PKCS #8.
    ///
    /// # Errors
    /// [`KeyringError::Unfit`] if it is no key of this algorithm, or too weak for it.
    pub fn import(
        realm: &str,
        algorithm: Algorithm,
        pkcs8: &[u8],
        secret: &OperatorSecret,
        entropy: Entropy,
    ) -> Result<SealedKey, KeyringError> {
        let verifying = jose::public_half(algorithm, pkcs8).ok_or(KeyringError::Unfit(algorithm))?;
        seal(realm, algorithm, &verifying.id.to_string(), pkcs8, secret, entropy)
    }

    /// The same key, sealed under another secret.
    ///
    /// # Errors
    /// [`KeyringError`] if none of `secrets` opens it.
    pub fn reseal(
        realm: &str,
        key: &SealedKey,
        secrets: &[OperatorSecret],
        under: &OperatorSecret,
        entropy: Entropy,
    ) -> Result<SealedKey, KeyringError> {
        let private = open_sealed(realm, key, secrets)?;
        seal(realm, key.algorithm, &key.kid, &private, under, entropy)
    }

    /// Which state of the realm's keys this is.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    #[must_use]
    pub const fn verifying(&self) -> &KeySet {
        &self.verifying
    }

    /// Names of the keys that are banned.
    #[must_use]
    pub fn banned(&self) -> &[KeyId] {
        &self.banned
    }

    /// The key that signs at `now`, by the store's clock.
    #[must_use]
    pub fn signing(&self, now: Timestamp) -> Option<&SigningKey> {
        let times: Vec<KeyTimes> = self.keys.iter().map(|key| key.times).collect();
        let signs = phases(&times, self.keep, now).iter().position(|phase| *phase == Phase::Signs)?;
        Some(&self.keys[signs].signing)
    }
}

/// What the store says of a key's life.
#[must_use]
pub fn times(stored: &StoredKey) -> KeyTimes {
    KeyTimes { added: stored.added, signs_from: stored.signs_from, banned: stored.banned.is_some() }
}

/// How long after a key's last signature one of its tokens can be valid, on any replica's clock.
#[must_use]
pub fn kept_after(keys: &SigningKeys) -> Duration {
    keys.longest_access_ttl.saturating_add(ALLOWANCE)
}

impl SigningKey {
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The signed token in compact form (RFC 7515 §7.1); `None` if the crypto library refuses.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> Option<String> {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
        let signature = jsonwebtoken::crypto::sign(token.as_bytes(), &self.encoding, self.algorithm.jose()).ok()?;
        Some(format!("{token}.{signature}"))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring(version {}, verifies with {})", self.version, self.verifying.len())
    }
}

fn seal(
    realm: &str,
    algorithm: Algorithm,
    kid: &str,
    private: &[u8],
    secret: &OperatorSecret,
    entropy: Entropy,
) -> Result<SealedKey, KeyringError> {
    let nonce = entropy.bytes::<NONCE_LEN>();
    let mut sealed = private.to_vec();
    sealing_key(secret)
        .and_then(|key| {
            let aad = associated_data(realm, algorithm, kid);
            key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()
        })
        .ok_or(KeyringError::Generate)?;
    let sealed = [&nonce[..], &sealed].concat();
    Ok(SealedKey { kid: kid.to_owned(), algorithm, secret: secret.fingerprint(), sealed })
}

fn open_sealed(realm: &str, key: &SealedKey, secrets: &[OperatorSecret]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let secret = secrets
        .iter()
        .find(|secret| secret.fingerprint() == key.secret)
        .ok_or_else(|| KeyringError::NoSecret { kid: key.kid.clone(), secret: key.secret.to_string() })?;
    let damaged = || KeyringError::Damaged(key.kid.clone());
    let (nonce, sealed) = key.sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let aad = associated_data(realm, key.algorithm, &key.kid);
    let length = sealing_key(secret)
        .and_then(|opening| opening.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut buffer).ok())
        .map(|private| private.len())
        .ok_or_else(damaged)?;
    buffer.truncate(length);
    Ok(buffer)
}

fn unseal(
    realm: &str,
    key: &SealedKey,
    secrets: &[OperatorSecret],
) -> Result<(VerifyingKey, EncodingKey), KeyringError> {
    let private = open_sealed(realm, key, secrets)?;
    let encoding = match key.algorithm {
        Algorithm::Es256 | Algorithm::Es384 => EncodingKey::from_ec_der(&private),
        Algorithm::EdDsa => EncodingKey::from_ed_der(&private),
        Algorithm::Rs256 | Algorithm::Ps256 => EncodingKey::from_rsa_der(&private),
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => EncodingKey::from_secret(&private),
    };
    let verifying = verifying_key(key.algorithm, &private);
    let verifying = verifying.filter(|verifying| verifying.id.as_str() == key.kid);
    let verifying = verifying.ok_or_else(|| KeyringError::Damaged(key.kid.clone()))?;
    Ok((verifying, encoding))
}

/// What verifies the signatures of a private key; `None` if it is no key of this algorithm.
fn verifying_key(algorithm: Algorithm, private: &[u8]) -> Option<VerifyingKey> {
    match algorithm.secret_bytes() {
        Some(_) => VerifyingKey::secret(algorithm, private),
        None => jose::public_half(algorithm, private),
    }
}

fn sealing_key(secret: &OperatorSecret) -> Option<LessSafeKey> {
    let key = secret.key_bytes("sidegate v1 seal");
    UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).ok().map(LessSafeKey::new)
}

fn associated_data(realm: &str, algorithm: Algorithm, kid: &str) -> Aad<Vec<u8>> {
    Aad::from([realm.as_bytes(), b"\0", algorithm.name().as_bytes(), b"\0", kid.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(seed: u8) -> OperatorSecret {
        OperatorSecret::new((0..32).map(|i| i ^ seed).collect()).unwrap()
    }

    /// A realm with these keys, which sign from the start.
    fn stored(keys: &[SealedKey]) -> SigningKeys {
        let list = keys.iter().map(|key| {
            let start = Timestamp::default();
            StoredKey { key: key.clone(), added: start, signs_from: Some(start), banned: None }
        });
        let (list, now) = (list.collect(), Timestamp::from_secs(1));
        SigningKeys { version: 1, list, longest_access_ttl: Duration::from_mins(10), now }
    }

    #[test]
    fn a_generated_key_opens_signs_and_verifies() {
        jose::install();
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_rsa()) {
            let sealed = Keyring::generate("r", algorithm, &secret(1), Entropy).unwrap();
            let ring = Keyring::open("r", &stored(&[sealed]), &[secret(2), secret(1)]).unwrap();
            let key = ring.signing(Timestamp::from_secs(1)).unwrap();
            let token = key.sign(&json!({"a": 1}), &json!({"b": 2})).unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let key = ring.verifying().get(key.id().as_str()).unwrap();
            assert!(key.verifies(message.as_bytes(), signature));
            assert!(!key.verifies(&message.as_bytes()[1..], signature));
        }
    }

    #[test]
    fn a_sealed_key_is_bound_to_realm_name_and_algorithm() {
        jose::install();
        let sealed = Keyring::generate("r", Algorithm::Hs256, &secret(1), Entropy).unwrap();
        let open = |realm: &str, key: SealedKey| Keyring::open(realm, &stored(&[key]), &[secret(1)]).map(|_| ());
        let damaged = Err(KeyringError::Damaged(sealed.kid.clone()));
        assert_eq!(open("other", sealed.clone()), damaged);
        assert_eq!(open("r", SealedKey { algorithm: Algorithm::Es256, ..sealed.clone() }), damaged);
        let mut flipped = sealed.clone();
        flipped.sealed[20] ^= 1;
        assert_eq!(open("r", flipped), damaged);
        assert_eq!(open("r", SealedKey { sealed: vec![1; 5], ..sealed.clone() }), damaged);
        assert_eq!(open("r", sealed), Ok(()));
    }

    #[test]
    fn a_resealed_key_is_the_same_and_needs_the_old_secret_no_more() {
        jose::install();
        let old = Keyring::generate("r", Algorithm::Es256, &secret(1), Entropy).unwrap();
        let new = Keyring::reseal("r", &old, &[secret(2), secret(1)], &secret(2), Entropy).unwrap();
        assert_eq!((&new.kid, new.secret), (&old.kid, secret(2).fingerprint()));
        assert_ne!(new.sealed, old.sealed);
        assert!(Keyring::open("r", &stored(&[new]), &[secret(2)]).is_ok());
        assert!(Keyring::reseal("r", &old, &[secret(2)], &secret(2), Entropy).is_err());
    }

    #[test]
    fn a_banned_key_neither_signs_nor_verifies_and_needs_no_secret() {
        jose::install();
        let keys = [1, 2].map(|_| Keyring::generate("r", Algorithm::Es256, &secret(1), Entropy).unwrap());
        let mut realm = stored(&keys);
        realm.list[1].banned = Some(Timestamp::default());
        realm.list[1].key.sealed.clear();
        let ring = Keyring::open("r", &realm, &[secret(1)]).unwrap();
        assert_eq!(ring.signing(realm.now).unwrap().id().as_str(), keys[0].kid);
        assert!(ring.verifying().get(&keys[1].kid).is_none());
        assert_eq!(ring.banned(), [KeyId::stored(keys[1].kid.clone())]);
    }

    #[test]
    fn a_missing_secret_is_named() {
        jose::install();
        let sealed = Keyring::generate("r", Algorithm::Hs256, &secret(1), Entropy).unwrap();
        let kid = sealed.kid.clone();
        let missing = Keyring::open("r", &stored(&[sealed]), &[secret(2)]).unwrap_err();
        assert_eq!(missing, KeyringError::NoSecret { kid, secret: secret(1).fingerprint().to_string() });
    }
}
