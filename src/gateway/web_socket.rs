//! Connections on which a WebSocket is asked for.
//!
//! Pingora 0.9.1 takes the end of the request's empty body, if it sees it after the upstream's 101, for the end of the
//! tunnel (its issue 946). Both are usually there at once when the upstream is a process on the same machine, and then
//! chance decides. So on these connections the answer's first byte is not readable until a moment after the request was
//! written: by then the end of the body has been dealt with.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

/// Connects to an upstream for one WebSocket.
#[derive(Debug)]
pub(super) struct ConnectForWebSocket {
    pub(super) connect_timeout: Duration,
}

#[async_trait]
impl L4Connect for ConnectForWebSocket {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let address = address.as_inet().ok_or_else(|| Error::explain(ErrorType::ConnectError, "no IP address"))?;
        let connected = timeout(self.connect_timeout, TcpStream::connect(address)).await;
        let stream = connected
            .map_err(|_| Error::explain(ErrorType::ConnectTimedout, "no connection in time").into_up())?
            .or_err(ErrorType::ConnectError, "no connection")
            .map_err(pingora::Error::into_up)?;
        stream.set_nodelay(true).or_err(ErrorType::SocketError, "no delay")?;
        Ok(VirtualSocketStream::new(Box::new(AnswerHeldBack { stream, hold: None, answered: false })).into())
    }
}

/// A connection whose first answer waits a moment after the last write before it.
#[derive(Debug)]
struct AnswerHeldBack {
    stream: TcpStream,
    hold: Option<Pin<Box<Sleep>>>,
    answered: bool,
}

/// Far longer than the two halves of a proxied request need to take turns, too short to notice.
const HOLD: Duration = Duration::from_millis(10);

impl AsyncRead for AnswerHeldBack {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(hold) = &mut self.hold {
            ready!(hold.as_mut().poll(context));
            self.hold = None;
        }
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        self.answered = true;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AnswerHeldBack {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, from))?;
        if !self.answered {
            self.hold = Some(Box::pin(sleep(HOLD)));
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl VirtualSocket for AnswerHeldBack {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.stream.set_nodelay(true),
            _ => Ok(()),
        }
    }
}
