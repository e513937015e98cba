//! The header fields on their way to the upstream and back.
//!
//! Runs in Pingora's upstream phase, after it has removed what a client's `Connection` field nominates: nothing a client
//! sends can remove what is set here.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};

use crate::config::checked::{Upstream, UpstreamAuthorization};
use crate::domain::forwarded::is_proxy_field;
use crate::domain::identity::{Identity, IdentityHeaders};
use crate::domain::target::Target;

/// What is written on a request to the upstream.
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub target: &'a Target,
    pub identity: Option<&'a Identity>,
    pub headers: &'a IdentityHeaders,
    pub upstream: &'a Upstream,
    /// The client's address as far as it can be believed.
    pub client: Option<IpAddr>,
    /// The `Host` the client asked for.
    pub host: Option<&'a HeaderValue>,
    /// How the client reached the first trusted proxy, or us.
    pub scheme: &'static str,
}

impl Outgoing<'_> {
    /// Strips every header that only sidegate may write, then writes them.
    ///
    /// # Errors
    /// If a value cannot be written; the request is not forwarded then.
    pub fn write(&self, request: &mut RequestHeader) -> Result<()> {
        let stripped: Vec<HeaderName> = request
            .headers
            .keys()
            .filter(|name| self.headers.strips(name.as_str()) || is_proxy_field(name.as_str()))
            .cloned()
            .collect();
        for name in stripped {
            request.remove_header(&name);
        }
        // Kept only where it was verified: a backend that reads it relies on that.
        if self.upstream.authorization == UpstreamAuthorization::Strip || self.identity.is_none() {
            request.remove_header(&header::AUTHORIZATION);
        }
        let uri = self.target.origin_form().parse().map_err(|_| internal("the canonical target is no URI"))?;
        request.set_uri(uri);
        for (name, value) in self.headers.values(self.identity) {
            request.insert_header(name.clone(), value)?;
        }
        if let Some(client) = self.client {
            request.insert_header("X-Forwarded-For", client.to_string())?;
        }
        if let Some(host) = self.host {
            request.insert_header("X-Forwarded-Host", host)?;
        }
        request.insert_header("X-Forwarded-Proto", self.scheme)?;
        // The upstream is spoken to in HTTP/1.1, whatever the client speaks, and that needs one (RFC 9112 §3.2).
        if !request.headers.contains_key(header::HOST) {
            let Upstream { host, port, .. } = self.upstream;
            let host = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            request.insert_header(header::HOST, host)?;
        }
        Ok(())
    }
}

/// Drops what the upstream said about its connection to us or about another way in, and marks an answer to an
/// authenticated request as one person's (RFC 9111 §3.5), where the upstream said nothing.
///
/// # Errors
/// If a value cannot be written.
pub fn write_back(response: &mut ResponseHeader, authenticated: bool) -> Result<()> {
    remove_hop_by_hop(response);
    response.remove_header(&header::ALT_SVC);
    if !authenticated || response.status.is_informational() {
        return Ok(());
    }
    if !response.headers.contains_key(header::CACHE_CONTROL) {
        response.insert_header(header::CACHE_CONTROL, "private")?;
    }
    response.append_header(header::VARY, "Authorization, Cookie")?;
    Ok(())
}

/// Takes the `Set-Cookie` lines that are not for the client out of an answer, and gives them.
///
/// # Errors
/// If a line that stays cannot be written.
pub fn take_set_cookies(response: &mut ResponseHeader, is_taken: impl Fn(&[u8]) -> bool) -> Result<Vec<HeaderValue>> {
    let lines = response.headers.get_all(header::SET_COOKIE).iter().cloned();
    let (taken, left): (Vec<_>, Vec<_>) = lines.partition(|line| is_taken(line.as_bytes()));
    if !taken.is_empty() {
        response.remove_header(&header::SET_COOKIE);
        for line in left {
            response.append_header(header::SET_COOKIE, line)?;
        }
    }
    Ok(taken)
}

/// RFC 9110 §7.6.1. How the body is framed is the library's business, and an answered upgrade keeps its two fields.
fn remove_hop_by_hop(response: &mut ResponseHeader) {
    let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
    let nominated = response.headers.get_all(header::CONNECTION).iter();
    let nominated = nominated
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| *name != header::CONTENT_LENGTH && *name != header::TRANSFER_ENCODING);
    let there = response.headers.keys().filter(|name| HOP_BY_HOP.contains(name)).cloned();
    let removed: Vec<HeaderName> = nominated
        .chain(there)
        .filter(|name| !(switches && (*name == header::CONNECTION || *name == header::UPGRADE)))
        .collect();
    for name in removed {
        response.remove_header(&name);
    }
}

static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

fn internal(what: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, what)
}
