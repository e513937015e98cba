//! The request target: read once, and what was judged is what is forwarded.
//!
//! Path tricks work because the gate and the application read the same bytes differently. So a target that two servers
//! could read differently is refused, and every other one is brought into one spelling (RFC 3986 §6.2.2) before any rule
//! sees it.

use std::borrow::Cow;
use std::fmt::Write;

use super::refresh_token;

/// A path in its one spelling, its decoded segments, and the query as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: String,
    segments: Vec<String>,
    query: Option<String>,
}

impl Target {
    /// Reads an origin-form target (RFC 9112 §3.2.1), as it stands in the request line.
    ///
    /// # Errors
    /// [`TargetFault`]: the first reason why two servers might read it differently.
    pub fn parse(raw: &[u8]) -> Result<Self, TargetFault> {
        let raw = std::str::from_utf8(raw).map_err(|_| TargetFault::Character)?;
        if !raw.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetFault::Character);
        }
        if raw.contains('#') {
            return Err(TargetFault::Fragment);
        }
        let (path, query) = match raw.split_once('?') {
            Some((_, query)) if query.contains(['"', '<', '>']) => return Err(TargetFault::Character),
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (raw, None),
        };
        let inner = path.strip_prefix('/').ok_or(TargetFault::Form)?;
        let mut canonical = String::with_capacity(path.len());
        let mut segments = Vec::new();
        let mut pieces = inner.split('/').peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            if piece.is_empty() && !last {
                return Err(TargetFault::EmptySegment);
            }
            canonical.push('/');
            let decoded = canonical_segment(piece, &mut canonical)?;
            // A trailing slash is forwarded, but does not make another resource for the rules.
            if !(decoded.is_empty() && last) {
                segments.push(decoded);
            }
        }
        Ok(Self { path: canonical, segments, query })
    }

    /// The canonical path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path for logs: without the segments that look like a token of ours, which somebody put in the wrong place.
    #[must_use]
    pub fn loggable_path(&self) -> Cow<'_, str> {
        if !self.path.split('/').any(looks_like_token) {
            return Cow::Borrowed(&self.path);
        }
        let shown = |segment| if looks_like_token(segment) { "[token]" } else { segment };
        Cow::Owned(self.path.split('/').map(shown).collect::<Vec<_>>().join("/"))
    }

    /// The decoded path segments; a trailing slash adds none.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// What is forwarded: canonical path and query.
    #[must_use]
    pub fn origin_form(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    #[error("the request target must start with a slash")]
    Form,
    #[error("the request target has a character that must be percent-encoded")]
    Character,
    #[error("the request target has a fragment")]
    Fragment,
    #[error("the path has an empty segment")]
    EmptySegment,
    #[error("the path has a dot segment")]
    DotSegment,
    #[error("the path has an encoded slash, a backslash, a semicolon or a control character")]
    Ambiguous,
    #[error("the path has a bad or doubled percent-encoding")]
    Encoding,
}

impl TargetFault {
    /// A short word for logs and metric labels.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Form => "target_form",
            Self::Character => "target_character",
            Self::Fragment => "target_fragment",
            Self::EmptySegment => "target_empty_segment",
            Self::DotSegment => "target_dot_segment",
            Self::Ambiguous => "target_ambiguous",
            Self::Encoding => "target_encoding",
        }
    }
}

/// Decodes one segment and appends its canonical spelling.
fn canonical_segment(piece: &str, canonical: &mut String) -> Result<String, TargetFault> {
    let mut decoded = Vec::with_capacity(piece.len());
    let mut rest = piece.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            if !is_plain(byte) {
                return Err(if matches!(byte, b'\\' | b';') { TargetFault::Ambiguous } else { TargetFault::Character });
            }
            decoded.push(byte);
            canonical.push(char::from(byte));
            continue;
        }
        let (Some(&high), Some(&low)) = (rest.first(), rest.get(1)) else { return Err(TargetFault::Encoding) };
        let (Some(high), Some(low)) = (char::from(high).to_digit(16), char::from(low).to_digit(16)) else {
            return Err(TargetFault::Encoding);
        };
        rest = &rest[2..];
        let byte = u8::try_from(high << 4 | low).map_err(|_| TargetFault::Encoding)?;
        if matches!(byte, b'/' | b'\\' | b';') || byte.is_ascii_control() {
            return Err(TargetFault::Ambiguous);
        }
        decoded.push(byte);
        if is_unreserved(byte) {
            canonical.push(char::from(byte));
        } else {
            let _ = write!(canonical, "%{byte:02X}");
        }
    }
    if matches!(decoded.as_slice(), b"." | b"..") {
        return Err(TargetFault::DotSegment);
    }
    // Overlong forms are no UTF-8 and end here too.
    let decoded = String::from_utf8(decoded).map_err(|_| TargetFault::Encoding)?;
    if has_escape(&decoded) {
        return Err(TargetFault::Encoding);
    }
    if decoded.chars().any(char::is_control) {
        return Err(TargetFault::Ambiguous);
    }
    Ok(decoded)
}

