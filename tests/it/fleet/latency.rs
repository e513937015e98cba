//! How long after a logout on one replica its access token is refused on the two others, by LISTEN and by polling.
//!
//! The time counts from the sending of the logout to the first refusal on the replica that is last. Probers on both ask
//! again as soon as they are answered, but not more often than [`Way::every`]. No figure makes a test fail: what is asserted
//! is that every end is heard of, by the way that is told.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use sidegate::clock::Stopwatch;

use crate::support::client::{Pair, logged_in, logout};
use crate::support::deployment::{Deployment, Replica, StoreKind};
use crate::support::raw::{RawClient, request};
use crate::support::wait::until_it_hears_by;

use super::{Form, show};

const SETTINGS: &str = "log.access = false\nsession.per_subject = 1000\naccess_token.ttl = \"1h\"\n\
                        limit.requests_per_connection = 1000000\n";

/// How the others hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Listen,
    Poll,
}

impl Way {
    fn settings(self) -> &'static str {
        match self {
            Self::Listen => "revocation.feed = \"listen\"",
            Self::Poll => "revocation.feed = \"poll\"",
        }
    }

    /// As a replica says it.
    fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Poll => "poll",
        }
    }

    /// How many logouts are measured at the same time: a poll takes a second, and a thousand of them a while.
    fn at_once(self) -> u32 {
        match self {
            Self::Listen => 1,
            Self::Poll => 10,
        }
    }

    /// How often a prober asks.
    fn every(self) -> Duration {
        match self {
            Self::Listen => Duration::from_millis(1),
            Self::Poll => Duration::from_millis(10),
        }
    }
}

/// Asks with a token until it is refused, and says when that was.
async fn refused(gate: SocketAddr, pair: &Pair, started: Stopwatch, every: Duration) -> Duration {
    let mut client = RawClient::connect(gate).await;
    let bytes = request("GET", "/probed").bearer(&pair.access).bytes();
    loop {
        let asked = Stopwatch::start();
        client.send(&bytes).await;
        match client.response().await.status {
            200 => tokio::time::sleep(every.saturating_sub(asked.elapsed())).await,
            401 => return started.elapsed(),
            other => panic!("{other}"),
        }
    }
}

/// Logs in on one, lets the others see the token, logs out.
async fn heard(gates: &[SocketAddr], way: Way, pause: Duration) -> Duration {
    let pair = logged_in(gates[0]).await;
    tokio::time::sleep(pause).await;
    let started = Stopwatch::start();
    let probing = join_all(gates[1..].iter().map(|gate| refused(*gate, &pair, started, way.every())));
    let ending = async { assert_eq!(logout(gates[0], &pair.refresh).await.status, 200) };
    let (heard, ()) = tokio::join!(probing, ending);
    heard.into_iter().max().unwrap()
}

async fn measured(way: Way, revocations: u32) {
    let deployment = Deployment::new(StoreKind::Postgres, &format!("{SETTINGS}{}", way.settings())).await;
    let mut replicas: Vec<Replica> = Vec::new();
    for _ in 0..3 {
        replicas.push(deployment.replica().await);
    }
    for replica in &replicas {
        until_it_hears_by(Duration::from_secs(20), replica.health, way.name()).await;
    }
    let gates: Vec<SocketAddr> = replicas.iter().map(|replica| replica.gate).collect();
    let mut times = Vec::new();
    for round in 0..revocations / way.at_once() {
        // Not in step with the polls, nor with each other.
        let pause =
            |n: u32| Duration::from_millis(u64::from((round * 7 + n * 101) % 1000) / u64::from(10 / way.at_once()));
        times.extend(join_all((0..way.at_once()).map(|n| heard(&gates, way, pause(n)))).await);
    }
    times.sort_unstable();
    let at = |permille: usize| times[(times.len() - 1) * permille / 1000].as_secs_f64() * 1000.0;
    show(&format!(
        "revocation: {way:?}, {} logouts on one of 3 replicas refused on both others after {:.1} ms (median), {:.1} ms (p99), \
         {:.1} ms (worst)",
        times.len(),
        at(500),
        at(990),
        at(1000)
    ));
    for replica in &replicas {
        until_it_hears_by(Duration::from_secs(20), replica.health, way.name()).await;
    }
}

fn revocations() -> u32 {
    if Form::chosen() == Form::Long { 1000 } else { 30 }
}

/// I7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_refused_on_the_other_replicas_that_listen() {
    measured(Way::Listen, revocations()).await;
}

/// I7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_refused_on_the_other_replicas_that_poll() {
    measured(Way::Poll, revocations()).await;
}
