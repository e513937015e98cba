//! The header fields on their way to the upstream and back.
//!
//! Runs in Pingora's upstream phase, after it has removed what a client's `Connection` field nominates: nothing a client
//! sends can remove what is set here.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};

use crate::config::checked::UpstreamAuthorization;
use crate::domain::forwarded::is_proxy_field;
use crate::domain::identity::{Identity, IdentityHeaders};
use crate::domain::target::Target;

/// What is written on a request to the upstream.
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub target: &'a Target,
    pub identity: Option<&'a Identity>,
    pub headers: &'a IdentityHeaders,
    pub authorization: UpstreamAuthorization,
    /// The client's address as far as it can be believed.
    pub client: Option<IpAddr>,
    /// The `Host` the client asked for.
    pub host: Option<&'a HeaderValue>,
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
        if self.authorization == UpstreamAuthorization::Strip {
            request.remove_header(&header::AUTHORIZATION);
        }
        let uri = self.target.origin_form().parse().map_err(|_| internal("the canonical target is no URI"))?;
        request.set_uri(uri);
        for (name, value) in self.headers.values(self.identity) {
            request.insert_header(name.to_owned(), value)?;
        }
        if let Some(client) = self.client {
            request.insert_header("X-Forwarded-For", client.to_string())?;
        }
        if let Some(host) = self.host {
            request.insert_header("X-Forwarded-Host", host)?;
        }
        request.insert_header("X-Forwarded-Proto", "http")?;
        Ok(())
    }
}

/// Marks an answer to an authenticated request as one person's (RFC 9111 §3.5), where the upstream said nothing, and
/// drops what speaks of another way in.
///
/// # Errors
/// If a value cannot be written.
pub fn write_back(response: &mut ResponseHeader, authenticated: bool) -> Result<()> {
    response.remove_header(&header::ALT_SVC);
    if !authenticated {
        return Ok(());
    }
    if !response.headers.contains_key(header::CACHE_CONTROL) {
        response.insert_header(header::CACHE_CONTROL, "private")?;
    }
    response.append_header(header::VARY, "Authorization, Cookie")?;
    Ok(())
}

fn internal(what: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, what)
}
