//! Puts the parts together and takes them down again. No globals: two of these can run in one process.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::admin::calls::{self, Calls};
use crate::admin::door::Door;
use crate::admin::{self, Health};
use crate::authority::keys::OpenedKeys;
use crate::authority::passwords::Passwords;
use crate::authority::upstream_login::UpstreamLogin;
use crate::authority::{Authority, Directory, Parts, jose};
use crate::clock::{Entropy, SharedClock};
use crate::config::checked::{AdminListen, Config, Feed, Login};
use crate::domain::observed::Ends;
use crate::domain::secret::{OperatorSecret, sha256};
use crate::gateway::Gateway;
use crate::gateway::listener::{self, Shared};
use crate::lifecycle::{Lifecycle, Phase};
use crate::store::{self, OpenError, Replica, ReplicaId, Store};
use crate::telemetry::{Audit, Metrics};

mod error;
pub mod realm;
pub mod secrets;

pub use self::error::BootError;

/// A sidegate that serves.
pub struct Running {
    /// Where it listens; with port 0 in the configuration, the port that was given.
    pub listen: Vec<SocketAddr>,
    pub health: SocketAddr,
    /// Where it takes the operator's calls.
    pub admin: Option<AdminListen>,
    pub authority: Arc<Authority>,
    lifecycle: Arc<Lifecycle>,
    listeners: JoinSet<()>,
    /// The feed, what tends to the store, and the health listener: dropped last.
    background: JoinSet<()>,
    drain_timeout: Duration,
}

/// Starts everything, on the configured store.
///
/// # Errors
/// [`BootError`], one line each.
pub async fn start(config: &Config, clock: SharedClock, entropy: Entropy) -> Result<Running, BootError> {
    let opening = store::open(&config.store, &config.realm, SharedClock::clone(&clock));
    start_on(opening, config, clock, entropy).await
}

/// Starts everything, on a store that is opened in its turn: listeners are bound first, so that a port in use is known at
/// once; requests are accepted only when keys and revocations are loaded.
///
/// # Errors
/// [`BootError`], one line each.
pub async fn start_on(
    opening: impl Future<Output = Result<Arc<dyn Store>, OpenError>>,
    config: &Config,
    clock: SharedClock,
    entropy: Entropy,
) -> Result<Running, BootError> {
    jose::install();
    let health_listener = bind(config.health).await?;
    let mut sockets = Vec::new();
    for address in &config.server.listen {
        sockets.push(bind(*address).await?);
    }
    let door = match &config.admin {
        Some(place) => Some(Door::open(place).await?),
        None => None,
    };
    let listen: Vec<SocketAddr> = sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect();
    let health_address = health_listener.local_addr().unwrap_or(config.health);

    let metrics = Arc::new(Metrics::default());
    let lifecycle = Lifecycle::new(config.server.drain_delay);
    let health =
        Arc::new(Health { phase: lifecycle.watch(), authority: OnceLock::new(), metrics: Arc::clone(&metrics) });
    let mut background = JoinSet::new();
    background.spawn(admin::serve(health_listener, Arc::clone(&health)));

    let store = opening.await?;
    let founding = Box::pin(authority(config, &listen, store, clock, entropy, Arc::clone(&metrics)));
    let authority = Arc::new(founding.await?);
    let cursor = authority.load().await?;
    // What the others wait for, or a person who watches: before anybody is told that this replica serves.
    if let Err(error) = authority.tend_keys().await {
        tracing::warn!(%error, "the signing keys could not be looked after");
    }
    let _ = health.authority.set(Arc::clone(&authority));
    background.spawn(Arc::clone(&authority).follow(cursor, config.poll_interval));
    background.spawn(Arc::clone(&authority).tend());
    if config.feed == Feed::Listen {
        background.spawn(Arc::clone(&authority).listen());
    }

    let gateway = Gateway::new(config, Arc::clone(&authority), lifecycle.watch(), Arc::clone(&metrics));
    let shared = Arc::new(Shared {
        authority: Arc::clone(&authority),
        proxy: Arc::new(http_proxy(&Arc::new(ServerConf::default()), gateway)),
        limits: config.limits.clone(),
        slots: Arc::new(Semaphore::new(config.limits.connections)),
        metrics,
        phase: lifecycle.watch(),
        cors: config.cors.clone(),
        never: watch::channel(false).1,
    });
    let mut listeners = JoinSet::new();
    for socket in sockets {
        listeners.spawn(listener::serve(socket, Arc::clone(&shared)));
    }
    let admin = door.as_ref().map(|door| door.place().clone());
    if let Some(door) = door {
        let (authority, lifecycle) = (Arc::clone(&authority), Arc::clone(&lifecycle));
        let audit = authority.audit().of_operator();
        listeners.spawn(calls::serve(door, Calls { authority, lifecycle, audit }));
    }
    lifecycle.advance(Phase::Serving);
    let drain_timeout = config.server.drain_timeout;
    Ok(Running { listen, health: health_address, admin, authority, lifecycle, listeners, background, drain_timeout })
}

