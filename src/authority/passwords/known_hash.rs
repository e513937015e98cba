//! What a stored password hash says: sidegate's own, and those that users bring along from another system.
//!
//! A text is read once, here, by the import and by each login, so that what one refuses the other does. A [`KnownHash`]
//! costs no more than it may: whoever writes into the store, or into a file to import, cannot keep a login busy for long.
//! Each foreign hash lives until its user's next login, which replaces it.

use std::fmt;
use std::num::NonZeroU32;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Argon2, Params, PasswordVerifier};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::{digest, hmac, pbkdf2};
use sha_crypt::ShaCrypt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::domain::secret::sha256;

mod iterated_md5;

/// A hash whose format is known and whose cost is bounded. Its `Debug` hides it.
pub struct KnownHash {
    scheme: &'static str,
    recipe: Recipe,
}

/// What has to be computed from a password, and compared.
enum Recipe {
    Argon2 {
        hash: Box<Phc>,
        params: Params,
    },
    Bcrypt {
        hash: String,
        of: BcryptInput,
    },
    Pbkdf2 {
        algorithm: pbkdf2::Algorithm,
        iterations: NonZeroU32,
        salt: Vec<u8>,
        derived: Vec<u8>,
    },
    ShaCrypt(String),
    Md5Crypt {
        magic: &'static str,
        salt: String,
        digest: String,
    },
    Phpass {
        rounds: u32,
        salt: String,
        digest: String,
    },
    /// The salt follows the password; `{SHA}` has none.
    Sha1 {
        digest: Vec<u8>,
        salt: Vec<u8>,
    },
}

/// What bcrypt was given: it reads no more than 72 bytes, and some systems shorten a password in a better way.
#[derive(Clone, Copy)]
enum BcryptInput {
    /// The password, cut off there.
    Password,
    /// Django: its SHA-256, in hexadecimal.
    Sha256,
    /// `WordPress` since 6.8: an HMAC-SHA-384 of it, in base64.
    WordPress,
}

