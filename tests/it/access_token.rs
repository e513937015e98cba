//! Access tokens as an attacker would write them, each signed with a real key: what is not exactly a token of ours is
//! refused, and for the reason meant.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as Jose, EncodingKey};
use ring::rand::SecureRandom;
use serde_json::{Value, json};
use sidegate::authority::jose;
use sidegate::clock::signing_randomness;
use sidegate::domain::access_token::{MAX_BYTES, TokenFault, TokenRules, verify};
use sidegate::domain::identity::Identity;
use sidegate::domain::keys::{Algorithm, KeySet, PublicMaterial, VerifyingKey};
use sidegate::domain::time::Timestamp;

mod confusion;
mod spelling;

const NOW: i64 = 1_800_000_000;

/// An issuer with one key of each algorithm.
struct Issuer {
    es256: VerifyingKey,
    es256_pkcs8: Vec<u8>,
    es256_point: Vec<u8>,
    hs256: VerifyingKey,
    keys: KeySet,
    rules: TokenRules,
}

const SECRET: [u8; 32] = [7; 32];

fn coordinates(key: &VerifyingKey) -> [String; 2] {
    match key.public.clone().map(|jwk| jwk.material) {
        Some(PublicMaterial::Curve { x, y: Some(y), .. }) => [x, y],
        other => panic!("no point of a curve: {other:?}"),
    }
}

impl Issuer {
    fn new() -> Self {
        jose::install();
        let pkcs8 = jose::generate_pair(Algorithm::Es256).expect("a key");
        let es256 = jose::public_half(Algorithm::Es256, &pkcs8).expect("a key");
        let coordinates = coordinates(&es256).map(|part| URL_SAFE_NO_PAD.decode(part).expect("it is base64url"));
        let point = [&[4], coordinates.concat().as_slice()].concat();
        let hs256 = VerifyingKey::secret(Algorithm::Hs256, &SECRET).expect("a key");
        let rules = TokenRules {
            issuer: "https://issuer".into(),
            audience: "api".into(),
            leeway: Duration::from_secs(5),
            max_lifetime: Duration::from_mins(10),
        };
        let keys = [es256.clone(), hs256.clone()].into_iter().collect();
        Self { es256, es256_pkcs8: pkcs8.to_vec(), es256_point: point, hs256, keys, rules }
    }

    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "ES256", "kid": self.es256.id.as_str() })
    }

    fn verify(&self, token: &str) -> Result<(), TokenFault> {
        self.verify_at(token, NOW)
    }

    fn verify_at(&self, token: &str, seconds: i64) -> Result<(), TokenFault> {
        verify(token, &self.keys, &self.rules, Timestamp::from_secs(seconds)).map(drop)
    }

    fn identity(&self, token: &str) -> Result<Identity, TokenFault> {
        verify(token, &self.keys, &self.rules, Timestamp::from_secs(NOW))
    }

    /// Signs whatever stands there with the ES256 key.
    fn signed(&self, header: &str, claims: impl AsRef<[u8]>) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let key = EncodingKey::from_ec_der(&self.es256_pkcs8);
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, Jose::ES256).expect("a signature");
        format!("{input}.{signature}")
    }

    fn with_header(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = self.header();
        change(&mut header);
        self.signed(&header.to_string(), claims().to_string())
    }

    fn with_claims(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims();
        change(&mut claims);
        self.signed(&self.header().to_string(), claims.to_string())
    }

    /// The members of the claims with more text before the closing brace.
    fn with_claims_text(&self, more: &str) -> String {
        let text = claims().to_string();
        self.signed(&self.header().to_string(), format!("{},{more}}}", text.trim_end_matches('}')))
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer", "sub": "ann", "aud": "api", "client_id": "first-party",
        "iat": NOW, "exp": NOW + 600, "jti": "AAAAAAAAAAAAAAAAAAAAAA",
        "sid": "00112233445566778899aabbccddeeff", "ep": [0, 0], "roles": ["clerk"],
    })
}

fn hs256_signed(secret: &[u8], header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, Jose::HS256).expect("a signature");
    format!("{input}.{signature}")
}

