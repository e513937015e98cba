//! A client that sends the bytes it is told, and reports the bytes it gets.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::wire::{Body, Framing, PATIENCE, Wire, framing, header_lines, start_line, values};

/// One connection.
pub struct RawClient {
    wire: Wire,
    deadline: Duration,
    body: Body,
}

/// An answer, with what went before it.
#[derive(Clone, Debug)]
pub struct RawResponse {
    pub status: u16,
    /// Status line and header lines as they came.
    pub head: String,
    /// Name and value of each header line, in order.
    pub headers: Vec<(String, String)>,
    /// Without the framing of chunks.
    pub body: Vec<u8>,
    /// Statuses of the interim answers (100, 103) that came first.
    pub interim: Vec<u16>,
}

/// Why there was no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoResponse {
    #[error("nothing more within {0:?}")]
    Silence(Duration),
    #[error("closed before a byte of an answer")]
    Closed,
    #[error("closed or reset within the answer, or malformed: {0}")]
    Broken(String),
}

/// How the other side ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// FIN, after everything it had to say.
    Closed,
    Reset,
}

/// The bytes of a simple request; send others by hand.
#[derive(Clone, Debug)]
pub struct RawRequest {
    lines: Vec<String>,
    body: Vec<u8>,
}

/// A request with `Host: test`.
pub fn request(method: &str, target: &str) -> RawRequest {
    RawRequest { lines: vec![format!("{method} {target} HTTP/1.1"), "Host: test".to_owned()], body: Vec::new() }
}

/// Sends bytes on a connection of their own and reads the answer.
///
/// # Panics
/// If there is no whole answer in time.
pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> RawResponse {
    let mut client = RawClient::connect(address).await;
    client.send(bytes).await;
    client.response().await
}

impl RawRequest {
    /// Adds a header line as it is.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name}: {value}"));
        self
    }

    /// Adds `Authorization: Bearer …`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Adds a body and its `Content-Length`.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Type", content_type).header("Content-Length", &length)
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let head = self.lines.join("\r\n") + "\r\n\r\n";
        [head.as_bytes(), &self.body].concat()
    }
}

impl RawClient {
    /// # Panics
    /// If nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
    }

    /// As [`Self::connect`], for when nobody may be there.
    pub async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { wire: Wire::new(stream), deadline: PATIENCE, body: Body::new(Framing::Length(0)) })
    }

    /// How long each later call waits for the other side.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// # Panics
    /// If the connection is gone.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the connection takes the bytes");
    }

    /// As [`Self::send`], for when the other side may already have closed.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.wire.send(bytes.as_ref()).await
    }

    /// Closes our direction; answers can still be read.
    pub async fn finish_sending(&mut self) {
        self.wire.stream.shutdown().await.expect("the connection is open");
    }

    /// The next whole answer.
    ///
    /// # Panics
    /// If there is none in time.
    pub async fn response(&mut self) -> RawResponse {
        self.try_response().await.unwrap_or_else(|missing| panic!("no answer: {missing}"))
    }

    /// The next whole answer, or what is wrong with it.
    pub async fn try_response(&mut self) -> Result<RawResponse, NoResponse> {
        self.try_response_to("GET").await
    }

    /// As [`Self::try_response`]; the answer to a HEAD has no body whatever its headers say.
    pub async fn try_response_to(&mut self, method: &str) -> Result<RawResponse, NoResponse> {
        let mut response = self.try_head_to(method).await?;
        while let Some(piece) = self.try_piece().await? {
            response.body.extend(piece);
        }
        Ok(response)
    }

    /// The head of the next answer, without waiting for its body; [`Self::piece`] reads that.
    ///
    /// # Panics
    /// If there is none in time.
    pub async fn head(&mut self) -> RawResponse {
        self.try_head_to("GET").await.unwrap_or_else(|missing| panic!("no head of an answer: {missing}"))
    }

    /// The next part of the body as it arrives; `None` at its end.
    ///
    /// # Panics
    /// If nothing comes in time, or the connection breaks.
    pub async fn piece(&mut self) -> Option<Vec<u8>> {
        self.try_piece().await.unwrap_or_else(|missing| panic!("no more of the body: {missing}"))
    }

    /// As [`Self::piece`]: a stream that is cut off is an error, not an end.
    pub async fn try_piece(&mut self) -> Result<Option<Vec<u8>>, NoResponse> {
        loop {
            match within(self.deadline, self.body.piece(&mut self.wire)).await? {
                Some(piece) if piece.payload.is_empty() => {}
                piece => return Ok(piece.map(|piece| piece.payload)),
            }
        }
    }

    /// Waits until the other side ends the connection, and returns what it sent before that.
    ///
    /// # Panics
    /// If it stays open.
    pub async fn ending(&mut self) -> (Ending, Vec<u8>) {
        let rest = async {
            loop {
                match self.wire.fill().await {
                    Ok(0) => return Ending::Closed,
                    Ok(_) => {}
                    Err(_) => return Ending::Reset,
                }
            }
        };
        let ending = tokio::time::timeout(self.deadline, rest).await;
        let ending = ending.unwrap_or_else(|_| panic!("the connection should have been closed in {:?}", self.deadline));
        (ending, std::mem::take(&mut self.wire.unread))
    }

    /// Whether the connection is open, and silent, for this long.
    pub async fn stays_open(&mut self, time: Duration) -> bool {
        self.wire.unread.is_empty() && tokio::time::timeout(time, self.wire.fill()).await.is_err()
    }

    async fn try_head_to(&mut self, method: &str) -> Result<RawResponse, NoResponse> {
        let mut interim = Vec::new();
        loop {
            let Some(head) = within(self.deadline, self.wire.head()).await? else {
                let begun = String::from_utf8_lossy(&self.wire.unread).into_owned();
                return Err(if begun.is_empty() { NoResponse::Closed } else { NoResponse::Broken(begun) });
            };
            let status = start_line(&head).split(' ').nth(1).and_then(|status| status.parse().ok());
            let status: u16 = status.ok_or_else(|| NoResponse::Broken(start_line(&head)))?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let headers = header_lines(&head);
            let has_body = method != "HEAD" && !matches!(status, 101 | 204 | 304);
            let framing = if has_body { framing(&headers).unwrap_or(Framing::UntilClose) } else { Framing::Length(0) };
            self.body = Body::new(framing);
            let head = String::from_utf8_lossy(&head).into_owned();
            return Ok(RawResponse { status, head, headers, body: Vec::new(), interim });
        }
    }
}

