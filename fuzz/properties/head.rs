//! The request head. Input: what a client sends, a head and perhaps more.
//!
//! Where the head ends, or that it is refused, does not depend on how the bytes arrive: at once, one by one, or in two
//! pieces. A head that passes is one that `httparse`, with no leniency, reads whole and to the same length, method,
//! target and header lines, and whose length of the body follows from those lines without doubt. Its target is one that
//! [`Target`] takes, its names and values are ones that the proxy can hold, and its host is no user and no second host.

use std::net::Ipv6Addr;

use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method};
use sidegate::domain::body::Framing;
use sidegate::domain::head::{self, HeadFault, HeadLimits, MOST_LINES};
use sidegate::domain::target::Target;

/// Small ones, so that inputs of ordinary size pass them; and ones as they are configured.
const LIMITS: [HeadLimits; 2] =
    [HeadLimits { request_line: 48, headers: 160 }, HeadLimits { request_line: 8 * 1024, headers: 32 * 1024 }];

pub fn holds(input: &[u8]) {
    // Any bytes may be asked about; only what is a head gets an answer.
    let _ = head::check(input);
    for limits in LIMITS {
        let found = head::find_end(input, 0, limits);
        assert_eq!(in_pieces(input, 1, limits), found, "byte by byte");
        let piece = 2 + input.len() % 61;
        assert_eq!(in_pieces(input, piece, limits), found, "in pieces of {piece} bytes");
        if let Ok(Some(end)) = found {
            assert_first_end(&input[..end], limits);
            if let Ok(framing) = head::check(&input[..end]) {
                assert_read_alike(input, end, framing);
            }
        }
    }
}

/// As the listener reads: more bytes, then another look, until there is an end or a fault.
fn in_pieces(input: &[u8], piece: usize, limits: HeadLimits) -> Result<Option<usize>, HeadFault> {
    let mut seen = 0;
    while seen < input.len() {
        let read = input.len().min(seen + piece);
        if let Some(end) = head::find_end(&input[..read], seen, limits)? {
            return Ok(Some(end));
        }
        seen = read;
    }
    Ok(None)
}

/// The end is the first empty line, every line ends in CR LF, and no part is longer than its limit.
fn assert_first_end(head: &[u8], limits: HeadLimits) {
    let blank = head.windows(4).position(|window| window == b"\r\n\r\n").expect("an empty line");
    assert_eq!(blank + 4, head.len());
    for (index, _) in head.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        assert!(index > 0 && head[index - 1] == b'\r', "a bare line feed at {index}");
    }
    let line = head.windows(2).position(|window| window == b"\r\n").expect("a first line");
    assert!(line <= limits.request_line && head.len() - line - 4 <= limits.headers);
}

fn assert_read_alike(input: &[u8], end: usize, framing: Framing) {
    let mut fields = [httparse::EMPTY_HEADER; MOST_LINES + 1];
    let mut request = httparse::Request::new(&mut fields);
    // All of the input: the end has to be found too.
    assert_eq!(request.parse(input), Ok(httparse::Status::Complete(end)));

    let head = std::str::from_utf8(&input[..end]);
    let (request_line, lines) = split(&input[..end]);
    let version = request.version.expect("a version");
    let method = request.method.expect("a method");
    let target = request.path.expect("a target");
    assert_eq!(request_line, format!("{method} {target} HTTP/1.{version}").as_bytes(), "{head:?}");
    assert!(!matches!(method, "CONNECT" | "TRACE"), "{method}");
    assert!(Method::from_bytes(method.as_bytes()).is_ok());
    assert!(Target::parse(target.as_bytes()).is_ok(), "{target}");

    assert_eq!(request.headers.len(), lines.len(), "{head:?}");
    for (field, line) in request.headers.iter().zip(lines) {
        let colon = line.iter().position(|&byte| byte == b':').expect("a colon");
        assert_eq!((field.name.as_bytes(), field.value), (&line[..colon], trim(&line[colon + 1..])));
        assert!(HeaderName::from_bytes(field.name.as_bytes()).is_ok(), "{}", field.name);
        assert!(HeaderValue::from_bytes(field.value).is_ok(), "{:?}", field.value);
    }
    assert_one_host(request.headers, version);
    assert_one_length(request.headers, version, framing);
}

fn assert_one_host(fields: &[httparse::Header<'_>], version: u8) {
    let hosts = values(fields, "host");
    assert!(hosts.len() == 1 || (hosts.is_empty() && version == 0), "{hosts:?}");
    for host in hosts {
        let authority = Authority::try_from(host).unwrap_or_else(|error| panic!("{host:?}: {error}"));
        assert_eq!(authority.as_str().as_bytes(), host);
        assert!(!authority.host().is_empty() && !authority.as_str().contains(['@', ',', '/']), "{authority}");
        let literal = authority.host().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        assert!(literal.is_none_or(|literal| literal.parse::<Ipv6Addr>().is_ok()), "{authority}");
    }
}

/// RFC 9112 §6.3, read from the lines that `httparse` found.
fn assert_one_length(fields: &[httparse::Header<'_>], version: u8, said: Framing) {
    let said = match said {
        Framing::Length(length) => Some(length),
        Framing::Tunnel => Some(0),
        Framing::Chunked => None,
    };
    let codings = values(fields, "transfer-encoding");
    let lengths = values(fields, "content-length");
    let length = match (codings.as_slice(), lengths.as_slice()) {
        ([coding], []) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked") && version == 1, "{coding:?}");
            None
        }
        ([], []) => Some(0),
        ([], [length]) => {
            let text = std::str::from_utf8(length).expect("digits");
            let number: u64 = text.parse().expect("a number");
            assert_eq!(number.to_string(), text, "another spelling");
            Some(number)
        }
        both => panic!("{both:?}"),
    };
    assert_eq!(said, length);
}

fn values<'a>(fields: &[httparse::Header<'a>], name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value).collect()
}

/// The request line and the header lines, without their ends.
fn split(head: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let text = head.strip_suffix(b"\r\n\r\n").expect("an empty line");
    let mut lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    (lines.next().unwrap_or_default(), lines.collect())
}

fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}
