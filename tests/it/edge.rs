//! The edge: what a request may look like, what becomes of it, and what the upstream sees of it. Over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sidegate::boot::{self, Running};
use sidegate::clock::{Entropy, SystemClock};
use sidegate::config::checked::Config;

use crate::support::deployment::{Deployment, StoreKind};
use crate::support::raw::{self, RawResponse, request};
use crate::support::upstream::Recorded;

mod bearer;
mod connections;
mod endpoints;
mod heads;
mod lifecycle;
mod limits;
mod logins;
mod logs;
mod paths;
mod proxying;
mod refusals;
mod routes;
mod tokens;

/// One sidegate in this process, before a recording upstream. `/open/*` needs no token.
struct Edge {
    deployment: Deployment,
    running: Running,
    gate: SocketAddr,
    probes: AtomicUsize,
}

impl Edge {
    /// `settings` is TOML that is laid over the defaults.
    async fn new(settings: &str) -> Self {
        Self::changed(settings, |_| ()).await
    }

    /// As [`Self::new`], with changes that a file could not say.
    async fn changed(settings: &str, change: impl FnOnce(&mut Config)) -> Self {
        let settings = format!("{settings}\n[[route]]\npath = \"/open/*\"\nauth = \"none\"\n");
        let deployment = Deployment::new(StoreKind::Sqlite, &settings).await;
        let mut config = deployment.config();
        change(&mut config);
        let running = boot::start(&config, Arc::new(SystemClock), Entropy).await.expect("sidegate starts");
        let gate = running.listen[0];
        Self { deployment, running, gate, probes: AtomicUsize::new(0) }
    }

    /// Sends bytes that must not reach the upstream, and returns the answer.
    async fn refused(&self, bytes: impl AsRef<[u8]>) -> RawResponse {
        let before = self.seen();
        let answer = raw::exchange(self.gate, bytes).await;
        self.assert_only_a_probe_follows(before).await;
        answer
    }

    /// How many requests, or parts of one, have reached the upstream.
    fn seen(&self) -> usize {
        self.deployment.upstream.requests().len()
    }

    /// What was asked of the upstream, in order.
    fn targets(&self) -> Vec<String> {
        self.deployment.upstream.requests().iter().map(Recorded::target).collect()
    }

    /// That sidegate still serves, and that the upstream has seen nothing but the request that shows it.
    async fn assert_only_a_probe_follows(&self, before: usize) {
        let target = format!("/open/probe-{}", self.probes.fetch_add(1, Ordering::Relaxed));
        let served = raw::exchange(self.gate, request("GET", &target).bytes()).await;
        assert_eq!(served.status, 200, "the next request: {}", served.text());
        assert_eq!(self.targets()[before..], [target], "the upstream saw more than the next request");
    }

    /// That sidegate still serves, and that no whole request has reached the upstream before the one that shows it.
    async fn assert_nothing_complete_since(&self, before: usize) {
        let target = format!("/open/probe-{}", self.probes.fetch_add(1, Ordering::Relaxed));
        assert_eq!(raw::exchange(self.gate, request("GET", &target).bytes()).await.status, 200);
        let requests = self.deployment.upstream.requests();
        let whole: Vec<_> = requests[before..].iter().filter(|seen| seen.complete).map(Recorded::target).collect();
        assert_eq!(whole, [target], "the upstream saw more than the next request");
    }

    /// That sidegate still serves, and that the upstream has seen these requests and the one that shows it.
    async fn assert_only_probes_and(&self, targets: &[&str]) {
        assert_eq!(raw::exchange(self.gate, request("GET", "/open/probe").bytes()).await.status, 200);
        assert_eq!(self.targets(), [targets, &["/open/probe"]].concat());
    }

    /// The request that reached the upstream last.
    fn last_seen(&self) -> Recorded {
        self.deployment.upstream.requests().pop().expect("the upstream received a request")
    }
}

/// Insists on an RFC 9457 problem of ours.
fn assert_problem(answer: &RawResponse, status: u16) {
    assert_eq!(answer.status, status, "{}\n{}", answer.head, answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.head);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("server"), None, "{}", answer.head);
    let body = answer.json();
    assert_eq!((&body["status"], &body["type"]), (&status.into(), &"about:blank".into()));
    assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
}

/// Everything of an answer but its date.
fn undated(answer: &RawResponse) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let headers = answer.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date")).cloned().collect();
    (answer.status, headers, answer.body.clone())
}
