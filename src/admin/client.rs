//! Calls the running sidegate, as a command of the same configuration.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

use crate::config::checked::AdminListen;

use super::door::Stream;
use super::message::Failed;
use super::token::{AdminToken, TokenError};

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("no sidegate takes calls at {place}: {}\n  hint: is it running, with this configuration? see admin.listen", io::Error::from(*.kind))]
    Unreachable { place: AdminListen, kind: io::ErrorKind },
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("{0} did not answer in time\n  hint: look at its log; what was asked may have been done")]
    TooSlow(AdminListen),
    #[error("{0} went away before it answered\n  hint: look at its log; what was asked may have been done")]
    Gone(AdminListen),
    /// What it said.
    #[error("{0}")]
    Refused(String),
}

/// Makes one call and reads its answer, within `patience`.
///
/// # Errors
/// [`CallError`].
pub async fn call<A: DeserializeOwned>(
    place: &AdminListen,
    path: &str,
    body: &impl Serialize,
    patience: Duration,
) -> Result<A, CallError> {
    let gone = || CallError::Gone(place.clone());
    // What we send always serialises.
    let body = serde_json::to_vec(body).map_err(|_| gone())?;
    let (mut stream, credentials) = connect(place).await?;
    let host = match place {
        AdminListen::Unix(_) => "sidegate".to_owned(),
        AdminListen::Http { address, .. } => address.to_string(),
    };
    // In HTTP/1.0 the end of the connection is the end of the answer.
    let head = Zeroizing::new(format!(
        "POST {path} HTTP/1.0\r\nhost: {host}\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        credentials.as_str(),
        body.len()
    ));
    let exchange = async {
        // As one: an answer that does not wait for the body would end in a reset.
        stream.write_all(&Zeroizing::new([head.as_bytes(), &body].concat())).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(patience, exchange).await.map_err(|_| CallError::TooSlow(place.clone()))?;
    let answer = answer.map_err(|_| gone())?;
    let (is_ok, body) = parts(&answer).ok_or_else(gone)?;
    if is_ok {
        return serde_json::from_slice(body).map_err(|_| gone());
    }
    let said = serde_json::from_slice::<Failed>(body).map(|failed| failed.error);
    Err(CallError::Refused(said.unwrap_or_else(|_| String::from_utf8_lossy(body).trim().to_owned())))
}

/// A connection, and the line that shows who we are.
async fn connect(place: &AdminListen) -> Result<(Box<dyn Stream>, Zeroizing<String>), CallError> {
    let unreachable = |error: io::Error| CallError::Unreachable { place: place.clone(), kind: error.kind() };
    match place {
        AdminListen::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(unreachable)?;
            Ok((Box::new(stream), Zeroizing::default()))
        }
        AdminListen::Http { address, token_file } => {
            let token = AdminToken::read(token_file)?;
            let stream = TcpStream::connect(address).await.map_err(unreachable)?;
            Ok((Box::new(stream), format!("authorization: {}\r\n", token.credentials().as_str()).into()))
        }
    }
}

/// Whether it is a 200, and the body.
fn parts(answer: &[u8]) -> Option<(bool, &[u8])> {
    let status = answer.strip_prefix(b"HTTP/1.0 ").or_else(|| answer.strip_prefix(b"HTTP/1.1 "))?.get(..3)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    Some((status == b"200", &answer[end + 4..]))
}

/// The names of all replicas fit.
const MOST_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        assert_eq!(parts(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n{}"), Some((true, &b"{}"[..])));
        assert_eq!(parts(b"HTTP/1.1 403 Forbidden\r\n\r\n"), Some((false, &b""[..])));
        for cut in ["", "HTTP/1.0 200 OK\r\n", "HTTP/2 200\r\n\r\n", "x"] {
            assert_eq!(parts(cut.as_bytes()), None, "{cut}");
        }
    }
}
