//! A user of the built-in directory.

use std::fmt;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::guessable::is_guessable;
use super::session::Subject;

/// What a person types to log in. Compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

impl UserName {
    /// Longest accepted name, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// `None` if the name is empty, longer than [`Self::MAX_BYTES`], holds a control character, or begins or ends with
    /// white space (two names that look alike would be two accounts).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = !text.is_empty()
            && text.len() <= Self::MAX_BYTES
            && !text.chars().any(char::is_control)
            && text.trim() == text;
        good.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A password as it was typed. Its `Debug` hides it; its memory is wiped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Longest accepted password, in bytes: all of it counts, nothing is cut.
    pub const MAX_BYTES: usize = 1024;

    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the password may be set.
    ///
    /// # Errors
    /// [`WeakPassword`], which carries nothing of it. `min_characters` counts Unicode scalar values (NIST SP 800-63B).
    pub fn check(&self, min_characters: usize, name: &UserName) -> Result<(), WeakPassword> {
        if self.0.chars().count() < min_characters {
            return Err(WeakPassword::TooShort(min_characters));
        }
        if self.0.len() > Self::MAX_BYTES {
            return Err(WeakPassword::TooLong);
        }
        if self.0.eq_ignore_ascii_case(name.as_str()) {
            return Err(WeakPassword::IsTheName);
        }
        if is_guessable(&self.0) {
            return Err(WeakPassword::Guessable);
        }
        Ok(())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a new password was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("the password needs at least {0} characters")]
    TooShort(usize),
    #[error("the password is longer than 1024 bytes")]
    TooLong,
    #[error("the password is the user's name")]
    IsTheName,
    #[error("the password is one of those that are tried first")]
    Guessable,
}

/// An account as the store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub name: UserName,
    /// What its tokens carry as `sub`; the name unless the operator said otherwise.
    pub subject: Subject,
    pub password_hash: PasswordHash,
    pub disabled: bool,
    /// Minted into each access token: `roles`, `scope`, and whatever else the operator gave.
    pub claims: Map<String, Value>,
}

/// A password hash as it is stored: argon2id in PHC string form, or what another system made, until its user logs in. Its
/// `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_invisible_twin() {
        for bad in ["", " ann", "ann ", "ann\n", "a\0b", &"x".repeat(129)] {
            assert_eq!(UserName::parse(bad), None, "{bad:?}");
        }
        assert!(UserName::parse("Ann Müller@example.org").is_some());
    }

    #[test]
    fn a_password_is_counted_in_characters_and_never_shown() {
        let name = UserName::parse("charlotte-anne").unwrap();
        assert_eq!(Password::new("ééééééééééé".into()).check(12, &name), Err(WeakPassword::TooShort(12)));
        assert_eq!(Password::new("éèéèéèéèéèéê".into()).check(12, &name), Ok(()));
        assert_eq!(Password::new("éééééééééééé".into()).check(12, &name), Err(WeakPassword::Guessable));
        assert_eq!(Password::new("x".repeat(1025)).check(12, &name), Err(WeakPassword::TooLong));
        assert_eq!(Password::new("Charlotte-Anne".into()).check(12, &name), Err(WeakPassword::IsTheName));
        assert_eq!(format!("{:?}", Password::new("hunter2".into())), "Password(…)");
    }
}
