//! `docs/token-format.md` is what the code does: its vectors come from a second implementation.

use serde::Deserialize;
use sidegate::domain::refresh_token::{IdempotencyKey, Ratchet};
use sidegate::domain::secret::{OperatorSecret, hex};
use sidegate::domain::session::{Salt, SessionId};

#[derive(Deserialize)]
struct Vector {
    realm: String,
    operator_secret: String,
    fingerprint: String,
    session: String,
    first_secret: String,
    idempotency_key: String,
    tokens: Vec<Token>,
}

#[derive(Deserialize)]
struct Token {
    generation: u32,
    salt: Option<String>,
    text: String,
    stored_hash: String,
    idempotency_mac: String,
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    (0..hexadecimal.len()).step_by(2).map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(hexadecimal: &str) -> [u8; N] {
    bytes(hexadecimal).try_into().unwrap()
}

#[test]
fn the_published_vectors_hold() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../docs/token-format.vectors.json")).unwrap();
    assert!(vectors.len() >= 3);
    for vector in vectors {
        let secret = OperatorSecret::new(bytes(&vector.operator_secret)).unwrap();
        assert_eq!(hex(secret.fingerprint().as_bytes()), vector.fingerprint);
        let ratchet = Ratchet::new(&vector.realm, &secret, &[]);
        let key = IdempotencyKey::parse(&vector.idempotency_key).unwrap();
        let mut made = ratchet.first(SessionId::parse(&vector.session).unwrap(), array(&vector.first_secret));
        for expected in &vector.tokens {
            if let Some(salt) = &expected.salt {
                made = ratchet.successor(&made, Salt(array(salt))).unwrap();
            }
            assert_eq!(*made.expose(), expected.text);
            assert_eq!(made.generation(), expected.generation);
            assert_eq!(hex(&made.hash().0), expected.stored_hash);
            assert_eq!(hex(&ratchet.idempotency_mac(&made, &key).unwrap().0), expected.idempotency_mac);
            assert_eq!(ratchet.open(&expected.text).as_ref(), Ok(&made));
        }
    }
}
