//! Every key there is: its kind, its default and what it means.
//!
//! The one source of the three: the reader takes kinds, bounds and defaults from here, an unknown key is one that does
//! not stand here, and `docs/configuration.md` is this list, written out.

mod access;
mod cookie;
mod login_upstream;
mod page;
mod token;
mod traffic;
mod vault;

pub use page::page;

/// Every section, in the order of the page.
pub const SECTIONS: &[Section] = &[
    traffic::TOP,
    traffic::SERVER,
    traffic::HEALTH,
    traffic::ADMIN,
    traffic::UPSTREAM,
    traffic::LIMIT,
    traffic::RATE,
    token::STORE,
    token::KEY,
    token::ACCESS_TOKEN,
    token::SESSION,
    token::REFRESH,
    token::REVOCATION,
    token::VERIFICATION,
    access::LOGIN,
    access::LOGIN_USERS,
    login_upstream::LOGIN_UPSTREAM,
    login_upstream::SUCCESS,
    login_upstream::REFUSED,
    login_upstream::SUBJECT,
    login_upstream::CLAIMS,
    vault::VAULT,
    vault::LOST,
    access::ENDPOINT,
    cookie::COOKIE,
    access::IDENTITY,
    access::ROUTE,
    access::ON_RESPONSE,
    access::CORS,
    traffic::LOG,
    traffic::AUDIT,
];

/// One table of the file.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// `session`, `login.users`; empty for the keys above the first table.
    pub path: &'static str,
    pub shape: Shape,
    pub doc: &'static str,
    pub keys: &'static [Key],
}

/// How a section is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `[session]`
    Table,
    /// `[upstream.NAME]`, any number of them
    Named,
    /// `[[route]]`, any number of them
    List,
    /// `[identity]`: the operator chooses the keys; the one in the list stands for all of them
    Free,
}

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// As it would stand in the file; empty: there is none.
    pub default: &'static str,
    pub doc: &'static str,
    /// The value may hold a password and is never shown.
    pub secret: bool,
}

/// What a key's value may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text, described in words.
    Text(&'static str),
    /// A list of texts, each described in words.
    List(&'static str),
    /// One text or a list of texts.
    TextOrList(&'static str),
    Flag,
    Number {
        from: u64,
        to: u64,
    },
    /// Bounds as the file would say them.
    Duration {
        from: &'static str,
        to: &'static str,
    },
    /// Bounds as the file would say them.
    Size {
        from: &'static str,
        to: &'static str,
    },
    /// How many in how long, or `""` = no limit.
    Rate,
    /// One of these.
    Word(&'static [&'static str]),
    /// An inline table, described in words.
    Map(&'static str),
}

impl Section {
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// As it stands in the file: `[session]`, `[[route]]`.
    #[must_use]
    pub fn heading(&self) -> String {
        match self.shape {
            Shape::Table | Shape::Free => format!("[{}]", self.path),
            Shape::Named => format!("[{}.NAME]", self.path),
            Shape::List => format!("[[{}]]", self.path),
        }
    }
}

/// The section of this path.
#[must_use]
pub fn section(path: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.path == path)
}

/// A key whose value may be shown.
const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc, secret: false }
}
