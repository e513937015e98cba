//! What tokens say of themselves (`docs/token-format.md`), for the record.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// A session's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SessionKey(pub(super) [u8; 16]);

/// A refresh token in the record: which one, and nothing to use it with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Token {
    pub(super) session: SessionKey,
    pub(super) generation: u32,
    /// Of its secret: two tokens of one generation differ here.
    pub(super) mark: [u8; 8],
}

impl Token {
    pub(super) fn read(refresh_token: &str) -> Self {
        let body = refresh_token.strip_prefix("sgr1_").and_then(|body| URL_SAFE_NO_PAD.decode(body).ok()).unwrap();
        let part = |from: usize, to: usize| body[from..to].to_vec();
        Self {
            session: SessionKey(part(4, 20).try_into().unwrap()),
            generation: u32::from_be_bytes(part(20, 24).try_into().unwrap()),
            mark: part(24, 32).try_into().unwrap(),
        }
    }
}

/// When an access token ends, in milliseconds of the wall clock.
pub(super) fn expiry(access_token: &str) -> i64 {
    let claims = URL_SAFE_NO_PAD.decode(access_token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["exp"].as_i64().unwrap() * 1000
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.session, self.generation)
    }
}
