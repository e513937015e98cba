//! Pingora by itself: the limit that sidegate is held against. The timeouts towards the upstream are sidegate's defaults.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use pingora::apps::ServerApp;
use pingora::protocols::l4::listener::Listener;
use pingora::proxy::{ProxyHttp, Session, http_proxy, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    upstream: SocketAddr,
    /// Accept as sidegate does, on a runtime of its own, and not in Pingora's server
    #[arg(long)]
    own_loop: bool,
}

struct Bare {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.upstream, false, String::new());
        peer.options.connection_timeout = Some(Duration::from_secs(2));
        peer.options.total_connection_timeout = Some(Duration::from_secs(2));
        peer.options.read_timeout = Some(Duration::from_mins(1));
        peer.options.write_timeout = Some(Duration::from_mins(1));
        peer.options.idle_timeout = Some(Duration::from_secs(4));
        Ok(Box::new(peer))
    }
}

/// Serves until it is killed.
///
/// # Errors
/// If it cannot start.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    let conf = ServerConf { threads: 1, ..ServerConf::default() };
    let bare = Bare { upstream: arguments.upstream };
    if arguments.own_loop {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        return runtime.block_on(own_loop(arguments.listen, &Arc::new(conf), bare));
    }
    let mut server = Server::new_with_opt_and_conf(None, conf);
    let mut service = http_proxy_service(&server.configuration, bare);
    service.add_tcp(&arguments.listen.to_string());
    server.add_service(service);
    server.run_forever()
}

async fn own_loop(listen: SocketAddr, conf: &Arc<ServerConf>, bare: Bare) -> io::Result<()> {
    let proxy = Arc::new(http_proxy(conf, bare));
    let listener = Listener::from(TcpListener::bind(listen).await?);
    let (_keep, never) = watch::channel(false);
    loop {
        let mut stream = listener.accept().await?;
        let _ = stream.set_nodelay();
        let (proxy, never) = (Arc::clone(&proxy), never.clone());
        tokio::spawn(async move {
            let mut stream: pingora::protocols::Stream = Box::new(stream);
            while let Some(reused) = proxy.process_new(stream, &never).await {
                stream = reused;
            }
        });
    }
}
