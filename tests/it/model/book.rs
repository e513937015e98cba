//! Real refresh tokens, each made once, by a name that is cheap to copy and to compare.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};

use sidegate::domain::refresh_token::{IdempotencyKey, Ratchet, RefreshToken};
use sidegate::domain::secret::{OperatorSecret, sha256};
use sidegate::domain::session::{IdempotencyMac, Salt, SessionId, TokenHash};

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    pub session: u8,
    pub generation: u8,
    /// Its place in the book.
    index: u16,
}

/// `a2.7`: generation 2 of session a, the seventh in the book.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}.{}", char::from(b'a' + self.session), self.generation, self.index)
    }
}

/// What a request drew for its successor: no two have the same.
pub type SaltName = u8;
pub type KeyName = u8;

pub struct Book {
    pub ratchet: Ratchet,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    tokens: Vec<(RefreshToken, TokenHash)>,
    names: HashMap<TokenHash, Token>,
    successors: HashMap<(Token, SaltName), Token>,
    macs: HashMap<(Token, KeyName), IdempotencyMac>,
}

impl Book {
    pub fn new() -> Self {
        let secret = OperatorSecret::new((0..32).collect()).unwrap();
        Self { ratchet: Ratchet::new("default", &secret, &[]), made: Mutex::default() }
    }

    pub fn first(&self, session: u8) -> Token {
        let token = self.ratchet.first(SessionId::from_bytes([session + 1; 16]), [session; 32]);
        self.made().name(token)
    }

    pub fn successor(&self, parent: Token, salt_name: SaltName) -> Token {
        if let Some(known) = self.made().successors.get(&(parent, salt_name)) {
            return *known;
        }
        let token = self.ratchet.successor(&self.real(parent), salt(salt_name)).unwrap();
        let mut made = self.made();
        let name = made.name(token);
        made.successors.insert((parent, salt_name), name);
        name
    }

    pub fn real(&self, token: Token) -> RefreshToken {
        self.made().tokens[usize::from(token.index)].0.clone()
    }

    pub fn hash(&self, token: Token) -> TokenHash {
        self.made().tokens[usize::from(token.index)].1
    }

    pub fn named(&self, token: &RefreshToken) -> Token {
        self.made().names[&token.hash()]
    }

    pub fn mac(&self, token: Token, key: KeyName) -> IdempotencyMac {
        if let Some(known) = self.made().macs.get(&(token, key)) {
            return *known;
        }
        let text = IdempotencyKey::parse(&format!("idempotency-key-{key}")).unwrap();
        let mac = self.ratchet.idempotency_mac(&self.real(token), &text).unwrap();
        self.made().macs.insert((token, key), mac);
        mac
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap()
    }
}

impl Made {
    fn name(&mut self, token: RefreshToken) -> Token {
        let hash = token.hash();
        let name = Token {
            session: token.session().as_bytes()[0] - 1,
            generation: token.generation().try_into().unwrap(),
            index: self.tokens.len().try_into().unwrap(),
        };
        let name = *self.names.entry(hash).or_insert(name);
        if usize::from(name.index) == self.tokens.len() {
            self.tokens.push((token, hash));
        }
        name
    }
}

pub fn salt(name: SaltName) -> Salt {
    Salt(sha256(&[name]))
}
