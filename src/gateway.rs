//! What is on the wire: Pingora's phases, each a few lines that call a rule and carry out what it says.
//!
//! One request: [`listener`] reads its head and checks the bytes, Pingora parses it, [`Gateway::request_filter`] judges
//! it through [`admit`], and either [`endpoints`] answer, or [`answer`] refuses, or the [`Permit`] chooses the upstream
//! and [`forward`] writes the identity. Nothing is forwarded without a permit, which only
//! [`decide`](crate::domain::decision::decide) makes.
//!

use std::any::Any;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::authority::Authority;
use crate::config::checked::{Config, Limits, Login, Network, Vault};
use crate::domain::cors::Cors;
use crate::domain::decision::{Credential, Permit};
use crate::domain::forwarded::{client_address, client_scheme};
use crate::domain::identity::IdentityHeaders;
use crate::domain::observed::Events;
use crate::domain::session::Origin;
use crate::domain::target::Target;
use crate::lifecycle::Phase;
use crate::telemetry::Metrics;

use self::admit::{Admission, Admitted, AppLogin, Rules};
use self::answer::{Answer, BadRequest};
use self::context::RequestContext;
use self::cookies::{Asked, Cookies, Look};
use self::cors::MarkAnswers;
use self::endpoints::{Endpoint, EndpointRequest};
use self::forward::Outgoing;
use self::tunnel::Tunnel;
use self::upstreams::{Kind, Upstreams};

mod account;
pub mod admit;
pub mod answer;
mod by_cookie;
pub mod context;
pub mod cookies;
mod cors;
pub mod endpoints;
pub mod forward;
pub mod listener;
mod observed;
mod one_at_a_time;
mod pace;
mod passed_on;
mod tunnel;
pub mod upstreams;
mod vault;
mod web_socket;

/// The proxy application.
pub struct Gateway {
    authority: Arc<Authority>,
    rules: Rules,
    identity: IdentityHeaders,
    /// `None`: tokens travel in bodies only.
    cookies: Option<Arc<Cookies>>,
    observed: Events,
    cors: Option<Arc<Cors>>,
    upstreams: Upstreams,
    vault: Option<Vault>,
    limits: Limits,
    trusted_proxies: Vec<Network>,
    /// That somebody speaks for others who is not trusted to.
    has_warned: AtomicBool,
    phase: tokio::sync::watch::Receiver<Phase>,
    metrics: Arc<Metrics>,
}

