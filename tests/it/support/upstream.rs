//! An HTTP API that records exactly what reaches it.
//!
//! It answers by the path of the request, see [`Script::for_path`], unless the test has queued a [`Script`] for the next
//! request. Whatever it answers, it records the bytes of the request first, so that a test can say what the upstream
//! received, and that it received nothing. It runs on a thread of its own: a busy test does not slow it down.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::wire::{PATIENCE, header_lines, start_line, values};

mod connection;
pub mod script;
#[cfg(test)]
mod tests;

pub use script::Script;

/// A running upstream on a port of its own; gone when dropped.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped to stop it.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One request, or what came of it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which connection it came on, counted from 1.
    pub connection: usize,
    /// Every byte from the method to the end of the body, as it came.
    pub raw: Vec<u8>,
    /// The body without the framing of its chunks.
    pub body: Vec<u8>,
    /// Whether it was received to its end.
    pub complete: bool,
    head_length: usize,
}

struct Shared {
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Seen {
    /// Who connected, in order.
    peers: Vec<SocketAddr>,
    open: usize,
    requests: Vec<Recorded>,
    scripts: VecDeque<Script>,
}

impl Upstream {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared { seen: Mutex::default(), changed: watch::Sender::new(()) });
        let (running, stopped) = oneshot::channel();
        let (bound, address) = oneshot::channel();
        let recording = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
                let _ = bound.send(listener.local_addr().expect("it is bound"));
                tokio::select! {
                    () = connection::accept(listener, recording) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = address.await.expect("the thread tells its address");
        Self { address, shared, running: Some(running), thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Queues what is done with the next request that has no script yet, whatever its path.
    pub fn next(&self, script: Script) {
        self.shared.seen().scripts.push_back(script);
    }

    /// Every request so far, in the order their heads arrived. Bytes of a head that never ended count as one.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.seen().requests.clone()
    }

    /// The only request so far.
    ///
    /// # Panics
    /// If there was none, or more than one.
    pub fn only_request(&self) -> Recorded {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "the upstream should have received one request, and received {requests:#?}");
        requests[0].clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.shared.seen().peers.len()
    }

    /// How many of them it still has.
    pub fn open_connections(&self) -> usize {
        self.shared.seen().open
    }

    /// # Panics
    /// If anything reached the upstream: a request, a part of one, or a connection without a byte.
    pub fn assert_untouched(&self) {
        self.accept_all_pending();
        let seen = self.shared.seen();
        let (connections, requests) = (seen.peers.len(), &seen.requests);
        assert!(
            connections == 0 && requests.is_empty(),
            "nothing should have reached the upstream, but it saw {connections} connection(s) and {requests:#?}"
        );
    }

    /// Connections are accepted in order, so whoever came before ours has been counted when ours is. This also shows that
    /// an upstream that saw nothing was listening.
    fn accept_all_pending(&self) {
        let probe = std::net::TcpStream::connect(self.address).expect("the upstream listens");
        let ours = probe.local_addr().expect("it is connected");
        for _ in 0..PATIENCE.as_millis() {
            let mut seen = self.shared.seen();
            if let Some(at) = seen.peers.iter().position(|peer| *peer == ours) {
                seen.peers.remove(at);
                return;
            }
            drop(seen);
            thread::sleep(Duration::from_millis(1));
        }
        panic!("the upstream does not accept connections");
    }

    /// Waits until what was received satisfies `condition`; it is asked again with every byte that arrives.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub async fn wait_until(&self, what: &str, condition: impl Fn(&[Recorded]) -> bool) {
        self.wait(what, |seen| condition(&seen.requests)).await;
    }

    /// Waits until somebody has connected and none of the connections is left.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub async fn wait_until_disconnected(&self) {
        self.wait("every connection is closed", |seen| !seen.peers.is_empty() && seen.open == 0).await;
    }

    async fn wait(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let satisfied = async {
            while !condition(&self.shared.seen()) {
                changed.changed().await.expect("the upstream lives");
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, satisfied).await.is_ok();
        assert!(in_time, "waited in vain until {what}; the upstream received {:#?}", self.requests());
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; here it could only abort the test run.
            let _ = thread.join();
        }
    }
}

impl Recorded {
    /// Request line and header lines, as they came, with the empty line that ends them.
    pub fn head(&self) -> String {
        String::from_utf8_lossy(self.head_bytes()).into_owned()
    }

    pub fn method(&self) -> String {
        self.request_line_part(0)
    }

    /// The request target as it came: path and query, not decoded.
    pub fn target(&self) -> String {
        self.request_line_part(1)
    }

    /// The target without its query.
    pub fn path(&self) -> String {
        self.target().split('?').next().unwrap_or_default().to_owned()
    }

    /// Name and value of each header line, in order.
    pub fn headers(&self) -> Vec<(String, String)> {
        header_lines(self.head_bytes())
    }

    /// The values of one header, in order, whatever the case of its name.
    pub fn values(&self, name: &str) -> Vec<String> {
        values(&self.headers(), name).into_iter().map(str::to_owned).collect()
    }

    /// The value of a header that is sent once.
    ///
    /// # Panics
    /// If it was sent more than once.
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.values(name);
        assert!(values.len() < 2, "the upstream received `{name}` more than once: {values:?}");
        values.into_iter().next()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn head_bytes(&self) -> &[u8] {
        &self.raw[..self.head_length]
    }

    fn request_line_part(&self, part: usize) -> String {
        start_line(self.head_bytes()).split(' ').nth(part).unwrap_or_default().to_owned()
    }

    fn parameter(&self, name: &str) -> Option<u64> {
        let target = self.target();
        let (_, query) = target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1.parse().ok()
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let outcome = change(&mut self.seen());
        self.changed.send_replace(());
        outcome
    }
}
