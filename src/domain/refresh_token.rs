//! The refresh token: opaque to clients, and a ratchet that only turns forward.
//!
//! ```text
//! body  = key_id:4 ‖ session_id:16 ‖ generation:u32 ‖ secret:32 ‖ tag:16        72 bytes, big-endian
//! token = "sgr1_" ‖ base64url(body)                                             101 characters
//! ```
//!
//! The tag refuses garbage and forgeries without a look at the store. The generation says how old a genuine token is
//! although nothing of it is kept. The next secret follows from the whole body and a salt that only the row knows, so a
//! retry can be answered with the same successor and a leaked database alone yields none. `docs/token-format.md` fixes
//! the bytes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use zeroize::Zeroizing;

use super::secret::{OperatorSecret, sha256};
use super::session::{IdempotencyMac, Salt, SessionId, TokenHash};

/// Every refresh token starts with this; a bearer token that does is refused before it is parsed.
pub const PREFIX: &str = "sgr1_";

/// Length of a token's text, in characters.
pub const TEXT_LENGTH: usize = PREFIX.len() + BODY_BYTES / 3 * 4;

const BODY_BYTES: usize = 72;
const SESSION: std::ops::Range<usize> = 4..20;
const GENERATION: std::ops::Range<usize> = 20..24;
const SECRET: std::ops::Range<usize> = 24..56;
const TAG: std::ops::Range<usize> = 56..72;

/// A genuine refresh token: made here, or opened here and found to carry a good tag. Says nothing of whether it is live.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    body: Zeroizing<[u8; BODY_BYTES]>,
}

impl RefreshToken {
    #[must_use]
    pub fn session(&self) -> SessionId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.body[SESSION]);
        SessionId::from_bytes(id)
    }

    #[must_use]
    pub fn generation(&self) -> u32 {
        let mut generation = [0; 4];
        generation.copy_from_slice(&self.body[GENERATION]);
        u32::from_be_bytes(generation)
    }

    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(sha256(self.body.as_slice()))
    }

    /// What the client gets: the only place where a token becomes text.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.body.as_slice())))
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken({}, generation {})", self.session(), self.generation())
    }
}

/// Why a text is not a refresh token of this realm. None of these touches the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    #[error("not the shape of a refresh token")]
    Malformed,
    /// Made with an operator secret that this replica does not have (bytes: its key id).
    #[error("made with an operator secret this replica does not know")]
    UnknownKey([u8; 4]),
    #[error("the tag does not match")]
    Forged,
}

/// Makes and opens the refresh tokens of one realm. Holds one or more operator secrets; the first one signs.
#[derive(Clone)]
pub struct Ratchet {
    realm: String,
    keys: Vec<RatchetKey>,
}

#[derive(Clone)]
struct RatchetKey {
    id: [u8; 4],
    tag: hmac::Key,
    step: hmac::Key,
    idempotency: hmac::Key,
}

impl Ratchet {
    /// `signing` makes new tokens; tokens made with any of `verifying` are opened too.
    #[must_use]
    pub fn new(realm: &str, signing: &OperatorSecret, verifying: &[OperatorSecret]) -> Self {
        let keys = std::iter::once(signing).chain(verifying).map(RatchetKey::new).collect();
        Self { realm: realm.to_owned(), keys }
    }

    /// The key id that new tokens carry.
    #[must_use]
    pub fn signs_with(&self) -> [u8; 4] {
        self.keys[0].id
    }

    /// Whether it opens tokens made with the operator secret of this key id.
    #[must_use]
    pub fn has(&self, key_id: [u8; 4]) -> bool {
        self.keys.iter().any(|key| key.id == key_id)
    }

    /// The token of a new session. `secret` is 32 fresh random bytes.
    #[must_use]
    pub fn first(&self, session: SessionId, secret: [u8; 32]) -> RefreshToken {
        self.fresh(session, 0, secret)
    }

