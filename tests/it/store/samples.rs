//! Values to store, short enough to read in a test.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sidegate::domain::keys::Algorithm;
use sidegate::domain::secret::{Fingerprint, sha256};
use sidegate::domain::session::{Epochs, Origin, Salt, Session, SessionId, Subject, TokenHash};
use sidegate::domain::user::{PasswordHash, User, UserName};
use sidegate::domain::vault::SealedJar;
use sidegate::store::{Created, NewSession, SealedKey, Store, Swap};

pub const IDLE: Duration = Duration::from_secs(100);
pub const LONGEST: Duration = Duration::from_secs(1000);
pub const WINDOW: Duration = Duration::from_mins(1);

pub fn subject(text: &str) -> Subject {
    Subject::parse(text).unwrap()
}

pub fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

pub fn session_id(n: u32) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    SessionId::from_bytes(bytes)
}

/// Some hash for each pair; full of every kind of byte.
pub fn hash(session: u32, generation: u32) -> TokenHash {
    TokenHash(sha256(format!("{session}/{generation}").as_bytes()))
}

pub fn origin(n: u8) -> Origin {
    Origin::new(Some([10, 0, 0, n].into()), Some(&format!("agent/{n}")))
}

pub fn claims() -> Map<String, Value> {
    let Value::Object(claims) =
        json!({ "roles": ["admin"], "tenant": "acmé \u{0} 'x'", "n": 9_007_199_254_740_993_u64 })
    else {
        unreachable!()
    };
    claims
}

pub fn new_session(n: u32, of: &str) -> NewSession {
    NewSession {
        id: session_id(n),
        subject: subject(of),
        client: "app".into(),
        hash: hash(n, 0),
        epochs: Epochs::default(),
        from: origin(1),
        claims: claims(),
        label: Some("phone".into()),
        // Not everybody has one.
        vault: (n % 2 == 1).then(|| sealed_jar(1, 1)),
        idle_ttl: IDLE,
        max_ttl: LONGEST,
        most: 50,
    }
}

/// Some bytes for each pair.
pub fn sealed_jar(version: u64, content: u8) -> SealedJar {
    SealedJar { version, bytes: vec![0, content, 255, 0] }
}

/// Stores it; which must succeed.
pub async fn stored(store: &dyn Store, session: &NewSession) -> Session {
    match store.create_session(session).await.unwrap() {
        Created::Stored { session, .. } => *session,
        Created::EpochMoved => panic!("the epoch moved"),
    }
}

/// The swap that turns the session's live token, if `session` is what the store has.
pub fn swap(session: &Session) -> Swap {
    let [a, b, c, d, ..] = *session.id.as_bytes();
    let next = session.generation.wrapping_add(1);
    Swap {
        session: session.id,
        client: session.client.clone(),
        generation: session.generation,
        row_hash: session.hash,
        behind: 0,
        successor: hash(u32::from_be_bytes([a, b, c, d]), next),
        salt: Salt(sha256(&next.to_be_bytes())),
        key: None,
        from: origin(2),
        idle_ttl: IDLE,
        longest_window: WINDOW,
    }
}

pub fn user(n: &str) -> User {
    User {
        name: name(n),
        subject: subject(&format!("sub-{n}")),
        password_hash: PasswordHash(format!("$argon2id${n}")),
        disabled: false,
        claims: claims(),
    }
}

/// A session that lived, and was ended.
pub async fn ended(store: &dyn Store, n: u32) {
    let session = new_session(n, &format!("owner of {n}"));
    let epochs = store.epochs(&session.subject).await.unwrap();
    stored(store, &NewSession { epochs, ..session }).await;
    assert!(store.end_session(session_id(n)).await.unwrap());
}

/// The user with this name, as the store has it.
pub async fn user_named(store: &Arc<dyn Store>, name: &UserName) -> Option<User> {
    store.account(name).await.unwrap().map(|account| account.user)
}

pub fn fingerprint(n: u8) -> Fingerprint {
    Fingerprint::from_bytes(sha256(&[n]))
}

pub fn sealed_key(kid: &str, algorithm: Algorithm) -> SealedKey {
    SealedKey { kid: kid.into(), algorithm, secret: fingerprint(1), sealed: vec![0, 1, 2, 255, 0] }
}
