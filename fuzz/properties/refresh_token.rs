//! The refresh token. Input: `sgr1_` and what follows is read as a token's text; anything else is the ingredients of one:
//! session, generation, secret, salt, and where to spoil it.
//!
//! A text that opens is 101 characters long, is the only spelling of its token, and is one that this ratchet made: sealed
//! again from its own parts it is the same. A token that was made opens to its parts, in its own realm and with its own
//! secret only, and no longer once a single character differs; its successor is another genuine token, one generation on.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sidegate::domain::refresh_token::{NotAToken, PREFIX, Ratchet, RefreshToken, TEXT_LENGTH};
use sidegate::domain::secret::OperatorSecret;
use sidegate::domain::session::{Salt, SessionId};

struct Ratchets {
    own: Ratchet,
    /// The same secret, for another realm.
    other_realm: Ratchet,
    /// The same realm, with another secret.
    other_secret: Ratchet,
}

static RATCHETS: LazyLock<Ratchets> = LazyLock::new(|| {
    let secret = |seed: u8| OperatorSecret::new((0..32).map(|byte| byte ^ seed).collect()).expect("long enough");
    Ratchets {
        own: Ratchet::new("default", &secret(1), &[]),
        other_realm: Ratchet::new("other", &secret(1), &[]),
        other_secret: Ratchet::new("default", &secret(2), &[]),
    }
});

pub fn holds(input: &[u8]) {
    match std::str::from_utf8(input) {
        Ok(text) if text.starts_with(PREFIX) => opens_only_what_was_sealed(text),
        _ => what_is_sealed_opens(input),
    }
}

fn opens_only_what_was_sealed(text: &str) {
    let ratchet = &RATCHETS.own;
    let Ok(token) = ratchet.open(text) else { return };
    assert_eq!(text.len(), TEXT_LENGTH);
    assert_eq!(token.expose().as_str(), text, "another spelling opens");
    let body = URL_SAFE_NO_PAD.decode(&text[PREFIX.len()..]).expect("base64url");
    let secret = body[24..56].try_into().expect("32 bytes");
    let sealed = ratchet.fresh(token.session(), token.generation(), secret);
    assert_eq!(sealed.expose().as_str(), text, "a forgery opens");
}

fn what_is_sealed_opens(input: &[u8]) {
    let Ratchets { own, other_realm, other_secret } = &*RATCHETS;
    let mut input = input.iter().copied();
    let session = SessionId::from_bytes(take(&mut input));
    let generation = u32::from_be_bytes(take(&mut input));
    let token = own.fresh(session, generation, take(&mut input));
    let text = token.expose();

    assert_eq!(text.len(), TEXT_LENGTH);
    let opened = own.open(&text).expect("it was sealed here");
    assert!(opened == token && (opened.session(), opened.generation()) == (session, generation));
    assert_eq!(other_realm.open(&text), Err(NotAToken::Forged));
    assert!(matches!(other_secret.open(&text), Err(NotAToken::UnknownKey(_))));

    let salt = Salt(take(&mut input));
    let successor = own.successor(&token, salt);
    assert_eq!(successor.as_ref().map(RefreshToken::generation), generation.checked_add(1));
    if let Some(next) = successor {
        assert_eq!(own.open(&next.expose()).as_ref(), Ok(&next));
        assert!(next.session() == session && next.hash() != token.hash());
        assert_eq!(own.live_successor(&token, salt, next.hash()), Some(next));
    }

    for added in ["=", " ", "\n", "\0", ".", "A", PREFIX] {
        assert_refused(format!("{added}{}", *text).as_bytes(), &text);
        assert_refused(format!("{}{added}", *text).as_bytes(), &text);
        assert_refused(text.replace(PREFIX, &format!("{PREFIX}{added}")).as_bytes(), &text);
    }
    let [place, with, length] = take(&mut input);
    let mut spoiled = text.as_bytes().to_vec();
    spoiled[usize::from(place) % TEXT_LENGTH] = with;
    assert_refused(&spoiled, &text);
    spoiled = text.as_bytes().to_vec();
    spoiled.resize(usize::from(length) % (TEXT_LENGTH * 2), with);
    assert_refused(&spoiled, &text);
    spoiled = text.as_bytes().to_vec();
    spoiled.insert(usize::from(place) % TEXT_LENGTH, with);
    assert_refused(&spoiled, &text);
}

fn assert_refused(spoiled: &[u8], text: &str) {
    if let Ok(spoiled) = std::str::from_utf8(spoiled)
        && spoiled != text
    {
        assert!(RATCHETS.own.open(spoiled).is_err(), "{spoiled} opens as well as {text}");
    }
}

/// The next bytes; zeros where there are no more.
fn take<const N: usize>(input: &mut impl Iterator<Item = u8>) -> [u8; N] {
    std::array::from_fn(|_| input.next().unwrap_or(0))
}