#[test]
fn a_token_as_we_mint_it_is_good() {
    let issuer = Issuer::new();
    assert_eq!(issuer.verify(&issuer.with_claims(|_| ())), Ok(()));
    assert_eq!(issuer.verify(&issuer.with_claims(|claims| claims["scope"] = json!("a b"))), Ok(()));
    assert_eq!(issuer.verify(&issuer.with_header(|header| header["typ"] = json!("application/AT+JWT"))), Ok(()));
    let header = json!({ "typ": "at+jwt", "alg": "HS256", "kid": issuer.hs256.id.as_str() });
    assert_eq!(issuer.verify(&hs256_signed(&SECRET, &header, &claims())), Ok(()));
}

/// B1-1 to B1-7, JOSE-3: the algorithm is the key's.
#[test]
fn the_token_does_not_choose_its_algorithm() {
    let issuer = Issuer::new();
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "es256",
        "ES256 ",
        "ES256.",
        "ES256\u{0}",
        "HS256",
        "ES384",
        "RS256",
        "ES256K",
    ] {
        let token = issuer.with_header(|header| header["alg"] = json!(alg));
        assert_eq!(issuer.verify(&token), Err(TokenFault::Algorithm), "{alg:?}");
        let unsigned = token.rsplit_once('.').expect("three parts").0;
        assert_eq!(issuer.verify(&format!("{unsigned}.")), Err(TokenFault::Malformed), "{alg:?}");
        assert_eq!(issuer.verify(unsigned), Err(TokenFault::Malformed), "{alg:?}");
        assert_eq!(issuer.verify(&format!("{unsigned}.AAAA")), Err(TokenFault::Algorithm), "{alg:?}");
    }
    for alg in [json!(null), json!(256), json!(["ES256"]), json!({})] {
        let token = issuer.with_header(|header| header["alg"] = alg.clone());
        assert_eq!(issuer.verify(&token), Err(TokenFault::Header), "{alg}");
    }
    // The public key, in every form it could be had, as the secret of an HMAC (B1-2, B1-3).
    let public = issuer.es256.public.as_ref().expect("it has one");
    let point = &issuer.es256_point;
    let spki = [
        &[
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ][..],
        point,
    ]
    .concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", STANDARD.encode(&spki));
    let secrets = [
        point.clone(),
        point[1..].to_vec(),
        format!("{pem}\n").into_bytes(),
        pem.into_bytes(),
        spki,
        serde_json::to_vec(public).expect("it is JSON"),
        coordinates(&issuer.es256)[0].clone().into_bytes(),
        issuer.es256.id.as_str().as_bytes().to_vec(),
        Vec::new(),
    ];
    for secret in secrets {
        for kid in [&issuer.es256.id, &issuer.hs256.id] {
            let header = json!({ "typ": "at+jwt", "alg": "HS256", "kid": kid.as_str() });
            let fault = if *kid == issuer.es256.id { TokenFault::Algorithm } else { TokenFault::Signature };
            assert_eq!(issuer.verify(&hs256_signed(&secret, &header, &claims())), Err(fault));
        }
    }
}

/// The bytes with each of their bits flipped in turn.
fn bit_flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

/// B1-8, B1-9, B1-24, JOSE-9.
#[test]
fn a_signature_is_exactly_the_keys() {
    let issuer = Issuer::new();
    let good = issuer.with_claims(|_| ());
    let (input, signature) = good.rsplit_once('.').expect("three parts");
    let raw = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let order = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
        0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut bad: Vec<Vec<u8>> = vec![
        vec![0; 64],
        [order, order].concat(),
        [&raw[..32], &[0; 32][..]].concat(),
        [&[0; 32][..], &raw[32..]].concat(),
        [&raw[..32], &order[..]].concat(),
        raw[..63].to_vec(),
        [&raw[..], &[0]].concat(),
        [&[0], &raw[..]].concat(),
        [&[0x30, 0x44, 0x02, 0x20], &raw[..32], &[0x02, 0x20], &raw[32..]].concat(),
        raw.iter().rev().copied().collect(),
    ];
    bad.extend(bit_flips(&raw));
    for signature in bad {
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(&signature));
        assert_eq!(issuer.verify(&token), Err(TokenFault::Signature), "{signature:?}");
    }
    // Another key under our key's name.
    let mut stranger = Issuer::new();
    stranger.keys = issuer.keys.clone();
    stranger.es256 = issuer.es256.clone();
    assert_eq!(issuer.verify(&stranger.with_claims(|_| ())), Err(TokenFault::Signature));
}

