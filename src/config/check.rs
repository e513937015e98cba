//! From the file's keys to checked values: one function for each section, then the rules between sections.

mod admin;
mod answer_sign;
mod cookie;
mod cors;
mod endpoint;
mod identity;
mod login;
mod login_upstream;
mod on_response;
mod route;
mod server;
mod store;
mod token;
mod vault;

use std::sync::Arc;

use super::checked::{AuditOutput, Config, Log, LogFormat, LogLevel, Login};
use super::document::{Document, Setting};
use crate::domain::cookie::SessionCookies;
use crate::domain::rotation::RotationPolicy;

/// `None` if anything was noted that leaves a value unknown.
pub(super) fn config(document: &Document<'_>) -> Option<Config> {
    let realm = realm(document);
    let server = server::server(document);
    let health = server::health(document, server.as_ref());
    let admin = admin::admin(document, server.as_ref(), health);
    let upstreams = server::upstreams(document, server.as_ref());
    let limits = server::limits(document);
    let rates = server::rates(document);
    let store = store::store(document);
    let feed = store::feed(document);
    let poll_interval = store::poll_interval(document, store.as_ref());
    let max_staleness = store::max_staleness(document, poll_interval);
    let key = token::key(document);
    let public_url = token::public_url(document);
    let access_token = token::access_token(document, public_url.as_deref());
    let session = token::session(document);
    token::lifetimes(document, access_token.as_ref(), session.as_ref());
    let rotation = token::rotation(document);
    let late_window = rotation.as_ref().map(|policy| policy.late_window);
    let slowest_answer = upstreams.as_ref().and_then(server::slowest_answer);
    let cookie = cookie::mode(
        document,
        public_url.as_deref(),
        access_token.as_ref(),
        session.as_ref(),
        late_window,
        slowest_answer,
    );
    let verified_cache = document.section("verification").size("cache");
    let login = login::login(document);
    let own_cookies = match (&realm, &cookie) {
        (Some(realm), Some(Setting::On(mode))) => Some(SessionCookies::new(realm, mode.same_site)),
        _ => None,
    };
    let vault = vault::vault(document, login.as_ref(), own_cookies.as_ref());
    let endpoints = endpoint::endpoints(document, login.as_ref());
    let identity = identity::headers(document);
    let routes = route::table(document);
    if let (Some(Login::Upstream(login)), Some(cookie)) = (&login, &cookie) {
        login_upstream::fits_cookies(document, login, matches!(cookie, Setting::On(_)));
    }
    if let (Some(endpoints), Some(routes)) = (&endpoints, &routes) {
        endpoint::warn_of_shadowed_routes(document, endpoints, routes);
        if let Some(Setting::On(mode)) = &cookie {
            cookie::fits(document, mode, endpoints, routes);
        }
        if let Some(Login::Upstream(login)) = &login {
            login_upstream::warn_of_shadowed_login(document, login, endpoints);
        }
    }
    let kept = match &vault {
        Some(Setting::On(vault)) => Some(vault),
        _ => None,
    };
    let observed = on_response::events(document, endpoints.as_ref(), routes.as_ref(), kept);
    let log = log(document);
    let audit = audit(document);
    let cookie = cookie?.on();
    if let (Some(_), Some(vault)) = (&cookie, kept) {
        vault::warn_of_large_cookies(document, vault);
    }
    let cors = cors::cors(document, cookie.as_ref());
    let cookie_window = cookie.as_ref().map(|mode| mode.repeat_window).unwrap_or_default();
    Some(Config {
        realm: realm?,
        server: server?,
        health: health?,
        admin: admin?.on(),
        upstreams: upstreams?,
        limits: limits?,
        rates: rates?,
        store: store?,
        key: key?,
        access_token: access_token?,
        session: session?,
        rotation: RotationPolicy { cookie_window, ..rotation? },
        feed: feed?,
        poll_interval: poll_interval?,
        max_staleness: max_staleness?,
        verified_cache: verified_cache?,
        login: login?,
        vault: vault?.on(),
        endpoints: endpoints?,
        cookie,
        identity: identity?,
        routes: routes?,
        observed: observed?,
        cors: cors?.on().map(Arc::new),
        log: log?,
        audit: audit?,
        warnings: Vec::new(),
    })
}

fn realm(document: &Document<'_>) -> Option<String> {
    let entry = document.section("").entry("realm")?;
    let realm = entry.text()?;
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    let fits = realm.len() <= 63 && realm.bytes().all(inner) && !realm.is_empty() && !realm.starts_with(['_', '-']);
    if !fits {
        entry.refuse(
            "not a realm's name",
            "write one word of a-z, 0-9, `_` and `-`, starting with a letter or digit, 63 characters at most",
        );
    }
    fits.then_some(realm)
}

fn log(document: &Document<'_>) -> Option<Log> {
    let section = document.section("log");
    let level = section.choice("level", |word| match word {
        "error" => Some(LogLevel::Error),
        "warn" => Some(LogLevel::Warn),
        "info" => Some(LogLevel::Info),
        "debug" => Some(LogLevel::Debug),
        "trace" => Some(LogLevel::Trace),
        _ => None,
    });
    let format = section.choice("format", |word| match word {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    });
    let access = section.flag("access");
    Some(Log { level: level?, format: format?, access: access? })
}

/// The upstream of everything that no route sends elsewhere.
const DEFAULT_UPSTREAM: &str = "default";

fn audit(document: &Document<'_>) -> Option<AuditOutput> {
    let entry = document.section("audit").entry("output")?;
    match entry.text()?.as_str() {
        "" => Some(AuditOutput::Off),
        "stdout" => Some(AuditOutput::Stdout),
        text => {
            let path = text.strip_prefix("file:").filter(|path| !path.is_empty());
            if path.is_none() {
                entry.refuse("not a place for audit lines", entry.accepted());
            }
            path.map(|path| AuditOutput::File(document.surroundings().base.join(path)))
        }
    }
}
