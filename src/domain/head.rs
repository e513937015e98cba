//! The head of an HTTP/1 request, byte by byte, before any library sees it.
//!
//! Whatever two servers could frame or address differently is refused here (RFC 9112 §2.2, §3, §6.3, §11.2): then the
//! proxy, the rules and the upstream all read the same request.

use std::net::Ipv6Addr;

use memchr::{memchr, memchr_iter};

use super::body::Framing;
use super::target::{Target, TargetFault};

/// How long the parts of a head may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Without its line end.
    pub request_line: usize,
    /// All header lines together, with their line ends.
    pub headers: usize,
}

/// Most header lines of one request.
pub const MOST_LINES: usize = 200;

/// Longest target and longest name of a header that the library can hold, whatever the limits say.
const LONGEST_TARGET: usize = 65_534;
const LONGEST_NAME: usize = 1024;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    #[error("a line does not end in CR LF")]
    LineEnd,
    #[error("the request line is not `method target HTTP/1.1`")]
    RequestLine,
    #[error("this version of HTTP is not supported")]
    Version,
    #[error("the request line is too long")]
    LongTarget,
    #[error("the header lines are too long or too many")]
    LongHeaders,
    #[error("the method is not allowed here")]
    Method,
    #[error("a header line is malformed")]
    HeaderLine,
    #[error("exactly one valid Host is needed")]
    Host,
    #[error("the length of the body is ambiguous")]
    Framing,
    #[error("this transfer coding is not supported")]
    TransferCoding,
    #[error("this expectation is not supported")]
    Expectation,
    #[error(transparent)]
    Target(#[from] TargetFault),
}

impl HeadFault {
    /// The status to answer with. The connection closes after each of them.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::LongTarget => 414,
            Self::LongHeaders => 431,
            Self::Method => 405,
            Self::Version => 505,
            Self::TransferCoding => 501,
            Self::Expectation => 417,
            Self::LineEnd | Self::RequestLine | Self::HeaderLine | Self::Host | Self::Framing | Self::Target(_) => 400,
        }
    }

    /// A short word for logs and metric labels.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::LineEnd => "head_line_end",
            Self::RequestLine => "head_request_line",
            Self::Version => "head_version",
            Self::LongTarget => "head_long_target",
            Self::LongHeaders => "head_long_headers",
            Self::Method => "head_method",
            Self::HeaderLine => "head_header_line",
            Self::Host => "head_host",
            Self::Framing => "head_framing",
            Self::TransferCoding => "head_transfer_coding",
            Self::Expectation => "head_expectation",
            Self::Target(fault) => fault.code(),
        }
    }
}

/// Looks for the end of the head in what has been read so far: `Some(length)` with the empty line, `None` if more is
/// needed. `seen`: how many bytes an earlier call has looked at.
///
/// # Errors
/// As soon as a line ends in a bare LF, or a limit is passed.
pub fn find_end(buffer: &[u8], seen: usize, limits: HeadLimits) -> Result<Option<usize>, HeadFault> {
    let first_line = memchr(b'\n', buffer);
    // Until its CR LF is there, a line of the full length may be followed by the CR.
    if first_line.unwrap_or(buffer.len()) > limits.request_line + 1 {
        return Err(HeadFault::LongTarget);
    }
    // What follows the longest head may have come with it or not, and has no say in the answer.
    let longest = first_line.map_or(usize::MAX, |end| end + limits.headers + 3);
    let head = &buffer[..buffer.len().min(longest)];
    let unseen = head.get(seen..).unwrap_or_default();
    for index in memchr_iter(b'\n', unseen).map(|index| seen + index) {
        if index == 0 || head[index - 1] != b'\r' {
            return Err(HeadFault::LineEnd);
        }
        if head[..=index].ends_with(b"\r\n\r\n") {
            return Ok(Some(index + 1));
        }
    }
    if head.len() == longest { Err(HeadFault::LongHeaders) } else { Ok(None) }
}

