//! `[server]`, `[health]`, `[upstream.NAME]` and `[limit]`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

use super::DEFAULT_UPSTREAM;
use crate::config::checked::{Limits, Network, Rates, Server, Upstream, UpstreamAuthorization};
use crate::config::document::{Document, Entry, Section};

pub(super) fn server(document: &Document<'_>) -> Option<Server> {
    let section = document.section("server");
    let listen = listen(&section);
    let trusted_proxies = section.list("trusted_proxies", |item| trusted_proxy(document, item));
    let workers = section.number("workers");
    let drain_delay = section.duration("drain_delay");
    let drain_timeout = section.duration("drain_timeout");
    Some(Server {
        listen: listen?,
        trusted_proxies: trusted_proxies?,
        workers: match workers? {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        },
        drain_delay: drain_delay?,
        drain_timeout: drain_timeout?,
    })
}

fn listen(section: &Section<'_>) -> Option<Vec<SocketAddr>> {
    let items = section.entry("listen")?.items()?;
    if items.is_empty() {
        section.refuse("listen", "no address", r#"write at least one: ["http://127.0.0.1:8080"]"#);
    }
    let mut listen: Vec<SocketAddr> = Vec::new();
    for item in &items {
        let Some(address) = listen_address(item) else { continue };
        if let Some(other) = listen.iter().find(|other| overlap(**other, address)) {
            item.refuse(format!("{other} already takes this address"), "listen on each address once");
        }
        listen.push(address);
    }
    (!listen.is_empty() && listen.len() == items.len()).then_some(listen)
}

pub(super) fn listen_address(entry: &Entry<'_>) -> Option<SocketAddr> {
    let text = entry.text()?;
    let address = text.strip_prefix("http://").and_then(|address| address.parse().ok());
    if address.is_none() {
        entry.refuse(
            "not an address to listen on",
            "write http://IP:PORT, for example http://127.0.0.1:8080, or http://[::1]:8080",
        );
    }
    address
}

fn trusted_proxy(document: &Document<'_>, entry: &Entry<'_>) -> Option<Network> {
    use crate::domain::network::NetworkFault;
    match Network::parse(&entry.text()?) {
        Ok(network) => {
            if network.prefix == 0 {
                document.warn(format!("server.trusted_proxies: {network} lets every client claim any address"));
            }
            Some(network)
        }
        Err(fault) => {
            let hint = match fault {
                NetworkFault::HostBits(network) => format!("write {network}"),
                _ => "write an address or an address and a prefix length: 10.0.0.0/8, fd00::/8, 192.168.1.7".to_owned(),
            };
            entry.refuse(fault.to_string(), hint);
            None
        }
    }
}

pub(super) fn health(document: &Document<'_>, server: Option<&Server>) -> Option<SocketAddr> {
    let entry = document.section("health").entry("listen")?;
    let health = listen_address(&entry)?;
    let mut taken = server.into_iter().flat_map(|server| &server.listen);
    if let Some(other) = taken.find(|other| overlap(**other, health)) {
        entry.refuse(
            format!("server.listen already takes this address, with {other}"),
            "health answers without authentication and needs a port of its own",
        );
    }
    Some(health)
}

/// Whether the second one could not be bound. Port 0 is another port each time.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let every = |address: SocketAddr| address.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && a.is_ipv4() == b.is_ipv4() && (a.ip() == b.ip() || every(a) || every(b))
}

/// How long the head of an answer may take.
pub(super) fn slowest_answer(upstreams: &BTreeMap<String, Upstream>) -> Option<Duration> {
    upstreams.values().map(|upstream| upstream.connect_timeout + upstream.response_timeout).max()
}

pub(super) fn upstreams(document: &Document<'_>, server: Option<&Server>) -> Option<BTreeMap<String, Upstream>> {
    let sections = document.named_sections("upstream", DEFAULT_UPSTREAM);
    if let Some((_, first)) = sections.first()
        && !sections.iter().any(|(name, _)| name == DEFAULT_UPSTREAM)
    {
        first.refuse_all(
            "there is no [upstream.default]",
            "name one of them `default`: it takes what no route sends elsewhere",
        );
    }
    let mut upstreams = Some(BTreeMap::new());
    for (name, section) in sections {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if name.is_empty() || !name.bytes().all(plain) {
            section.refuse_all("not a name for an upstream", "name it with a-z, 0-9, `_` and `-`");
        }
        match (upstream(&section, server), &mut upstreams) {
            (Some(upstream), Some(upstreams)) => drop(upstreams.insert(name, upstream)),
            (Some(_), None) => {}
            (None, _) => upstreams = None,
        }
    }
    upstreams
}

