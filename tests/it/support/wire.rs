//! HTTP/1.1 as bytes on a socket, for the recording upstream and the raw client.
//!
//! Written for the tests alone, on purpose: were it the proxy's own parser, both would share its mistakes.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No test waits longer than this for anything; a machine under load gets its time.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A socket, and what was read from it but not used yet.
pub struct Wire {
    pub stream: TcpStream,
    pub unread: Vec<u8>,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`, or none: 0.
    Length(u64),
    Chunked,
    UntilClose,
}

/// Reads one body piece by piece, as it arrives.
pub struct Body {
    next: Next,
}

/// A part of a body.
#[derive(Debug, Default)]
pub struct Piece {
    /// The bytes as they came, with the framing of chunks and trailers.
    pub raw: Vec<u8>,
    /// What they carry.
    pub payload: Vec<u8>,
}

enum Next {
    Bytes(u64),
    ChunkSize,
    ChunkBytes(u64),
    ChunkEnd,
    Trailer,
    Rest,
    End,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Waits for more bytes and says how many came: 0 at the end.
    pub async fn fill(&mut self) -> Result<usize> {
        self.stream.read_buf(&mut self.unread).await
    }

    /// Everything up to and including the next empty line. `None` if the peer closed first.
    pub async fn head(&mut self) -> Result<Option<Vec<u8>>> {
        self.through(b"\r\n\r\n").await
    }

    /// Everything up to and including `end`. `None` if the peer closed first; what it sent until then stays unread.
    pub async fn through(&mut self, end: &[u8]) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = position(&self.unread, end) {
                return Ok(Some(self.unread.drain(..at + end.len()).collect()));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// At least one byte and at most `most`; nothing at the end.
    async fn some(&mut self, most: u64) -> Result<Vec<u8>> {
        if self.unread.is_empty() && self.fill().await? == 0 {
            return Ok(Vec::new());
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.unread.len());
        Ok(self.unread.drain(..length).collect())
    }

    async fn line(&mut self) -> Result<Vec<u8>> {
        self.through(b"\r\n").await?.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }
}

impl Body {
    pub fn new(framing: Framing) -> Self {
        let next = match framing {
            Framing::Length(0) => Next::End,
            Framing::Length(length) => Next::Bytes(length),
            Framing::Chunked => Next::ChunkSize,
            Framing::UntilClose => Next::Rest,
        };
        Self { next }
    }

    /// The next piece, `None` after the last one. A peer that closes too early is an error.
    pub async fn piece(&mut self, wire: &mut Wire) -> Result<Option<Piece>> {
        let (raw, next, is_payload) = match self.next {
            Next::End => return Ok(None),
            Next::Bytes(left) => {
                let bytes = present(wire.some(left).await?)?;
                let left = left - bytes.len() as u64;
                (bytes, if left == 0 { Next::End } else { Next::Bytes(left) }, true)
            }
            Next::ChunkSize => {
                let line = wire.line().await?;
                let size = chunk_size(&line)?;
                (line, if size == 0 { Next::Trailer } else { Next::ChunkBytes(size) }, false)
            }
            Next::ChunkBytes(left) => {
                let bytes = present(wire.some(left).await?)?;
                let left = left - bytes.len() as u64;
                (bytes, if left == 0 { Next::ChunkEnd } else { Next::ChunkBytes(left) }, true)
            }
            Next::ChunkEnd => match wire.line().await? {
                line if line == b"\r\n" => (line, Next::ChunkSize, false),
                line => return Err(malformed("after a chunk", &line)),
            },
            Next::Trailer => match wire.line().await? {
                line if line == b"\r\n" => (line, Next::End, false),
                line => (line, Next::Trailer, false),
            },
            Next::Rest => match wire.some(u64::MAX).await? {
                bytes if bytes.is_empty() => return Ok(None),
                bytes => (bytes, Next::Rest, true),
            },
        };
        self.next = next;
        let payload = if is_payload { raw.clone() } else { Vec::new() };
        Ok(Some(Piece { raw, payload }))
    }

    /// Whether the last piece was read.
    pub fn is_over(&self) -> bool {
        matches!(self.next, Next::End)
    }
}

/// The first line of a head.
pub fn start_line(head: &[u8]) -> String {
    let text = String::from_utf8_lossy(head);
    text.split("\r\n").next().unwrap_or_default().to_owned()
}

/// Name and value of each header line, in order, as sent but for the space around the value.
pub fn header_lines(head: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head);
    let lines = text.split("\r\n").skip(1).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), value.trim().to_owned())
        })
        .collect()
}

/// The values of one header, in order, whatever the case of its name.
pub fn values<'a>(lines: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    lines.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
}

/// What the header lines say about the body, if they say anything.
pub fn framing(lines: &[(String, String)]) -> Option<Framing> {
    if values(lines, "transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Some(Framing::Chunked);
    }
    values(lines, "content-length").first()?.parse().ok().map(Framing::Length)
}

/// One chunk of a chunked body. An empty one would end it.
pub fn chunk(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Where `part` begins in `bytes`.
pub fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn chunk_size(line: &[u8]) -> Result<u64> {
    let text = String::from_utf8_lossy(line);
    let digits = text.trim_end().split(';').next().unwrap_or_default();
    u64::from_str_radix(digits, 16).map_err(|_| malformed("chunk size", line))
}

fn present(bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

fn malformed(what: &str, line: &[u8]) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{what}: {:?}", String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_chunked_body_is_read_with_its_extension_and_trailer_to_its_exact_end() {
        let body: &[u8] = b"4;x=y\r\nwiki\r\nB\r\npedia in \r\n\r\n0\r\nX-Trailer: 1\r\n\r\n";
        let (raw, payload, unread) = read(Framing::Chunked, &[body, b"surplus"].concat()).await.expect("it is whole");

        assert_eq!(String::from_utf8_lossy(&raw), String::from_utf8_lossy(body));
        assert_eq!(payload, b"wikipedia in \r\n");
        assert_eq!(unread, b"surplus");
    }

    #[tokio::test]
    async fn a_counted_body_ends_at_its_length() {
        let (raw, payload, unread) = read(Framing::Length(5), b"helloGET").await.expect("it is whole");

        assert_eq!(
            (raw.as_slice(), payload.as_slice(), unread.as_slice()),
            (&b"hello"[..], &b"hello"[..], &b"GET"[..])
        );
    }

    #[tokio::test]
    async fn a_body_that_stops_early_is_an_error() {
        assert_eq!(read(Framing::Length(6), b"hello").await.expect_err("cut").kind(), ErrorKind::UnexpectedEof);
        assert_eq!(read(Framing::Chunked, b"5\r\nhel").await.expect_err("cut").kind(), ErrorKind::UnexpectedEof);
        assert_eq!(read(Framing::Chunked, b"5\r\nhello\r\n").await.expect_err("cut").kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_chunk_size_that_is_no_number_is_an_error() {
        assert_eq!(read(Framing::Chunked, b"zz\r\n").await.expect_err("no number").kind(), ErrorKind::InvalidData);
    }

    async fn read(framing: Framing, sent: &[u8]) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut sender = TcpStream::connect(listener.local_addr()?).await?;
        let mut wire = Wire::new(listener.accept().await?.0);
        sender.write_all(sent).await?;
        drop(sender);

        let (mut raw, mut payload, mut body) = (Vec::new(), Vec::new(), Body::new(framing));
        while let Some(piece) = body.piece(&mut wire).await? {
            raw.extend(piece.raw);
            payload.extend(piece.payload);
        }
        while wire.fill().await? > 0 {}
        Ok((raw, payload, wire.unread))
    }
}