/// Why a text is no [`KnownHash`]. Says nothing of it but its format and its cost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashProblem {
    #[error("plain text, or no hash that sidegate knows; hint: docs/users.md lists the formats")]
    Unknown,
    #[error(
        "DES crypt, or plain text: only eight characters of a password count in it, and all can be tried; hint: \
         {NEW_PASSWORD}"
    )]
    DesCrypt,
    #[error("the account has no password, so nobody can log in with it; hint: leave it out")]
    NoPassword,
    #[error("{0} is not supported; hint: {NEW_PASSWORD}")]
    Unsupported(&'static str),
    #[error("this is no whole {0} hash; hint: the export may have cut it off or changed it")]
    Malformed(&'static str),
    #[error("{0} costs more than a login may, which is {1}; hint: {NEW_PASSWORD}")]
    TooCostly(String, String),
}

const NEW_PASSWORD: &str = "give this user a new password, with `sidegate users add`";

/// The most that a check may cost, each a few seconds of one core. argon2: KiB, and KiB × passes; bcrypt: the exponent;
/// PBKDF2: iterations, of each block; sha-crypt: rounds; phpass: the exponent.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_MEMORY_WORK: u64 = 4 * 1024 * 1024;
const MOST_BCRYPT_COST: u64 = 15;
const MOST_ITERATIONS: u64 = 5_000_000;
const MOST_ROUNDS: u64 = 1_000_000;
const MOST_PHPASS_COST: u32 = 20;
/// Longer than any hash of a format above.
const MOST_BYTES: usize = 512;
/// Below this, too many passwords have the same hash.
const FEWEST_DERIVED_BYTES: usize = 16;

impl KnownHash {
    /// # Errors
    /// [`HashProblem`].
    pub fn parse(text: &str) -> Result<Self, HashProblem> {
        if !text.is_ascii() || text.len() > MOST_BYTES {
            return Err(HashProblem::Unknown);
        }
        let parts: Vec<&str> = text.split('$').collect();
        match *parts.as_slice() {
            ["" | "argon2", "argon2id", ..] => argon2("argon2id", text),
            ["" | "argon2", "argon2i", ..] => argon2("argon2i", text),
            ["" | "argon2", "argon2d", ..] => argon2("argon2d", text),
            ["", "2a" | "2b" | "2y", ..] => bcrypt("bcrypt", text, BcryptInput::Password),
            ["bcrypt", "", ..] => bcrypt("bcrypt", &text["bcrypt$".len()..], BcryptInput::Password),
            ["bcrypt_sha256", "", ..] => bcrypt("bcrypt_sha256", &text["bcrypt_sha256$".len()..], BcryptInput::Sha256),
            ["", "wp", "2y", ..] => bcrypt("wordpress", &text["$wp".len()..], BcryptInput::WordPress),
            ["", "2" | "2x", ..] => Err(HashProblem::Unsupported("the bcrypt of before 2011, which had a flaw,")),
            ["pbkdf2_sha256" | "pbkdf2_sha1", iterations, salt, derived] => {
                pbkdf2(parts[0], iterations, Some(salt.into()), derived)
            }
            ["", id @ ("pbkdf2" | "pbkdf2-sha1" | "pbkdf2-sha256" | "pbkdf2-sha512"), cost, salt, derived] => {
                pbkdf2(id, cost, base64(salt), derived)
            }
            ["", "5", ..] => sha_crypt("sha256_crypt", &parts[2..], 43, text),
            ["", "6", ..] => sha_crypt("sha512_crypt", &parts[2..], 86, text),
            ["", "apr1", salt, digest] => md5_crypt("apr1", "$apr1$", salt, digest),
            ["", "1", salt, digest] => md5_crypt("md5_crypt", "$1$", salt, digest),
            ["", "P" | "H", rest] => phpass(rest),
            [one] if one.starts_with("{SHA}") => sha1("sha1", &one["{SHA}".len()..]),
            [one] if one.starts_with("{SSHA}") => sha1("ssha", &one["{SSHA}".len()..]),
            ["scrypt", ..] | ["", "scrypt" | "7", ..] => Err(HashProblem::Unsupported("scrypt")),
            ["", "y" | "gy", ..] => Err(HashProblem::Unsupported("yescrypt")),
            ["md5" | "sha1", _, _] => Err(HashProblem::Unsupported("an MD5 or SHA-1 of Django")),
            ["", id, ..] if id.starts_with("pbkdf2") => Err(HashProblem::Malformed("PBKDF2")),
            ["pbkdf2_sha256" | "pbkdf2_sha1", ..] => Err(HashProblem::Malformed("PBKDF2")),
            ["", "apr1" | "1" | "P" | "H", ..] => Err(HashProblem::Malformed("MD5")),
            // Django's unusable password, and locked accounts of Unix.
            [first, ..] if first.starts_with(['!', '*']) => Err(HashProblem::NoPassword),
            [""] => Err(HashProblem::NoPassword),
            [one] if one.len() == 13 && is_crypt_base64(one) => Err(HashProblem::DesCrypt),
            _ => Err(HashProblem::Unknown),
        }
    }

    /// `bcrypt`, `pbkdf2_sha256` …: what it is called in a list.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Whether whoever has a copy of it can try many passwords in a short time.
    #[must_use]
    pub const fn is_quick_to_guess(&self) -> bool {
        matches!(self.recipe, Recipe::Md5Crypt { .. } | Recipe::Phpass { .. } | Recipe::Sha1 { .. })
    }

    /// The memory that a check takes, if it takes much.
    #[must_use]
    pub fn memory_kib(&self) -> u32 {
        if let Recipe::Argon2 { params, .. } = &self.recipe { params.m_cost() } else { 0 }
    }

    /// Whether it is what sidegate itself makes with these parameters.
    #[must_use]
    pub(super) fn is_made_with(&self, wanted: &Params) -> bool {
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost(), params.output_len());
        let whole = Params::DEFAULT_OUTPUT_LEN;
        let Recipe::Argon2 { params, .. } = &self.recipe else { return false };
        let (memory, passes, lanes, _) = cost(wanted);
        self.scheme == "argon2id" && cost(params) == (memory, passes, lanes, Some(whole))
    }

    /// Whether it is this password's. Takes as long as the hash says.
    #[must_use]
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        // Where these were made the text ended at a NUL, or there was none: a password with one has never been let in.
        if password.contains(&0) && !matches!(self.recipe, Recipe::Argon2 { .. }) {
            return false;
        }
        match &self.recipe {
            Recipe::Argon2 { hash, .. } => Argon2::default().verify_password(password, &**hash).is_ok(),
            Recipe::Bcrypt { hash, of } => bcrypt::verify(of.bytes(password).as_slice(), hash).unwrap_or(false),
            Recipe::Pbkdf2 { algorithm, iterations, salt, derived } => {
                pbkdf2::verify(*algorithm, *iterations, salt, password, derived).is_ok()
            }
            Recipe::ShaCrypt(hash) => ShaCrypt::default().verify_password(password, hash.as_str()).is_ok(),
            Recipe::Md5Crypt { magic, salt, digest } => {
                same(iterated_md5::md5_crypt(password, magic, salt).as_bytes(), digest.as_bytes())
            }
            Recipe::Phpass { rounds, salt, digest } => {
                same(iterated_md5::phpass(password, *rounds, salt).as_bytes(), digest.as_bytes())
            }
            Recipe::Sha1 { digest, salt } => {
                let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
                context.update(password);
                context.update(salt);
                same(context.finish().as_ref(), digest)
            }
        }
    }
}