fn upstream(section: &Section<'_>, server: Option<&Server>) -> Option<Upstream> {
    let address = section.entry("url").and_then(|url| upstream_address(&url, server));
    let connect_timeout = section.duration("connect_timeout");
    let response_timeout = section.duration("response_timeout");
    let keep_alive = section.duration("keep_alive");
    let authorization = section.choice("authorization", |word| match word {
        "strip" => Some(UpstreamAuthorization::Strip),
        "keep" => Some(UpstreamAuthorization::Keep),
        _ => None,
    });
    let (host, port) = address?;
    Some(Upstream {
        host,
        port,
        connect_timeout: connect_timeout?,
        response_timeout: response_timeout?,
        keep_alive: keep_alive?,
        authorization: authorization?,
    })
}

fn upstream_address(entry: &Entry<'_>, server: Option<&Server>) -> Option<(String, u16)> {
    let text = entry.word()?;
    let hint = "write http://HOST:PORT, for example http://127.0.0.1:3000";
    let url = Url::parse(&text).ok().filter(|url| url.scheme() == "http");
    let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host()?))) else {
        entry.refuse("not an http:// URL", hint);
        return None;
    };
    let port = url.port_or_known_default().unwrap_or(80);
    let fault = if !url.username().is_empty() || url.password().is_some() {
        "holds a user name"
    } else if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        "holds a path or a query: what was requested is what is forwarded"
    } else if port == 0 {
        "port 0 cannot be connected to"
    } else if server.is_some_and(|server| server.listen.iter().any(|listen| reaches(&host, port, *listen))) {
        entry.refuse("server.listen has the same address: sidegate would forward to itself", "write the API's address");
        return None;
    } else {
        let host = match host {
            Host::Ipv6(address) => address.to_string(),
            host => host.to_string(),
        };
        return Some((host, port));
    };
    entry.refuse(fault, hint);
    None
}

fn reaches(host: &Host<&str>, port: u16, listen: SocketAddr) -> bool {
    let address = match host {
        Host::Ipv4(address) => IpAddr::V4(*address),
        Host::Ipv6(address) => IpAddr::V6(*address),
        Host::Domain("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Host::Domain(_) => return false,
    };
    let here = listen.ip().is_unspecified() && (address.is_loopback() || address.is_unspecified());
    listen.port() == port && (listen.ip() == address || here)
}

pub(super) fn rates(document: &Document<'_>) -> Option<Rates> {
    let section = document.section("rate");
    let login_per_account = section.rate("login_per_account");
    let login_per_address = section.rate("login_per_address");
    let refresh_per_session = section.rate("refresh_per_session");
    let bad_tokens_per_address = section.rate("bad_tokens_per_address");
    Some(Rates {
        login_per_account: login_per_account?.on(),
        login_per_address: login_per_address?.on(),
        refresh_per_session: refresh_per_session?.on(),
        bad_tokens_per_address: bad_tokens_per_address?.on(),
    })
}

pub(super) fn limits(document: &Document<'_>) -> Option<Limits> {
    let section = document.section("limit");
    let connections = section.number("connections");
    let request_line = section.size("request_line");
    let headers = section.size("headers");
    let authorization = section.size("authorization");
    let endpoint_body = section.size("endpoint_body");
    let requests_per_connection = section.number("requests_per_connection");
    let header_timeout = section.duration("header_timeout");
    let body_idle_timeout = section.duration("body_idle_timeout");
    let keep_alive = section.duration("keep_alive");
    let stream_idle = section.duration("stream_idle");
    if let (Some(headers), Some(authorization)) = (headers, authorization)
        && authorization > headers
    {
        let hint = "one header cannot be larger than all of them: lower limit.authorization or raise limit.headers";
        if section.has("authorization") {
            section.refuse("authorization", "larger than limit.headers", hint);
        } else {
            section.refuse("headers", "smaller than limit.authorization", hint);
        }
    }
    Some(Limits {
        connections: connections?,
        request_line: request_line?,
        headers: headers?,
        authorization: authorization?,
        endpoint_body: endpoint_body?,
        requests_per_connection: requests_per_connection?,
        header_timeout: header_timeout?,
        body_idle_timeout: body_idle_timeout?,
        keep_alive: keep_alive?,
        stream_idle: stream_idle?,
    })
}
