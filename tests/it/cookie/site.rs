//! Replicas in cookie mode in this process, before one upstream and on one store, whose clocks are in the test's hands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sidegate::boot::{self, Running};
use sidegate::clock::{Clock, Entropy, SharedClock, SystemClock};
use sidegate::domain::session::SessionId;
use tokio::sync::oneshot;

use super::browser::from_our_page;
use super::{Browser, OURS};
use crate::store::bench::ManualClock;
use crate::support::deployment::{Deployment, StoreKind, laid_over};
use crate::support::postgres::{Database, DatabaseClock};
use crate::support::raw::{RawClient, request};
use crate::support::upstream::Script;

pub(super) struct Site {
    pub(super) deployment: Deployment,
    pub(super) replicas: Vec<Running>,
    clock: Arc<ManualClock>,
    database_clock: Option<DatabaseClock>,
    now: i64,
}

/// Of access tokens, and so of the window in which an old refresh token is repeated.
const TTL: Duration = Duration::from_mins(10);

impl Site {
    /// One replica on SQLite. `settings` is TOML that is laid over the defaults.
    pub(super) async fn new(settings: &str) -> Self {
        Self::of(StoreKind::Sqlite, 1, settings).await
    }

    pub(super) async fn of(kind: StoreKind, replicas: usize, settings: &str) -> Self {
        Self::before(Deployment::new(kind, &with_cookies(settings)).await, replicas).await
    }

    /// One replica on a database that the test chose.
    pub(super) async fn on(database: Database, settings: &str) -> Self {
        Self::before(Deployment::on(database, &with_cookies(settings)).await, 1).await
    }

    async fn before(deployment: Deployment, replicas: usize) -> Self {
        // The keys were made now.
        let start = SystemClock.now().as_millis();
        let clock = ManualClock::new(start);
        let database_clock = match &deployment.database {
            Some(database) => Some(database.take_clock(start).await),
            None => None,
        };
        let mut site = Self { deployment, replicas: Vec::new(), clock, database_clock, now: start };
        for _ in 0..replicas {
            let shared: SharedClock = site.clock.clone();
            let running = Box::pin(boot::start(&site.deployment.config(), shared, Entropy)).await.unwrap();
            site.replicas.push(running);
        }
        site
    }

    pub(super) fn gate(&self) -> SocketAddr {
        self.gates()[0]
    }

    pub(super) fn gates(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.listen[0]).collect()
    }

    /// Lets time pass, for every replica and the store.
    pub(super) async fn pass(&mut self, time: Duration) {
        self.now += i64::try_from(time.as_millis()).unwrap();
        if let Some(clock) = &self.database_clock {
            clock.set(self.now).await;
        }
        self.clock.set(self.now);
    }

    /// Until the access token has ended, and a little more.
    pub(super) async fn pass_an_expiry(&mut self) {
        self.pass(TTL + Duration::from_secs(20)).await;
    }

    /// A page that this browser has asked for, and that is answered with `at last` when it is told.
    pub(super) async fn slow_page(&self, browser: &Browser, gate: SocketAddr) -> (RawClient, oneshot::Sender<()>) {
        let (tell, told) = oneshot::channel();
        let upstream = &self.deployment.upstream;
        upstream.next(Script::new().read_body().until(told).answering(200, &[], "at last"));
        let mut slow = RawClient::connect(gate).await;
        slow.send(browser.with_cookies(from_our_page(request("GET", "/slow"))).bytes()).await;
        upstream.wait_until("the slow request is there", |seen| !seen.is_empty()).await;
        (slow, tell)
    }

    pub(super) fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    /// How often a session was refreshed, as the store has it; `None` if it has ended.
    pub(super) async fn generation(&self, session: &str) -> Option<u32> {
        let config = self.deployment.config();
        let store = sidegate::store::open(&config.store, &config.realm, self.clock()).await.unwrap();
        let state = store.session(SessionId::parse(session).unwrap()).await.unwrap()?;
        Some(state.session.generation)
    }
}

fn with_cookies(settings: &str) -> String {
    let base = format!("server.public_url = \"{OURS}\"\ncookie.mode = true\nrevocation.poll_interval = \"20ms\"\n");
    laid_over(&base, settings)
}