impl Gateway {
    #[must_use]
    pub fn new(
        config: &Config,
        authority: Arc<Authority>,
        phase: tokio::sync::watch::Receiver<Phase>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            authority,
            rules: Rules {
                routes: config.routes.clone(),
                endpoints: config.endpoints.clone(),
                authorization_limit: config.limits.authorization,
                app_login: match &config.login {
                    Login::Upstream(login) => Some(AppLogin {
                        upstream: login.upstream.clone(),
                        method: login.method.clone(),
                        path: login.target.path().to_owned(),
                    }),
                    Login::Users { .. } | Login::None => None,
                },
            },
            identity: config.identity.clone(),
            cookies: config.cookie.clone().map(|mode| Arc::new(Cookies::new(&config.realm, mode))),
            observed: config.observed.clone(),
            cors: config.cors.clone(),
            upstreams: Upstreams::new(config.upstreams.clone(), &config.limits),
            vault: config.vault.clone(),
            limits: config.limits.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            has_warned: AtomicBool::new(false),
            phase,
            metrics,
        }
    }

    /// The client's address as far as it can be believed.
    fn client(&self, session: &Session) -> Option<IpAddr> {
        let peer = peer(session)?;
        let lines = session.req_header().headers.get_all("x-forwarded-for");
        // What cannot be read is no address, and ends the walk where it stands.
        let lines: Vec<Cow<'_, str>> = lines.iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        if !lines.is_empty() && !self.trusts(peer) && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(%peer, "X-Forwarded-For is not believed: if this is a proxy of yours, all its clients count \
                as one address until server.trusted_proxies names it");
        }
        Some(client_address(peer, lines.iter().map(AsRef::as_ref), |address| self.trusts(address)))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// A header that only a trusted proxy may say, and says once.
    fn trusted_header<'s>(&self, session: &'s Session, name: &str) -> Option<&'s HeaderValue> {
        let mut lines = session.req_header().headers.get_all(name).iter();
        let line = lines.next().filter(|_| lines.next().is_none())?;
        peer(session).is_some_and(|peer| self.trusts(peer)).then_some(line)
    }

    fn origin(&self, session: &Session) -> Origin {
        let user_agent = session.get_header(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Origin::new(self.client(session), user_agent)
    }

    /// Reads the body of a request to one of our endpoints and runs it, to its end even if the client goes.
    async fn run_endpoint(
        &self,
        endpoint: Endpoint,
        credential: Credential,
        session: &mut Session,
        context: &RequestContext,
    ) -> Result<Answer> {
        let body = match read_body(session, self.limits.endpoint_body, self.limits.header_timeout).await? {
            Ok(body) => body,
            Err(fault) => return Ok(answer::bad_request(fault)),
        };
        let head = session.req_header();
        let query = context.target.as_ref().and_then(Target::query);
        let request = EndpointRequest {
            method: head.method.clone(),
            query: query.map(str::to_owned),
            headers: head.headers.clone(),
            body,
            from: self.origin(session),
            arrived: context.started,
            credential,
            cookies: self.cookies.clone(),
        };
        let task = tokio::spawn(endpoints::answer(Arc::clone(&self.authority), endpoint, request));
        let mut answer = task.await.map_err(|_| Error::explain(ErrorType::InternalError, "an endpoint panicked"))?;
        self.keep_from_client(&mut answer);
        Ok(answer)
    }

    /// What a request brought to prove who it is, as far as somebody asks.
    async fn credential(
        &self,
        look: Look,
        session: &Session,
        query: Option<&str>,
        context: &mut RequestContext,
    ) -> Credential {
        let head = session.req_header();
        if let Some(cookies) = &self.cookies {
            let (method, headers) = (head.method.as_str(), &head.headers);
            let asked = Asked { method, headers, from: self.origin(session), arrived: context.started };
            let (credential, set_cookies) = cookies.credential(look, &asked, &self.authority).await;
            context.set_cookies = set_cookies;
            if let Some(credential) = credential {
                return credential;
            }
        }
        match look {
            Look::Nothing => Credential::Nothing,
            _ => self.rules.credential(&head.headers, query, &self.authority),
        }
    }

    /// An answer of ours, with the cookies that wait for one, unless it has some of its own.
    async fn with_cookies(&self, mut answer: Answer, context: &RequestContext) -> Answer {
        let brings_own = answer.headers().contains_key(header::SET_COOKIE);
        if !brings_own && context.set_cookies.still_good_after_all(&self.authority).await {
            context.set_cookies.write(answer.headers_mut());
        }
        answer
    }

    /// The page where a person logs in, instead of a 401 that only a program understands.
    fn login_page_for(&self, session: &Session, context: &RequestContext, answer: Answer) -> Answer {
        let (Some(cookies), Some(target)) = (&self.cookies, &context.target) else { return answer };
        let head = session.req_header();
        let page = (answer.status() == StatusCode::UNAUTHORIZED)
            .then(|| cookies.login_page(head.method.as_str(), &head.headers, &target.origin_form()));
        page.flatten().unwrap_or(answer)
    }

    fn is_draining(&self) -> bool {
        *self.phase.borrow() > Phase::Serving
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::new()
    }

    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        if let Some(cors) = &self.cors {
            modules.add_module(Box::new(MarkAnswers(Arc::clone(cors))));
        }
    }

    fn on_connection_reuse(&self, _: &mut Session, context: &mut RequestContext, carried: Box<dyn Any + Send + Sync>) {
        if let Ok(tunnel) = carried.downcast::<Tunnel>() {
            context.tunnel = *tunnel;
        }
    }

    async fn early_request_filter(&self, session: &mut Session, _: &mut RequestContext) -> Result<()> {
        let idle = if kind(session.req_header()) == Kind::WebSocket {
            self.limits.stream_idle
        } else {
            self.limits.body_idle_timeout
        };
        session.set_read_timeout(Some(idle));
        session.set_write_timeout(Some(self.limits.body_idle_timeout));
        session.as_downstream_mut().set_total_drain_timeout(Some(DRAIN_TIMEOUT));
        if self.is_draining() {
            session.set_keepalive(None);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut RequestContext) -> Result<bool> {
        let target = match Target::parse(session.req_header().raw_path()) {
            Ok(target) => target,
            Err(fault) => {
                let refused = answer::bad_target(fault);
                context.reason = refused.reason;
                return respond(session, refused.answer).await;
            }
        };
        if let Some(answer) = self.preflight(session.req_header(), context) {
            context.target = Some(target);
            return respond(session, answer).await;
        }
        let found = self.rules.find(&session.req_header().method, &target);
        let credential = self.credential(found.look(), session, target.query(), context).await;
        let Admitted { admission, route } = self.rules.admit(&found, credential, &self.authority);
        (context.target, context.route) = (Some(target), route);
        match admission {
            Admission::Forward(permit) => {
                context.decision = "permit";
                context.permit = Some(permit);
                self.watch(session, context);
                if kind(session.req_header()) != Kind::Ordinary {
                    context.open_tunnel(&session.req_header().method);
                }
                Ok(false)
            }
            Admission::Refuse(refusal) => {
                let refusal = self.authority.slowed_down(refusal, self.client(session));
                let refused = answer::refusal(&refusal, self.authority.realm());
                context.reason = refused.reason;
                let answer = self.login_page_for(session, context, refused.answer);
                respond(session, self.with_cookies(answer, context).await).await
            }
            Admission::Endpoint(endpoint, credential) => {
                (context.decision, context.reason) = ("endpoint", endpoint.code());
                let answer = self.run_endpoint(endpoint, credential, session, context).await?;
                respond(session, self.with_cookies(answer, context).await).await
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, context: &mut RequestContext) -> Result<Box<HttpPeer>> {
        let permit = context.permit.as_ref().ok_or_else(no_permit)?;
        self.upstreams.peer(permit.upstream(), kind(session.req_header())).await.map(Box::new)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        let (Some(permit), Some(target)) = (&context.permit, &context.target) else { return Err(no_permit()) };
        let upstream = self.upstreams.get(permit.upstream()).ok_or_else(no_permit)?;
        let outgoing = Outgoing {
            target,
            identity: permit.identity().map(AsRef::as_ref),
            headers: &self.identity,
            upstream,
            client: self.client(session),
            host: self.trusted_header(session, "x-forwarded-host").or_else(|| session.get_header(header::HOST)),
            scheme: client_scheme(
                self.trusted_header(session, "x-forwarded-proto").and_then(|scheme| scheme.to_str().ok()),
            ),
        };
        outgoing.write(request)?;
        if let Some(cookies) = &self.cookies {
            cookies.strip(request)?;
        }
        self.send_vault(session, request, context)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        if response.headers.get(header::CONTENT_TYPE).is_some_and(is_event_stream) {
            context.open_tunnel(&session.req_header().method);
        }
        context.upstream_millis = u64::try_from(context.started.elapsed().as_millis()).ok();
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !session.as_downstream().is_upgrade_req() {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "the upstream switches unasked").into_up());
        }
        self.observe(session, response, context).await;
        let is_1_0 = session.req_header().version == Version::HTTP_10;
        if is_1_0 && response.headers.contains_key(header::TRANSFER_ENCODING) {
            // Such a client knows no chunks: the end of the connection ends the body (RFC 9112 §6.1).
            response.remove_header(&header::TRANSFER_ENCODING);
            session.set_keepalive(None);
        }
        if self.is_draining() {
            session.set_keepalive(None);
        }
        self.receive_vault(session, response, context).await?;
        forward::write_back(response, context.permit.as_ref().is_some_and(|permit| permit.identity().is_some()))?;
        let Some(cookies) = &self.cookies else { return Ok(()) };
        cookies.drop_theirs(response)?;
        if context.set_cookies.still_good_after_all(&self.authority).await {
            context.set_cookies.write_on(response)?;
        }
        Ok(())
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, context: &mut RequestContext) -> FailToProxy {
        let instead = context.instead.take();
        let (status, reason, detail) = match &instead {
            Some(answer) => (Some(answer.status().as_u16()), context.reason, ""),
            None => failure(error),
        };
        context.reason = reason;
        if *error.esource() == ErrorSource::Upstream {
            self.metrics.upstream_failures.count(reason);
        }
        let answered = session.was_upgraded()
            || session.response_written().is_some_and(|response| !response.status.is_informational());
        if let Some(status) = status
            && !answered
        {
            session.set_keepalive(None);
            // The client may be gone; the request has failed either way.
            let answer = instead.unwrap_or_else(|| answer::problem(status, detail));
            let _ = write(session, self.with_cookies(answer, context).await).await;
            let _ = session.drain_request_body().await;
        }
        FailToProxy { error_code: status.unwrap_or(0), can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _: &Session, _: &RequestContext, _: &Error) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut RequestContext) {
        let elapsed = context.started.elapsed();
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let outcome = if context.decision == "permit" && error.is_some() { "failed" } else { context.decision };
        self.metrics.requests.count(if outcome == "refuse" { context.reason } else { outcome });
        self.metrics.request_seconds.observe(elapsed.as_secs_f64());
        let permit = context.permit.as_ref();
        let identity = permit.and_then(Permit::identity);
        tracing::info!(
            target: "sidegate::access",
            method = session.req_header().method.as_str(),
            path = context.target.as_ref().map(Target::loggable_path).as_deref(),
            status,
            route = context.route.as_deref(),
            decision = outcome,
            reason = (!context.reason.is_empty()).then_some(context.reason),
            subject = identity.map(|identity| identity.subject.as_str()),
            session = identity.map(|identity| tracing::field::display(identity.session)),
            observed = context.observed,
            upstream = permit.map(Permit::upstream),
            client = self.client(session).map(tracing::field::display),
            sent_bytes = session.body_bytes_sent(),
            first_byte_ms = context.upstream_millis,
            duration_ms = u64::try_from(elapsed.as_millis()).ok(),
        );
    }
}

