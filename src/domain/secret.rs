//! The operator's secret and the keys derived from it.
//!
//! One mounted secret of at least 32 random bytes is enough for a pod: HKDF-SHA256 (RFC 5869) derives a key for each
//! purpose with its own info string, so that no two purposes ever share a key.

use std::fmt;

use ring::{hkdf, hmac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Key material of the operator. Its `Debug` shows the fingerprint only.
#[derive(Clone)]
pub struct OperatorSecret {
    bytes: Zeroizing<Vec<u8>>,
    fingerprint: Fingerprint,
}

impl OperatorSecret {
    /// Shortest accepted secret, in bytes.
    pub const MIN_BYTES: usize = 32;

    /// # Errors
    /// [`WeakSecret`] if there are fewer than [`Self::MIN_BYTES`] bytes, or they are all the same.
    pub fn new(bytes: Vec<u8>) -> Result<Self, WeakSecret> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() < Self::MIN_BYTES {
            return Err(WeakSecret::TooShort(bytes.len()));
        }
        if bytes.windows(2).all(|pair| pair[0] == pair[1]) {
            return Err(WeakSecret::Constant);
        }
        let fingerprint = Fingerprint(derive(&bytes, b"sidegate v1 fingerprint"));
        Ok(Self { bytes, fingerprint })
    }

    /// What replicas compare and the store keeps: says which secret this is, and nothing about its bytes.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The key of one purpose. `purpose` is a constant of the caller, never input.
    #[must_use]
    pub fn mac_key(&self, purpose: &'static str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.key_bytes(purpose).as_slice())
    }

    /// 32 bytes for one purpose.
    #[must_use]
    pub fn key_bytes(&self, purpose: &'static str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive(&self.bytes, purpose.as_bytes()))
    }
}

impl fmt::Debug for OperatorSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorSecret({})", self.fingerprint)
    }
}

/// Which of our secrets signs: the first one that everybody who is there has, or else, as nothing suits all, our first.
/// A secret that only some have would make tokens that the others cannot open. First in the order of whoever comes first in
/// `everybody`, so that all agree who see the same, however each is configured.
#[must_use]
pub fn signing_secret<'a>(ours: &[Fingerprint], everybody: impl Iterator<Item = &'a [Fingerprint]>) -> usize {
    let everybody: Vec<_> = everybody.collect();
    let order = everybody.first().copied().unwrap_or(ours);
    let common = order.iter().find(|secret| everybody.iter().all(|theirs| theirs.contains(secret)));
    common.and_then(|secret| ours.iter().position(|own| own == secret)).unwrap_or(0)
}

/// Why a secret was refused at load. Carries no byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    #[error("the secret has {0} bytes, at least 32 are needed")]
    TooShort(usize),
    #[error("the secret is one byte repeated")]
    Constant,
}

/// Names an operator secret: 32 bytes, derived one way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The four bytes that stand in every refresh token made with this secret.
    #[must_use]
    pub const fn key_id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0;
        [a, b, c, d]
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.key_id()))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 (FIPS 180-4).
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn derive(secret: &[u8], info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let info = [info];
    // Expanding 32 bytes from SHA-256 cannot fail: the limit is 255 × 32 bytes (RFC 5869 §2.3).
    let filled = hkdf::Salt::new(hkdf::HKDF_SHA256, b"sidegate")
        .extract(secret)
        .expand(&info, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut out));
    debug_assert!(filled.is_ok());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_constant_secrets_are_refused() {
        assert_eq!(OperatorSecret::new(vec![1; 31]).unwrap_err(), WeakSecret::TooShort(31));
        assert_eq!(OperatorSecret::new(vec![1; 32]).unwrap_err(), WeakSecret::Constant);
    }

    #[test]
    fn debug_shows_the_fingerprint_only() {
        let secret = OperatorSecret::new((0..32).collect()).unwrap();
        assert_eq!(format!("{secret:?}"), format!("OperatorSecret({})", hex(&secret.fingerprint().key_id())));
    }

    #[test]
    fn each_purpose_has_its_own_key() {
        let secret = OperatorSecret::new((0..32).collect()).unwrap();
        assert_ne!(secret.key_bytes("a"), secret.key_bytes("b"));
    }
}
