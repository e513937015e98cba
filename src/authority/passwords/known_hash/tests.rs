use serde::Deserialize;

use super::*;

/// Made by other implementations; `made_by` says which, and the script beside it how.
const KNOWN_HASHES: &str = include_str!("../../../../tests/fixtures/users/known_hashes.jsonl");

#[derive(Deserialize)]
struct Row {
    scheme: String,
    made_by: String,
    password: String,
    hash: String,
}

fn rows() -> Vec<Row> {
    KNOWN_HASHES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Those that are made with less work than anybody would choose.
fn cheap_rows() -> impl Iterator<Item = Row> {
    let costly = ["$1000000$", "m=65536", "m=102400", "$12$"];
    rows().into_iter().filter(move |row| !costly.iter().any(|cost| row.hash.contains(cost)))
}

fn problem(text: &str) -> String {
    KnownHash::parse(text).unwrap_err().to_string()
}

#[test]
fn hashes_of_other_implementations_match_their_password_and_no_other() {
    let mut schemes: Vec<_> = Vec::new();
    for Row { scheme, made_by, password, hash } in rows() {
        let known = KnownHash::parse(&hash).unwrap_or_else(|problem| panic!("{hash}, of {made_by}: {problem}"));
        assert_eq!(known.scheme(), scheme, "{hash}, of {made_by}");
        assert!(known.matches(password.as_bytes()), "{hash}, of {made_by}");
        for other in [format!(".{password}"), format!("{password}\0")] {
            assert!(!known.matches(other.as_bytes()), "{hash}, of {made_by}: {other:?}");
        }
        schemes.push(scheme);
    }
    schemes.sort_unstable();
    schemes.dedup();
    assert_eq!(
        schemes.join(" "),
        "apr1 argon2d argon2i argon2id bcrypt bcrypt_sha256 md5_crypt pbkdf2_sha1 pbkdf2_sha256 pbkdf2_sha512 phpass \
         sha1 sha256_crypt sha512_crypt ssha wordpress"
    );
}

/// The last byte of the password counts, but where bcrypt never read it.
#[test]
fn a_longer_or_shorter_password_matches_only_where_the_legacy_system_cut_it() {
    for Row { hash, password, .. } in cheap_rows() {
        let known = KnownHash::parse(&hash).unwrap();
        let cut = |password: &[u8]| {
            matches!(known.recipe, Recipe::Bcrypt { of: BcryptInput::Password, .. }) && password.len() >= 72
        };
        let password = password.as_bytes();
        assert_eq!(known.matches(&[password, b"x"].concat()), cut(password), "{hash}, longer");
        let shorter = &password[..password.len() - 1];
        assert_eq!(known.matches(shorter), cut(shorter), "{hash}, shorter");
    }
}

/// Whatever is cut off or changed, login gets an answer and no panic.
#[test]
fn a_damaged_hash_is_refused_or_matches_nothing() {
    for Row { hash, password, .. } in cheap_rows() {
        // Base64 says the same without its padding.
        for end in 0..hash.trim_end_matches('=').len() {
            if let Ok(known) = KnownHash::parse(&hash[..end]) {
                assert!(!known.matches(password.as_bytes()), "{}", &hash[..end]);
            }
        }
        for place in (0..hash.len()).step_by(3) {
            for new in ["", "é", "$", "\0", "-", "="] {
                let damaged = format!("{}{new}{}", &hash[..place], &hash[place + 1..]);
                if let Some(known) = KnownHash::parse(&damaged).ok().filter(|_| damaged != hash) {
                    assert!(!known.matches(password.as_bytes()), "{damaged}");
                }
            }
        }
    }
}

#[test]
fn a_hash_that_would_keep_a_login_busy_is_refused() {
    let salt = "c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA";
    let bcrypt = "abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.";
    for (hash, what) in [
        (format!("$2y$31${bcrypt}"), "bcrypt at cost 31 costs more than a login may, which is 15"),
        (format!("$2b$16${bcrypt}"), "bcrypt at cost 16 costs"),
        (format!("bcrypt_sha256$$2b$31${bcrypt}"), "bcrypt_sha256 at cost 31 costs"),
        (
            "pbkdf2_sha256$1000000000$s$dRrWdVq0mMT0hmsOiHlEViRRO04uq+XlRBajW34TEus=".into(),
            "pbkdf2_sha256 with 1000000000 iterations costs",
        ),
        (
            "pbkdf2_sha256$99999999999999999999999$s$dRrWdVq0mMT0hmsOiHlEViRRO04uq+XlRBajW34TEus=".into(),
            "iterations costs",
        ),
        // A longer key is more blocks of work.
        (format!("$pbkdf2-sha1$i=3000000,l=30$c2FsdA${}", "A".repeat(40)), "pbkdf2_sha1 with 3000000 iterations costs"),
        (
            format!("$argon2id$v=19$m=4194304,t=1,p=1${salt}"),
            "argon2id with 4096 MiB and 1 passes costs more than a login may, which is 1024 MiB, and 4096 MiB × passes",
        ),
        (format!("argon2$argon2i$v=19$m=8,t=4294967295,p=1${salt}"), "argon2i with 0 MiB and 4294967295 passes costs"),
        (format!("$6$rounds=999999999$salt${}", "a".repeat(86)), "sha512_crypt with 999999999 rounds costs"),
        ("$P$TaB.x/9zQZ0peQ3k6TWq9AG2/shEwn1".into(), "phpass at cost 31 costs"),
    ] {
        let problem = problem(&hash);
        assert!(problem.contains(what), "{problem}");
        assert!(problem.ends_with("hint: give this user a new password, with `sidegate users add`"), "{problem}");
    }
}

#[test]
fn what_is_no_hash_is_refused_with_a_reason_that_does_not_repeat_it() {
    for (text, reason) in [
        ("", "the account has no password, so nobody can log in with it; hint: leave it out"),
        ("!KpdfrNxJWQYhGbQYjeWkAHGCZZJYdPOPmbXUmCnd", "the account has no password"),
        ("*", "the account has no password"),
        ("hunter2", "plain text, or no hash that sidegate knows; hint: docs/users.md lists the formats"),
        ("{PLAIN}hunter2", "plain text, or no hash"),
        ("pässwörd", "plain text, or no hash"),
        ("$unknown$salt$hunter2", "plain text, or no hash"),
        ("rqXexS6ZhobKA", "DES crypt, or plain text: only eight characters of a password count in it"),
        (
            "$2x$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.",
            "the bcrypt of before 2011, which had a flaw, is not supported",
        ),
        ("scrypt$16384$salt$8$1$hash", "scrypt is not supported"),
        ("$y$j9T$salt$hash", "yescrypt is not supported"),
        ("md5$salt$hash", "an MD5 or SHA-1 of Django is not supported"),
        (
            "$2y$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnE",
            "this is no whole bcrypt hash; hint: the export may have cut it off or changed it",
        ),
        ("$2y$05", "this is no whole bcrypt hash"),
        ("$2y$03$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.", "this is no whole bcrypt hash"),
        (
            "bcrypt_sha256$$2x$05$abcdefghijklmnopqrstuuD3mHdCr44zlIZ.VZCaYRpfQhXMYnEo.",
            "this is no whole bcrypt_sha256 hash",
        ),
        ("pbkdf2_sha256$1000$salt", "this is no whole PBKDF2 hash"),
        ("pbkdf2_sha256$0$salt$dRrWdVq0mMT0hmsOiHlEViRRO04uq+XlRBajW34TEus=", "this is no whole pbkdf2_sha256 hash"),
        ("pbkdf2_sha256$+5$salt$dRrWdVq0mMT0hmsOiHlEViRRO04uq+XlRBajW34TEus=", "this is no whole pbkdf2_sha256 hash"),
        ("pbkdf2_sha256$1000$salt$dRrW", "this is no whole pbkdf2_sha256 hash"),
        (
            "$pbkdf2-sha256$i=1000,l=31$c2FsdA$dRrWdVq0mMT0hmsOiHlEViRRO04uq+XlRBajW34TEus",
            "this is no whole pbkdf2_sha256 hash",
        ),
        (
            "$pbkdf2-sha256$i=1000,x=1$c2FsdA$dRrWdVq0mMT0hmsOiHlEViRRO04uq+XlRBajW34TEus",
            "this is no whole pbkdf2_sha256 hash",
        ),
        ("$argon2id$v=19$m=64,t=2,p=1$é$é", "plain text, or no hash"),
        ("$argon2id$m=64,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "this is no whole argon2id hash"),
        ("$argon2id$v=19$m=4294967296,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "this is no whole argon2id hash"),
        ("$argon2id$", "this is no whole argon2id hash"),
        ("$apr1$salt", "this is no whole MD5 hash"),
        ("$apr1$salt$hunter2", "this is no whole apr1 hash"),
        ("$6$rounds=5$salt$hunter2", "this is no whole sha512_crypt hash"),
        ("{SHA}hunter2", "this is no whole sha1 hash"),
        ("{SSHA}mN7MYuzjmaIu0w1JDvMzvn/ec4U=", "this is no whole ssha hash"),
        ("$P$9aB.x", "this is no whole phpass hash"),
    ] {
        let problem = problem(text);
        assert!(problem.starts_with(reason), "{text:?}: {problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
    assert_eq!(problem(&"$2y$".repeat(1000)), problem("hunter2"));
}

#[test]
fn a_known_hash_does_not_show_itself() {
    let known = KnownHash::parse("{SHA}mN7MYuzjmaIu0w1JDvMzvn/ec4U=").unwrap();
    assert_eq!(format!("{known:?}"), "KnownHash(sha1, …)");
}
