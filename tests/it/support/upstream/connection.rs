//! One connection of the recording upstream: records a request, plays its script, takes the next.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::script::{Pushed, Script, Step, answer, head};
use super::{Recorded, Shared};
use crate::support::wire::{Body, Framing, Wire, chunk, framing, header_lines, position, values};

/// Counts a connection as open for as long as it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.change(|seen| seen.open -= 1);
    }
}

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut serving = JoinSet::new();
    while let Ok((stream, peer)) = listener.accept().await {
        let number = shared.change(|seen| {
            seen.peers.push(peer);
            seen.open += 1;
            seen.peers.len()
        });
        let open = Open(Arc::clone(&shared));
        serving.spawn(async move {
            // The peer may go at any moment; what it sent until then is recorded.
            let _ = Connection { wire: Wire::new(stream), number, shared: Arc::clone(&open.0) }.serve().await;
            drop(open);
        });
        while serving.try_join_next().is_some() {}
    }
}

struct Connection {
    wire: Wire,
    number: usize,
    shared: Arc<Shared>,
}

/// One request while its script is played.
struct Exchange {
    index: usize,
    request: Recorded,
    body: Body,
}

/// What becomes of the connection.
enum After {
    Next,
    Leave,
}

impl Connection {
    async fn serve(mut self) -> io::Result<()> {
        loop {
            let head = match self.wire.head().await {
                Ok(Some(head)) => head,
                ended => {
                    let fragment = std::mem::take(&mut self.wire.unread);
                    if !fragment.is_empty() {
                        self.record(fragment, Framing::UntilClose);
                    }
                    return ended.map(|_| ());
                }
            };
            let framing = framing(&header_lines(&head)).unwrap_or(Framing::Length(0));
            let (index, request, script) = self.record(head, framing);
            let closes = values(&request.headers(), "connection").iter().any(|value| value.contains("close"));
            let mut exchange = Exchange { index, request, body: Body::new(framing) };
            for step in script.steps {
                if let After::Leave = self.play(step, &mut exchange).await? {
                    return Ok(());
                }
            }
            self.read_body(&mut exchange).await?;
            if closes {
                return Ok(());
            }
        }
    }

    fn record(&self, head: Vec<u8>, framing: Framing) -> (usize, Recorded, Script) {
        let request = Recorded {
            connection: self.number,
            head_length: head.len(),
            raw: head,
            body: Vec::new(),
            complete: framing == Framing::Length(0),
        };
        self.shared.change(|seen| {
            seen.requests.push(request.clone());
            let script = seen.scripts.pop_front().unwrap_or_else(|| Script::for_path(&request));
            (seen.requests.len() - 1, request, script)
        })
    }

    async fn play(&mut self, step: Step, exchange: &mut Exchange) -> io::Result<After> {
        match step {
            Step::ReadBody => self.read_body(exchange).await?,
            Step::Wait(time) => tokio::time::sleep(time).await,
            // A test that has ended waits for nothing.
            Step::Until(told) => drop(told.await),
            Step::Send(bytes) => self.wire.send(&bytes).await?,
            Step::Answer(bytes) => self.send_answer(exchange, &bytes).await?,
            Step::Echo => {
                let echo = self.echo(exchange);
                let headers = [("Content-Type", "application/json"), ("Server", "recording-upstream")];
                self.send_answer(exchange, &answer(200, &headers, echo.to_string().as_bytes())).await?;
            }
            Step::Stream(chunks) => return self.stream(chunks).await,
            Step::Events(interval) => self.events(interval).await?,
            Step::WebSocketEcho => {
                self.web_socket_echo(exchange).await?;
                return Ok(After::Leave);
            }
            Step::Hang => while self.wire.fill().await? > 0 {},
            Step::Close => return Ok(After::Leave),
            Step::Reset => {
                self.wire.stream.set_zero_linger()?;
                return Ok(After::Leave);
            }
        }
        Ok(After::Next)
    }

    async fn read_body(&mut self, exchange: &mut Exchange) -> io::Result<()> {
        if exchange.body.is_over() {
            return Ok(());
        }
        if !exchange.request.values("expect").is_empty() {
            self.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while let Some(piece) = exchange.body.piece(&mut self.wire).await? {
            let is_over = exchange.body.is_over();
            self.shared.change(|seen| {
                let request = &mut seen.requests[exchange.index];
                request.raw.extend(piece.raw);
                request.body.extend(piece.payload);
                request.complete = is_over;
            });
        }
        Ok(())
    }

    async fn send_answer(&mut self, exchange: &Exchange, bytes: &[u8]) -> io::Result<()> {
        let is_head = exchange.request.method() == "HEAD";
        let end = position(bytes, b"\r\n\r\n").filter(|_| is_head).map_or(bytes.len(), |at| at + 4);
        self.wire.send(&bytes[..end]).await
    }

    fn echo(&self, exchange: &Exchange) -> Value {
        let request = self.shared.seen().requests[exchange.index].clone();
        json!({
            "method": request.method(),
            "target": request.target(),
            "headers": request.headers(),
            "body": request.text(),
            "connection": self.number,
        })
    }

    async fn stream(&mut self, mut chunks: mpsc::Receiver<Pushed>) -> io::Result<After> {
        loop {
            tokio::select! {
                pushed = chunks.recv() => match pushed {
                    Some(Pushed::Chunk(payload)) => self.wire.send(&chunk(&payload)).await?,
                    Some(Pushed::End) => {
                        self.wire.send(b"0\r\n\r\n").await?;
                        return Ok(After::Next);
                    }
                    None => {
                        self.wire.stream.set_zero_linger()?;
                        return Ok(After::Leave);
                    }
                },
                filled = self.wire.fill() => if filled? == 0 { return Ok(After::Leave) },
            }
        }
    }

    async fn events(&mut self, interval: Duration) -> io::Result<()> {
        for number in 0_u64.. {
            self.wire.send(format!("data: {number}\n\n").as_bytes()).await?;
            tokio::time::sleep(interval).await;
        }
        Ok(())
    }

    async fn web_socket_echo(&mut self, exchange: &Exchange) -> io::Result<()> {
        let Some(key) = exchange.request.header("sec-websocket-key") else {
            return self.wire.send(&answer(426, &[("Upgrade", "websocket")], b"a WebSocket handshake, please")).await;
        };
        let accept = derive_accept_key(key.as_bytes());
        let headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept.as_str())];
        self.wire.send(&head(101, &headers)).await?;
        let unread = std::mem::take(&mut self.wire.unread);
        let stream: &mut TcpStream = &mut self.wire.stream;
        let mut socket = WebSocketStream::from_partially_read(stream, unread, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}