    /// A token that follows from no other: where a session gets a new key. `secret` is 32 fresh random bytes.
    #[must_use]
    pub fn fresh(&self, session: SessionId, generation: u32, secret: [u8; 32]) -> RefreshToken {
        self.seal(&self.keys[0], session, generation, &secret)
    }

    /// Reads a token from the wire. One token has exactly one accepted spelling.
    ///
    /// # Errors
    /// [`NotAToken`], in constant time where secrets are compared.
    pub fn open(&self, text: &str) -> Result<RefreshToken, NotAToken> {
        let encoded = text.strip_prefix(PREFIX).ok_or(NotAToken::Malformed)?;
        if text.len() != TEXT_LENGTH {
            return Err(NotAToken::Malformed);
        }
        let mut body = Zeroizing::new([0; BODY_BYTES]);
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, body.as_mut_slice()).map_err(|_| NotAToken::Malformed)?;
        if length != BODY_BYTES {
            return Err(NotAToken::Malformed);
        }
        let token = RefreshToken { body };
        let key_id = [token.body[0], token.body[1], token.body[2], token.body[3]];
        let key = self.keys.iter().find(|key| key.id == key_id).ok_or(NotAToken::UnknownKey(key_id))?;
        let genuine = subtle::ConstantTimeEq::ct_eq(&self.tag(key, &token.body)[..], &token.body[TAG]);
        if bool::from(genuine) { Ok(token) } else { Err(NotAToken::Forged) }
    }

    /// The token that follows `parent` when its rotation draws `salt`; `None` after the last generation, 2³² − 1.
    #[must_use]
    pub fn successor(&self, parent: &RefreshToken, salt: Salt) -> Option<RefreshToken> {
        self.step(&self.keys[0], parent, salt)
    }

    /// The successor of `parent` whose hash is `live`, whichever of our secrets it was made with; `None` if the live
    /// token is not a child of `parent`.
    #[must_use]
    pub fn live_successor(&self, parent: &RefreshToken, salt: Salt, live: TokenHash) -> Option<RefreshToken> {
        self.keys.iter().filter_map(|key| self.step(key, parent, salt)).find(|child| child.hash() == live)
    }

    /// Recognises this token together with this `Idempotency-Key` later, on any replica.
    #[must_use]
    pub fn idempotency_mac(&self, token: &RefreshToken, key: &IdempotencyKey) -> Option<IdempotencyMac> {
        let made_with = self.keys.iter().find(|ratchet_key| ratchet_key.id[..] == token.body[..4])?;
        let mut context = hmac::Context::with_key(&made_with.idempotency);
        context.update(token.body.as_slice());
        context.update(key.0.as_bytes());
        let mut mac = [0; 16];
        mac.copy_from_slice(&context.sign().as_ref()[..16]);
        Some(IdempotencyMac(mac))
    }

    fn step(&self, key: &RatchetKey, parent: &RefreshToken, salt: Salt) -> Option<RefreshToken> {
        let generation = parent.generation().checked_add(1)?;
        let mut context = hmac::Context::with_key(&key.step);
        context.update(parent.body.as_slice());
        context.update(&salt.0);
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(context.sign().as_ref());
        Some(self.seal(key, parent.session(), generation, &secret))
    }

    fn seal(&self, key: &RatchetKey, session: SessionId, generation: u32, secret: &[u8; 32]) -> RefreshToken {
        let mut body = Zeroizing::new([0; BODY_BYTES]);
        body[..4].copy_from_slice(&key.id);
        body[SESSION].copy_from_slice(session.as_bytes());
        body[GENERATION].copy_from_slice(&generation.to_be_bytes());
        body[SECRET].copy_from_slice(secret);
        let tag = self.tag(key, &body);
        body[TAG].copy_from_slice(&tag);
        RefreshToken { body }
    }

    fn tag(&self, key: &RatchetKey, body: &[u8; BODY_BYTES]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&key.tag);
        context.update(b"sgr1");
        // What follows the realm has a fixed length, so no realm's name can run into it.
        context.update(self.realm.as_bytes());
        context.update(&body[..TAG.start]);
        let mut tag = [0; 16];
        tag.copy_from_slice(&context.sign().as_ref()[..16]);
        tag
    }
}

