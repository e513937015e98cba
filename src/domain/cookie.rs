//! The cookies that carry our tokens to a browser and back: their names, how they are written, and how strictly they are
//! read (RFC 6265bis).
//!
//! A browser sends every cookie whose name fits, whoever set it, and says of none where it came from. So a request with
//! anything that could be taken for one of ours in two ways is no session's; and no application behind us ever sees ours,
//! or sets them.

use std::fmt::Write;

/// The names of one realm's cookies: `__Host-REALM-access` and `__Host-REALM-refresh`. A browser takes a cookie of such a
/// name only over a secure connection, for this host alone and for all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCookies {
    prefix: String,
    same_site: SameSite,
}

/// With which of other sites' requests a browser sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// With links followed from there.
    Lax,
    /// With none.
    Strict,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Access,
    Refresh,
}

/// The tokens that a request's cookies hold. No `Debug`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Presented<'a> {
    pub access: Option<&'a str>,
    pub refresh: Option<&'a str>,
}

impl Presented<'_> {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.access.is_none() && self.refresh.is_none()
    }
}

/// Why a request's cookies are no session's. Browsers send none of these by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieFault {
    /// Two of one name: one of them was tossed in from elsewhere.
    Repeated,
    /// One of our names in another case, or with a space in it.
    Spelling,
    /// A cookie without a name, whose value reads like one of ours.
    Nameless,
    /// A value that is quoted, or holds what no token of ours does.
    Value,
}

/// Longer than this, name and value together, and a browser keeps it not, or cut (RFC 6265bis §5.6).
pub const MAX_BYTES: usize = 4096;

/// A token that no browser would keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cookie of {0} bytes is more than browsers keep ({MAX_BYTES})")]
pub struct TooLarge(pub usize);

impl SessionCookies {
    #[must_use]
    pub fn new(realm: &str, same_site: SameSite) -> Self {
        Self { prefix: format!("__Host-{realm}-"), same_site }
    }

    #[must_use]
    pub fn name(&self, kind: Kind) -> String {
        format!("{}{}", self.prefix, kind.suffix())
    }

    /// The value of a `Set-Cookie` line.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn set(&self, kind: Kind, token: &str, max_age: u64) -> Result<String, TooLarge> {
        let length = self.prefix.len() + kind.suffix().len() + 1 + token.len();
        if length > MAX_BYTES { Err(TooLarge(length)) } else { Ok(self.line(kind, token, max_age)) }
    }

    /// The value of a `Set-Cookie` line that has the browser forget it.
    #[must_use]
    pub fn clear(&self, kind: Kind) -> String {
        self.line(kind, "", 0)
    }

    fn line(&self, kind: Kind, value: &str, max_age: u64) -> String {
        let same_site = match self.same_site {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
        };
        let mut line = format!("{}{}={value}; Path=/", self.prefix, kind.suffix());
        let _ = write!(line, "; Max-Age={max_age}; Secure; HttpOnly; SameSite={same_site}");
        line
    }

    /// Reads the two over all `Cookie` lines of a request.
    ///
    /// # Errors
    /// [`CookieFault`]: then there is nothing to believe in any of them.
    pub fn read<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Presented<'a>, CookieFault> {
        let mut presented = Presented::default();
        for crumb in lines.into_iter().flat_map(crumbs) {
            let (name, value) = match crumb {
                Crumb::Named(name, value) => (name, value),
                Crumb::Nameless(value) if self.is_ours(value) => return Err(CookieFault::Nameless),
                Crumb::Nameless(_) => continue,
            };
            let Some(kind) = [Kind::Access, Kind::Refresh].into_iter().find(|kind| self.reads_like(name, *kind)) else {
                continue;
            };
            if name != self.name(kind).as_bytes() {
                return Err(CookieFault::Spelling);
            }
            let place = match kind {
                Kind::Access => &mut presented.access,
                Kind::Refresh => &mut presented.refresh,
            };
            if place.is_some() {
                return Err(CookieFault::Repeated);
            }
            *place = Some(token(value).ok_or(CookieFault::Value)?);
        }
        Ok(presented)
    }

    /// A `Cookie` line without what is ours, or could be taken for it; `None` if nothing is left.
    #[must_use]
    pub fn without_ours(&self, line: &[u8]) -> Option<Vec<u8>> {
        let pieces = || line.split(|&byte| byte == b';');
        let ours = |piece: &[u8]| self.is_ours(Crumb::read(piece).name());
        if !pieces().any(ours) {
            return Some(line.to_vec());
        }
        let left: Vec<&[u8]> = pieces().filter(|piece| !ours(piece)).map(<[u8]>::trim_ascii).collect();
        (!left.is_empty()).then(|| left.join(&b"; "[..]))
    }

    /// Whether an application's `Set-Cookie` line would set one of ours, or one that could be taken for it.
    #[must_use]
    pub fn is_set_by(&self, line: &[u8]) -> bool {
        let pair = line.split(|&byte| byte == b';').next().unwrap_or_default();
        self.is_ours(Crumb::read(pair).name())
    }

    /// Whatever begins as ours do, in any case: the rest of the names is ours to use one day.
    fn is_ours(&self, name: &[u8]) -> bool {
        let name = name.trim_ascii();
        name.get(..self.prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(self.prefix.as_bytes()))
    }

    fn reads_like(&self, name: &[u8], kind: Kind) -> bool {
        self.is_ours(name) && name.trim_ascii()[self.prefix.len()..].eq_ignore_ascii_case(kind.suffix().as_bytes())
    }
}

