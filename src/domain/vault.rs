//! The upstream's own session: which of its cookies sidegate keeps, and what they are now.
//!
//! [`CookieNames`] says which names never pass between client and upstream, in any spelling that some server takes for
//! one of them. [`Jar`] holds their values and follows what the upstream sets. It sends them whatever `Path`, `Domain` or
//! future `Expires` the upstream gave: they go to the one upstream that set them, which forgets by itself.

use std::borrow::Cow;
use std::fmt;

use super::time::Timestamp;

mod cookie_date;
mod sealed;
mod set_cookie;

pub use self::sealed::{Seal, SealedJar, Unopened, Vault};

use self::set_cookie::SetCookie;

/// Names of the cookies that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieNames {
    exact: Vec<String>,
    folded: Vec<Vec<u8>>,
}

impl CookieNames {
    /// `None` if one of them is no cookie name (RFC 6265 §4.1.1), or longer than 255 bytes.
    #[must_use]
    pub fn new(names: Vec<String>) -> Option<Self> {
        let folded = names.iter().map(|name| fold(name.as_bytes())).collect();
        names.iter().all(|name| is_cookie_name(name)).then_some(Self { exact: names, folded })
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(String::as_str)
    }

    /// What is left of the value of a client's `Cookie` field: `None` if nothing is. Servers disagree on what separates two
    /// cookies, and which spellings mean one name: what any of them could read as one of ours is taken out, from one
    /// semicolon to the next.
    #[must_use]
    pub fn strip<'v>(&self, value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
        let mut pieces = value.split(|&byte| byte == b';');
        if !pieces.any(|piece| self.is_in(piece)) {
            return Some(Cow::Borrowed(value));
        }
        let kept: Vec<&[u8]> = value
            .split(|&byte| byte == b';')
            .filter(|piece| !self.is_in(piece))
            .map(<[u8]>::trim_ascii)
            .filter(|piece| !piece.is_empty())
            .collect();
        (!kept.is_empty()).then(|| Cow::Owned(kept.join(&b"; "[..])))
    }

    /// Whether a line the upstream sends sets or deletes one of these cookies. Such a line is not for the client.
    #[must_use]
    pub fn are_set_by(&self, set_cookie: &[u8]) -> bool {
        // A cookie without a name, `=name=value`, would come back as `name=value`.
        let name = set_cookie.trim_ascii_start();
        let start = name.iter().position(|&byte| byte != b'=' && !byte.is_ascii_whitespace()).unwrap_or(name.len());
        let name = name[start..].split(|&byte| byte == b'=' || byte == b';').next().unwrap_or_default();
        self.has(name.trim_ascii())
    }

    /// What the `Set-Cookie` lines of one answer say about these cookies, the last word on each.
    #[must_use]
    pub fn change<'l>(&self, lines: impl IntoIterator<Item = &'l [u8]>, now: Timestamp) -> Change {
        let mut change = Change::default();
        for line in lines {
            if let Some(SetCookie { name, value, is_over }) = SetCookie::read(line, now)
                && self.has(name)
                && let Ok(name) = std::str::from_utf8(name)
            {
                change.0.retain(|(known, _)| known != name);
                change.0.push((name.to_owned(), (!is_over).then(|| value.to_vec())));
            }
        }
        change
    }

    fn has(&self, name: &[u8]) -> bool {
        self.exact.iter().any(|known| known.as_bytes() == name)
    }

    /// Whether something between two semicolons could be read as one of these. Some parsers take a comma (RFC 2109) or a
    /// space for a separator, too.
    fn is_in(&self, piece: &[u8]) -> bool {
        let starts = std::iter::once(0).chain(
            piece
                .iter()
                .enumerate()
                .filter(|(_, byte)| **byte == b',' || !byte.is_ascii_graphic())
                .map(|(index, _)| index + 1),
        );
        let mut names = starts.filter_map(|start| {
            let rest = &piece[start..];
            let skipped = rest.iter().position(|&byte| byte.is_ascii_graphic() && byte != b'=')?;
            rest[skipped..].split(|&byte| byte == b'=').next()
        });
        names.any(|name| {
            let word = name.split(|&byte| byte == b',' || !byte.is_ascii_graphic()).next().unwrap_or_default();
            [name, word].into_iter().any(|name| self.folded.contains(&fold(name)))
        })
    }
}

