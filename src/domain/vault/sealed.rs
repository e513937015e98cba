//! A jar as it travels and is stored: sealed, so that neither the store nor a decoded token shows a cookie.
//!
//! ```text
//! sealed = key_id:4 ‖ nonce:12 ‖ ChaCha20-Poly1305(K, nonce, jar, aad = version:u64)
//! K      = HMAC-SHA256(K_vault, realm ‖ 0 ‖ upstream ‖ 0 ‖ session_id:16)
//! claim  = base64url(version:u64 ‖ sealed)                                      big-endian
//! ```
//! Each session has a key of its own: a sealed jar opens for no other session, upstream or realm, and passes for no other
//! version.

use std::fmt;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use super::Jar;
use crate::domain::secret::OperatorSecret;
use crate::domain::session::SessionId;

/// A sealed jar. Versions of one session's jar only ever grow.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedJar {
    pub version: u64,
    pub bytes: Vec<u8>,
}

impl SealedJar {
    /// The claim that carries it in an access token.
    #[must_use]
    pub fn claim(&self) -> String {
        URL_SAFE_NO_PAD.encode([&self.version.to_be_bytes()[..], &self.bytes].concat())
    }

    /// `None` for what [`Self::claim`] does not write.
    #[must_use]
    pub fn read(claim: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(claim).ok()?;
        let (version, bytes) = bytes.split_first_chunk()?;
        Some(Self { version: u64::from_be_bytes(*version), bytes: bytes.to_vec() })
    }
}

impl fmt::Debug for SealedJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedJar(version {}, {} bytes)", self.version, self.bytes.len())
    }
}

/// Seals and opens the jars of one upstream's sessions. Holds one or more operator secrets; any of them opens.
#[derive(Clone)]
pub struct Seal {
    about: Vec<u8>,
    keys: Vec<([u8; 4], hmac::Key)>,
}

/// Why a sealed jar gives none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    #[error("sealed with an operator secret that is not here")]
    UnknownKey,
    #[error("sealed for another session or upstream, or damaged")]
    Damaged,
}

impl Seal {
    #[must_use]
    pub fn new(realm: &str, upstream: &str, secrets: &[OperatorSecret]) -> Self {
        let about = [realm.as_bytes(), b"\0", upstream.as_bytes(), b"\0"].concat();
        let key = |secret: &OperatorSecret| (secret.fingerprint().key_id(), secret.mac_key("sidegate v1 vault"));
        Self { about, keys: secrets.iter().map(key).collect() }
    }

    /// Seals with the secret of this key id, or the first one there is. `nonce` is 12 fresh random bytes. `None` if the jar
    /// is too large to be written, or the crypto library refuses.
    #[must_use]
    pub fn seal(
        &self,
        key_id: [u8; 4],
        session: SessionId,
        version: u64,
        jar: &Jar,
        nonce: [u8; NONCE_LEN],
    ) -> Option<SealedJar> {
        let (id, secret) = self.keys.iter().find(|(id, _)| *id == key_id).or(self.keys.first())?;
        let mut sealed = jar.encode()?;
        let aad = Aad::from(version.to_be_bytes());
        let key = self.key(secret, session)?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
        Some(SealedJar { version, bytes: [&id[..], &nonce, &sealed].concat() })
    }

    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, session: SessionId, sealed: &SealedJar) -> Result<Jar, Unopened> {
        let (key_id, rest) = sealed.bytes.split_first_chunk::<4>().ok_or(Unopened::Damaged)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unopened::Damaged)?;
        let (_, secret) = self.keys.iter().find(|(id, _)| id == key_id).ok_or(Unopened::UnknownKey)?;
        let mut buffer = Zeroizing::new(rest.to_vec());
        let opened = self.key(secret, session).and_then(|key| {
            let aad = Aad::from(sealed.version.to_be_bytes());
            key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut buffer).ok().map(|jar| Jar::decode(jar))
        });
        opened.flatten().ok_or(Unopened::Damaged)
    }

    fn key(&self, secret: &hmac::Key, session: SessionId) -> Option<LessSafeKey> {
        let key = hmac::sign(secret, &[&self.about, &session.as_bytes()[..]].concat());
        UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).ok().map(LessSafeKey::new)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal(opens with {} secrets)", self.keys.len())
    }
}

/// The jar of a session at one version, opened when it is first asked for.
#[derive(Debug)]
pub struct Vault {
    sealed: SealedJar,
    opened: OnceLock<Result<Jar, Unopened>>,
}

