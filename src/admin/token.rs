//! What a caller of an `http://` address has to know.

use std::io;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::domain::secret::sha256;

/// The content of `admin.token_file`.
pub struct AdminToken(Zeroizing<String>);

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("{} cannot be read: {}\n  hint: see admin.token_file", .0.display(), io::Error::from(*.1))]
    Unreadable(PathBuf, io::ErrorKind),
    #[error(
        "{} holds no token: at least 32 characters, without spaces\n  hint: `openssl rand -hex 32` prints one; see \
         admin.token_file", .0.display()
    )]
    Weak(PathBuf),
}

impl AdminToken {
    /// Reads a token; a line end behind it is not part of it.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path).map_err(|error| TokenError::Unreadable(path.into(), error.kind()))?;
        let token = Zeroizing::new(text);
        let token = token.trim_ascii_end();
        let is_good = token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic());
        is_good.then(|| Self(Zeroizing::new(token.to_owned()))).ok_or_else(|| TokenError::Weak(path.into()))
    }

    /// `Authorization`, as a caller sends it.
    #[must_use]
    pub fn credentials(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("Bearer {}", self.0.as_str()))
    }

    /// Whether these are the credentials. Takes as long whatever they are.
    #[must_use]
    pub fn admits(&self, credentials: &[u8]) -> bool {
        sha256(self.credentials().as_bytes()).ct_eq(&sha256(credentials)).into()
    }
}

const SHORTEST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_admits_itself_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef0123456789abcdef\r\n").unwrap();
        let token = AdminToken::read(file.path()).unwrap();
        assert!(token.admits(b"Bearer 0123456789abcdef0123456789abcdef"));
        for other in ["", "Bearer ", "0123456789abcdef0123456789abcdef", "Bearer 0123456789abcdef0123456789abcdeF"] {
            assert!(!token.admits(other.as_bytes()), "{other}");
        }
        assert!(!token.admits(&[0xff; 40]));
    }

    #[test]
    fn a_short_or_unprintable_token_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for weak in ["", "short", "0123456789abcdef 0123456789abcdef", "\n0123456789abcdef0123456789abcdef"] {
            std::fs::write(file.path(), weak).unwrap();
            assert_eq!(AdminToken::read(file.path()).err(), Some(TokenError::Weak(file.path().into())), "{weak:?}");
        }
        assert!(matches!(AdminToken::read(Path::new("/nowhere/token")), Err(TokenError::Unreadable(..))));
    }
}