impl fmt::Debug for KnownHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownHash({}, …)", self.scheme)
    }
}

impl BcryptInput {
    fn bytes(self, password: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Password => password.to_vec(),
            Self::Sha256 => sha256(password).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(),
            Self::WordPress => {
                let key = hmac::Key::new(hmac::HMAC_SHA384, b"wp-sha384");
                BASE64.encode(hmac::sign(&key, password)).into_bytes()
            }
        })
    }
}

fn argon2(scheme: &'static str, text: &str) -> Result<KnownHash, HashProblem> {
    let malformed = HashProblem::Malformed(scheme);
    let text = text.strip_prefix("argon2").unwrap_or(text);
    let Ok(hash) = Phc::new(text) else { return Err(malformed) };
    let Ok(params) = Params::try_from(&hash) else { return Err(malformed) };
    // Without a version it would be of the one of 2015, and the library would take it for today's.
    if hash.version.is_none() || hash.salt.is_none() || hash.hash.is_none() {
        return Err(malformed);
    }
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > MOST_MEMORY_KIB || work > MOST_MEMORY_WORK {
        let what = format!("{scheme} with {} MiB and {} passes", params.m_cost() / 1024, params.t_cost());
        let (memory, work) = (MOST_MEMORY_KIB / 1024, MOST_MEMORY_WORK / 1024);
        return Err(HashProblem::TooCostly(what, format!("{memory} MiB, and {work} MiB × passes")));
    }
    Ok(KnownHash { scheme, recipe: Recipe::Argon2 { hash: Box::new(hash), params } })
}

fn bcrypt(scheme: &'static str, text: &str, of: BcryptInput) -> Result<KnownHash, HashProblem> {
    let cost = text.get(4..6).and_then(number).ok_or(HashProblem::Malformed(scheme))?;
    let whole = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
    if !whole || cost < 4 || text.parse::<bcrypt::HashParts>().is_err() {
        return Err(HashProblem::Malformed(scheme));
    }
    if cost > MOST_BCRYPT_COST {
        return Err(HashProblem::TooCostly(format!("{scheme} at cost {cost}"), MOST_BCRYPT_COST.to_string()));
    }
    Ok(KnownHash { scheme, recipe: Recipe::Bcrypt { hash: text.to_owned(), of } })
}

