//! The command line. Commands that change something write to the store; a running sidegate hears it from there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::admin::client::CallError;
use crate::authority::keyring::KeyringError;
use crate::authority::keys::KeysError;
use crate::authority::passwords::PasswordsError;
use crate::authority::revoke::RevokeError;
use crate::boot::{self, BootError};
use crate::clock::{Entropy, SharedClock, SystemClock};
use crate::config;
use crate::config::checked::{self, Config};
use crate::demo;
use crate::store::{self, Store, StoreError};
use crate::telemetry::{self, Audit};

mod check;
mod drain;
mod init;
mod input;
mod keys;
mod revoke;
mod run;
mod sessions;
mod token;
mod users;

pub(crate) use self::run::{Signals, serve_until_signal};

/// A reverse-proxy auth sidecar: it checks the access token on every request to an API that knows nothing of tokens, and
/// answers /login, /refresh and /logout itself.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    /// The configuration file
    #[arg(long, short, global = true, default_value = "config.toml", value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve, until SIGTERM or Ctrl-C
    Run,
    /// Check the configuration and say what it means
    Check,
    /// Try it: a sample API, sidegate in front of it, a user, and the lines to type
    Demo,
    /// Write a configuration to start from, and make the secret, the store and the first signing key
    Init,
    /// Bring the store's schema up to date; make the realm's first signing key
    Migrate,
    /// Manage the built-in users
    #[command(subcommand)]
    Users(users::Command),
    /// Look at sessions
    #[command(subcommand)]
    Sessions(sessions::Command),
    /// Manage what tokens are signed with
    #[command(subcommand)]
    Keys(keys::Command),
    /// Look at a token
    #[command(subcommand)]
    Token(token::Command),
    /// Have the running sidegate tell that it is not ready, and wait until whoever routes to it has heard: a preStop hook
    Drain,
    /// End a session, all of a subject's, or everybody's: refused on every replica at once
    ///
    /// It is written to the store, from where every running replica hears of it. With --wait the running sidegate of this
    /// configuration does it, and the command returns when every replica refuses what was ended. One that fell silent is
    /// waited for as long as it could still accept a token. If some have not answered in time, they are named and the exit
    /// code is 75: nothing is undone, and it is safe to run the same again.
    Revoke(revoke::Arguments),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { config: path, command } = Cli::parse();
    match dispatch(&path, command) {
        Ok(code) => code,
        Err(failure) => {
            // Nowhere is left to say it if this fails.
            let _ = writeln!(std::io::stderr().lock(), "sidegate: {failure}");
            failure.exit_code()
        }
    }
}

fn dispatch(path: &Path, command: Command) -> Result<ExitCode, Failure> {
    if let Command::Init = command {
        init::write_configuration(path)?;
    }
    let config = load(path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.workers)
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Run => run::run(&config).await,
            Command::Check => check::check(path, &config),
            Command::Demo => demo::run(&config).await,
            Command::Init => init::make_realm(&config).await,
            Command::Migrate => migrate(&config).await,
            Command::Users(command) => users::run(&config, command).await,
            Command::Sessions(command) => sessions::run(&config, command).await,
            Command::Keys(command) => keys::run(&config, command).await,
            Command::Token(command) => token::run(&config, command).await,
            Command::Drain => drain::run(&config).await,
            Command::Revoke(arguments) => revoke::run(&config, &arguments).await,
        }
    })
}

fn load(path: &Path) -> Result<Config, Failure> {
    config::load(path).map_err(|problems| Failure::Configuration(problems.to_string()))
}

async fn migrate(config: &Config) -> Result<ExitCode, Failure> {
    boot::realm::migrate(config, &audit(config)?, system_clock(), Entropy).await?;
    say(format_args!("the store {} is up to date for realm {}", config.store.location, config.realm))?;
    Ok(ExitCode::SUCCESS)
}

/// The store a command works on. It must be there, and somebody's: a command that made an empty one, because it was typed
/// in another folder, would report success and change nothing that matters.
async fn joined_store(config: &Config) -> Result<Arc<dyn Store>, Failure> {
    let existing = checked::Store { migrate: checked::Migrate::Check, ..config.store.clone() };
    let store = store::open(&existing, &config.realm, system_clock()).await.map_err(BootError::from)?;
    if store.join(config.access_token.ttl).await?.secrets.is_empty() {
        return Err(BootError::NotMigrated.into());
    }
    Ok(store)
}

/// Where what a command does is recorded.
fn audit(config: &Config) -> Result<Audit, Failure> {
    Audit::of_command(&config.audit, &config.realm, system_clock())
        .map_err(|error| Failure::Boot(BootError::Audit(error.kind())))
}

/// Opens the configured store.
pub(crate) async fn open_store(config: &Config) -> Result<Arc<dyn Store>, Failure> {
    Ok(store::open(&config.store, &config.realm, system_clock()).await.map_err(BootError::from)?)
}

pub(crate) fn system_clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// Writes a line to standard output. Nobody reading it is no error; a line that cannot be written is.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Other(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints the warnings of a configuration and starts logging.
pub(crate) fn start_logging(config: &Config) {
    telemetry::start_logging(&config.log);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Every problem of the file, printed as it is.
    #[error("{0}")]
    Configuration(String),
    #[error("{0}")]
    Boot(#[from] BootError),
    /// Nothing was changed, and this is why.
    #[error("{0}")]
    Other(String),
    /// It was done, and not everybody is known to have heard of it.
    #[error("{0}")]
    Unheard(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Boot(error.into())
    }
}

impl From<KeyringError> for Failure {
    fn from(error: KeyringError) -> Self {
        Self::Boot(error.into())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Store(error) => error.into(),
            KeysError::Keyring(error) => error.into(),
        }
    }
}

impl From<RevokeError> for Failure {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Keys(error) => error.into(),
            error => Self::Other(error.to_string()),
        }
    }
}

impl From<PasswordsError> for Failure {
    fn from(error: PasswordsError) -> Self {
        Self::Other(error.to_string())
    }
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) => ExitCode::from(78),
            Self::Boot(error) => error.exit_code(),
            Self::Other(_) => ExitCode::FAILURE,
            Self::Unheard(_) => ExitCode::from(75),
        }
    }
}

/// Names a user.
#[derive(Debug, Args)]
struct UserArgument {
    /// The name the person logs in with
    name: String,
}
