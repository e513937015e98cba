//! Where a permitted request goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::{Error, ErrorType, Result};

use crate::config::checked::{Limits, Upstream};

use super::web_socket::ConnectForWebSocket;

/// What a request asks for, as far as its connection to the upstream is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ordinary,
    /// Its answer may be silent for long.
    EventStream,
    /// As an event stream, both ways.
    WebSocket,
}

/// Every upstream by name, with the timeouts of a connection to it.
#[derive(Debug)]
pub struct Upstreams {
    by_name: BTreeMap<String, Upstream>,
    /// Longest wait for the upstream to take more of a request.
    write_timeout: Duration,
    stream_idle: Duration,
}

impl Upstreams {
    #[must_use]
    pub fn new(by_name: BTreeMap<String, Upstream>, limits: &Limits) -> Self {
        Self { by_name, write_timeout: limits.body_idle_timeout, stream_idle: limits.stream_idle }
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Upstream> {
        self.by_name.get(name)
    }

    /// A peer with every timeout set.
    ///
    /// # Errors
    /// If the name is unknown or its host has no address.
    pub async fn peer(&self, name: &str, kind: Kind) -> Result<HttpPeer> {
        let upstream = self
            .get(name)
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "a route names an upstream that does not exist"))?;
        let address = resolve(&upstream.host, upstream.port).await?;
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.options.connection_timeout = Some(upstream.connect_timeout);
        peer.options.total_connection_timeout = Some(upstream.connect_timeout);
        peer.options.read_timeout = Some(match kind {
            Kind::Ordinary => upstream.response_timeout,
            Kind::EventStream | Kind::WebSocket => self.stream_idle,
        });
        peer.options.write_timeout = Some(self.write_timeout);
        peer.options.idle_timeout = Some(upstream.keep_alive);
        if kind != Kind::WebSocket {
            // Whatever else asks for an upgrade is an ordinary request; a 101 to it is a failure of the upstream.
            peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        }
        if kind == Kind::WebSocket {
            // A group of its own, of connections that are used once: the ordinary ones know nothing of holding back.
            peer.group_key = 1;
            peer.options.idle_timeout = Some(Duration::ZERO);
            peer.options.custom_l4 = Some(Arc::new(ConnectForWebSocket { connect_timeout: upstream.connect_timeout }));
        }
        Ok(peer)
    }
}

/// An address literal costs nothing; a name is looked up off the async threads.
async fn resolve(host: &str, port: u16) -> Result<SocketAddr> {
    if let Ok(address) = host.parse() {
        return Ok(SocketAddr::new(address, port));
    }
    let no_address = || Error::explain(ErrorType::ConnectNoRoute, "the upstream's host has no address").into_up();
    let mut addresses = tokio::net::lookup_host((host, port)).await.map_err(|_| no_address())?;
    addresses.next().ok_or_else(no_address)
}