/// How long an unread body may be drained before the connection is closed instead.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

fn peer(session: &Session) -> Option<IpAddr> {
    Some(session.client_addr()?.as_inet()?.ip())
}

/// WebSockets and event streams may be silent for long. A WebSocket is the only upgrade that is passed on.
fn kind(request: &RequestHeader) -> Kind {
    let upgrade = request.headers.get(header::UPGRADE).map(HeaderValue::as_bytes);
    let accepts_events = request
        .headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|value| value.as_bytes().windows(17).any(|part| part.eq_ignore_ascii_case(b"text/event-stream")));
    if request.method == Method::GET && upgrade.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")) {
        Kind::WebSocket
    } else if accepts_events {
        Kind::EventStream
    } else {
        Kind::Ordinary
    }
}

fn is_event_stream(media_type: &HeaderValue) -> bool {
    media_type.as_bytes().get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

fn no_permit() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "there is no permit for this request")
}

/// What a client is told when a request fails on the way: status (none if it has gone), word and detail.
fn failure(error: &Error) -> (Option<u16>, &'static str, &'static str) {
    use ErrorType::{
        ConnectTimedout, ConnectionClosed, HTTPStatus, InvalidHTTPHeader, ReadError, ReadTimedout,
        TLSHandshakeTimedout, WriteError, WriteTimedout,
    };
    let timed_out = matches!(error.etype(), ConnectTimedout | TLSHandshakeTimedout | ReadTimedout | WriteTimedout);
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, _) if has_cause(error, std::io::ErrorKind::InvalidData) => {
            (Some(400), "body_framing", "the body is not framed as chunks are")
        }
        (ErrorSource::Downstream, ReadError) if has_cause(error, std::io::ErrorKind::TimedOut) => {
            (Some(408), "client_slow", "the request did not arrive in time")
        }
        (ErrorSource::Upstream, _) if timed_out => {
            (Some(504), "upstream_timeout", "the application did not answer in time")
        }
        (ErrorSource::Upstream, _) => (Some(502), "upstream_failed", "the application did not answer"),
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed | WriteTimedout) => {
            (None, "client_gone", "")
        }
        (ErrorSource::Downstream, ReadTimedout) => (Some(408), "client_slow", "the request did not arrive in time"),
        (ErrorSource::Downstream, _) | (_, InvalidHTTPHeader) => (Some(400), "bad_request", "the request is malformed"),
        (_, HTTPStatus(status)) => (Some(*status), "bad_request", "the request was not understood"),
        _ => (Some(500), "internal", "the request could not be handled"),
    }
}

