//! How far the body of a request goes, byte by byte, whoever reads it afterwards.
//!
//! Chunks are read as RFC 9112 §7.1 writes them and no other way: where one server takes a bare line feed or a space for
//! nothing and the next one does not, they differ about where the next request begins.

use super::head::is_token;

/// What a head says about the body that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    /// None, and what follows may be a tunnel: only the answer tells.
    Tunnel,
}

/// Where a chunked body is no chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not framed as chunks are")]
pub struct BodyFault;

/// A body on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes to come: of the whole body.
    Counted(u64),
    Size {
        digits: u8,
        value: u64,
    },
    Extension {
        length: u16,
        value: u64,
    },
    SizeEnd {
        value: u64,
    },
    /// So many bytes to come: of this chunk.
    Data(u64),
    DataEnd,
    DataLineFeed,
    TrailerLine {
        total: u16,
    },
    TrailerName {
        total: u16,
    },
    TrailerValue {
        total: u16,
    },
    TrailerLineFeed {
        total: u16,
    },
    LastLineFeed,
    Over,
    Tunnel,
}

/// Longest extension of one chunk, and all trailers together, in bytes. Both are read for their end only.
const LONGEST_EXTENSION: u16 = 256;
const LONGEST_TRAILERS: u16 = 8192;

