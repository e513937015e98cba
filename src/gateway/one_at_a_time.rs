//! A client's connection, of which Pingora sees one request at a time.
//!
//! Where a body ends is decided here, by [`Body`], and the bytes after it are held back for the next reading of a head.
//! So Pingora can neither take them for a part of this request nor lose them, and a body that is framed badly is refused
//! instead of mended.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

use crate::domain::body::{Body, BodyFault, Framing};

use super::pace::Pace;

/// The connection.
#[derive(Debug)]
pub(super) struct OneAtATime {
    /// Head and body of a small answer leave together, at the flush with which Pingora ends each.
    stream: BufWriter<Stream>,
    /// Read, and not handed on yet.
    ahead: BytesMut,
    /// What is left of the request that Pingora has; none while a head is read.
    body: Option<Body>,
    pace: Pace,
}

/// Bytes of later requests that are read while an earlier one is answered. More wait in the socket.
const MOST_AHEAD: usize = 16 * 1024;

/// Bytes of an answer that wait for its flush.
const WRITE_BUFFER: usize = 4 * 1024;

impl OneAtATime {
    /// `patience`: how long a client may keep a body waiting before its bytes are counted.
    pub(super) fn new(stream: Stream, patience: Duration) -> Self {
        let stream = BufWriter::with_capacity(WRITE_BUFFER, stream);
        Self { stream, ahead: BytesMut::new(), body: None, pace: Pace::new(patience) }
    }

    /// Hands on one request: its body is framed so, and `read` is what was read after its head.
    ///
    /// # Errors
    /// [`BodyFault`] if what was read is no such body.
    pub(super) fn begin(&mut self, framing: Framing, read: &[u8]) -> Result<(), BodyFault> {
        let body = Body::new(framing);
        let mut ahead = body;
        ahead.advance(read)?;
        let later = std::mem::replace(&mut self.ahead, BytesMut::from(read));
        self.ahead.unsplit(later);
        self.body = Some(body);
        // Each body has its own: behind a proxy it may be another client's.
        self.pace.begin();
        Ok(())
    }

    /// The connection after Pingora is done with a request; `None` if the next head would begin within it.
    pub(super) fn after(stream: Stream) -> Option<Box<Self>> {
        let mut own = stream.into_any().downcast::<Self>().ok()?;
        let body = own.body.take()?;
        (body.is_over() || (body.is_tunnel() && own.ahead.is_empty())).then_some(own)
    }

    /// Whose connection it is.
    pub(super) fn peer(&self) -> Option<std::net::IpAddr> {
        Some(self.stream.get_ref().get_socket_digest()?.peer_addr()?.as_inet()?.ip())
    }

    /// What is left of an answer that was broken off goes as far as it goes at once: its reader may have stopped.
    fn send_rest(&mut self) {
        let _ = Pin::new(&mut self.stream).poll_flush(&mut Context::from_waker(Waker::noop()));
    }

    /// Reads on although nothing may be handed on, to learn whether the client is still there.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 1024];
        while self.ahead.len() < MOST_AHEAD {
            let mut read = ReadBuf::new(&mut space);
            // Reset or closed: it is gone.
            let is_read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut read)).is_ok();
            if !is_read || read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(read.filled());
        }
        Poll::Pending
    }
}

impl Drop for OneAtATime {
    /// Who got nothing at all would take the connection for one that had ended before, and send the request again.
    fn drop(&mut self) {
        self.send_rest();
    }
}

impl AsyncRead for OneAtATime {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.body.as_ref().is_some_and(Body::is_over) {
            return this.poll_gone(context);
        }
        let before = into.filled().len();
        if this.ahead.is_empty() {
            let polled = Pin::new(&mut this.stream).poll_read(context, into);
            // A head has a deadline of its own, and a tunnel may be silent.
            if this.body.as_ref().is_some_and(|body| !body.is_tunnel()) {
                this.pace.note(polled.is_ready().then(|| into.filled().len() - before))?;
            }
            ready!(polled)?;
        } else {
            let length = this.ahead.len().min(into.remaining());
            into.put_slice(&this.ahead[..length]);
            this.ahead.advance(length);
        }
        let Some(body) = &mut this.body else { return Poll::Ready(Ok(())) };
        let read = &into.filled()[before..];
        let length = body.advance(read).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
        if length < read.len() {
            let later = std::mem::replace(&mut this.ahead, BytesMut::from(&read[length..]));
            this.ahead.unsplit(later);
            into.set_filled(before + length);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for OneAtATime {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for OneAtATime {
    async fn shutdown(&mut self) {
        self.send_rest();
        Shutdown::shutdown(&mut **self.stream.get_mut()).await;
    }
}

impl UniqueID for OneAtATime {
    fn id(&self) -> UniqueIDType {
        self.stream.get_ref().id()
    }
}

impl Ssl for OneAtATime {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ref().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.get_ref().selected_alpn_proto()
    }
}

impl GetTimingDigest for OneAtATime {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_ref().get_timing_digest()
    }
}

impl GetProxyDigest for OneAtATime {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_ref().get_proxy_digest()
    }
}

impl GetSocketDigest for OneAtATime {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_ref().get_socket_digest()
    }
}

impl Peek for OneAtATime {}
