//! Passwords that somebody who guesses tries first, however long they are (NIST SP 800-63B asks to refuse them).
//!
//! Not a list of everything that ever leaked: one that is short enough to read, and the patterns such lists are full of.

/// Whether a password is one of them, in whatever case.
#[must_use]
pub fn is_guessable(password: &str) -> bool {
    let lower = password.to_lowercase();
    TRIED_FIRST.contains(&lower.as_str()) || is_repeated(&lower) || is_row(&lower)
}

/// At most three characters again and again.
fn is_repeated(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    (1..=3).any(|unit| {
        let mut again = characters.iter().skip(unit).zip(&characters);
        characters.len() > unit && again.all(|(later, earlier)| later == earlier)
    })
}

/// A stretch of the alphabet, the digits or a keyboard, in either direction.
fn is_row(text: &str) -> bool {
    let reversed: String = text.chars().rev().collect();
    !text.is_empty() && ROWS.iter().any(|row| row.contains(text) || row.contains(&reversed))
}

const ROWS: [&str; 5] = [
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "0123456789012345678901234567890123456789",
    "qwertyuiopasdfghjklzxcvbnmqwertyuiop",
    "qwertzuiopasdfghjklyxcvbnmqwertzuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
];

const TRIED_FIRST: [&str; 40] = [
    "1q2w3e4r5t6y",
    "1q2w3e4r5t6y7u",
    "1q2w3e4r5t6y7u8i",
    "q1w2e3r4t5y6",
    "q1w2e3r4t5y6u7i8",
    "zaq12wsxcde3",
    "zaq12wsxcde34rfv",
    "qazwsxedcrfv",
    "qwerty123456",
    "qwerty12345678",
    "qwertyuiop123",
    "qwertyuiop1234",
    "asdfghjkl123",
    "zxcvbnm12345",
    "abc123456789",
    "abcd12345678",
    "abcdefg12345",
    "a1b2c3d4e5f6",
    "password1234",
    "password12345",
    "password123456",
    "password123!",
    "password1234!",
    "passw0rd1234",
    "p@ssw0rd1234",
    "p@ssword1234",
    "passwordpassword",
    "mypassword123",
    "iloveyou1234",
    "welcome12345",
    "welcome123456",
    "changeme1234",
    "changemechangeme",
    "letmein12345",
    "trustno1trustno1",
    "adminadmin123",
    "administrator",
    "administrator1",
    "administrator123",
    "correcthorsebatterystaple",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_first_is_guessable_in_any_case() {
        for bad in [
            "aaaaaaaaaaaa",
            "121212121212",
            "abcabcabcabcab",
            "ééééééééééééé",
            "abcdefghijkl",
            "XYZabcdefghij",
            "123456789012",
            "098765432109",
            "QwertyUiop[]".trim_end_matches("[]"),
            "qwertyuiopas",
            "1qaz2wsx3edc",
            "Password1234!",
            "Administrator",
            "CorrectHorseBatteryStaple",
        ] {
            assert!(is_guessable(bad), "{bad}");
        }
        for good in ["correct horse battery", "aaaaaaaaaaab", "a long enough password", "abcdefghijkm", ""] {
            assert!(!is_guessable(good), "{good}");
        }
    }
}