/// What one answer says about the cookies that are kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Change(Vec<(String, Option<Vec<u8>>)>);

impl Change {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without what says the same as this jar.
    #[must_use]
    pub fn unlike(mut self, jar: &Jar) -> Self {
        self.0.retain(|(name, value)| jar.value(name) != value.as_deref());
        self
    }

    /// This, and then `later`.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.0.retain(|(name, _)| later.0.iter().all(|(newer, _)| newer != name));
        self.0.extend(later.0);
        self
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The kept cookies of one session, in the order they were first set. Values are bytes, as they came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Jar(Vec<(String, Vec<u8>)>);

impl Jar {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    fn value(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// The jar after an answer said this.
    #[must_use]
    pub fn after(&self, change: &Change) -> Self {
        let mut jar = self.clone();
        for (name, value) in &change.0 {
            let known = jar.0.iter().position(|(known, _)| known == name);
            match (known, value) {
                (Some(index), Some(value)) => jar.0[index].1.clone_from(value),
                (Some(index), None) => drop(jar.0.remove(index)),
                (None, Some(value)) => jar.0.push((name.clone(), value.clone())),
                (None, None) => {}
            }
        }
        jar
    }

    /// Bytes of the `Cookie` field that carries it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len() + 3).sum::<usize>().saturating_sub(2)
    }

    /// The value of the upstream's `Cookie` field: the kept cookies, then what is left of the client's. `None` if there is
    /// neither.
    #[must_use]
    pub fn cookie<'c>(&self, others: impl IntoIterator<Item = Cow<'c, [u8]>>) -> Option<Vec<u8>> {
        let own = self.0.iter().map(|(name, value)| Cow::Owned([name.as_bytes(), b"=", value].concat()));
        let all: Vec<Cow<'_, [u8]>> = own.chain(others).filter(|cookie| !cookie.is_empty()).collect();
        (!all.is_empty()).then(|| all.join(&b"; "[..]))
    }

    /// ```text
    /// 1:u8 ‖ (name length:u8 ‖ name ‖ value length:u16 ‖ value)*        big-endian
    /// ```
    /// `None` if a value is longer than 65,535 bytes.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![FORMAT];
        for (name, value) in &self.0 {
            bytes.push(u8::try_from(name.len()).ok()?);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&u16::try_from(value.len()).ok()?.to_be_bytes());
            bytes.extend_from_slice(value);
        }
        Some(bytes)
    }

    /// `None` for what [`Self::encode`] does not write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&FORMAT, mut rest) = bytes.split_first()? else { return None };
        let mut jar = Self::default();
        while let Some((&length, after)) = rest.split_first() {
            let (name, after) = after.split_at_checked(length.into())?;
            let (length, after) = after.split_first_chunk()?;
            let (value, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            let name = std::str::from_utf8(name).ok()?;
            if jar.has(name) {
                return None;
            }
            jar.0.push((name.to_owned(), value.to_vec()));
            rest = after;
        }
        Some(jar)
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

const FORMAT: u8 = 1;

/// RFC 6265 §4.1.1, RFC 9110 §5.6.2.
fn is_cookie_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 255 && name.bytes().all(is_token)
}

/// One spelling for all that some server takes for one name: PHP decodes `%50` (before 8.0), writes `_` for `.` and space,
/// and reads `name[x]` as a part of `name`; others trim more than the ASCII space, or know no case.
fn fold(name: &[u8]) -> Vec<u8> {
    let decoded = percent_decoded(name);
    let is_edge = |byte: &u8| !byte.is_ascii_graphic() || *byte == b'"';
    let start = decoded.iter().position(|byte| !is_edge(byte)).unwrap_or(decoded.len());
    let whole = decoded[start..].split(|&byte| byte == b'[').next().unwrap_or_default();
    let end = whole.iter().rposition(|byte| !is_edge(byte)).map_or(0, |last| last + 1);
    let spelled = whole[..end].iter().map(|byte| match byte {
        b'.' | b' ' | b'+' => b'_',
        byte => byte.to_ascii_lowercase(),
    });
    spelled.collect()
}

fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |index: usize| after.get(index).and_then(|digit| char::from(*digit).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (byte, digit(0), digit(1)) {
            decoded.extend(u8::try_from(high << 4 | low).ok());
            rest = &after[2..];
        } else {
            decoded.push(byte);
            rest = after;
        }
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests;
