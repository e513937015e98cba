//! Access tokens at the gate: what may be learnt from a refusal, what a cache may not mix up, what nobody is asked.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidegate::boot::{self, Running};
use sidegate::clock::{Entropy, SystemClock};
use sidegate::config::checked::Config;

use super::{Edge, assert_problem, undated};
use crate::support::client::{Pair, call, logged_in, login, logout, until_refused};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind};
use crate::support::raw::{exchange, request};

/// The parts of a token, decoded.
fn parts(token: &str) -> Vec<Vec<u8>> {
    token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url")).collect()
}

fn joined(parts: &[Vec<u8>]) -> String {
    parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect::<Vec<_>>().join(".")
}

/// One more sidegate on the same store, with changes that a file could not say.
async fn another(edge: &Edge, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = edge.deployment.config();
    change(&mut config);
    boot::start(&config, Arc::new(SystemClock), Entropy).await.expect("sidegate starts")
}

/// B5-20: whatever is wrong with a token, whoever holds it learns that it is not valid, and nothing else.
#[tokio::test]
async fn what_is_wrong_with_a_token_is_told_to_nobody() {
    let edge = Edge::changed("revocation.poll_interval = \"20ms\"", |config| {
        config.access_token.leeway = std::time::Duration::ZERO;
    })
    .await;
    edge.deployment.add_user("gone", PASSWORD, &[]).await;
    let short_lived = another(&edge, |config| config.access_token.ttl = std::time::Duration::from_secs(1)).await;
    let other_audience = another(&edge, |config| config.access_token.audience = "other".into()).await;
    let other_issuer = another(&edge, |config| config.access_token.issuer = "https://other".into()).await;
    let elsewhere = Deployment::new(StoreKind::Sqlite, "").await;
    let other_keys = elsewhere.in_process().await;

    let good = logged_in(edge.gate).await.access;
    let expired = logged_in(short_lived.listen[0]).await.access;
    let ended = logged_in(edge.gate).await;
    assert_eq!(logout(edge.gate, &ended.refresh).await.status, 200);
    let disabled = Pair::read(&login(edge.gate, "gone", PASSWORD).await).access;
    assert_eq!(edge.deployment.command(&["users", "disable", "gone"]).await.code, Some(0));
    for access in [&expired, &disabled] {
        until_refused(edge.gate, access).await;
    }
    let mut forged = parts(&good);
    forged[2][10] ^= 1;
    let mut future = parts(&good);
    future[1] = String::from_utf8(future[1].clone()).expect("it is text").replace("\"iat\":", "\"iat\":9").into_bytes();

    let bad = [
        ("expired", expired),
        ("ended", ended.access),
        ("disabled", disabled),
        ("another audience", logged_in(other_audience.listen[0]).await.access),
        ("another issuer", logged_in(other_issuer.listen[0]).await.access),
        ("an unknown key", logged_in(other_keys.listen[0]).await.access),
        ("a wrong signature", joined(&forged)),
        ("other claims", joined(&future)),
        ("no token", "nonsense".to_owned()),
    ];
    let mut answers = Vec::new();
    for (what, token) in &bad {
        let answer = edge.refused(request("GET", "/notes").bearer(token).bytes()).await;
        assert_eq!(answer.status, 401, "{what}");
        answers.push(undated(&answer));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert_eq!(call(edge.gate, "/notes", &good).await.status, 200);
}

/// B1-28, B4-5: a good token in the cache vouches for its exact bytes, on the routes it may use.
#[tokio::test]
async fn a_verified_token_vouches_for_no_other() {
    let edge = Edge::new("[[route]]\npath = \"/admin/*\"\nroles = [\"admin\"]\n").await;
    let (good, other) = (logged_in(edge.gate).await.access, logged_in(edge.gate).await.access);
    for access in [&good, &other] {
        assert_eq!(call(edge.gate, "/notes", access).await.status, 200);
    }
    let (one, two) = (parts(&good), parts(&other));
    for mixed in [
        [one[0].clone(), one[1].clone(), two[2].clone()],
        [one[0].clone(), two[1].clone(), one[2].clone()],
        [two[0].clone(), two[1].clone(), one[2].clone()],
    ] {
        assert_problem(&edge.refused(request("GET", "/notes").bearer(&joined(&mixed)).bytes()).await, 401);
    }
    for bit in 0..one[2].len() * 8 {
        let mut flipped = one.clone();
        flipped[2][bit / 8] ^= 1 << (bit % 8);
        let answer = call(edge.gate, "/notes", &joined(&flipped)).await;
        assert_eq!(answer.status, 401, "bit {bit}");
    }
    // Who it is was found in the cache; what they may do is asked each time.
    assert_problem(&edge.refused(request("GET", "/admin").bearer(&good).bytes()).await, 403);
    assert_eq!(call(edge.gate, "/notes", &good).await.status, 200);
}

/// The order of P-256 (FIPS 186-5).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// B1-9: an ECDSA signature has a mirror image that verifies as well. It is another text of the same claims; what ends
/// the session ends both, for tokens are not revoked by their text.
#[tokio::test]
async fn a_mirrored_signature_ends_with_its_session() {
    let edge = Edge::new("").await;
    let pair = logged_in(edge.gate).await;
    let mut mirrored = parts(&pair.access);
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(mirrored[2][32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        mirrored[2][32 + at] = u8::try_from(difference + borrow * 256).expect("a digit");
    }
    let mirrored = joined(&mirrored);
    assert_ne!(mirrored, pair.access);
    assert_eq!(call(edge.gate, "/notes", &pair.access).await.status, 200);
    assert_eq!(call(edge.gate, "/notes", &mirrored).await.status, 200);
    assert_eq!(logout(edge.gate, &pair.refresh).await.status, 200);
    for access in [&pair.access, &mirrored] {
        assert_problem(&edge.refused(request("GET", "/notes").bearer(access).bytes()).await, 401);
    }
}

/// JOSE-6, B1-10 to B1-12: whatever a header names as the place of its key, nobody is called.
#[tokio::test]
async fn no_token_makes_sidegate_call_anybody() {
    let edge = Edge::new("").await;
    let trap = TcpListener::bind("127.0.0.1:0").expect("a free port");
    trap.set_nonblocking(true).expect("a socket can be told");
    let at = trap.local_addr().expect("it is bound");
    let good = parts(&logged_in(edge.gate).await.access);
    let header: Value = serde_json::from_slice(&good[0]).expect("it is JSON");
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" });
    for (name, value) in [
        ("jku", json!(format!("http://{at}/jwks.json"))),
        ("jku", json!(format!("http://127.0.0.1@{at}/jwks.json"))),
        ("jku", json!(format!("//{at}/jwks.json"))),
        ("x5u", json!(format!("http://{at}/cert.pem"))),
        ("kid", json!(format!("http://{at}/key"))),
        ("kid", json!("../../dev/null")),
        ("iss", json!(format!("http://{at}"))),
        ("jwk", jwk),
        ("x5c", json!(["AAAA"])),
        ("x5t", json!("AAAA")),
    ] {
        let mut header = header.clone();
        header[name] = value.clone();
        let token = joined(&[header.to_string().into_bytes(), good[1].clone(), good[2].clone()]);
        assert_problem(&edge.refused(request("GET", "/notes").bearer(&token).bytes()).await, 401);
    }
    let mut claims: Value = serde_json::from_slice(&good[1]).expect("it is JSON");
    claims["iss"] = json!(format!("http://{at}"));
    let token = joined(&[good[0].clone(), claims.to_string().into_bytes(), good[2].clone()]);
    assert_problem(&edge.refused(request("GET", "/notes").bearer(&token).bytes()).await, 401);
    assert_eq!(trap.accept().expect_err("somebody called").kind(), ErrorKind::WouldBlock);
}

/// JOSE-14: with each algorithm the published keys are the public halves, and shared secrets are not published.
#[tokio::test]
async fn only_public_keys_are_published() {
    for (algorithm, members) in [
        ("ES256", Some("alg crv kid kty use x y")),
        ("ES384", Some("alg crv kid kty use x y")),
        ("EdDSA", Some("alg crv kid kty use x")),
        ("HS256", None),
        ("HS384", None),
        ("HS512", None),
    ] {
        let edge = Edge::new(&format!("key.algorithm = \"{algorithm}\"")).await;
        let access = logged_in(edge.gate).await.access;
        let header: Value = serde_json::from_slice(&parts(&access)[0]).expect("it is JSON");
        assert_eq!((&header["alg"], &header["typ"]), (&algorithm.into(), &"at+jwt".into()));
        assert_eq!(call(edge.gate, "/notes", &access).await.status, 200, "{algorithm}");

        let answer = exchange(edge.gate, request("GET", "/.well-known/jwks.json").bytes()).await;
        let document = answer.json();
        let keys = document["keys"].as_array().expect("a list");
        let published: Vec<String> = keys
            .iter()
            .map(|key| {
                let mut names: Vec<&str> = key.as_object().expect("a key").keys().map(String::as_str).collect();
                names.sort_unstable();
                names.join(" ")
            })
            .collect();
        assert_eq!(published, members.into_iter().collect::<Vec<_>>(), "{algorithm}");
        if members.is_some() {
            assert_eq!((&keys[0]["kid"], &keys[0]["use"]), (&header["kid"], &"sig".into()));
        }
    }
}

/// BEAR-4, BEAR-6: the field is the one place of a token; a second token in the query is refused, one in a cookie or in a
/// body is not taken for one.
#[tokio::test]
async fn a_token_beside_the_field_is_refused_or_ignored() {
    let edge = Edge::new("").await;
    edge.deployment.add_user("bob", PASSWORD, &[]).await;
    let ann = logged_in(edge.gate).await.access;
    let bob = Pair::read(&login(edge.gate, "bob", PASSWORD).await).access;
    for query in [format!("access_token={bob}"), format!("x=1&access%5Ftoken={ann}"), "access_token=".to_owned()] {
        for path in ["/notes", "/auth/me", "/auth/sessions"] {
            let answer = edge.refused(request("GET", &format!("{path}?{query}")).bearer(&ann).bytes()).await;
            assert_problem(&answer, 400);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"default\", error=\"invalid_request\""));
        }
    }
    for asked in [
        request("GET", "/notes").header("Cookie", &format!("access_token={bob}; __Host-sidegate={bob}")),
        request("POST", "/notes").body("application/x-www-form-urlencoded", format!("access_token={bob}")),
        request("GET", "/notes").header("X-Access-Token", &bob),
    ] {
        assert_eq!(exchange(edge.gate, asked.bearer(&ann).bytes()).await.status, 200);
        assert_eq!(edge.last_seen().header("x-auth-subject").as_deref(), Some("ann"));
    }
    let without_field = edge.refused(request("GET", &format!("/auth/me?access_token={ann}")).bytes()).await;
    assert_problem(&without_field, 401);
}
