//! `sidegate demo`: a sample API that knows nothing of tokens, sidegate in front of it, and the lines to try.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use crate::authority::passwords::Passwords;
use crate::boot::{self, BootError};
use crate::cli::{Failure, Signals, open_store, serve_until_signal, start_logging, system_clock};
use crate::clock::Entropy;
use crate::config::checked::{Config, Login};
use crate::domain::route::{AuthMode, Route, RoutePath};
use crate::domain::session::Subject;
use crate::domain::user::{Password, User, UserName};

mod page;
mod sample_api;

const USER: &str = "demo";
const PASSWORD: &str = "sidegate-demo";

/// Short enough to wait for, and long enough to type the lines.
const TTL: Duration = Duration::from_secs(30);

/// A token that shows as expired is soon refused; and one clock is never quite another.
const LEEWAY: Duration = Duration::from_secs(1);

/// Serves the sample API where the configuration expects it, and sidegate in front of it, until Ctrl-C.
pub(crate) async fn run(config: &Config) -> Result<ExitCode, Failure> {
    start_logging(config);
    let config = &with_a_page(config)?;
    let api = bind_sample_api(config).await?;
    let api_address = api.local_addr().map_err(|error| Failure::Other(error.to_string()))?;
    tokio::spawn(sample_api::serve(api));
    let signals = Signals::listen()?;
    let running = boot::start(config, system_clock(), Entropy).await?;
    add_user(config).await?;
    if let Some(listen) = running.listen.first() {
        print_lines(*listen, api_address, config.access_token.ttl);
    }
    serve_until_signal(running, signals).await
}

/// The configuration, with the sample API's page open to everybody, and tokens that expire while one watches.
fn with_a_page(config: &Config) -> Result<Config, Failure> {
    let mut config = config.clone();
    config.access_token.ttl = config.access_token.ttl.min(TTL);
    config.access_token.leeway = LEEWAY;
    let path = RoutePath::parse(page::PATTERN).map_err(|fault| Failure::Other(fault.to_string()))?;
    let open = Route { paths: vec![path], auth: AuthMode::None, ..Route::fallback("default") };
    // One that the operator wrote for the same path stays as it is.
    if let Ok(routes) = config.routes.with(open) {
        config.routes = routes;
    }
    Ok(config)
}

async fn bind_sample_api(config: &Config) -> Result<tokio::net::TcpListener, Failure> {
    let Some(upstream) = config.upstreams.get("default") else {
        return Err(Failure::Other("the demo needs upstream.default".into()));
    };
    let place = (upstream.host.as_str(), upstream.port);
    tokio::net::TcpListener::bind(place).await.map_err(|error| {
        let (host, port) = place;
        Failure::from(BootError::SampleApi { place: format!("{host}:{port}"), kind: error.kind() })
    })
}

/// The demo user, unless an earlier demo made it.
async fn add_user(config: &Config) -> Result<(), Failure> {
    let Login::Users { argon2, min_length } = config.login else {
        return Err(Failure::Other("the demo needs login.provider = \"users\"".into()));
    };
    let (Some(name), Some(subject)) = (UserName::parse(USER), Subject::parse(USER)) else {
        return Err(Failure::Other("the demo user has a bad name".into()));
    };
    let store = open_store(config).await?;
    if store.account(&name).await?.is_some() {
        return Ok(());
    }
    let password_hash = Passwords::new(argon2, min_length, Entropy)?.hash(Password::new(PASSWORD.into())).await?;
    let mut claims = serde_json::Map::new();
    claims.insert("roles".into(), serde_json::json!(["reader", "writer"]));
    store.add_user(&User { name, subject, password_hash, disabled: false, claims }).await?;
    Ok(())
}

fn print_lines(gate: SocketAddr, api: SocketAddr, ttl: Duration) {
    let lines = include_str!("demo/lines.txt")
        .replace("{gate}", &gate.to_string())
        .replace("{api}", &api.to_string())
        .replace("{ttl}", &ttl.as_secs().to_string());
    // Nobody may be reading.
    let _ = std::io::stdout().lock().write_all(lines.as_bytes());
}
