//! One token is one text: whatever is done to it, bit by bit or sign by sign, it does not verify.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom;
use serde_json::{Value, json};
use sidegate::clock::signing_randomness;
use sidegate::domain::access_token::TokenFault;

use super::{Issuer, NOW, claims};

/// B1-24: each bit of each of the three parts, and of the dots between them.
#[test]
fn no_flipped_bit_of_a_token_verifies() {
    let issuer = Issuer::new();
    let good = issuer.with_claims(|_| ());
    let mut judged = 0;
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // What is no text does not get as far as a header field's value.
        let Ok(token) = String::from_utf8(bytes) else { continue };
        assert!(issuer.verify(&token).is_err(), "{token}");
        judged += 1;
    }
    assert_eq!(judged, good.len() * 7, "only the highest bit of a byte makes it no text");
    assert_eq!(issuer.verify(&good), Ok(()));
}

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a lenient reader might overlook, or read as something else.
const MORE: &[&str] = &[
    "=", "==", "%3D", "%3d", " ", "\t", "\n", "\r\n", "\0", ".", "..", "%2E", "\"", "'", ",", "+", "/", "%", "\\",
    "\u{feff}", "\u{200b}", "\u{a0}", "\u{e9}", "-", "_", "A",
];

/// Every text that one change at this place makes.
fn changed_at(good: &str, at: usize) -> Vec<String> {
    let (before, after) = good.split_at(at);
    let mut texts: Vec<String> = MORE.iter().map(|more| format!("{before}{more}{after}")).collect();
    if let Some(one) = after.chars().next() {
        let after = &after[1..];
        let other_case = if one.is_ascii_lowercase() { one.to_ascii_uppercase() } else { one.to_ascii_lowercase() };
        let others = [
            String::new(),
            format!("{one}{one}"),
            other_case.to_string(),
            format!("%{:02X}", u32::from(one)),
            format!("\\u{:04x}", u32::from(one)),
            char::from_u32(u32::from(one) + 0xfee0).expect("the wide form").to_string(),
            STANDARD.encode([u8::try_from(u32::from(one)).expect("it is ASCII")]),
        ];
        texts.extend(others.iter().map(|other| format!("{before}{other}{after}")));
        texts.extend(MORE.iter().map(|more| format!("{before}{more}{after}")));
    }
    texts.retain(|text| text != good);
    texts
}

/// B1-30 to B1-34: there is no second way to write a token.
#[test]
fn no_other_spelling_of_a_token_verifies() {
    let issuer = Issuer::new();
    let good = issuer.with_claims(|_| ());
    let mut judged = 0_u32;
    for text in (0..=good.len()).flat_map(|at| changed_at(&good, at)) {
        assert!(issuer.verify(&text).is_err(), "{text:?}");
        judged += 1;
    }
    // Two changes at once, by chance.
    let random = signing_randomness();
    for _ in 0..20_000 {
        let mut noise = [0; 8];
        random.fill(&mut noise).expect("randomness");
        let mut text = good.clone();
        for [place, more, what, _] in noise.as_chunks::<4>().0 {
            let at = (usize::from(*place) * 256 + usize::from(*what)) % text.len();
            if !text.is_char_boundary(at) || !text.is_char_boundary(at + 1) {
                continue;
            }
            if what % 2 == 0 {
                text.insert_str(at, MORE[usize::from(*more) % MORE.len()]);
            } else {
                let letter = usize::from(*more) % ALPHABET.len();
                text.replace_range(at..=at, &ALPHABET[letter..=letter]);
            }
        }
        assert!(text == good || issuer.verify(&text).is_err(), "{text:?}");
        judged += 1;
    }
    assert!(judged > 40_000, "{judged}");
    for text in [
        good.replace('.', "%2E"),
        good.replace('.', "\u{3002}"),
        format!("\"{good}\""),
        format!("Bearer {good}"),
        format!("{good},{good}"),
        format!("{good}%3D%3D"),
        good.chars().rev().collect(),
    ] {
        assert!(issuer.verify(&text).is_err(), "{text:?}");
    }
    assert_eq!(issuer.verify(&good), Ok(()));
}

/// B1-14, B1-21: other serialisations of the same signature.
#[test]
fn a_signature_in_another_form_is_no_token() {
    let issuer = Issuer::new();
    let good = issuer.with_claims(|_| ());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let one = json!({ "protected": header, "signature": signature });
    for text in [
        json!({ "payload": payload, "protected": header, "signature": signature }).to_string(),
        json!({ "payload": payload, "signatures": [one.clone()] }).to_string(),
        json!({ "payload": payload, "signatures": [one.clone(), one] }).to_string(),
        json!(good).to_string(),
        format!("{header}..{signature}"),
        format!("{header}.{}.{signature}", claims()),
        format!("{header}.a.b.{signature}"),
        format!("{header}.{payload}.{signature}.{payload}.{signature}"),
    ] {
        assert_eq!(issuer.verify(&text), Err(TokenFault::Malformed), "{text}");
    }
}

/// B1-15, B1-16: what looks alike is not alike, and only UTF-8 is text.
#[test]
fn claims_are_compared_byte_by_byte() {
    let mut issuer = Issuer::new();
    for (name, value) in [("Sub", "root"), ("SUB", "root"), ("sub\0", "root"), ("\u{455}ub", "root")] {
        let token = issuer.with_claims(|claims| claims[name] = json!(value));
        let identity = issuer.identity(&token).expect("another claim");
        assert_eq!(identity.subject.as_str(), "ann", "{name}");
    }
    let header = issuer.header().to_string();
    let text = claims().to_string();
    let wide = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    let widest: Vec<u8> = text.chars().flat_map(|one| u32::from(one).to_be_bytes()).collect();
    let overlong = text.replace("\"ann\"", "\"a?n\"").into_bytes();
    let at = overlong.iter().position(|byte| *byte == b'?').expect("it is there");
    let with = |bytes: &[u8]| [&overlong[..at], bytes, &overlong[at + 1..]].concat();
    for bytes in [
        wide(u16::to_be_bytes),
        wide(u16::to_le_bytes),
        widest,
        [b"\xff\xfe", &wide(u16::to_le_bytes)[..]].concat(),
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        with(b"\xc0\xae"),
        with(b"\xe0\x80\xae"),
        with(b"\xed\xa0\x80"),
        with(b"\xff"),
        with(b"\0"),
        with(b"\n"),
    ] {
        assert_eq!(issuer.verify(&issuer.signed(&header, &bytes)), Err(TokenFault::Claims), "{}", bytes.escape_ascii());
    }
    let many: Vec<Value> = (0..100_000).map(|number| json!(number.to_string())).collect();
    assert_eq!(issuer.verify(&issuer.with_claims(|claims| claims["aud"] = json!(many))), Err(TokenFault::TooLong));

    (issuer.rules.issuer, issuer.rules.audience) = ("https://zo\u{eb}".into(), "caf\u{e9}".into());
    let named = |iss: &str, aud: &str| {
        issuer.with_claims(|claims| {
            claims["iss"] = json!(iss);
            claims["aud"] = json!(aud);
        })
    };
    assert_eq!(issuer.verify_at(&named("https://zo\u{eb}", "caf\u{e9}"), NOW), Ok(()));
    assert_eq!(issuer.verify(&named("https://zoe\u{308}", "caf\u{e9}")), Err(TokenFault::Issuer));
    assert_eq!(issuer.verify(&named("https://zo\u{eb}", "cafe\u{301}")), Err(TokenFault::Audience));
}