impl Vault {
    #[must_use]
    pub const fn new(sealed: SealedJar) -> Self {
        Self { sealed, opened: OnceLock::new() }
    }

    /// One whose content is known.
    #[must_use]
    pub fn opened(sealed: SealedJar, jar: Jar) -> Self {
        Self { sealed, opened: OnceLock::from(Ok(jar)) }
    }

    #[must_use]
    pub const fn version(&self) -> u64 {
        self.sealed.version
    }

    #[must_use]
    pub const fn sealed(&self) -> &SealedJar {
        &self.sealed
    }

    /// The jar, if it was opened before.
    #[must_use]
    pub fn opened_jar(&self) -> Option<&Jar> {
        self.opened.get()?.as_ref().ok()
    }

    /// # Errors
    /// [`Unopened`].
    pub fn jar(&self, session: SessionId, seal: &Seal) -> Result<&Jar, Unopened> {
        self.opened.get_or_init(|| seal.open(session, &self.sealed)).as_ref().map_err(|fault| *fault)
    }
}

impl PartialEq for Vault {
    fn eq(&self, other: &Self) -> bool {
        self.sealed == other.sealed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::domain::vault::CookieNames;

    fn secret(seed: u8) -> OperatorSecret {
        OperatorSecret::new((0..32).map(|i| i ^ seed).collect()).unwrap()
    }

    fn jar() -> Jar {
        let names = CookieNames::new(vec!["SID".to_owned()]).unwrap();
        Jar::default().after(&names.change([&b"SID=swordfish"[..]], Timestamp::default()))
    }

    const SESSION: SessionId = SessionId::from_bytes([1; 16]);

    fn sealed(seal: &Seal, secret: &OperatorSecret) -> SealedJar {
        seal.seal(secret.fingerprint().key_id(), SESSION, 7, &jar(), [9; NONCE_LEN]).unwrap()
    }

    #[test]
    fn a_sealed_jar_opens_with_its_secret_and_survives_its_claim() {
        let (old, new) = (secret(1), secret(2));
        let both = Seal::new("r", "app", &[new.clone(), old.clone()]);
        let sealed = sealed(&both, &old);
        assert_eq!(SealedJar::read(&sealed.claim()), Some(sealed.clone()));
        assert_eq!(both.open(SESSION, &sealed), Ok(jar()));
        assert_eq!(Seal::new("r", "app", &[old]).open(SESSION, &sealed), Ok(jar()));
        assert_eq!(Seal::new("r", "app", &[new]).open(SESSION, &sealed), Err(Unopened::UnknownKey));
    }

    #[test]
    fn a_sealed_jar_is_bound_to_realm_upstream_session_and_version() {
        let secrets = [secret(1)];
        let seal = Seal::new("r", "app", &secrets);
        let right = sealed(&seal, &secrets[0]);
        for other in
            [Seal::new("s", "app", &secrets), Seal::new("r", "api", &secrets), Seal::new("r\0app", "", &secrets)]
        {
            assert_eq!(other.open(SESSION, &right), Err(Unopened::Damaged));
        }
        assert_eq!(seal.open(SessionId::from_bytes([2; 16]), &right), Err(Unopened::Damaged));
        assert_eq!(seal.open(SESSION, &SealedJar { version: 8, ..right.clone() }), Err(Unopened::Damaged));
        for position in 4..right.bytes.len() {
            let mut flipped = right.clone();
            flipped.bytes[position] ^= 1;
            assert_eq!(seal.open(SESSION, &flipped), Err(Unopened::Damaged), "byte {position}");
            flipped.bytes.truncate(position);
            assert!(seal.open(SESSION, &flipped).is_err(), "{position} bytes");
        }
        assert_eq!(SealedJar::read("AAAA"), None);
        assert_eq!(SealedJar::read(&format!("{}=", right.claim())), None);
    }

    #[test]
    fn neither_the_sealed_nor_the_opened_jar_shows_a_value() {
        let secrets = [secret(1)];
        let seal = Seal::new("r", "app", &secrets);
        let sealed = sealed(&seal, &secrets[0]);
        assert!(!sealed.bytes.windows(9).any(|part| part == b"swordfish"));
        let vault = Vault::new(sealed);
        assert_eq!(vault.jar(SESSION, &seal), Ok(&jar()));
        let shown = format!("{vault:?} {seal:?}");
        assert!(!shown.contains("swordfish") && !shown.contains("115, 119"), "{shown}");
    }
}
