//! What the recording upstream can be told to do.

use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::Recorded;
use crate::support::wire::PATIENCE;

/// What the upstream does with one request, step by step.
///
/// When the steps are over, the rest of the request is read and the connection waits for the next one.
#[derive(Default)]
pub struct Script {
    pub(super) steps: Vec<Step>,
}

/// The test's end of a streamed answer. Dropped before [`Chunks::end`], it resets the connection.
pub struct Chunks {
    sender: mpsc::Sender<Pushed>,
}

pub(super) enum Step {
    ReadBody,
    Wait(Duration),
    Until(oneshot::Receiver<()>),
    Send(Vec<u8>),
    /// As [`Step::Send`], unless the request is a HEAD: then up to the end of the head only.
    Answer(Vec<u8>),
    Stream(mpsc::Receiver<Pushed>),
    Events(Duration),
    WebSocketEcho,
    Echo,
    Hang,
    Close,
    Reset,
}

#[derive(Debug)]
pub(super) enum Pushed {
    Chunk(Vec<u8>),
    End,
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the request to its end and answers with a counted body.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        Self::new().read_body().answering(status, headers, body)
    }

    /// Reads the request to its end and answers as the test says, while it says so.
    pub fn streamed(headers: &[(&str, &str)]) -> (Chunks, Self) {
        Self::new().read_body().streaming(headers)
    }

    /// What is done with a request that no script was queued for.
    ///
    /// | path | what |
    /// | --- | --- |
    /// | `/slow?ms=500` | the echo, after that time |
    /// | `/status?code=404` | that status, a JSON body |
    /// | `/bytes?count=1000` | so many bytes |
    /// | `/sse` | an event each 20 ms, without end |
    /// | `/ws` | a WebSocket that echoes |
    /// | `/hang` | never an answer |
    /// | `/close` | closes without an answer |
    /// | `/close-in-head` | closes within the head of its answer |
    /// | `/close-in-body`, `/reset` | closes, or resets, within the body |
    /// | `/huge-head?bytes=100000` | a header line of that length |
    /// | `/invalid-head` | a header line without a colon |
    /// | `/early` | answers and closes, without reading the body |
    /// | `/surplus` | sends more than its answer |
    /// | `/nominate` | `Connection: x-foo` and `X-Foo: 1` |
    /// | anything else | 200, JSON: method, target, headers, body, connection |
    pub fn for_path(request: &Recorded) -> Self {
        let parameter = |name: &str, default: u64| request.parameter(name).unwrap_or(default);
        let size = |name: &str| usize::try_from(parameter(name, 100_000)).unwrap_or_default();
        let begin = Self::new().read_body();
        match request.path().as_str() {
            "/slow" => begin.wait(Duration::from_millis(parameter("ms", 200))).step(Step::Echo),
            "/status" => {
                let code = u16::try_from(parameter("code", 200)).unwrap_or(200);
                begin.answering(code, &[("Content-Type", "application/json")], json!({ "status": code }).to_string())
            }
            "/bytes" => begin.answering(200, &[], "x".repeat(size("count"))),
            "/sse" => begin
                .send(head(200, &[("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")]))
                .step(Step::Events(Duration::from_millis(20))),
            "/ws" => Self::new().step(Step::WebSocketEcho),
            "/hang" => begin.hang(),
            "/close" => begin.close(),
            "/close-in-head" => begin.send("HTTP/1.1 200 OK\r\nContent-Le").close(),
            "/close-in-body" => begin.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot a thousand").close(),
            "/reset" => begin.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot a thousand").reset(),
            "/huge-head" => begin.answering(200, &[("X-Huge", &"x".repeat(size("bytes")))], "huge"),
            "/invalid-head" => begin.send("HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\nok").close(),
            "/early" => Self::new().answering(200, &[("Connection", "close")], "early").close(),
            "/surplus" => {
                begin.answering(200, &[], "exact").send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled")
            }
            "/nominate" => {
                begin.answering(200, &[("Connection", "x-foo"), ("X-Foo", "1"), ("X-Bar", "2")], "nominated")
            }
            _ => begin.step(Step::Echo),
        }
    }

    /// Reads the request's body to its end; says `100 Continue` if it is awaited.
    pub fn read_body(self) -> Self {
        self.step(Step::ReadBody)
    }

    pub fn wait(self, time: Duration) -> Self {
        self.step(Step::Wait(time))
    }

    /// Waits until the test says so.
    pub fn until(self, told: oneshot::Receiver<()>) -> Self {
        self.step(Step::Until(told))
    }

    /// Sends exactly these bytes.
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Send(bytes.into()))
    }

    /// Sends an answer with a counted body, without reading the request's first.
    pub fn answering(self, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        self.step(Step::Answer(answer(status, headers, body.as_ref())))
    }

    /// Sends a head, and a chunk whenever the test pushes one.
    pub fn streaming(self, headers: &[(&str, &str)]) -> (Chunks, Self) {
        let (sender, receiver) = mpsc::channel(16);
        let headers = [headers, &[("Transfer-Encoding", "chunked")]].concat();
        (Chunks { sender }, self.send(head(200, &headers)).step(Step::Stream(receiver)))
    }

    /// Says nothing more, until the peer closes.
    pub fn hang(self) -> Self {
        self.step(Step::Hang)
    }

    /// Closes the connection.
    pub fn close(self) -> Self {
        self.step(Step::Close)
    }

    /// Resets the connection.
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl Chunks {
    /// Sends one chunk, at once.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn push(&self, payload: impl Into<Vec<u8>>) {
        self.sender.send(Pushed::Chunk(payload.into())).await.expect("the streamed answer is still being sent");
    }

    /// Ends the answer properly.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn end(self) {
        self.sender.send(Pushed::End).await.expect("the streamed answer is still being sent");
    }

    /// Waits until the peer has given up on the answer.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn abandoned(&self) {
        let closed = tokio::time::timeout(PATIENCE, self.sender.closed()).await;
        closed.expect("the connection of the streamed answer should have been closed");
    }
}

pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", length.as_str())]].concat();
    [&head(status, &headers), body].concat()
}

pub(super) fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let reason =
        http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Other");
    let lines: String = headers.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect();
    format!("HTTP/1.1 {status} {reason}\r\n{lines}\r\n").into_bytes()
}