impl fmt::Debug for Ratchet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ratchet({}, {} keys)", self.realm, self.keys.len())
    }
}

impl RatchetKey {
    fn new(secret: &OperatorSecret) -> Self {
        Self {
            id: secret.fingerprint().key_id(),
            tag: secret.mac_key("sidegate v1 refresh tag"),
            step: secret.mac_key("sidegate v1 refresh step"),
            idempotency: secret.mac_key("sidegate v1 idempotency"),
        }
    }
}

/// The value of an `Idempotency-Key` header: 16 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = (16..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        good.then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(seed: u8) -> OperatorSecret {
        OperatorSecret::new((0..32).map(|i| i ^ seed).collect()).unwrap()
    }

    fn ratchet() -> Ratchet {
        Ratchet::new("default", &secret(1), &[])
    }

    fn token() -> RefreshToken {
        ratchet().first(SessionId::from_bytes([9; 16]), [7; 32])
    }

    #[test]
    fn a_token_opens_to_what_was_sealed() {
        let text = token().expose();
        assert_eq!(text.len(), TEXT_LENGTH);
        let opened = ratchet().open(&text).unwrap();
        assert_eq!((opened.session(), opened.generation()), (SessionId::from_bytes([9; 16]), 0));
    }

    #[test]
    fn another_realm_and_another_secret_do_not_open_it() {
        let text = token().expose();
        assert_eq!(Ratchet::new("other", &secret(1), &[]).open(&text), Err(NotAToken::Forged));
        let foreign = Ratchet::new("default", &secret(2), &[]).open(&text);
        assert_eq!(foreign, Err(NotAToken::UnknownKey(secret(1).fingerprint().key_id())));
    }

    #[test]
    fn a_rotated_operator_secret_still_opens_and_repeats() {
        let salt = Salt([5; 32]);
        let child = ratchet().successor(&token(), salt).unwrap();
        let both = Ratchet::new("default", &secret(2), &[secret(1)]);
        assert_eq!(both.open(&token().expose()).as_ref(), Ok(&token()));
        assert_eq!(both.live_successor(&token(), salt, child.hash()), Some(child.clone()));
        assert_ne!(both.successor(&token(), salt), Some(child));
    }

    #[test]
    fn the_last_generation_has_no_successor() {
        let ratchet = ratchet();
        let last = ratchet.seal(&ratchet.keys[0], SessionId::from_bytes([1; 16]), u32::MAX, &[1; 32]);
        assert_eq!(ratchet.successor(&last, Salt([1; 32])), None);
    }

    #[test]
    fn an_idempotency_key_has_bounds() {
        assert!(IdempotencyKey::parse(&"k".repeat(16)).is_some());
        assert!(IdempotencyKey::parse(&"k".repeat(255)).is_some());
        for bad in ["k".repeat(15), "k".repeat(256), format!("{} x", "k".repeat(16)), "ü".repeat(16)] {
            assert!(IdempotencyKey::parse(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn every_single_bit_flip_is_refused() {
        let text = token().expose();
        for index in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[index] ^= 1 << bit;
                if let Ok(flipped) = String::from_utf8(bytes) {
                    assert!(ratchet().open(&flipped).is_err(), "byte {index} bit {bit}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_other_spelling_is_refused(text in "(sgr1_)?[A-Za-z0-9_=+/.-]{0,110}") {
            prop_assert!(ratchet().open(&text).is_err());
        }

        #[test]
        fn successors_differ_by_salt_and_by_parent(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
            prop_assume!(a != b);
            let child = ratchet().successor(&token(), Salt(a)).unwrap();
            prop_assert_ne!(child.hash(), ratchet().successor(&token(), Salt(b)).unwrap().hash());
            prop_assert_ne!(child.hash(), ratchet().successor(&child, Salt(a)).unwrap().hash());
            prop_assert_eq!(ratchet().live_successor(&token(), Salt(b), child.hash()), None);
        }
    }
}
