//! The configuration after every check: values that later code need not doubt.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use super::postgres::Postgres;
use crate::domain::access_token::TokenRules;
use crate::domain::answer_sign::AnswerSign;
use crate::domain::cookie::SameSite;
use crate::domain::cors::Cors;
use crate::domain::csrf::TrustedOrigins;
use crate::domain::identity::IdentityHeaders;
use crate::domain::keys::Algorithm;
use crate::domain::login_page::LoginPage;
pub use crate::domain::network::Network;
use crate::domain::observed::Events;
use crate::domain::rate::Rate;
use crate::domain::rotation::RotationPolicy;
use crate::domain::route::RouteTable;
use crate::domain::target::Target;
use crate::domain::upstream_login::{BodyTemplate, LoginRules};
use crate::domain::vault::CookieNames;

/// Everything one sidegate runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Scopes issuer, keys, users, sessions, epochs and revocations. One word.
    pub realm: String,
    pub server: Server,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub health: SocketAddr,
    /// Where the operator's calls are taken; `None`: nowhere.
    pub admin: Option<AdminListen>,
    /// By name; `default` always exists.
    pub upstreams: BTreeMap<String, Upstream>,
    pub limits: Limits,
    pub rates: Rates,
    pub store: Store,
    pub key: Key,
    pub access_token: AccessToken,
    pub session: Session,
    pub rotation: RotationPolicy,
    pub feed: Feed,
    /// How often the store is asked for new revocations, whether or not something wakes us.
    pub poll_interval: Duration,
    /// After this long without an answer from the store it is not known what has been revoked.
    pub max_staleness: Duration,
    /// Bound of the verified-token cache, in bytes.
    pub verified_cache: u64,
    pub login: Login,
    /// `None`: no cookies of an upstream are kept.
    pub vault: Option<Vault>,
    pub endpoints: Endpoints,
    /// `None`: tokens travel in bodies only.
    pub cookie: Option<CookieMode>,
    pub identity: IdentityHeaders,
    pub routes: RouteTable,
    pub observed: Events,
    /// `None`: only pages of our own origin, and what is no page.
    pub cors: Option<Arc<Cors>>,
    pub log: Log,
    pub audit: AuditOutput,
    /// What works and is probably not meant, or weakens security; to be logged at each start.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub listen: Vec<SocketAddr>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Worker threads; at least 1.
    pub workers: usize,
    /// How long the listener stays open after SIGTERM, not ready.
    pub drain_delay: Duration,
    /// How long requests in flight may take after that.
    pub drain_timeout: Duration,
}

/// Where the operator's calls are taken, and so how a caller shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminListen {
    /// A socket for whoever has the same user id, or root's.
    Unix(PathBuf),
    /// An address of the loopback, for whoever knows what the file holds.
    Http { address: SocketAddr, token_file: PathBuf },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Host name or address literal, without brackets.
    pub host: String,
    pub port: u16,
    pub connect_timeout: Duration,
    /// Longest silence while an answer is awaited or read.
    pub response_timeout: Duration,
    /// How long an idle connection is kept for the next request.
    pub keep_alive: Duration,
    pub authorization: UpstreamAuthorization,
}

/// What becomes of the client's `Authorization` field on the way to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamAuthorization {
    Strip,
    Keep,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at once.
    pub connections: usize,
    /// Bytes of the request line.
    pub request_line: usize,
    /// Bytes of all header lines.
    pub headers: usize,
    /// Bytes of one `Authorization` value.
    pub authorization: usize,
    /// Bytes of a body that sidegate's own endpoints read.
    pub endpoint_body: usize,
    pub requests_per_connection: u32,
    /// For reading one request's head.
    pub header_timeout: Duration,
    /// Longest silence of a client while its body is read or an answer is written to it.
    pub body_idle_timeout: Duration,
    /// Idle client connections are closed after this.
    pub keep_alive: Duration,
    /// Longest silence on WebSocket connections and event streams.
    pub stream_idle: Duration,
}

/// How often is too often; `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    pub login_per_account: Option<Rate>,
    pub login_per_address: Option<Rate>,
    pub refresh_per_session: Option<Rate>,
    pub bad_tokens_per_address: Option<Rate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    pub location: StoreLocation,
    pub connections: u32,
    /// For a connection and for each statement.
    pub timeout: Duration,
    pub migrate: Migrate,
}

#[derive(Clone, PartialEq, Eq)]
pub enum StoreLocation {
    Sqlite(PathBuf),
    /// Holds a password, so `Debug` shows host and database only.
    Postgres(Box<Postgres>),
}