/// JOSE-1, B1-30 to B1-34: one token has one spelling.
#[test]
fn a_token_has_one_spelling() {
    let issuer = Issuer::new();
    let good = issuer.with_claims(|_| ());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let standard = |part: &str| STANDARD.encode(URL_SAFE_NO_PAD.decode(part).expect("base64url"));
    let spare_bits = |part: &str| {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let at = alphabet.find(&part[part.len() - 1..]).expect("base64url");
        format!("{}{}", &part[..part.len() - 1], &alphabet[at + 1..at + 2])
    };
    for token in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{good}.{signature}.{signature}"),
        format!("{good}="),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{}", standard(signature)),
        format!("{header}.{payload}.{}", spare_bits(signature)),
        format!("{{\"payload\":\"{payload}\",\"protected\":\"{header}\",\"signature\":\"{signature}\"}}"),
        ".".repeat(MAX_BYTES),
    ] {
        assert_eq!(issuer.verify(&token), Err(TokenFault::Malformed), "{token}");
    }
    assert_eq!(issuer.verify(&"x".repeat(MAX_BYTES + 1)), Err(TokenFault::TooLong));
    let long = issuer.with_claims(|claims| claims["x"] = json!("x".repeat(MAX_BYTES)));
    assert_eq!(issuer.verify(&long), Err(TokenFault::TooLong));
    assert_eq!(issuer.verify("sgr1_abc"), Err(TokenFault::RefreshToken));
}

/// JOSE-4 to JOSE-6, JOSE-20, B1-10 to B1-14, B1-19, B1-20: a header has three members, each a text.
#[test]
fn a_header_that_asks_for_more_is_refused() {
    let issuer = Issuer::new();
    let public = serde_json::to_value(issuer.es256.public.as_ref().expect("it has one")).expect("it is JSON");
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("crit", json!("exp")),
        ("crit", json!({})),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("p2c", json!(2_147_483_647)),
        ("jku", json!("http://127.0.0.1/jwks")),
        ("x5u", json!("http://127.0.0.1/cert")),
        ("jwk", public),
        ("x5c", json!(["AAAA"])),
        ("x5t", json!("AAAA")),
        ("nonce", json!("x")),
        ("anything", json!(null)),
    ] {
        let token = issuer.with_header(|header| header[name] = value.clone());
        assert_eq!(issuer.verify(&token), Err(TokenFault::Header), "{name}: {value}");
    }
    let deleted = |name: &str| issuer.with_header(|header| drop(header.as_object_mut().expect("object").remove(name)));
    assert_eq!(issuer.verify(&deleted("alg")), Err(TokenFault::Header));
    assert_eq!(issuer.verify(&deleted("kid")), Err(TokenFault::Header));
    assert_eq!(issuer.verify(&deleted("typ")), Err(TokenFault::Type));
    for kid in [
        "",
        "../../dev/null",
        "/proc/self/environ",
        "'; drop table keys--",
        "' union select 'k'--",
        "${jndi:x}",
        "http://127.0.0.1/",
        "\u{0}",
        "unknown",
    ] {
        let token = issuer.with_header(|header| header["kid"] = json!(kid));
        assert_eq!(issuer.verify(&token), Err(TokenFault::UnknownKey), "{kid:?}");
    }
    for kid in [json!(null), json!(1), json!([issuer.es256.id.as_str()]), json!({})] {
        let token = issuer.with_header(|header| header["kid"] = kid.clone());
        assert_eq!(issuer.verify(&token), Err(TokenFault::Header), "{kid}");
    }
    // AT-1, AT-3: other kinds of tokens.
    for typ in ["JWT", "jwt", "at+jwt2", "id+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "application/jwt", ""] {
        let token = issuer.with_header(|header| header["typ"] = json!(typ));
        assert_eq!(issuer.verify(&token), Err(TokenFault::Type), "{typ:?}");
    }
}

