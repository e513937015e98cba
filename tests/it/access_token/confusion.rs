//! A key is for one algorithm and one name: whatever is mixed up does not verify.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde_json::json;
use sidegate::authority::jose;
use sidegate::domain::access_token::{TokenFault, verify};
use sidegate::domain::keys::{Algorithm, KeySet, PublicMaterial, VerifyingKey};
use sidegate::domain::time::Timestamp;

use super::{Issuer, NOW, bit_flips, claims, hs256_signed};

/// One key of an algorithm, both halves.
struct Key {
    algorithm: Algorithm,
    encoding: EncodingKey,
    verifying: VerifyingKey,
    /// Public bytes, of a key pair.
    public: Option<Vec<u8>>,
}

/// As an operator makes one.
fn rsa_pair() -> Vec<u8> {
    let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let made = std::process::Command::new("openssl").args(arguments).output().expect("openssl is installed");
    let pem = String::from_utf8(made.stdout).expect("PEM is text");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).expect("PEM is base64")
}

impl Key {
    fn of(algorithm: Algorithm) -> Self {
        if let Some(length) = algorithm.secret_bytes() {
            let secret = vec![b'k'; length];
            let verifying = VerifyingKey::secret(algorithm, &secret).expect("a key");
            return Self { algorithm, encoding: EncodingKey::from_secret(&secret), verifying, public: None };
        }
        let pair = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => rsa_pair(),
            _ => jose::generate_pair(algorithm).expect("a key").to_vec(),
        };
        let encoding = match algorithm {
            Algorithm::EdDsa => EncodingKey::from_ed_der(&pair),
            Algorithm::Rs256 | Algorithm::Ps256 => EncodingKey::from_rsa_der(&pair),
            _ => EncodingKey::from_ec_der(&pair),
        };
        let verifying = jose::public_half(algorithm, &pair).expect("its public half");
        let parts = match verifying.public.clone().expect("it has one").material {
            PublicMaterial::Curve { x, y, .. } => [x, y.unwrap_or_default()],
            PublicMaterial::Rsa { n, e } => [n, e],
        };
        let public = parts.map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url")).concat();
        Self { algorithm, encoding, verifying, public: Some(public) }
    }

    /// Signed with this key, in the name of that one, under that algorithm.
    fn signed(&self, name: &VerifyingKey, algorithm: &str) -> String {
        let header = json!({ "typ": "at+jwt", "alg": algorithm, "kid": name.id.as_str() });
        let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let input = format!("{}.{}", encode(&header), encode(&claims()));
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &self.encoding, self.algorithm.jose());
        format!("{input}.{}", signature.expect("a signature"))
    }
}

/// B1-3 to B1-8, JOSE-3, JOSE-9: of every key, every name and every algorithm, only those that belong together.
#[test]
fn a_token_verifies_only_if_key_name_and_algorithm_are_one() {
    let issuer = Issuer::new();
    let keys = Algorithm::ALL.map(Key::of);
    let set: KeySet = keys.iter().map(|key| key.verifying.clone()).collect();
    assert_eq!(set.len(), keys.len());
    let names = Algorithm::ALL.map(Algorithm::name).into_iter().chain(["RS512", "ES512", "ES256K", "Ed25519"]);
    let mut good = 0;
    for algorithm in names {
        for signing in &keys {
            for named in &keys {
                let token = signing.signed(&named.verifying, algorithm);
                let verdict = verify(&token, &set, &issuer.rules, Timestamp::from_secs(NOW)).map(drop);
                let expected = if algorithm != named.algorithm.name() {
                    Err(TokenFault::Algorithm)
                } else if signing.algorithm != named.algorithm {
                    Err(TokenFault::Signature)
                } else {
                    good += 1;
                    Ok(())
                };
                assert_eq!(verdict, expected, "{algorithm}, key {}, name {}", signing.algorithm, named.algorithm);
            }
        }
    }
    assert_eq!(good, keys.len());
    // What everybody knows of a key pair is no secret, whoever's name it is given (B1-3).
    for key in keys.iter().filter(|key| key.public.is_some()) {
        let public = key.public.as_ref().expect("it has one");
        let jwk = serde_json::to_vec(&key.verifying.public).expect("it is JSON");
        for secret in [public.clone(), public[1..].to_vec(), STANDARD.encode(public).into_bytes(), jwk] {
            for named in &keys {
                let header = json!({ "typ": "at+jwt", "alg": "HS256", "kid": named.verifying.id.as_str() });
                let token = hs256_signed(&secret, &header, &claims());
                let verdict = verify(&token, &set, &issuer.rules, Timestamp::from_secs(NOW));
                assert!(verdict.is_err(), "{} for {}", key.algorithm, named.algorithm);
            }
        }
    }
}