/// Checks a whole head, up to and including its empty line, and tells how the body is framed that follows. A tunnel is asked
/// for with GET, and is one to a WebSocket.
///
/// # Errors
/// The first [`HeadFault`].
pub fn check(head: &[u8]) -> Result<Framing, HeadFault> {
    // The last line keeps its CR: each has exactly one to lose.
    let lines = head.strip_suffix(b"\n\r\n").filter(|lines| lines.ends_with(b"\r")).ok_or(HeadFault::LineEnd)?;
    let mut lines = split_lines(lines);
    let (method, target, is_1_1) = request_line(lines.next().unwrap_or_default())?;
    let mut hosts = 0;
    let mut content_length = None;
    let mut chunked = false;
    let mut to_web_socket = false;
    for (count, line) in lines.enumerate() {
        if count >= MOST_LINES {
            return Err(HeadFault::LongHeaders);
        }
        let (name, value) = header_line(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            if !is_host(value) {
                return Err(HeadFault::Host);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if content_length.is_some() {
                return Err(HeadFault::Framing);
            }
            content_length = Some(length(value).ok_or(HeadFault::Framing)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadFault::TransferCoding);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            to_web_socket |= value.eq_ignore_ascii_case(b"websocket");
        } else if name.eq_ignore_ascii_case(b"expect") && !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(HeadFault::Expectation);
        }
    }
    if chunked && (content_length.is_some() || !is_1_1) {
        return Err(HeadFault::Framing);
    }
    if hosts > 1 || (hosts == 0 && is_1_1) {
        return Err(HeadFault::Host);
    }
    // A tunnel through the gate, and an echo of what the gate adds, are never wanted (RFC 9110 §9.3.6, §9.3.8).
    if matches!(method, b"CONNECT" | b"TRACE" | b"TRACK") {
        return Err(HeadFault::Method);
    }
    // Read again where the request is judged; refused here already, for the library has an own idea of what a target is.
    Target::parse(target)?;
    Ok(match content_length.unwrap_or_default() {
        _ if chunked => Framing::Chunked,
        0 if to_web_socket && method == b"GET" => Framing::Tunnel,
        length => Framing::Length(length),
    })
}

/// In decimal, and in one spelling only (RFC 9110 §8.6).
fn length(digits: &[u8]) -> Option<u64> {
    let canonical = digits == b"0" || !digits.starts_with(b"0");
    let plain = digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| canonical && plain)?.parse().ok()
}

fn split_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr_iter(b'\n', text).chain([text.len()]);
    let mut begin = 0;
    ends.map(move |end| {
        let line = &text[begin..end];
        begin = end + 1;
        line.strip_suffix(b"\r").unwrap_or(line)
    })
}

/// The method, the target, and whether the version is 1.1 (else it is 1.0).
fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], bool), HeadFault> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadFault::RequestLine);
    };
    // Methods are case-sensitive (RFC 9110 §9.1); every registered one is upper case, and `get` is nobody's method.
    let is_method = !method.is_empty() && method.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-');
    let is_target = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    if !is_method || !is_target {
        return Err(HeadFault::RequestLine);
    }
    if target.len() > LONGEST_TARGET {
        return Err(HeadFault::LongTarget);
    }
    match version {
        b"HTTP/1.1" => Ok((method, target, true)),
        b"HTTP/1.0" => Ok((method, target, false)),
        _ if version.starts_with(b"HTTP/") => Err(HeadFault::Version),
        _ => Err(HeadFault::RequestLine),
    }
}

fn header_line(line: &[u8]) -> Result<(&[u8], &[u8]), HeadFault> {
    let colon = memchr(b':', line).ok_or(HeadFault::HeaderLine)?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    // Every byte is looked at, however early one is bad: that takes many at once.
    let bad_value = value.iter().fold(false, |bad, byte| bad | matches!(byte, 0..=8 | 10..=31 | 0x7f));
    if name.is_empty() || !name.iter().copied().all(is_token) || bad_value {
        return Err(HeadFault::HeaderLine);
    }
    if name.len() > LONGEST_NAME {
        return Err(HeadFault::LongHeaders);
    }
    Ok((name, value))
}

/// Without the optional white space around it: space and tab, and nothing else (RFC 9110 §5.6.3).
const fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// RFC 9110 §5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    IS_TOKEN[byte as usize]
}