/// JOSE-2, B1-7, B1-15 to B1-17.
#[test]
fn json_that_two_parsers_could_read_differently_is_refused() {
    let issuer = Issuer::new();
    let kid = issuer.es256.id.as_str();
    let whole = claims().to_string();
    for header in [
        format!(r#"{{"typ":"at+jwt","alg":"ES256","alg":"none","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"at+jwt","alg":"none","alg":"ES256","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"at+jwt","alg":"ES256","al\u0067":"ES256","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}"}} "x""#),
        format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}",}}"#),
        format!(r#"[{{"typ":"at+jwt","alg":"ES256","kid":"{kid}"}}]"#),
        format!("\u{feff}{{\"typ\":\"at+jwt\",\"alg\":\"ES256\",\"kid\":\"{kid}\"}}"),
        format!("/**/{{\"typ\":\"at+jwt\",\"alg\":\"ES256\",\"kid\":\"{kid}\"}}"),
        "null".to_owned(),
        "x".to_owned(),
    ] {
        assert_eq!(issuer.verify(&issuer.signed(&header, &whole)), Err(TokenFault::Header), "{header}");
    }
    for more in [
        r#""role":"user","role":"admin""#,
        r#""role":"user","rol\u0065":"admin""#,
        r#""roles":["admin"]"#,
        r#""sub":"root""#,
        r#""s\u0075b":"root""#,
        r#""exp":9999999999"#,
        r#""deep":{"a":1,"a":2}"#,
        r#""list":[{"a":1,"a":2}]"#,
        r#""lone":"\ud800""#,
        r#""huge":1e400"#,
        r#""odd":NaN"#,
        r#""odd":Infinity"#,
        r#""odd":'x'"#,
        r#""odd":01"#,
    ] {
        assert_eq!(issuer.verify(&issuer.with_claims_text(more)), Err(TokenFault::Claims), "{more}");
    }
    let deep = format!(r#""deep":{}{}"#, "[".repeat(200), "]".repeat(200));
    assert_eq!(issuer.verify(&issuer.with_claims_text(&deep)), Err(TokenFault::Claims));
    for text in
        [format!("{whole}x"), format!("{whole}{whole}"), format!("[{whole}]"), "\"x\"".to_owned(), "{".to_owned()]
    {
        assert_eq!(
            issuer.verify(&issuer.signed(&issuer.header().to_string(), &text)),
            Err(TokenFault::Claims),
            "{text}"
        );
    }
    // Names are case-sensitive: `Sub` is another claim, and not the subject.
    assert_eq!(issuer.verify(&issuer.with_claims_text(r#""Sub":"root""#)), Ok(()));
    let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let header = URL_SAFE_NO_PAD.encode(issuer.header().to_string());
    let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(utf16));
    let key = EncodingKey::from_ec_der(&issuer.es256_pkcs8);
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, Jose::ES256).expect("a signature");
    assert_eq!(issuer.verify(&format!("{input}.{signature}")), Err(TokenFault::Claims));
}

/// JOSE-17 to JOSE-19, AT-2, B1-26, B1-60.
#[test]
fn every_claim_has_one_type_and_is_there() {
    let issuer = Issuer::new();
    for name in ["iss", "sub", "aud", "client_id", "iat", "exp", "jti", "sid", "ep"] {
        let token = issuer.with_claims(|claims| drop(claims.as_object_mut().expect("object").remove(name)));
        assert_eq!(issuer.verify(&token), Err(TokenFault::Claims), "no {name}");
        for value in [json!(null), json!({}), json!(true), json!([["x"]]), json!([]), json!(-1), json!("")] {
            let token = issuer.with_claims(|claims| claims[name] = value.clone());
            assert!(issuer.verify(&token).is_err(), "{name} = {value}");
        }
    }
    for issuer_claim in [
        "https://issuer/",
        "HTTPS://issuer",
        "https://issuer.evil",
        "https://issue",
        " https://issuer",
        "https://issuer\0",
        "https://issuer/evil/..",
        "https://issuer#x",
        "https://\u{456}ssuer",
        "x",
    ] {
        let token = issuer.with_claims(|claims| claims["iss"] = json!(issuer_claim));
        assert_eq!(issuer.verify(&token), Err(TokenFault::Issuer), "{issuer_claim}");
    }
    for audience in ["api2", "ap", "API", "api/", " api", "other"] {
        let token = issuer.with_claims(|claims| claims["aud"] = json!(audience));
        assert_eq!(issuer.verify(&token), Err(TokenFault::Audience), "{audience}");
    }
    for (name, value) in [
        ("iss", json!(["https://issuer"])),
        ("aud", json!(["api"])),
        ("aud", json!(["api", "other"])),
        ("sub", json!("a\r\nb")),
        ("sub", json!("a\u{0}b")),
        ("sub", json!("x".repeat(5000))),
        ("sid", json!("00112233445566778899AABBCCDDEEFF")),
        ("sid", json!("0011")),
        ("jti", json!("a\r\nb")),
        ("jti", json!("x".repeat(256))),
        ("client_id", json!("a\u{0}b")),
        ("client_id", json!(["first-party"])),
        ("aud", json!(5)),
        ("aud", json!([null])),
        ("aud", json!(["api", 1])),
        ("iss", json!(1)),
        ("ep", json!([0])),
        ("ep", json!([0, 0, 0])),
        ("ep", json!([0, -1])),
        ("ep", json!([0.0, 0])),
        ("ep", json!(["0", "0"])),
        ("scope", json!(["a"])),
        ("scope", json!(null)),
        ("roles", json!("admin")),
        ("roles", json!([1])),
        ("roles", json!(null)),
    ] {
        let token = issuer.with_claims(|claims| claims[name] = value.clone());
        assert_eq!(issuer.verify(&token), Err(TokenFault::Claims), "{name} = {value}");
    }
}

/// JOSE-15, JOSE-16, B1-40 to B1-52.
#[test]
fn times_are_whole_seconds_and_exact() {
    let issuer = Issuer::new();
    for name in ["exp", "iat"] {
        for text in [
            "\"1800000600\"",
            "1800000600.0",
            "1800000600.5",
            "1.8000006e9",
            "-1",
            "-0",
            "true",
            "null",
            "[1800000600]",
            "{}",
            "18446744073709551615",
            "18446744073709551616",
            "9007199254740993",
            "1e18",
            "1e300",
        ] {
            let value = if name == "exp" { NOW + 600 } else { NOW };
            let whole = claims().to_string();
            let changed = whole.replace(&format!("\"{name}\":{value}"), &format!("\"{name}\":{text}"));
            assert_ne!(changed, whole);
            let token = issuer.signed(&issuer.header().to_string(), &changed);
            assert_eq!(issuer.verify(&token), Err(TokenFault::Claims), "{name} = {text}");
        }
    }
    let lasting = |iat: i64, exp: i64| {
        issuer.with_claims(|claims| {
            claims["iat"] = json!(iat);
            claims["exp"] = json!(exp);
        })
    };
    assert_eq!(issuer.verify(&lasting(NOW, 0)), Err(TokenFault::Lifetime));
    // Milliseconds where seconds belong (B1-52).
    assert_eq!(issuer.verify(&lasting(NOW, (NOW + 600) * 1000)), Err(TokenFault::Lifetime));
    assert_eq!(issuer.verify(&lasting(NOW * 1000, NOW * 1000 + 600)), Err(TokenFault::IssuedInFuture));
    assert_eq!(issuer.verify(&lasting(NOW - 30 * 365 * 86_400, NOW + 600)), Err(TokenFault::Lifetime));
    for not_before in [json!(NOW + 1), json!(NOW + 700), json!("x"), json!(null), json!(-1), json!(1.5), json!([NOW])] {
        let token = issuer.with_claims(|claims| claims["nbf"] = not_before.clone());
        assert_eq!(issuer.verify(&token), Err(TokenFault::Claims), "nbf = {not_before}");
    }
    assert_eq!(issuer.verify(&issuer.with_claims(|claims| claims["nbf"] = json!(NOW))), Ok(()));
    assert_eq!(issuer.verify(&lasting(NOW, NOW + 601)), Err(TokenFault::Lifetime));
    assert_eq!(issuer.verify(&lasting(NOW, NOW)), Err(TokenFault::Lifetime));
    assert_eq!(issuer.verify(&lasting(NOW, NOW - 1)), Err(TokenFault::Lifetime));
    let token = lasting(NOW, NOW + 600);
    for (at, outcome) in [
        (NOW - 6, Err(TokenFault::IssuedInFuture)),
        (NOW - 5, Ok(())),
        (NOW + 604, Ok(())),
        (NOW + 605, Err(TokenFault::Expired)),
        (0, Err(TokenFault::IssuedInFuture)),
        (i64::from(u32::MAX), Err(TokenFault::Expired)),
    ] {
        assert_eq!(issuer.verify_at(&token, at), outcome, "{}", at - NOW);
    }
}

/// Random bytes and random flips never verify, and never panic.
#[test]
fn noise_is_refused() {
    let issuer = Issuer::new();
    let good = issuer.with_claims(|_| ());
    let random = signing_randomness();
    for _ in 0..2000 {
        let mut noise = [0; 4];
        random.fill(&mut noise).expect("randomness");
        let at = usize::from(u16::from_be_bytes([noise[0], noise[1]])) % good.len();
        let mut bytes = good.as_bytes().to_vec();
        bytes[at] = noise[2] & 0x7f;
        let token = String::from_utf8(bytes).expect("it is ASCII");
        assert!(token == good || issuer.verify(&token).is_err(), "{token}");
    }
}