/// The order of the Ed25519 group, little-endian (RFC 8032 §5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// JOSE-11, B1-23: the same signature with the order added to its second half is another signature, and is refused.
#[test]
fn an_ed25519_signature_is_reduced() {
    let issuer = Issuer::new();
    let key = Key::of(Algorithm::EdDsa);
    let set: KeySet = [key.verifying.clone()].into_iter().collect();
    let judge = |token: &str| verify(token, &set, &issuer.rules, Timestamp::from_secs(NOW)).map(drop);
    let good = key.signed(&key.verifying, "EdDSA");
    assert_eq!(judge(&good), Ok(()));
    let (input, signature) = good.rsplit_once('.').expect("three parts");
    let raw = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut carry = 0;
    let sum: Vec<u8> = raw[32..]
        .iter()
        .zip(ORDER)
        .map(|(&half, order)| {
            let sum = u16::from(half) + u16::from(order) + carry;
            carry = sum >> 8;
            sum.to_le_bytes()[0]
        })
        .collect();
    assert_eq!(carry, 0);
    let mut bad = vec![
        [&raw[..32], &sum].concat(),
        vec![0; 64],
        raw[..63].to_vec(),
        [&raw[..], &[0]].concat(),
        [&raw[32..], &raw[..32]].concat(),
    ];
    bad.extend(bit_flips(&raw));
    for signature in bad {
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(&signature));
        assert_eq!(judge(&token), Err(TokenFault::Signature), "{signature:?}");
    }
}

/// B1-2, JOSE-10: an RSA key's public half is no secret in any form, and its signature has one padding and one salt.
#[test]
fn an_rsa_signature_is_as_its_algorithm_says() {
    let issuer = Issuer::new();
    let keys = [Algorithm::Rs256, Algorithm::Ps256].map(Key::of);
    let set: KeySet = keys.iter().map(|key| key.verifying.clone()).collect();
    let judge = |token: &str| verify(token, &set, &issuer.rules, Timestamp::from_secs(NOW)).map(drop);
    for key in &keys {
        let der = key.encoding.as_bytes();
        let good = key.signed(&key.verifying, key.algorithm.name());
        assert_eq!(judge(&good), Ok(()));
        let (input, _) = good.rsplit_once('.').expect("three parts");
        let padded = |options: &[&str]| {
            let signature = openssl(&[&["dgst", "-sha256"], options].concat(), der, input.as_bytes());
            format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        let pss = |salt: &'static str| ["-sigopt", "rsa_padding_mode:pss", "-sigopt", salt];
        let (salted, plain) = (padded(&pss("rsa_pss_saltlen:32")), padded(&[]));
        let is_pss = key.algorithm == Algorithm::Ps256;
        assert_eq!(judge(&salted), if is_pss { Ok(()) } else { Err(TokenFault::Signature) });
        assert_eq!(judge(&plain), if is_pss { Err(TokenFault::Signature) } else { Ok(()) });
        for salt in ["rsa_pss_saltlen:0", "rsa_pss_saltlen:20", "rsa_pss_saltlen:max"] {
            assert_eq!(judge(&padded(&pss(salt))), Err(TokenFault::Signature), "{salt}");
        }
        let other_hash = openssl(&["dgst", "-sha512"], der, input.as_bytes());
        assert_eq!(judge(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(other_hash))), Err(TokenFault::Signature));

        let spki = openssl(&["pkey", "-pubout"], der, &[]);
        let trimmed = spki.trim_ascii_end().to_vec();
        let spki_der = openssl(&["pkey", "-pubout", "-outform", "DER"], der, &[]);
        let pkcs1 = openssl(&["rsa", "-RSAPublicKey_out"], der, &[]);
        for secret in [spki, trimmed, spki_der, pkcs1] {
            assert!(secret.len() > 200, "openssl has written no key");
            for algorithm in ["HS256", "RS256", "PS256"] {
                let header = json!({ "typ": "at+jwt", "alg": algorithm, "kid": key.verifying.id.as_str() });
                assert!(judge(&hs256_signed(&secret, &header, &claims())).is_err(), "{algorithm}");
            }
        }
    }
}

/// What openssl makes of a private key, PKCS #8, and some input.
fn openssl(arguments: &[&str], pkcs8: &[u8], input: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8));
    std::fs::write(folder.path().join("key.pem"), pem).expect("it is written");
    std::fs::write(folder.path().join("input"), input).expect("it is written");
    let key: &[&str] = if arguments[0] == "dgst" { &["-sign", "key.pem", "input"] } else { &["-in", "key.pem"] };
    let mut command = std::process::Command::new("openssl");
    let made = command.args(arguments).args(key).current_dir(folder.path()).output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}
