//! One deployment: a recording upstream, a store, a secret, and any number of sidegates in front, as real processes or in
//! this one.

use std::io::{Seek, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sidegate::boot::{self, Running};
use sidegate::clock::{Entropy, SystemClock};
use sidegate::config::checked::Config;
use sidegate::config::{self, Surroundings};

use super::net::free_address;
use super::postgres::{self, Database};
use super::process::{Finished, Home, Process};
use super::upstream::Upstream;
use super::wire::PATIENCE;

/// Which store a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    Sqlite,
    Postgres,
}

/// Everything but the sidegates.
pub struct Deployment {
    pub upstream: Upstream,
    pub home: Home,
    pub database: Option<Database>,
    settings: toml::Table,
}

/// A sidegate process.
pub struct Replica {
    pub process: Process,
    pub gate: SocketAddr,
    pub health: SocketAddr,
    /// The name of its configuration file: commands with it talk to this one.
    pub config: String,
}

/// The user of every deployment.
pub const USER: &str = "ann";
pub const PASSWORD: &str = "correct horse battery";

/// What the file `secret` holds.
pub const OPERATOR_SECRET: &str = "2f1d7a9c5be84036a1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5a6b7c8";

/// Tests are in a hurry, and all come from one address.
const NO_LIMITS: &str = "login_per_account = \"\", login_per_address = \"\", refresh_per_session = \"\", \
                         bad_tokens_per_address = \"\"";

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Deployment {
    /// A deployment with the user [`USER`], who has the role `clerk`. `settings` is TOML that is laid over the defaults.
    pub async fn new(kind: StoreKind, settings: &str) -> Self {
        let deployment = Self::without_user(kind, settings).await;
        deployment.add_user(USER, PASSWORD, &["--role", "clerk"]).await;
        deployment
    }

    /// As [`Self::new`], on a database that the test chose.
    pub async fn on(database: Database, settings: &str) -> Self {
        let deployment = Self::founded(Some(database), settings).await;
        deployment.add_user(USER, PASSWORD, &["--role", "clerk"]).await;
        deployment
    }

    /// A deployment whose realm is founded, and nothing more.
    pub async fn without_user(kind: StoreKind, settings: &str) -> Self {
        let database = if kind == StoreKind::Postgres { Some(postgres::database().await) } else { None };
        Self::founded(database, settings).await
    }

    /// As [`Self::without_user`], on a database that the test chose.
    pub async fn without_user_on(database: Database, settings: &str) -> Self {
        Self::founded(Some(database), settings).await
    }

    async fn founded(database: Option<Database>, settings: &str) -> Self {
        let (upstream, home) = (Upstream::start().await, Home::new());
        home.write("secret", format!("{OPERATOR_SECRET}\n"));
        let url = database.as_ref().map_or_else(|| "sqlite:sidegate.db".to_owned(), |database| database.url.clone());
        let base = format!(
            "server.drain_delay = \"10ms\"\nupstream.default.url = \"{}\"\nstore.url = \"{url}\"\n\
             key.secret_files = [\"secret\"]\nlogin.users.argon2_memory = \"64KiB\"\nrate = {{ {NO_LIMITS} }}\naudit.output = \"\"\n",
            upstream.url()
        );
        let mut merged: toml::Table = base.parse().expect("the base settings are TOML");
        merge(&mut merged, settings.parse().expect("the settings are TOML"));
        if let Some(toml::Value::Table(store)) = merged.get_mut("store").filter(|store| store.get("url_file").is_some())
        {
            store.remove("url");
        }
        if let Some(toml::Value::Table(login)) = merged.get_mut("login").filter(|login| login.get("provider").is_some())
        {
            login.remove("users");
        }
        let deployment = Self { upstream, home, database, settings: merged };
        deployment.write_config("config.toml", free_address(), free_address());
        let migrated = deployment.command(&["migrate"]).await;
        assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
        deployment
    }

    pub async fn add_user(&self, name: &str, password: &str, arguments: &[&str]) {
        let added = self.command_reading(&[&["users", "add", name], arguments].concat(), password).await;
        assert_eq!(added.code, Some(0), "{}", added.stderr);
    }

    /// Sets a password as the operator does, which ends the user's sessions.
    pub async fn set_password(&self, name: &str, password: &str) {
        let set = self.command_reading(&["users", "passwd", name], password).await;
        assert_eq!(set.code, Some(0), "{}", set.stderr);
    }

    /// Runs `sidegate` with these arguments to its end.
    pub async fn command(&self, arguments: &[&str]) -> Finished {
        self.home.run(arguments).await
    }

    async fn command_reading(&self, arguments: &[&str], input: &str) -> Finished {
        let mut file = tempfile::tempfile().expect("a temporary file can be made");
        let written = file.write_all(input.as_bytes()).and_then(|()| file.rewind());
        written.expect("a temporary file can be written");
        Process::start_reading(&mut self.home.command(arguments), file).finish().await
    }

    /// Starts one more sidegate as a process of its own, and waits until it serves.
    pub async fn replica(&self) -> Replica {
        self.replica_within(PATIENCE).await
    }

    /// As [`Self::replica`], for one that has much to do first.
    pub async fn replica_within(&self, patience: Duration) -> Replica {
        let (gate, health) = (free_address(), free_address());
        let name = self.config_at(gate, health, "");
        let process = self.home.start(&["--config", &name, "run"]);
        process.wait_for_within("health on", patience).await;
        Replica { process, gate, health, config: name }
    }

    /// Starts one more sidegate in this process.
    pub async fn in_process(&self) -> Running {
        self.in_process_with("").await
    }

    /// As [`Self::in_process`], with more settings laid over it.
    pub async fn in_process_with(&self, over: &str) -> Running {
        let config = self.config_with(over);
        Box::pin(boot::start(&config, Arc::new(SystemClock), Entropy)).await.expect("sidegate starts")
    }

    /// Writes a configuration file for these addresses, with more settings laid over it, and says its name.
    pub fn config_at(&self, gate: SocketAddr, health: SocketAddr, over: &str) -> String {
        let name = format!("config-{}.toml", gate.port());
        self.home.write(&name, self.text(gate, health, over));
        name
    }

    /// Writes a configuration file that listens on ports that the system chooses, and says its name.
    pub fn config_on_any_port(&self) -> &'static str {
        self.write_config("any-port.toml", ANY_PORT, ANY_PORT);
        "any-port.toml"
    }

    /// The configuration, listening on ports that the system chooses.
    pub fn config(&self) -> Config {
        self.config_with("")
    }

    fn config_with(&self, over: &str) -> Config {
        let text = self.text(ANY_PORT, ANY_PORT, over);
        let base = self.home.path("");
        let surroundings = Surroundings { name: "config.toml", base: &base, variable: &|_| None };
        config::parse(&text, &surroundings).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn write_config(&self, name: &str, gate: SocketAddr, health: SocketAddr) {
        self.home.write(name, self.text(gate, health, ""));
    }

    fn text(&self, gate: SocketAddr, health: SocketAddr, over: &str) -> String {
        let mut settings = self.settings.clone();
        merge(&mut settings, over.parse().expect("the settings are TOML"));
        let addresses = format!("server.listen = [\"http://{gate}\"]\nhealth.listen = \"http://{health}\"\n");
        merge(&mut settings, addresses.parse().expect("the addresses are TOML"));
        // Each one that has a port of its own has a socket of its own.
        let socket = if gate == ANY_PORT { String::new() } else { format!("unix:admin-{}.sock", gate.port()) };
        let mut all = format!("admin.listen = \"{socket}\"\n").parse().expect("the socket's path is TOML");
        merge(&mut all, settings);
        all.to_string()
    }
}

/// Settings with others laid over them.
pub fn laid_over(base: &str, over: &str) -> String {
    let mut settings: toml::Table = base.parse().expect("the settings are TOML");
    merge(&mut settings, over.parse().expect("the settings are TOML"));
    settings.to_string()
}

/// Lays one table over another; arrays and values are replaced whole.
fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}