impl Body {
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(0) => State::Over,
            Framing::Length(length) => State::Counted(length),
            Framing::Chunked => State::Size { digits: 0, value: 0 },
            Framing::Tunnel => State::Tunnel,
        })
    }

    /// Whether its last byte has been seen; never so for a tunnel.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0 == State::Over
    }

    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.0 == State::Tunnel
    }

    /// Goes on by the next bytes, and says how many of them are of this body: all, unless it ends before.
    ///
    /// # Errors
    /// [`BodyFault`] at the first byte that cannot stand there.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, BodyFault> {
        let mut at = 0;
        while at < bytes.len() {
            let left = (bytes.len() - at) as u64;
            match self.0 {
                State::Over => return Ok(at),
                State::Tunnel => return Ok(bytes.len()),
                State::Counted(to_come) => {
                    let now = to_come.min(left);
                    self.0 = if now == to_come { State::Over } else { State::Counted(to_come - now) };
                    at += usize::try_from(now).map_err(|_| BodyFault)?;
                }
                State::Data(to_come) => {
                    let now = to_come.min(left);
                    self.0 = if now == to_come { State::DataEnd } else { State::Data(to_come - now) };
                    at += usize::try_from(now).map_err(|_| BodyFault)?;
                }
                state => {
                    self.0 = after(state, bytes[at]).ok_or(BodyFault)?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }
}

/// The state after one byte of a chunk's frame or of the trailers; `None` if the byte cannot stand there.
fn after(state: State, byte: u8) -> Option<State> {
    let longer = |total: u16| Some(total + 1).filter(|total| *total <= LONGEST_TRAILERS);
    Some(match (state, byte) {
        (State::Size { digits: 1.., value } | State::Extension { value, .. }, b'\r') => State::SizeEnd { value },
        (State::Size { digits: 1.., value }, b';') => State::Extension { length: 0, value },
        (State::Size { digits, value }, _) if digits < 16 => {
            let digit = char::from(byte).to_digit(16)?;
            State::Size { digits: digits + 1, value: value << 4 | u64::from(digit) }
        }
        (State::Extension { length, value }, b'\t' | b' '..=b'~') if length < LONGEST_EXTENSION => {
            State::Extension { length: length + 1, value }
        }
        (State::SizeEnd { value: 0 }, b'\n') => State::TrailerLine { total: 0 },
        (State::SizeEnd { value }, b'\n') => State::Data(value),
        (State::DataEnd, b'\r') => State::DataLineFeed,
        (State::DataLineFeed, b'\n') => State::Size { digits: 0, value: 0 },
        (State::TrailerLine { .. }, b'\r') => State::LastLineFeed,
        (State::TrailerLine { total }, _) if is_token(byte) => State::TrailerName { total: longer(total)? },
        (State::TrailerName { total }, b':') | (State::TrailerValue { total }, b'\t' | b' '..=b'~' | 0x80..) => {
            State::TrailerValue { total: longer(total)? }
        }
        (State::TrailerName { total }, _) if is_token(byte) => State::TrailerName { total: longer(total)? },
        (State::TrailerValue { total }, b'\r') => State::TrailerLineFeed { total },
        (State::TrailerLineFeed { total }, b'\n') => State::TrailerLine { total },
        (State::LastLineFeed, b'\n') => State::Over,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many bytes belong to a chunked body, if it is over by then.
    fn chunked(text: &str) -> Result<Option<usize>, BodyFault> {
        let mut body = Body::new(Framing::Chunked);
        let length = body.advance(text.as_bytes())?;
        Ok(body.is_over().then_some(length))
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        for (framing, bytes, length, over) in [
            (Framing::Length(0), "GET / ", 0, true),
            (Framing::Length(3), "abcGET / ", 3, true),
            (Framing::Length(9), "abc", 3, false),
            (Framing::Length(u64::MAX), "abc", 3, false),
            (Framing::Tunnel, "abc", 3, false),
            (Framing::Chunked, "3\r\nabc\r\n0\r\n\r\nGET / ", 13, true),
            (Framing::Chunked, "A;x=\"y\"\r\n0123456789\r\n00\r\nX-Y: z\r\nZ:\r\n\r\nGET", 39, true),
            (Framing::Chunked, "3\r\nabc\r\n0\r\n\r", 12, false),
            (Framing::Chunked, "ffffffffffffffff\r\nabc", 21, false),
        ] {
            let mut body = Body::new(framing);
            assert_eq!((body.advance(bytes.as_bytes()), body.is_over()), (Ok(length), over), "{bytes:?}");
        }
    }

    #[test]
    fn a_chunk_that_some_server_would_mend_is_none() {
        for bad in [
            "\r\n",
            "\n",
            " 3\r\n",
            "3 \r\n",
            "3\t\r\n",
            "+3\r\n",
            "-3\r\n",
            "0x3\r\n",
            "x\r\n",
            ";\r\n",
            "3\n",
            "3\rx",
            "3;a\n",
            "3;a\rb",
            "3;a\0",
            "3;\u{7f}",
            "3\r\nabc\n",
            "3\r\nabcd",
            "3\r\nabc\r0",
            "0\n",
            "0\r\n\n",
            "0\r\n X: y",
            "0\r\nX : y",
            "0\r\n: y",
            "0\r\nX\r\n",
            "0\r\nX: y\n",
            "0\r\nX: y\rz",
            "0\r\nX: \0",
            "0\r\n\rx",
            "00000000000000000\r\n",
            "10000000000000000\r\n",
        ] {
            assert_eq!(chunked(bad), Err(BodyFault), "{bad:?}");
        }
        assert!(chunked(&format!("1;{}\r\nx", "e".repeat(256))).is_ok());
        assert_eq!(chunked(&format!("1;{}\r\nx", "e".repeat(257))), Err(BodyFault));
        assert!(chunked(&format!("0\r\n{}", "X: y\r\n".repeat(2000))).is_ok());
        assert_eq!(chunked(&format!("0\r\n{}", "X: y\r\n".repeat(3000))), Err(BodyFault));
    }

    proptest! {
        /// However the bytes arrive, the body ends at the same one.
        #[test]
        fn a_body_may_arrive_in_any_pieces(
            chunks in prop::collection::vec("[ -~\r\n]{1,20}", 0..4),
            cuts in prop::collection::vec(1..9_usize, 1..40),
        ) {
            let frame = |chunk: &String| format!("{:x};e\r\n{chunk}\r\n", chunk.len());
            let text = chunks.iter().map(frame).collect::<String>() + "0\r\nT: v\r\n\r\n";
            let all = format!("{text}GET / HTTP/1.1");
            prop_assert_eq!(chunked(&all), Ok(Some(text.len())));
            let (mut body, mut rest, mut length) = (Body::new(Framing::Chunked), all.as_bytes(), 0);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*cut));
                length += body.advance(now).unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!((length, body.is_over()), (text.len(), true));
        }
    }
}
