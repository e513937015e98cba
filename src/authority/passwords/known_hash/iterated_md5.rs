//! The two ways to hash a password with MD5 many times over: crypt(3)'s (`$1$`; Apache's `$apr1$`) and that of phpass
//! (`WordPress` before 6.8, phpBB). Both are for reading what others wrote.

use md5::{Digest, Md5};

/// Poul-Henning Kamp's, FreeBSD 1994: the 22 characters behind the salt.
pub(super) fn md5_crypt(password: &[u8], magic: &str, salt: &str) -> String {
    let salt = salt.as_bytes();
    let mut digest = md5(&[password, salt, password]);
    let mut first = Md5::new();
    first.update(password);
    first.update(magic);
    first.update(salt);
    for part in password.chunks(digest.len()) {
        first.update(&digest[..part.len()]);
    }
    let mut length = password.len();
    while length > 0 {
        first.update(if length & 1 == 1 { &[0] } else { &password[..1] });
        length >>= 1;
    }
    digest = first.finalize().into();
    for round in 0..1000 {
        let odd = round % 2 == 1;
        let (before, after): (&[u8], &[u8]) = if odd { (password, &digest) } else { (&digest, password) };
        let salt = if round % 3 == 0 { &[] } else { salt };
        let again = if round % 7 == 0 { &[] } else { password };
        digest = md5(&[before, salt, again, after]);
    }
    encode(&[12, 6, 0, 13, 7, 1, 14, 8, 2, 15, 9, 3, 5, 10, 4, 11].map(|place: usize| digest[place]))
}

/// Solar Designer's "portable" hash: the 22 characters behind the salt.
pub(super) fn phpass(password: &[u8], rounds: u32, salt: &str) -> String {
    let mut digest = md5(&[salt.as_bytes(), password]);
    for _ in 0..rounds {
        digest = md5(&[&digest, password]);
    }
    encode(&digest)
}

/// The value of a character of crypt(3)'s alphabet.
pub(super) fn digit(character: &str) -> Option<u32> {
    let [byte] = character.as_bytes() else { return None };
    let place = ALPHABET.iter().position(|known| known == byte)?;
    u32::try_from(place).ok()
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = Md5::new();
    for part in parts {
        context.update(part);
    }
    context.finalize().into()
}

/// crypt(3)'s base64: the lowest bits first.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut value = group.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte));
        for _ in 0..=group.len() {
            text.push(char::from(ALPHABET[value & 0x3f]));
            value >>= 6;
        }
    }
    text
}

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