impl RawResponse {
    /// The values of one header, in order, whatever the case of its name.
    pub fn values(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }

    /// The value of a header that is sent once.
    ///
    /// # Panics
    /// If it was sent more than once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() < 2, "`{name}` was sent more than once: {values:?}");
        values.first().copied()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Panics
    /// If the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

async fn within<T>(deadline: Duration, read: impl Future<Output = std::io::Result<T>>) -> Result<T, NoResponse> {
    match tokio::time::timeout(deadline, read).await {
        Err(_) => Err(NoResponse::Silence(deadline)),
        Ok(Err(error)) => Err(NoResponse::Broken(error.to_string())),
        Ok(Ok(value)) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_simple_request_is_these_bytes() {
        let request = request("POST", "/login?x").bearer("t").json(&serde_json::json!({"a": 1}));

        let expected = "POST /login?x HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer t\r\n\
                        Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(String::from_utf8(request.bytes()).expect("it is text"), expected);
    }

    #[tokio::test]
    async fn it_reads_answers_one_after_the_other() {
        let mut client = answered(
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nok\
             HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n\
             HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\nuntil the end",
        )
        .await;

        let first = client.response().await;
        assert_eq!((first.status, first.text(), first.interim.as_slice()), (200, "ok".to_owned(), &[103][..]));
        assert_eq!(first.values("X-a"), ["1", "2"]);
        let second = client.response().await;
        assert_eq!((second.status, second.json()), (401, serde_json::json!({})));
        assert_eq!(client.response().await.status, 204);
        assert_eq!(client.response().await.text(), "until the end");
        assert_eq!(client.try_response().await.expect_err("that was all"), NoResponse::Closed);
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_is_no_answer() {
        let mut client = answered("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok").await;

        assert!(matches!(client.try_response().await, Err(NoResponse::Broken(_))));
    }

    #[tokio::test]
    async fn it_tells_a_close_from_a_reset_and_from_silence() {
        let mut closed = answered("bye").await;
        assert_eq!(closed.ending().await, (Ending::Closed, b"bye".to_vec()));

        let (mut reset, other) = pair().await;
        other.set_zero_linger().expect("a socket can be told");
        drop(other);
        assert_eq!(reset.ending().await.0, Ending::Reset);

        let (mut open, _other) = pair().await;
        assert!(open.stays_open(Duration::from_millis(20)).await);
        let mut impatient = open.with_deadline(Duration::from_millis(20));
        assert_eq!(
            impatient.try_response().await.expect_err("silence"),
            NoResponse::Silence(Duration::from_millis(20))
        );
    }

    async fn answered(bytes: &str) -> RawClient {
        let (client, mut other) = pair().await;
        other.write_all(bytes.as_bytes()).await.expect("the client is there");
        client
    }

    async fn pair() -> (RawClient, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let client = RawClient::connect(listener.local_addr().expect("it is bound")).await;
        (client, listener.accept().await.expect("the client connects").0)
    }
}