impl Kind {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

impl CookieFault {
    /// A short word for logs and metric labels.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Repeated => "cookie_repeated",
            Self::Spelling => "cookie_spelling",
            Self::Nameless => "cookie_nameless",
            Self::Value => "cookie_value",
        }
    }
}

/// The cookies of a line. Quotes mean nothing to a browser, nor here.
fn crumbs(line: &[u8]) -> impl Iterator<Item = Crumb<'_>> {
    line.split(|&byte| byte == b';').map(Crumb::read)
}

/// One cookie of a line.
enum Crumb<'a> {
    Named(&'a [u8], &'a [u8]),
    /// What a browser takes for a value alone, and a server perhaps for a name and a value.
    Nameless(&'a [u8]),
}

impl<'a> Crumb<'a> {
    fn read(piece: &'a [u8]) -> Self {
        let piece = piece.trim_ascii_start();
        match piece.iter().position(|&byte| byte == b'=') {
            Some(at) if at > 0 => Self::Named(&piece[..at], &piece[at + 1..]),
            _ => {
                let begins = piece.iter().position(|&byte| byte != b'=' && !byte.is_ascii_whitespace());
                Self::Nameless(&piece[begins.unwrap_or(piece.len())..])
            }
        }
    }

    /// What somebody might take for its name.
    fn name(&self) -> &'a [u8] {
        match self {
            Self::Named(name, _) => name,
            Self::Nameless(value) => value,
        }
    }
}