/// `cost` is the number of iterations, alone or as `i=…`, with the length as `l=…`.
fn pbkdf2(id: &str, cost: &str, salt: Option<Vec<u8>>, derived: &str) -> Result<KnownHash, HashProblem> {
    let (scheme, algorithm, block) = match id {
        "pbkdf2_sha256" | "pbkdf2-sha256" => ("pbkdf2_sha256", pbkdf2::PBKDF2_HMAC_SHA256, 32),
        "pbkdf2-sha512" => ("pbkdf2_sha512", pbkdf2::PBKDF2_HMAC_SHA512, 64),
        _ => ("pbkdf2_sha1", pbkdf2::PBKDF2_HMAC_SHA1, 20),
    };
    let malformed = HashProblem::Malformed(scheme);
    let (Some(salt), Some(derived)) = (salt, base64(derived)) else { return Err(malformed) };
    let (mut iterations, mut length) = (None, block);
    for parameter in cost.split(',') {
        match parameter.split_once('=') {
            None => iterations = number(parameter),
            Some(("i", count)) => iterations = number(count),
            Some(("l", count)) => length = number(count).and_then(|count| count.try_into().ok()).unwrap_or(0),
            Some(_) => return Err(malformed),
        }
    }
    let is_whole = derived.len() == length && length >= FEWEST_DERIVED_BYTES;
    let Some(iterations) = iterations.filter(|_| is_whole) else { return Err(malformed) };
    let blocks = u64::try_from(derived.len().div_ceil(block)).unwrap_or(u64::MAX);
    if iterations.saturating_mul(blocks) > MOST_ITERATIONS {
        let what = format!("{scheme} with {iterations} iterations");
        return Err(HashProblem::TooCostly(what, MOST_ITERATIONS.to_string()));
    }
    let Some(iterations) = u32::try_from(iterations).ok().and_then(NonZeroU32::new) else { return Err(malformed) };
    Ok(KnownHash { scheme, recipe: Recipe::Pbkdf2 { algorithm, iterations, salt, derived } })
}

/// `digits` is the length of the digest.
fn sha_crypt(scheme: &'static str, parts: &[&str], digits: usize, text: &str) -> Result<KnownHash, HashProblem> {
    let (rounds, salt, digest) = match *parts {
        [salt, digest] => (None, salt, digest),
        [rounds, salt, digest] => (Some(rounds), salt, digest),
        _ => return Err(HashProblem::Malformed(scheme)),
    };
    let rounds = rounds.map_or(Some(5000), |rounds| rounds.strip_prefix("rounds=").and_then(number));
    let rounds = rounds.filter(|_| salt.len() <= 16 && [salt, digest].into_iter().all(is_crypt_base64));
    match rounds {
        Some(rounds) if rounds > MOST_ROUNDS => {
            Err(HashProblem::TooCostly(format!("{scheme} with {rounds} rounds"), MOST_ROUNDS.to_string()))
        }
        Some(1000..) if digest.len() == digits => Ok(KnownHash { scheme, recipe: Recipe::ShaCrypt(text.to_owned()) }),
        _ => Err(HashProblem::Malformed(scheme)),
    }
}

fn md5_crypt(scheme: &'static str, magic: &'static str, salt: &str, digest: &str) -> Result<KnownHash, HashProblem> {
    if salt.len() > 8 || digest.len() != 22 || !is_crypt_base64(digest) {
        return Err(HashProblem::Malformed(scheme));
    }
    Ok(KnownHash { scheme, recipe: Recipe::Md5Crypt { magic, salt: salt.to_owned(), digest: digest.to_owned() } })
}

/// One character for the cost, eight of salt, and the digest.
fn phpass(rest: &str) -> Result<KnownHash, HashProblem> {
    let malformed = HashProblem::Malformed("phpass");
    let (Some(cost), Some(salt), Some(digest)) = (rest.get(..1), rest.get(1..9), rest.get(9..)) else {
        return Err(malformed);
    };
    let Some(cost) = iterated_md5::digit(cost).filter(|cost| *cost >= 7) else { return Err(malformed) };
    if digest.len() != 22 || !is_crypt_base64(digest) {
        return Err(malformed);
    }
    if cost > MOST_PHPASS_COST {
        return Err(HashProblem::TooCostly(format!("phpass at cost {cost}"), MOST_PHPASS_COST.to_string()));
    }
    let (salt, digest) = (salt.to_owned(), digest.to_owned());
    Ok(KnownHash { scheme: "phpass", recipe: Recipe::Phpass { rounds: 1 << cost, salt, digest } })
}

fn sha1(scheme: &'static str, text: &str) -> Result<KnownHash, HashProblem> {
    let bytes = base64(text).unwrap_or_default();
    match bytes.split_at_checked(digest::SHA1_OUTPUT_LEN) {
        Some((digest, salt)) if salt.is_empty() == (scheme == "sha1") => {
            Ok(KnownHash { scheme, recipe: Recipe::Sha1 { digest: digest.to_vec(), salt: salt.to_vec() } })
        }
        _ => Err(HashProblem::Malformed(scheme)),
    }
}

fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What does not fit is more than anything may be.
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// With padding or without; passlib writes a full stop for the plus sign.
fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.replace('.', "+")).ok()
}

fn is_crypt_base64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'))
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests;
