//! The machines: a primary and its standby, three replicas that reach it through a relay each, and a way for commands.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use crate::support::deployment::{Deployment, laid_over};
use crate::support::net::free_address;
use crate::support::postgres::{Database, Durability, Server};
use crate::support::process::Process;
use crate::support::raw::request;
use crate::support::relay::Relay;
use crate::support::wait::blocking;

use super::stage::ask;

pub(super) struct Site {
    pub(super) deployment: Arc<Deployment>,
    pub(super) nodes: Vec<Node>,
    /// Where commands and the audit reach the primary.
    pub(super) office: Relay,
    pub(super) primary: Server,
    pub(super) standby: Option<Standby>,
    pub(super) database: Database,
    /// One fleet is work enough for a machine.
    _turn: MutexGuard<'static, ()>,
}

pub(super) struct Standby {
    pub(super) server: Server,
    /// What the primary sends to it goes through here.
    pub(super) wire: Relay,
}

/// A replica in its place: started again it is where it was.
pub(super) struct Node {
    pub(super) gate: SocketAddr,
    pub(super) health: SocketAddr,
    /// To the database.
    pub(super) wire: Relay,
    config: String,
    pub(super) process: Process,
}

/// For all of them. Clients refresh often, and replicas accept access tokens long enough for an end to be told apart from
/// an expiry.
pub(super) const SETTINGS: &str = "access_token.ttl = \"2s\"\naccess_token.leeway = \"30s\"\nrevocation.poll_interval = \"100ms\"\n\
    refresh.late_window = \"1500ms\"\nstore.timeout = \"1s\"\nstore.connections = 8\nsession.per_subject = 200\nlog.level = \"error\"\nlog.access = false\n";

impl Site {
    /// Three replicas on one database, with a standby if asked for, and so many users besides the usual one.
    pub(super) async fn new(with_standby: bool, settings: &str) -> Self {
        let primary = blocking(|| Server::start(Durability::On)).await;
        Self::on(primary, with_standby, settings).await
    }

    pub(super) async fn on(primary: Server, with_standby: bool, settings: &str) -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
        let turn = ONE_AT_A_TIME.lock().await;
        let office = Relay::to(primary.address()).await;
        let database = primary.database().await;
        let deployment = Deployment::on(database.at(office.address), &laid_over(SETTINGS, settings)).await;
        let standby = if with_standby {
            let wire = Relay::to(primary.address()).await;
            let (server, address) = (primary.clone(), wire.address);
            // The wire needs this runtime while the standby starts.
            let server = blocking(move || server.standby(Durability::On, address)).await;
            Some(Standby { server, wire })
        } else {
            None
        };
        let deployment = Arc::new(deployment);
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(Node::start(&deployment, &database, primary.address()).await);
        }
        Self { deployment, nodes, office, primary, standby, database, _turn: turn }
    }

    pub(super) fn gates(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.gate).collect()
    }

    /// Every way to the database.
    pub(super) fn wires(&self) -> impl Iterator<Item = &Relay> {
        self.nodes.iter().map(|node| &node.wire).chain([&self.office])
    }
}

impl Node {
    async fn start(deployment: &Deployment, database: &Database, server: SocketAddr) -> Self {
        let wire = Relay::to(server).await;
        let (gate, health) = (free_address(), free_address());
        let store = format!("store.url = \"{}\"\n", database.at(wire.address).url);
        let config = deployment.config_at(gate, health, &store);
        let process = deployment.home.start(&["--config", &config, "run"]);
        let mut node = Self { gate, health, wire, config, process };
        node.until_serving(deployment).await;
        node
    }

    /// Starts it again on its ports.
    pub(super) async fn start_again(&mut self, deployment: &Deployment) {
        self.start_process(deployment);
        self.until_serving(deployment).await;
    }

    /// Kills it, and returns when it is gone.
    pub(super) async fn stop(&mut self) {
        self.process.kill();
        self.process.exit().await;
    }

    pub(super) fn start_process(&mut self, deployment: &Deployment) {
        self.process = deployment.home.start(&["--config", &self.config, "run"]);
    }

    /// Waits until it is ready; if it ends before, starts it again, as whoever watches over containers does.
    pub(super) async fn until_serving(&mut self, deployment: &Deployment) {
        let starting = async {
            while !self.is_ready().await {
                if !self.process.is_running() {
                    self.start_process(deployment);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), starting).await.expect("it serves in the end");
    }

    pub(super) async fn is_ready(&self) -> bool {
        ask(self.health, &request("GET", "/readyz")).await.is_ok_and(|answer| answer.status == 200)
    }
}

/// Names, one a line, as the record shows them.
pub(super) fn lines(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().fold(String::new(), |mut text, item| {
        let _ = writeln!(text, "{item}");
        text
    })
}
