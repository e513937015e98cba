//! Finds secrets in files, in every form a program may have written them.

use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use super::super::tables::hex;

/// Secrets with names that can be printed.
#[derive(Default)]
pub(super) struct Secrets(Vec<(String, Vec<u8>)>);

/// What each secret looks like, by its first two bytes.
pub(super) struct Needles {
    forms: Vec<Form>,
    starting_with: Vec<Vec<usize>>,
}

struct Form {
    of: String,
    bytes: Vec<u8>,
}

impl Secrets {
    pub(super) fn add(&mut self, name: impl Into<String>, secret: impl Into<Vec<u8>>) {
        let secret = secret.into();
        assert!(secret.len() >= 12, "too short to be found only where it is");
        self.0.push((name.into(), secret));
    }

    /// Raw, hexadecimal in both cases, and base64 in both alphabets at each of the three places within its groups.
    pub(super) fn needles(&self) -> Needles {
        let mut needles = Needles { forms: Vec::new(), starting_with: vec![Vec::new(); 1 << 16] };
        for (name, secret) in &self.0 {
            needles.add(format!("{name}, raw"), secret.clone());
            for (case, text) in [("lower", hex(secret)), ("upper", hex(secret).to_uppercase())] {
                needles.add(format!("{name}, hex in {case} case"), text.into_bytes());
            }
            for (alphabet_name, alphabet) in [("base64", &STANDARD), ("base64url", &URL_SAFE)] {
                for offset in 0..3 {
                    needles
                        .add(format!("{name}, {alphabet_name} at {offset}"), within_base64(secret, alphabet, offset));
                }
            }
        }
        needles
    }
}

impl Needles {
    fn add(&mut self, of: String, bytes: Vec<u8>) {
        self.starting_with[first_two(&bytes)].push(self.forms.len());
        self.forms.push(Form { of, bytes });
    }

    pub(super) fn forms(&self) -> usize {
        self.forms.len()
    }

    /// The forms that are somewhere in these bytes.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for at in 0..bytes.len().saturating_sub(1) {
            let rest = &bytes[at..];
            for &form in &self.starting_with[first_two(rest)] {
                if rest.starts_with(&self.forms[form].bytes) {
                    found.push(form);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|form| self.forms[form].of.as_str()).collect()
    }
}

fn first_two(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The characters that a secret alone decides where it stands `offset` bytes into what is encoded.
fn within_base64(secret: &[u8], alphabet: &Alphabet, offset: usize) -> Vec<u8> {
    let engine = GeneralPurpose::new(alphabet, NO_PAD);
    let encoded = engine.encode([&[0; 2][..offset], secret].concat());
    let (first, last) = ((offset * 8).div_ceil(6), (offset + secret.len()) * 8 / 6);
    encoded.as_bytes()[first..last].to_vec()
}

#[test]
fn every_form_of_a_secret_is_found_wherever_it_stands() {
    let secret: Vec<u8> = (200..=255).chain(0..40).collect();
    let mut secrets = Secrets::default();
    secrets.add("it", secret.clone());
    let needles = secrets.needles();
    assert_eq!(needles.forms(), 9);

    let mut seen = std::collections::BTreeSet::new();
    for (before, after) in [(0, 0), (1, 0), (2, 1), (3, 2), (7, 3)] {
        let whole = [vec![b'x'; before], secret.clone(), vec![b'y'; after]].concat();
        let texts = [hex(&whole), hex(&whole).to_uppercase()].map(String::into_bytes);
        let encoded = [&STANDARD, &URL_SAFE].map(|it| GeneralPurpose::new(it, NO_PAD).encode(&whole).into_bytes());
        for written in [vec![whole], texts.to_vec(), encoded.to_vec()].concat() {
            let found = needles.found_in(&written);
            assert_eq!(found.len(), 1, "{found:?} in {written:?}");
            seen.insert(found[0].to_owned());
        }
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
    assert!(needles.found_in(&secret[1..]).is_empty());
}
