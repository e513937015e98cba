//! A chunked body, and what follows it. Input: what comes after a head that says `chunked`.
//!
//! Where the body ends, or that it is none, does not depend on how the bytes arrive. A body that is taken is one that
//! `httparse` divides into the same chunks, each ended by CR LF, with trailers of names and values up to an empty line;
//! and nothing that follows it has a say.

use http::{HeaderName, HeaderValue};
use sidegate::domain::body::{Body, BodyFault, Framing};

pub fn holds(input: &[u8]) {
    let found = end(input, usize::MAX);
    for piece in [1, 2 + input.len() % 61] {
        assert_eq!(end(input, piece), found, "in pieces of {piece} bytes");
    }
    if let Ok(Some(end)) = found {
        assert_read_alike(&input[..end]);
        for next in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"0\r\n\r\n"] {
            assert_eq!(self::end(&[&input[..end], next].concat(), usize::MAX), Ok(Some(end)));
        }
    }
}

/// How many bytes belong to the body, once it is over.
fn end(input: &[u8], piece: usize) -> Result<Option<usize>, BodyFault> {
    let mut body = Body::new(Framing::Chunked);
    let mut length = 0;
    for bytes in input.chunks(piece) {
        length += body.advance(bytes)?;
        if body.is_over() {
            return Ok(Some(length));
        }
    }
    Ok(None)
}

fn assert_read_alike(body: &[u8]) {
    let mut rest = body;
    loop {
        let read = httparse::parse_chunk_size(rest);
        let Ok(httparse::Status::Complete((used, size))) = read else { panic!("{read:?}: {}", rest.escape_ascii()) };
        rest = &rest[used..];
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).expect("it was there");
        assert_eq!(&rest[size..size + 2], b"\r\n", "a chunk ends where its size says");
        rest = &rest[size + 2..];
    }
    let trailers = rest.strip_suffix(b"\r\n").expect("an empty line");
    for line in trailers.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("a whole line");
        let colon = line.iter().position(|byte| *byte == b':').expect("a name");
        assert!(HeaderName::from_bytes(&line[..colon]).is_ok() && HeaderValue::from_bytes(&line[colon + 1..]).is_ok());
    }
}