const IS_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

/// A name or address literal with an optional port (RFC 9110 §7.2), nothing that could be read as two.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.iter().rposition(|&byte| byte == b':') {
        Some(colon) if !value.ends_with(b"]") => (&value[..colon], Some(&value[colon + 1..])),
        _ => (value, None),
    };
    let good_port = port.is_none_or(|port| port.len() <= 5 && port.iter().all(u8::is_ascii_digit));
    let good_host = match host {
        [b'[', inner @ .., b']'] => std::str::from_utf8(inner).is_ok_and(|inner| inner.parse::<Ipv6Addr>().is_ok()),
        _ => host.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')),
    };
    !host.is_empty() && good_host && good_port
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { request_line: 40, headers: 100 };

    fn verdict(head: &str) -> Result<(), HeadFault> {
        check(head.as_bytes()).map(drop)
    }

    #[test]
    fn an_ordinary_head_passes() {
        for head in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /x HTTP/1.1\r\nhost: a.example:8080\r\nContent-Length: 5\r\nX-Y: \t z \r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: Chunked\r\nExpect: 100-Continue\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \t chunked \t\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "M-SEARCH /x HTTP/1.1\r\nHost: a\r\nEmpty:\r\n\r\n",
        ] {
            assert_eq!(verdict(head), Ok(()), "{head:?}");
        }
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        use HeadFault::{Expectation, Framing, HeaderLine, Host, Method, RequestLine, Target, TransferCoding, Version};
        let cases = [
            ("get / HTTP/1.1\r\nHost: a", RequestLine),
            ("GET  / HTTP/1.1\r\nHost: a", RequestLine),
            ("GET /\tx HTTP/1.1\r\nHost: a", RequestLine),
            ("GET /", RequestLine),
            ("GET / HTTP/1.1 \r\nHost: a", RequestLine),
            ("GET / http/1.1\r\nHost: a", RequestLine),
            (" GET / HTTP/1.1\r\nHost: a", RequestLine),
            ("\r\nGET / HTTP/1.1\r\nHost: a", RequestLine),
            ("GET / HTTP/2.0\r\nHost: a", Version),
            ("GET / HTTP/1.2\r\nHost: a", Version),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a", Method),
            ("TRACE / HTTP/1.1\r\nHost: a", Method),
            ("GET / HTTP/1.1", Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a", Host),
            ("GET / HTTP/1.1\r\nHost:", Host),
            ("GET / HTTP/1.1\r\nHost: a, b", Host),
            ("GET / HTTP/1.1\r\nHost: a/b", Host),
            ("GET / HTTP/1.1\r\nHost: u@a", Host),
            ("GET / HTTP/1.1\r\nHost: a%2e", Host),
            ("GET / HTTP/1.1\r\nHost: a:x", Host),
            ("GET / HTTP/1.1\r\nHost: []", Host),
            ("GET / HTTP/1.1\r\nHost: [:::1]:80", Host),
            ("GET / HTTP/1.1\r\nHost: [1.2.3.4]", Host),
            ("GET / HTTP/1.1\r\nHost: [::1", Host),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded", HeaderLine),
            ("GET / HTTP/1.1\r\nHost: a\r\nA : b", HeaderLine),
            ("GET / HTTP/1.1\r\nHost: a\r\n: b", HeaderLine),
            ("GET / HTTP/1.1\r\nHost: a\r\nA", HeaderLine),
            ("GET / HTTP/1.1\r\nHost: a\r\nA: b\0c", HeaderLine),
            ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rc", HeaderLine),
            ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r", HeaderLine),
            ("GET / HTTP/1.1\r\nHost: a\r\r\nA: b", HeaderLine),
            ("GET / HTTP/1.1\r\nHost: a\r", HeaderLine),
            ("GET / HTTP/1.0\r", Version),
            ("GET / HTTP/1.1\r\nHost: a\r\nA: \u{c}b", HeaderLine),
            ("GET / HTTP/1.1\r\nHost: a\r\nÄ: b", HeaderLine),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5", Framing),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5", Framing),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5", Framing),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 005", Framing),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5", Framing),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ", Framing),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616", Framing),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", Framing),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked", Framing),
            ("GET * HTTP/1.1\r\nHost: a", Target(TargetFault::Form)),
            ("GET http://b/ HTTP/1.1\r\nHost: a", Target(TargetFault::Form)),
            ("GET @b/x HTTP/1.1\r\nHost: a", Target(TargetFault::Form)),
            ("GET /x#y HTTP/1.1\r\nHost: a", Target(TargetFault::Fragment)),
            ("GET /<x> HTTP/1.1\r\nHost: a", Target(TargetFault::Character)),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", TransferCoding),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", TransferCoding),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked", TransferCoding),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity", TransferCoding),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue", Expectation),
        ];
        for (head, fault) in cases {
            assert_eq!(verdict(&format!("{head}\r\n\r\n")), Err(fault), "{head:?}");
        }
    }

    #[test]
    fn the_end_is_found_and_the_limits_hold() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(find_end(head, 0, LIMITS), Ok(Some(head.len())));
        let more = [&head[..], b"body\nmore"].concat();
        assert_eq!(find_end(&more, 0, LIMITS), Ok(Some(head.len())));
        for length in 0..head.len() {
            assert_eq!(find_end(&head[..length], length.saturating_sub(1), LIMITS), Ok(None), "{length}");
        }
        assert_eq!(find_end(b"GET / HTTP/1.1\nHost: a\n\n", 0, LIMITS), Err(HeadFault::LineEnd));
        assert_eq!(find_end(&[b'a'; 41], 0, LIMITS), Ok(None));
        assert_eq!(find_end(&[b'a'; 42], 0, LIMITS), Err(HeadFault::LongTarget));
        let long = [b"GET / HTTP/1.1\r\n", &[b'a'; 130][..]].concat();
        assert_eq!(find_end(&long, 0, LIMITS), Err(HeadFault::LongHeaders));
    }

    #[test]
    fn the_answer_does_not_depend_on_how_the_bytes_arrive() {
        let headers = format!("Host: {}", "a".repeat(LIMITS.headers));
        for rest in ["\nB: c\r\n\r\n", "\r\n\r\n", "\r\n\n"] {
            let head = format!("GET / HTTP/1.1\r\n{headers}{rest}").into_bytes();
            let mut byte_by_byte = (1..=head.len()).map(|read| find_end(&head[..read], read - 1, LIMITS));
            let first = byte_by_byte.find(|found| *found != Ok(None));
            assert_eq!(first, Some(Err(HeadFault::LongHeaders)), "{rest:?}");
            assert_eq!(find_end(&head, 0, LIMITS), Err(HeadFault::LongHeaders), "{rest:?}");
        }
    }

    #[test]
    fn the_body_is_as_long_as_the_head_says() {
        for (head, framed) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Length(0)),
            ("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 12\r\n\r\n", Framing::Length(12)),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Framing::Chunked),
            ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\r\n", Framing::Tunnel),
            ("POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", Framing::Length(0)),
            ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n", Framing::Length(3)),
            ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", Framing::Length(0)),
        ] {
            assert_eq!(check(head.as_bytes()), Ok(framed), "{head:?}");
        }
    }

    #[test]
    fn what_is_exactly_at_a_limit_passes_and_one_byte_more_does_not() {
        for (over, verdict) in [(0, None), (1, Some(HeadFault::LongTarget))] {
            let line = format!("GET /{} HTTP/1.1", "x".repeat(LIMITS.request_line - 14 + over));
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(find_end(head.as_bytes(), 0, LIMITS).err(), verdict, "{} bytes", line.len());
        }
        for (over, verdict) in [(0, None), (1, Some(HeadFault::LongHeaders))] {
            let headers = format!("Host: {}\r\n", "a".repeat(LIMITS.headers - 8 + over));
            let head = format!("GET / HTTP/1.1\r\n{headers}\r\n");
            assert_eq!(find_end(head.as_bytes(), 0, LIMITS).err(), verdict, "{} bytes", headers.len());
        }
    }
}
