//! A listener with few connections at once, each of a stranger for a short time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Connections at once, and how long each may last.
const MOST: usize = 64;
const LONGEST: Duration = Duration::from_secs(5);

/// Further connections wait in the system's queue.
pub(super) struct Bounded<L> {
    listener: L,
    slots: Arc<Semaphore>,
}

/// Whether the other end of a connection has shown who it is: then it may stay.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<AtomicBool>);

impl Known {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<L> Bounded<L> {
    pub(super) fn new(listener: L) -> Self {
        Self { listener, slots: Arc::new(Semaphore::new(MOST)) }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Timed<L::Io>;
    type Addr = (L::Addr, Known);

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        let (stream, peer) = self.listener.accept().await;
        let known = Known::default();
        (Timed { stream, known: known.clone(), end: Box::pin(sleep(LONGEST)), _slot: slot }, (peer, known))
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok((self.listener.local_addr()?, Known::default()))
    }
}

/// A connection that fails when its time is over.
pub(super) struct Timed<S> {
    stream: S,
    known: Known,
    end: Pin<Box<Sleep>>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl<S> Timed<S> {
    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.known.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.in_time(context)?;
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