/// A refresh token, or a JWT, whose header begins `{"`.
fn looks_like_token(segment: &str) -> bool {
    segment.contains(refresh_token::PREFIX) || (segment.contains("eyJ") && segment.contains('.'))
}

/// Something an application that decodes twice would decode again.
fn has_escape(decoded: &str) -> bool {
    decoded.as_bytes().windows(3).any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit())
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §3.3 `pchar` without percent-encoding and without `;`, which some servers take for the segment's end.
const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ambiguous_targets_are_refused() {
        use TargetFault::{Ambiguous, Character, DotSegment, EmptySegment, Encoding, Form, Fragment};
        for (raw, fault) in [
            ("public", Form),
            ("", Form),
            ("*", Form),
            ("http://a/public/../admin", Form),
            ("@evil/public", Form),
            ("/public/../admin", DotSegment),
            ("/public/.", DotSegment),
            ("/public/%2e%2E/admin", DotSegment),
            ("/public/.%2e/admin", DotSegment),
            ("/public/%252e%252e/admin", Encoding),
            ("/public%2f..%2fadmin", Ambiguous),
            ("/public\\..\\admin", Ambiguous),
            ("/public%5cadmin", Ambiguous),
            ("/public;/../admin", Ambiguous),
            ("/admin;jsessionid=x", Ambiguous),
            ("/admin%3bx", Ambiguous),
            ("/admin%00", Ambiguous),
            ("/admin%0a", Ambiguous),
            ("/admin%7f", Ambiguous),
            ("/admin%c2%85", Ambiguous),
            ("//admin", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a///", EmptySegment),
            ("/%c0%ae%c0%ae/admin", Encoding),
            ("/%e0%80%ae/admin", Encoding),
            ("/%zz", Encoding),
            ("/%4", Encoding),
            ("/%", Encoding),
            ("/a b", Character),
            ("/a\tb", Character),
            ("/ä", Character),
            ("/a|b", Character),
            ("/a?<b>", Character),
            ("/admin#/public", Fragment),
            ("/a?b#c", Fragment),
        ] {
            assert_eq!(Target::parse(raw.as_bytes()), Err(fault), "{raw}");
        }
        assert_eq!(Target::parse(b"/\xff"), Err(Character));
    }

    #[test]
    fn a_good_target_has_one_spelling() {
        for (raw, forwarded) in [
            ("/", "/"),
            ("/adm%69n/%7euser", "/admin/~user"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b/", "/a%20b/"),
            ("/public?x=/../admin", "/public?x=/../admin"),
            ("/a?", "/a?"),
            ("/notes/1:2@3", "/notes/1:2@3"),
            ("/100%25", "/100%25"),
        ] {
            assert_eq!(Target::parse(raw.as_bytes()).unwrap().origin_form(), forwarded, "{raw}");
        }
        assert_eq!(Target::parse(b"/a/%C3%A9/").unwrap().segments(), ["a", "é"]);
    }

    #[test]
    fn a_token_in_the_path_is_not_logged() {
        for (raw, shown) in [
            ("/notes/1", "/notes/1"),
            ("/refresh/sgr1_abc/x", "/refresh/[token]/x"),
            ("/x/eyJhbGciOiJ9.e30.c2ln", "/x/[token]"),
        ] {
            assert_eq!(Target::parse(raw.as_bytes()).unwrap().loggable_path(), shown);
        }
    }

    proptest! {
        #[test]
        fn what_was_judged_is_what_is_forwarded(raw in "/[ -~]{0,40}") {
            if let Ok(target) = Target::parse(raw.as_bytes()) {
                let again = Target::parse(target.origin_form().as_bytes()).unwrap();
                prop_assert_eq!(&again, &target);
            }
        }
    }
}