/// How new revocations are heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// The store wakes us, if it can.
    Listen,
    /// Only by asking.
    Poll,
}

/// Who brings the schema up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrate {
    /// Each start, under a lock.
    Auto,
    /// `sidegate migrate`; a start with another schema fails.
    Check,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub algorithm: Algorithm,
    /// Files of operator secrets; the first one that every running replica has signs.
    pub secret_files: Vec<PathBuf>,
    /// How long a key signs; zero: until it is told otherwise.
    pub rotate_every: Duration,
    /// How long a key is published before it signs.
    pub publish_ahead: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    pub issuer: String,
    pub audience: String,
    pub client_id: String,
    pub ttl: Duration,
    pub leeway: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub idle_ttl: Duration,
    pub max_ttl: Duration,
    pub per_subject: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Login {
    /// The built-in directory.
    Users { min_length: usize, argon2: Argon2 },
    /// The application's own login.
    Upstream(Box<UpstreamLogin>),
    /// No login here.
    None,
}

/// How the application's own login is asked, and what its answer means.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamLogin {
    /// Which of the upstreams.
    pub upstream: String,
    /// Asked with `GET` before each login.
    pub page: Option<Target>,
    pub method: http::Method,
    pub target: Target,
    /// Fields of a login that hold name and password.
    pub username: String,
    pub password: String,
    pub body: BodyTemplate,
    pub rules: LoginRules,
    /// Asked with `GET` after a success.
    pub probe: Option<Target>,
    pub answer: LoginAnswer,
    /// Scheme and authority of `server.public_url`: how clients reach the application.
    pub public_scheme: &'static str,
    pub public_host: String,
}

/// What the client gets of a login by the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginAnswer {
    /// Our own answer.
    Tokens,
    /// The application's, with our cookies.
    Upstream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2 {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Hashes computed at once.
    pub slots: usize,
}

/// The cookies of an upstream that are kept in the session and never reach a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    pub cookies: CookieNames,
    /// Most bytes of them together.
    pub size: usize,
    /// Whose they are.
    pub upstream: String,
    /// How it answers when it has forgotten them.
    pub lost: Option<AnswerSign>,
}

/// Paths of our own endpoints; `None`: off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    pub login: Option<String>,
    /// Whether the application may have a page of its own at that path: `GET` goes there.
    pub login_has_page: bool,
    pub refresh: Option<String>,
    pub logout: Option<String>,
    pub logout_all: Option<String>,
    pub password: Option<String>,
    /// Also serves every path one segment below.
    pub sessions: Option<String>,
    pub me: Option<String>,
}

/// How tokens travel in cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieMode {
    pub same_site: SameSite,
    /// Whose pages may act for who is logged in; ours among them.
    pub origins: TrustedOrigins,
    /// Whether a request whose access token has ended is refreshed on its way.
    pub refresh_in_request: bool,
    /// How long a token that was exchanged gets the same successor.
    pub repeat_window: Duration,
    /// Where a person is sent who has to log in.
    pub login_page: Option<LoginPage>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
    /// One line per request.
    pub access: bool,
}

/// Where audit lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    Off,
    Stdout,
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Endpoints {
    /// Whether a request to this path is for the page from which the application's own login is sent.
    #[must_use]
    pub fn leave_to_page(&self, method: &str, path: &str) -> bool {
        self.login_has_page && matches!(method, "GET" | "HEAD") && self.login.as_deref() == Some(path)
    }

    /// Each with its key's name.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<&str>); 7] {
        let Self { login, login_has_page: _, refresh, logout, logout_all, password, sessions, me } = self;
        [
            ("login", login.as_deref()),
            ("refresh", refresh.as_deref()),
            ("logout", logout.as_deref()),
            ("logout_all", logout_all.as_deref()),
            ("password", password.as_deref()),
            ("sessions", sessions.as_deref()),
            ("me", me.as_deref()),
        ]
    }
}

impl AccessToken {
    /// What our own issuer's tokens must say.
    #[must_use]
    pub fn rules(&self) -> TokenRules {
        TokenRules {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            leeway: self.leeway,
            max_lifetime: self.ttl,
        }
    }
}

impl std::fmt::Display for AdminListen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http { address, .. } => write!(f, "http://{address}"),
        }
    }
}

impl std::fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoreLocation({self})")
    }
}

impl std::fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(postgres) => write!(f, "{}", postgres.place.address()),
        }
    }
}