impl Running {
    /// Returns only if a part that must never end has ended: without the feed a replica would serve on and hear of no
    /// revocation. Whoever gets this must stop.
    pub async fn broken(&mut self) {
        tokio::select! {
            Some(_) = self.background.join_next() => {}
            Some(_) = self.listeners.join_next() => {}
        }
        tracing::error!("a part of sidegate has ended that must not: stopping");
    }

    /// Not ready at once; accepts until `drain_delay` has passed since somebody first asked for it, so that whoever routes
    /// here can hear of it; then nothing new. Goes on as [`Running::stop`].
    pub async fn drain(self) -> bool {
        Arc::clone(&self.lifecycle).drain().await;
        self.stop().await
    }

    /// Accepts nothing more; ends as soon as nothing is in flight, or after `drain_timeout`. Says whether everything
    /// ended by itself, and every session that was ended here is ended in the store.
    pub async fn stop(mut self) -> bool {
        self.lifecycle.advance(Phase::Stopping);
        let ended = async { while self.listeners.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(self.drain_timeout, ended).await.is_ok();
        let left = self.authority.settle_ends().await;
        for ends in &left {
            let again = match ends {
                Ends::Session(id) => format!("--session {id}"),
                Ends::Subject(subject) | Ends::Others(subject, _) => format!("--subject {subject}"),
            };
            tracing::error!("ended here, but the store never took it: end it again with `sidegate revoke {again}`");
        }
        for session in &self.authority.store_vaults(self.drain_timeout).await {
            tracing::error!(%session, "the upstream's cookies have changed, and the store never took it: the session may be lost");
        }
        self.background.shutdown().await;
        // The last word: nothing reports after it.
        self.authority.leave().await;
        in_time && left.is_empty()
    }
}

async fn authority(
    config: &Config,
    listen: &[SocketAddr],
    store: Arc<dyn Store>,
    clock: SharedClock,
    entropy: Entropy,
    metrics: Arc<Metrics>,
) -> Result<Authority, BootError> {
    let audit = Audit::of_server(&config.audit, &config.realm, SharedClock::clone(&clock), metrics.audit_lost.clone())
        .map_err(|error| BootError::Audit(error.kind()))?;
    let realm::Joined { secrets, known_secrets, live } = realm::join(config, store.as_ref(), &audit, entropy).await?;
    let host = host_name();
    let id = replica_id(&host, listen);
    let name = listen.first().map_or_else(|| host.clone(), |address| format!("{host} {address}"));
    let fingerprints = secrets.iter().map(OperatorSecret::fingerprint).collect();
    let replica = Replica { id, name, secrets: fingerprints, heard: 0 };
    // Before anything is opened or signed here: from now on the others know what this replica can open, and see to it that
    // it can. If it fails now, a later start does not.
    store.report(&replica).await?;
    let keyring = realm::open_keys(config, store.as_ref(), &secrets).await?;
    let keys = OpenedKeys { replica, secrets, keyring };
    let directory = match &config.login {
        Login::Users { argon2, min_length } => {
            Directory::Users(Passwords::new(*argon2, *min_length, entropy).map_err(BootError::Passwords)?)
        }
        Login::Upstream(login) => {
            Directory::Upstream(Box::new(UpstreamLogin::new(login, config).map_err(BootError::UpstreamLogin)?))
        }
        Login::None => Directory::None,
    };
    let parts = Parts { store, keys, known_secrets, live, directory, clock, entropy, metrics, audit };
    Ok(Authority::new(config, parts))
}

/// The same for each start in one place: a replica that fails to start, again and again, is one replica.
fn replica_id(host: &str, listen: &[SocketAddr]) -> ReplicaId {
    let hash = sha256(format!("{host}\0{listen:?}").as_bytes());
    ReplicaId(hash.first_chunk().copied().unwrap_or_default())
}

/// Bytes that the system takes of an answer before the client has room for them.
const MOST_UNSENT: u32 = 128 * 1024;

/// The pod's name, in a pod.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "unknown".to_owned() } else { name.trim().to_owned() }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, BootError> {
    let listener = TcpListener::bind(address).await.map_err(|error| BootError::Bind { address, kind: error.kind() })?;
    // Connections inherit it. With megabytes waiting in the system, a write to somebody who reads slowly but steadily seems
    // to stand still, and is ended. Where there is no such option, that stays so.
    let _ = SockRef::from(&listener).set_tcp_notsent_lowat(MOST_UNSENT);
    Ok(listener)
}