/// Whether the connection itself has refused to go on, and why.
fn has_cause(error: &Error, kind: std::io::ErrorKind) -> bool {
    error.root_cause().downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == kind)
}

/// Reads a whole body, at most `limit` bytes in at most `deadline`.
async fn read_body(
    session: &mut Session,
    limit: usize,
    deadline: Duration,
) -> Result<std::result::Result<Bytes, BadRequest>> {
    let announced = session.get_header(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Ok(Err(BadRequest::TooLarge));
    }
    if session.get_header(header::EXPECT).is_some() {
        session.write_continue_response().await.map_err(Error::into_down)?;
    }
    let reading = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = session.read_request_body().await.map_err(Error::into_down)? {
            body.extend_from_slice(&chunk);
            if body.len() > limit {
                return Ok(Err(BadRequest::TooLarge));
            }
        }
        Ok(Ok(body.freeze()))
    };
    tokio::time::timeout(deadline, reading).await.unwrap_or(Ok(Err(BadRequest::Slow)))
}

/// Answers a request ourselves. What the client still sends is read for a moment, lest a reset takes the answer away
/// from it. The connection stays usable if that was all, unless nobody can tell whether a body follows: where the client
/// waits to be asked for it, or where we gave up on it.
async fn respond(session: &mut Session, answer: Answer) -> Result<bool> {
    let gave_up = matches!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT);
    let closes = gave_up || session.get_header(header::EXPECT).is_some();
    session.set_close_on_response_before_downstream_finish(closes);
    write(session, answer).await?;
    if gave_up {
        // It closes, whether or not there was an end.
        let _ = session.drain_request_body().await;
    }
    Ok(true)
}

async fn write(session: &mut Session, answer: Answer) -> Result<()> {
    let (parts, body) = answer.into_parts();
    let mut header = ResponseHeader::build(parts.status, Some(parts.headers.len() + 1))?;
    for (name, value) in &parts.headers {
        header.append_header(name, value)?;
    }
    if parts.status != StatusCode::NO_CONTENT {
        header.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    let without_body = session.req_header().method == Method::HEAD || body.is_empty();
    session.write_response_header(Box::new(header), without_body).await?;
    if without_body {
        return Ok(());
    }
    session.write_response_body(Some(body), true).await
}
