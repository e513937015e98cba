//! Making a connection, and whether the server's session behind it is ours alone.
//!
//! A pooler may give each transaction another session of the server. What is set, prepared or listened to on such a
//! session stays with whoever gets it next. So a start-up option of our own goes with the connection: the session that
//! knows of it was made for us; every other one, and every one behind a pooler that refuses the option, is taken as shared.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection, Row};
use url::{Host, Url};

use super::super::StoreError;
use super::connection::{sql_state, store_error, too_slow};
use crate::config::postgres::{Address, Place};

/// Whose session of the server a connection speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// Ours, until the connection ends.
    Own,
    /// Another one in each transaction, perhaps.
    Shared,
}

/// How connections to an address are made. `Debug` shows the address.
pub(super) struct Reach {
    pub(super) address: Address,
    options: PgConnectOptions,
    /// There is a pooler that refuses start-up options.
    refuses_options: AtomicBool,
}

impl Reach {
    /// The address as the place's configuration was read.
    pub(super) fn first(place: &Place) -> Result<Self, StoreError> {
        Self::new(place.address().clone(), place)
    }

    pub(super) fn new(address: Address, place: &Place) -> Result<Self, StoreError> {
        let options = options(&address, place)?;
        Ok(Self { address, options, refuses_options: AtomicBool::new(false) })
    }

    /// A connection. `settings` hold for it from the beginning if its session is its own, and not at all otherwise.
    pub(super) async fn connect(&self, settings: &[(&str, String)]) -> Result<(PgConnection, Session), sqlx::Error> {
        if !self.refuses_options.load(Ordering::Relaxed) {
            match self.proving(settings).connect().await {
                Ok(mut connection) => {
                    let session = session(&mut connection).await?;
                    return Ok((connection, session));
                }
                Err(error) if is_about_options(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let connection = self.options.connect().await?;
        self.refuses_options.store(true, Ordering::Relaxed);
        Ok((connection, Session::Shared))
    }

    /// As [`Self::connect`], with an error for people.
    pub(super) async fn connect_in(&self, timeout: Duration) -> Result<(PgConnection, Session), StoreError> {
        match tokio::time::timeout(timeout, self.connect(&[])).await {
            Ok(connected) => connected.map_err(|error| store_error(&error)),
            Err(_) => Err(too_slow(timeout)),
        }
    }

    /// For a connection whose session is known to be its own.
    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    fn proving(&self, settings: &[(&str, String)]) -> PgConnectOptions {
        self.options.clone().options([(PROOF, "own")]).options(settings.iter().map(|(name, value)| (name, value)))
    }
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reach({})", self.address)
    }
}

async fn session(connection: &mut PgConnection) -> Result<Session, sqlx::Error> {
    // Without parameters, so that it is one message, which leaves nothing behind.
    let row =
        sqlx::raw_sql("SELECT current_setting('sidegate.session', true) AS session").fetch_one(connection).await?;
    let proof: Option<String> = row.try_get("session")?;
    Ok(if proof.as_deref() == Some("own") { Session::Own } else { Session::Shared })
}

const PROOF: &str = "sidegate.session";

/// "Unsupported startup parameter" and its like. A server that means something else by it says it again without options.
fn is_about_options(error: &sqlx::Error) -> bool {
    matches!(sql_state(error).as_deref(), Some("08P01" | "0A000"))
}

/// What the URL says, made strict: a server that is not on this machine must prove who it is, unless the URL itself
/// asks for less.
fn options(address: &Address, place: &Place) -> Result<PgConnectOptions, StoreError> {
    let invalid = |why: &dyn std::fmt::Display| StoreError::Unavailable(format!("the URL is not usable: {why}"));
    let parsed = Url::parse(&address.url).map_err(|error| invalid(&error))?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(invalid(&"it does not begin with postgres://"));
    }
    let mut options = PgConnectOptions::from_url(&parsed).map_err(|error| invalid(&error))?;
    if let Some(Host::Ipv6(address)) = parsed.host() {
        options = options.host(&address.to_string());
    }
    let says_mode = parsed.query_pairs().any(|(key, _)| matches!(&*key, "sslmode" | "ssl-mode"));
    if !says_mode {
        let mode = if is_local(&options) { PgSslMode::Prefer } else { PgSslMode::VerifyFull };
        options = options.ssl_mode(mode);
    }
    if let Some(file) = place.ca_file() {
        options = options.ssl_root_cert(file);
    }
    if let Some(password) = &address.password {
        options = options.password(password);
    }
    if options.get_application_name().is_none() {
        options = options.application_name("sidegate");
    }
    // No floating point is stored, and poolers refuse start-up parameters they do not know.
    Ok(options.extra_float_digits(None).disable_statement_logging())
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::Postgres;

    fn of(url: &str) -> Result<PgConnectOptions, StoreError> {
        Reach::first(&Postgres::at(url, None).place).map(|reach| reach.options())
    }

    fn mode(url: &str) -> PgSslMode {
        of(url).unwrap().get_ssl_mode()
    }

    #[test]
    fn a_server_elsewhere_must_prove_who_it_is_unless_the_url_asks_for_less() {
        for url in ["postgres://u:p@db.internal/x", "postgresql://10.0.0.5/x", "postgres://[2001:db8::1]/x"] {
            assert!(matches!(mode(url), PgSslMode::VerifyFull), "{url}");
        }
        assert!(matches!(mode("postgres://db.internal/x?sslmode=require"), PgSslMode::Require));
        for url in
            ["postgres://localhost/x", "postgres://127.0.0.9/x", "postgres://[::1]/x", "postgres://%2Frun%2Fpg/x"]
        {
            assert!(matches!(mode(url), PgSslMode::Prefer), "{url}");
        }
    }

    #[test]
    fn a_host_in_the_query_counts_too() {
        assert!(matches!(mode("postgres://localhost/x?host=db.internal"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres:///x?host=/run/postgresql"), PgSslMode::Prefer));
    }

    #[test]
    fn an_unusable_url_is_an_error_without_its_password() {
        for url in ["mysql://u:hunter2@h/x", "postgres://u:hunter2@h:99999/x", "hunter2"] {
            let error = of(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
