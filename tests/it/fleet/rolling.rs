//! Replicas are replaced one after the other while clients work: nobody notices.
//!
//! A router asks `/readyz` each 100 ms, as Kubernetes' endpoints follow a pod's readiness, and gives new connections to
//! those who said yes lately. A replica gets SIGTERM, and is started again when it has gone.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sidegate::clock::Stopwatch;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::client::{Pair, refresh_request};
use crate::support::deployment::USER;
use crate::support::raw::{RawClient, RawRequest, RawResponse, request};

use super::site::Site;
use super::stage::{Dice, Stage, ask};
use super::{Form, show};

/// Where new connections may go.
struct Router {
    gates: Vec<SocketAddr>,
    healths: Vec<SocketAddr>,
    /// When each replica said that it is ready, if that was the last thing it said.
    ready: Mutex<Vec<Option<Stopwatch>>>,
}

impl Router {
    async fn follows(self: Arc<Self>, node: usize) {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            let asked = Stopwatch::start();
            let is_ready = ask(self.healths[node], &request("GET", "/readyz")).await.is_ok_and(|it| it.status == 200);
            self.ready.lock().unwrap()[node] = is_ready.then_some(asked);
        }
    }

    /// What was said too long ago, on a busy machine, does not count.
    fn is_ready(&self, node: usize) -> bool {
        self.ready.lock().unwrap()[node].is_some_and(|said| said.elapsed() < Duration::from_millis(300))
    }

    async fn until_ready(&self, node: usize) {
        while !self.is_ready(node) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn pick(&self, dice: &mut Dice) -> SocketAddr {
        loop {
            let node = dice.roll(self.gates.len());
            if self.is_ready(node) {
                return self.gates[node];
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A client, and what became of its requests.
struct Worker {
    router: Arc<Router>,
    dice: Dice,
    pair: Pair,
    /// Half of them keep their connection as long as they may.
    keeps: bool,
    kept: Option<RawClient>,
    requests: usize,
    failures: Vec<String>,
}

impl Worker {
    async fn works(mut self, stop: watch::Receiver<bool>) -> Self {
        while !*stop.borrow() {
            self.requests += 1;
            let request = match self.requests % 10 {
                0 => refresh_request(&self.pair.refresh, Some(&format!("the-key-of-refresh-{}", self.requests))),
                5 => request("GET", "/slow?ms=400").bearer(&self.pair.access),
                _ => request("GET", "/status?code=200").bearer(&self.pair.access),
            };
            match self.ask(&request).await {
                Ok(answer) if answer.status == 200 => {
                    if self.requests.is_multiple_of(10) {
                        self.pair = Pair::read(&answer);
                    }
                }
                Ok(answer) => self.failures.push(format!("{}: {}", answer.status, answer.text())),
                Err(why) => self.failures.push(why),
            }
            tokio::time::sleep(self.dice.about(Duration::from_millis(30))).await;
        }
        self
    }

    /// A request on the kept connection, or on a new one. A kept one may have been closed while it rested: then the same
    /// is asked once more, on a new one (RFC 9112 §9.3.1).
    async fn ask(&mut self, request: &RawRequest) -> Result<RawResponse, String> {
        if let Some(mut kept) = self.kept.take()
            && kept.try_send(request.bytes()).await.is_ok()
        {
            match kept.try_response().await {
                Ok(answer) => return Ok(self.keep(kept, answer)),
                Err(missing) if is_stale(&missing.to_string()) => {}
                Err(missing) => return Err(format!("on a kept connection: {missing}")),
            }
        }
        let gate = self.router.pick(&mut self.dice).await;
        let mut client = RawClient::try_connect(gate).await.map_err(|error| format!("connecting: {error}"))?;
        client.try_send(request.bytes()).await.map_err(|error| format!("sending: {error}"))?;
        let answer = client.try_response().await.map_err(|missing| missing.to_string())?;
        Ok(self.keep(client, answer))
    }

    fn keep(&mut self, client: RawClient, answer: RawResponse) -> RawResponse {
        if self.keeps && answer.header("connection") != Some("close") {
            self.kept = Some(client);
        }
        answer
    }
}

/// Closed, or reset by the system in answer to a request that came after the close; not within an answer.
fn is_stale(missing: &str) -> bool {
    missing.starts_with("closed before a byte") || missing.ends_with("(os error 104)")
}

const WORKERS: usize = 12;

/// D-19.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_request() {
    let rounds = if Form::chosen() == Form::Long { 20 } else { 5 };
    let settings = "server.drain_delay = \"700ms\"\nserver.drain_timeout = \"20s\"\naccess_token.ttl = \"1m\"\n";
    let mut site = Site::new(false, settings).await;
    let stage = Stage::new(site.gates(), Duration::ZERO);
    let healths: Vec<_> = site.nodes.iter().map(|node| node.health).collect();
    let router = Router { gates: site.gates(), ready: Mutex::new(vec![None; healths.len()]), healths };
    let router = Arc::new(router);
    let mut following = JoinSet::new();
    for node in 0..site.nodes.len() {
        following.spawn(Arc::clone(&router).follows(node));
    }
    let (stop, stopped) = watch::channel(false);
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let pair = stage.logged_in(number % 3, USER).await;
        let (router, keeps) = (Arc::clone(&router), number.is_multiple_of(2));
        let worker =
            Worker { router, dice: Dice::new(number), pair, keeps, kept: None, requests: 0, failures: Vec::new() };
        workers.spawn(worker.works(stopped.clone()));
    }

    let begun = Stopwatch::start();
    for _ in 0..rounds {
        for node in 0..site.nodes.len() {
            router.until_ready(node).await;
            site.nodes[node].process.terminate();
            let status = site.nodes[node].process.exit().await;
            assert_eq!(status.code(), Some(0), "{}", site.nodes[node].process.output());
            site.nodes[node].start_again(&site.deployment).await;
            router.until_ready(node).await;
        }
    }
    let took = begun.elapsed();
    stop.send_replace(true);

    let workers = workers.join_all().await;
    let requests: usize = workers.iter().map(|worker| worker.requests).sum();
    let failures: Vec<_> = workers.into_iter().flat_map(|worker| worker.failures).collect();
    show(&format!(
        "rolling restart: 3 replicas, {rounds} times, in {:.1} s: {requests} requests, {} failed",
        took.as_secs_f64(),
        failures.len()
    ));
    assert!(failures.is_empty(), "{failures:#?}");
    // Each restart had somebody to disappoint.
    assert!(requests > rounds * 3 * WORKERS, "{requests} requests");
}
