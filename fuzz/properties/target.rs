//! The request target. Input: the bytes of a target.
//!
//! An accepted target has one canonical spelling: reading that again changes nothing, and neither does writing its
//! unreserved characters as escapes. The canonical path has no dot segment, empty segment, backslash, semicolon, control
//! character or escaped slash, not even after decoding once more; a lenient decoder finds the segments that the rules
//! judge; and both `http::Uri`, which the proxy forwards with, and a browser's URL parser read the path as it stands.

use std::fmt::Write;

use sidegate::domain::refresh_token::PREFIX;
use sidegate::domain::target::Target;

pub fn holds(input: &[u8]) {
    let Ok(target) = Target::parse(input) else { return };
    let raw = std::str::from_utf8(input).expect("an accepted target is ASCII");
    let forwarded = target.origin_form();

    assert_eq!(Target::parse(forwarded.as_bytes()).as_ref(), Ok(&target), "reading it again changes it");
    assert!(forwarded.len() <= input.len(), "the canonical form is longer");
    assert_eq!(target.query(), raw.split_once('?').map(|(_, query)| query), "the query is not as it came");
    is_plain(target.path());
    assert_segments(&target);
    assert_read_alike(&target);

    let path = raw.split('?').next().unwrap_or_default();
    assert_eq!(respelled(path, is_unreserved).path(), target.path(), "unreserved characters in escapes");
    let everything = respelled(path, |byte| byte != b'/');
    assert_eq!(everything.segments(), target.segments(), "every character in escapes");

    let logged = target.loggable_path();
    assert!(!logged.contains(PREFIX), "a refresh token would be logged: {logged}");
}

/// The canonical path has only characters that mean themselves, and escapes in upper case of what needs one.
fn is_plain(path: &str) {
    assert!(path.starts_with('/') && !path.contains("//"), "{path}");
    assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "a dot segment: {path}");
    let bytes = path.as_bytes();
    for (index, &byte) in bytes.iter().enumerate() {
        assert!(byte.is_ascii_graphic() && !br#"\;?#"<>"#.contains(&byte), "{byte:#x} in {path}");
        if byte == b'%' {
            let escape = path.get(index + 1..index + 3).expect("two digits follow");
            assert!(escape.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F')), "%{escape} in {path}");
            let escaped = u8::from_str_radix(escape, 16).expect("two digits");
            assert!(!is_unreserved(escaped), "%{escape} needs no escape in {path}");
            assert!(!br"/\;".contains(&escaped) && !escaped.is_ascii_control(), "%{escape} in {path}");
        }
    }
}

/// Decoding the whole path at once, as a careless application does, gives the segments; decoding again changes nothing.
fn assert_segments(target: &Target) {
    let decoded = decode(target.path().as_bytes());
    assert_eq!(decode(&decoded), decoded, "a second decoding reads another path: {}", target.path());
    let decoded = String::from_utf8(decoded).expect("segments are UTF-8");
    let inner = decoded.strip_prefix('/').expect("it starts with a slash");
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let segments: Vec<&str> = inner.split('/').filter(|_| !inner.is_empty()).collect();
    assert_eq!(target.segments(), segments);
    for segment in segments {
        assert!(!segment.is_empty() && segment != "." && segment != "..", "{segment:?}");
        assert!(!segment.contains(['\\', ';']) && !segment.chars().any(char::is_control), "{segment:?}");
    }
}

fn assert_read_alike(target: &Target) {
    let forwarded = target.origin_form();
    let uri: http::Uri = forwarded.parse().unwrap_or_else(|error| panic!("{forwarded} is no URI: {error}"));
    assert_eq!((uri.path(), uri.query()), (target.path(), target.query()), "http reads {forwarded}");
    assert_eq!((uri.authority(), uri.scheme()), (None, None), "http reads {forwarded}");
    let url = url::Url::parse(&format!("http://host{forwarded}")).expect("a URL");
    assert_eq!((url.path(), url.host_str()), (target.path(), Some("host")), "a browser reads {forwarded}");
}

fn respelled(path: &str, escape: impl Fn(u8) -> bool) -> Target {
    let spelled = spell(path, escape);
    Target::parse(spelled.as_bytes()).unwrap_or_else(|fault| panic!("{spelled}: {fault}"))
}

/// The path with the chosen characters, and those escaped already, written as lower-case escapes.
fn spell(path: &str, escape: impl Fn(u8) -> bool) -> String {
    let mut spelled = String::new();
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            spelled.push_str(&String::from_utf8_lossy(&rest[..3]).to_ascii_lowercase());
            rest = &rest[3..];
            continue;
        }
        if escape(byte) {
            let _ = write!(spelled, "%{byte:02x}");
        } else {
            spelled.push(char::from(byte));
        }
        rest = tail;
    }
    spelled
}

/// Every `%XX` replaced by its byte; what is no escape stays.
pub fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = match rest {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                std::str::from_utf8(&rest[1..3]).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        decoded.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &rest[3..] } else { tail };
    }
    decoded
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