/// A value as both our tokens are spelled: letters, digits, `-`, `_` and `.`.
fn token(value: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(value).ok()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    value.bytes().all(fits).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cookies() -> SessionCookies {
        SessionCookies::new("shop", SameSite::Lax)
    }

    fn read<'a>(lines: &[&'a str]) -> Result<(Option<&'a str>, Option<&'a str>), CookieFault> {
        cookies().read(lines.iter().map(|line| line.as_bytes())).map(|found| (found.access, found.refresh))
    }

    /// CK-1, CK-2, CK-3.
    #[test]
    fn they_are_written_with_every_attribute_and_never_too_large() {
        let cookies = cookies();
        let attributes = "Secure; HttpOnly; SameSite=Lax";
        assert_eq!(
            cookies.set(Kind::Access, "a.b.c", 600).unwrap(),
            format!("__Host-shop-access=a.b.c; Path=/; Max-Age=600; {attributes}")
        );
        assert_eq!(cookies.clear(Kind::Refresh), format!("__Host-shop-refresh=; Path=/; Max-Age=0; {attributes}"));
        let strict = SessionCookies::new("shop", SameSite::Strict);
        assert!(strict.clear(Kind::Access).ends_with("; SameSite=Strict"));
        let room = MAX_BYTES - "__Host-shop-access=".len();
        assert!(cookies.set(Kind::Access, &"x".repeat(room), 1).is_ok());
        assert_eq!(cookies.set(Kind::Access, &"x".repeat(room + 1), 1), Err(TooLarge(MAX_BYTES + 1)));
    }

    #[test]
    fn ours_are_found_among_others_on_any_line() {
        assert_eq!(read(&[]), Ok((None, None)));
        assert_eq!(read(&["a=1; b=2; $Version=1"]), Ok((None, None)));
        assert_eq!(
            read(&["a=1; __Host-shop-access=x.y.z", "__Host-shop-refresh=sgr1_a; b=\"q\""]),
            Ok((Some("x.y.z"), Some("sgr1_a")))
        );
        assert_eq!(read(&["__Host-shop-refresh="]), Ok((None, Some(""))));
        for other in ["__Host-shop-accessory=1", "__Host-other-access=1", "__Host-shop=1", "x__Host-shop-access=1"] {
            assert_eq!(read(&[other]), Ok((None, None)), "{other}");
        }
    }

    /// CK-7.
    #[test]
    fn what_could_be_read_in_two_ways_is_no_session() {
        for (lines, fault) in [
            (&["__Host-shop-access=a; __Host-shop-access=b"][..], CookieFault::Repeated),
            (&["__Host-shop-access=a; x=1", "__Host-shop-access=a"], CookieFault::Repeated),
            (&["__Host-shop-refresh=a; __Host-shop-refresh="], CookieFault::Repeated),
            (&["__host-shop-access=a"], CookieFault::Spelling),
            (&["__Host-SHOP-refresh=a"], CookieFault::Spelling),
            (&["__Host-shop-access =a"], CookieFault::Spelling),
            (&["__Host-shop-access\t=a"], CookieFault::Spelling),
            (&["=__Host-shop-access=a"], CookieFault::Nameless),
            (&["x=1; =__host-shop-refresh=a"], CookieFault::Nameless),
            (&["= __Host-shop-access=a"], CookieFault::Nameless),
            (&["__Host-shop-access"], CookieFault::Nameless),
            (&["__Host-shop-access=\"a\""], CookieFault::Value),
            (&["__Host-shop-access=a, __Host-shop-access=b"], CookieFault::Value),
            (&["__Host-shop-refresh=a b"], CookieFault::Value),
            (&["__Host-shop-refresh= a"], CookieFault::Value),
            (&["__Host-shop-refresh=%61"], CookieFault::Value),
            (&["__Host-shop-refresh=ä"], CookieFault::Value),
        ] {
            assert_eq!(read(lines), Err(fault), "{lines:?}");
        }
    }

    /// CK-8.
    #[test]
    fn the_application_gets_the_others_as_they_came() {
        for (line, left) in [
            ("a=1;b=2;  c", Some("a=1;b=2;  c")),
            ("a=1; __Host-shop-access=x; b=\"q;r\"", Some("a=1; b=\"q; r\"")),
            ("__Host-shop-access=x; __Host-shop-refresh=y", None),
            ("__HOST-shop-ACCESS=x; a=1", Some("a=1")),
            ("a=1; =__Host-shop-access=x", Some("a=1")),
            ("a=1; __Host-shop-later", Some("a=1")),
            ("a=__Host-shop-access", Some("a=__Host-shop-access")),
        ] {
            let without = cookies().without_ours(line.as_bytes()).map(|left| String::from_utf8(left).unwrap());
            assert_eq!(without.as_deref(), left, "{line}");
        }
    }

    /// CK-8.
    #[test]
    fn an_application_cannot_set_ours() {
        for line in [
            "__Host-shop-access=x; Path=/; Secure",
            " __host-shop-refresh = x",
            "__Host-shop-more=1",
            "=__Host-shop-access=x",
            "= =__Host-shop-access=x",
            "__Host-shop-access",
        ] {
            assert!(cookies().is_set_by(line.as_bytes()), "{line}");
        }
        for line in ["sid=__Host-shop-access", "sid=1; __Host-shop-access=x", "__Host-shopping=1", ""] {
            assert!(!cookies().is_set_by(line.as_bytes()), "{line}");
        }
    }

    /// Text that is near to a `Cookie` line.
    fn any_line() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("__Host-shop-access".to_owned()),
            Just("__host-SHOP-refresh".to_owned()),
            Just("=".to_owned()),
            Just(";".to_owned()),
            Just("; ".to_owned()),
            Just("\"".to_owned()),
            "[ -~]{0,3}",
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn nothing_of_ours_is_left_for_the_application(line in any_line()) {
            let Some(left) = cookies().without_ours(&line) else { return Ok(()) };
            prop_assert!(matches!(cookies().read([left.as_slice()]), Ok(found) if found.is_empty()));
            prop_assert_eq!(cookies().without_ours(&left), Some(left));
        }

        #[test]
        fn what_is_read_stands_there_exactly_once(line in any_line()) {
            let Ok(Presented { access: Some(access), .. }) = cookies().read([line.as_slice()]) else { return Ok(()) };
            let text = std::str::from_utf8(&line).unwrap();
            let written = format!("__Host-shop-access={access}");
            prop_assert!(text.split(';').any(|piece| piece.trim_ascii_start() == written));
        }
    }
}
