//! The accept loop, and the head of every request.
//!
//! Around Pingora's proxy rather than in Pingora's server, so that errors reach `main`, a stop ends as soon as nothing is
//! in flight, and the head is read here: under one deadline and one size, every byte checked, before Pingora parses it.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pingora::apps::HttpServerApp;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::listener::Listener;
use pingora::proxy::HttpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::config::checked::Limits;
use crate::domain::body::BodyFault;
use crate::domain::cors::Cors;
use crate::domain::head::{self, HeadFault, HeadLimits};
use crate::lifecycle::Phase;
use crate::telemetry::Metrics;

use super::Gateway;
use super::answer::{self, Answer};
use super::cors;
use super::one_at_a_time::OneAtATime;
use super::tunnel::Tunnel;

/// What every connection of a listener shares.
pub struct Shared {
    pub proxy: Arc<HttpProxy<Gateway>>,
    pub authority: Arc<Authority>,
    pub limits: Limits,
    pub slots: Arc<Semaphore>,
    pub metrics: Arc<Metrics>,
    pub phase: watch::Receiver<Phase>,
    pub cors: Option<Arc<Cors>>,
    /// What Pingora asks to learn of a stop; always false, as this loop does the asking.
    pub never: watch::Receiver<bool>,
}

/// Accepts until [`Phase::Stopping`], then waits for the connections that are left. Cancel it to cut those off.
pub async fn serve(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let listener = Listener::from(listener);
    let mut connections = JoinSet::new();
    let mut phase = shared.phase.clone();
    loop {
        let mut stream = tokio::select! {
            biased;
            () = stopping(&mut phase) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: room comes when a connection ends.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let Ok(slot) = Arc::clone(&shared.slots).try_acquire_owned() else {
            shared.metrics.connections_refused.inc();
            continue;
        };
        // Answers are small and must not wait for more.
        let _ = stream.set_nodelay();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            shared.metrics.connections.inc();
            connection(Box::new(stream), &shared).await;
            shared.metrics.connections.dec();
            drop(slot);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: Stream, shared: &Shared) {
    let mut stream = Box::new(OneAtATime::new(stream, shared.limits.body_idle_timeout));
    for served in 0..shared.limits.requests_per_connection {
        let head = match read_head(&mut stream, shared, served == 0).await {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(refused) => return close_with(stream, refused, shared).await,
        };
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive_reuses_remaining(Some(shared.limits.requests_per_connection - served - 1));
        let tunnel = Tunnel::default();
        if let ServerSession::H1(session) = &mut session {
            session.set_pipelined_prefix(head);
            session.set_connection_user_context(Some(Box::new(tunnel.clone())));
        }
        let served = tokio::select! {
            biased;
            served = shared.proxy.process_new_http(session, &shared.never) => served,
            cut = tunnel.revoked(&shared.authority) => {
                // The request was dropped with the connection: its line is written here.
                shared.metrics.requests.count("cut");
                shared.metrics.request_seconds.observe(cut.started.elapsed().as_secs_f64());
                tracing::info!(
                    target: "sidegate::access",
                    method = cut.method.as_str(),
                    path = cut.path,
                    route = cut.route.as_deref(),
                    decision = "permit",
                    reason = "session_ended",
                    subject = cut.identity.subject.as_str(),
                    session = %cut.identity.session,
                    duration_ms = u64::try_from(cut.started.elapsed().as_millis()).ok(),
                );
                return;
            }
        };
        match served.and_then(|reused| OneAtATime::after(reused.consume().0)) {
            Some(between) => stream = between,
            None => return,
        }
    }
}

/// Returns when the process stops, or is gone.
async fn stopping(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
}

/// A request that was refused before Pingora saw it.
struct HeadRefusal {
    answer: Answer,
    reason: &'static str,
}

impl From<HeadFault> for HeadRefusal {
    fn from(fault: HeadFault) -> Self {
        let refused = answer::bad_head(fault);
        Self { answer: refused.answer, reason: refused.reason }
    }
}

impl From<BodyFault> for HeadRefusal {
    fn from(fault: BodyFault) -> Self {
        Self { answer: answer::problem(400, &fault.to_string()), reason: "body_framing" }
    }
}

/// Reads a head, and leaves the connection at its body. `None`: the client closed, was idle for too long, or the process
/// is stopping; nothing is owed an answer then.
async fn read_head(stream: &mut OneAtATime, shared: &Shared, first: bool) -> Result<Option<BytesMut>, HeadRefusal> {
    let mut buffer = BytesMut::with_capacity(2048);
    match read_head_into(&mut buffer, stream, shared, first).await {
        Ok(is_whole) => Ok(is_whole.then_some(buffer)),
        Err(mut refused) => {
            cors::mark_refusal(shared.cors.as_deref(), &buffer, &mut refused.answer);
            Err(refused)
        }
    }
}

async fn read_head_into(
    buffer: &mut BytesMut,
    stream: &mut OneAtATime,
    shared: &Shared,
    first: bool,
) -> Result<bool, HeadRefusal> {
    let limits = HeadLimits { request_line: shared.limits.request_line, headers: shared.limits.headers };
    let mut phase = shared.phase.clone();
    let idle = if first { shared.limits.header_timeout } else { shared.limits.keep_alive };
    tokio::select! {
        biased;
        read = tokio::time::timeout(idle, stream.read_buf(buffer)) => {
            if !matches!(read, Ok(Ok(1..))) {
                return Ok(false);
            }
        }
        () = stopping(&mut phase) => return Ok(false),
    }
    let rest = async {
        let mut seen = 0;
        loop {
            if let Some(end) = head::find_end(buffer, seen, limits)? {
                return Ok::<_, HeadFault>(Some((end, head::check(&buffer[..end])?)));
            }
            seen = buffer.len();
            if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
                return Ok(None);
            }
        }
    };
    let Ok(read) = tokio::time::timeout(shared.limits.header_timeout, rest).await else {
        let answer = answer::problem(408, "the request did not arrive in time");
        return Err(HeadRefusal { answer, reason: "head_slow" });
    };
    let Some((end, framing)) = read? else { return Ok(false) };
    let rest = buffer.split_off(end);
    stream.begin(framing, &rest)?;
    Ok(true)
}

/// Answers and closes, leaving the client a moment to read before what it still sends resets the connection.
async fn close_with(mut stream: Box<OneAtATime>, refused: HeadRefusal, shared: &Shared) {
    shared.metrics.requests.count(refused.reason);
    let client = stream.peer();
    tracing::info!(
        target: "sidegate::access",
        status = refused.answer.status().as_u16(),
        decision = "refuse",
        reason = refused.reason,
        client = client.map(tracing::field::display),
    );
    let goodbye = async {
        stream.write_all(&answer::on_the_wire(&refused.answer)).await?;
        stream.flush().await?;
        AsyncWriteExt::shutdown(&mut stream).await?;
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A client that hangs up first has had all it wanted.
    let _ = tokio::time::timeout(LINGER, goodbye).await;
}

const LINGER: Duration = Duration::from_secs(1);
