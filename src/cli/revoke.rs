//! `sidegate revoke …`.

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::admin::client::{CallError, call};
use crate::admin::message::{self, Heard, Revoked, Silent};
use crate::authority::revoke::Revoker;
use crate::boot::realm;
use crate::clock::Entropy;
use crate::config::checked::Config;
use crate::domain::selection::{NoSelection, Selection, Words};

use super::{Failure, audit, joined_store, keys, say};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("selection").required(true).multiple(true)
    .args(["session", "subject", "key", "from", "user_agent", "all"])))]
pub(super) struct Arguments {
    /// End one session, by its id (the `sid` of its tokens)
    #[arg(long, value_name = "ID", conflicts_with_all = ["subject", "key", "from", "user_agent", "all"])]
    session: Option<String>,
    /// End every session of a subject (the `sub` of its tokens)
    #[arg(long, conflicts_with_all = ["key", "from", "user_agent", "all"])]
    subject: Option<String>,
    /// Refuse whatever this signing key has signed, as `keys retire`; sessions go on
    #[arg(long, value_name = "KID", allow_hyphen_values = true, conflicts_with_all = ["from", "user_agent", "all"])]
    key: Option<String>,
    /// End every session whose login or last refresh came from this network, `10.0.0.0/8` for example, or address
    #[arg(long, value_name = "CIDR", conflicts_with = "all")]
    from: Option<String>,
    /// End every session whose user agent at login or last refresh contains this, whatever the case; with --from, at the
    /// same of the two
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "all")]
    user_agent: Option<String>,
    /// End every session of the realm
    #[arg(long)]
    all: bool,
    /// Say what would be ended, and change nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Have the running sidegate do it, and wait until every replica refuses it; for so many seconds [default: 10]
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "10",
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    wait: Option<u64>,
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let words = arguments.words();
    let selection = words.read()?;
    match arguments.wait {
        Some(seconds) => wait(config, words, Duration::from_secs(seconds)).await?,
        None => directly(config, &selection, arguments.dry_run).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Over the store, from where running replicas hear of it.
async fn directly(config: &Config, selection: &Selection, is_dry_run: bool) -> Result<(), Failure> {
    let store = joined_store(config).await?;
    let audit = audit(config)?;
    let secrets = match selection {
        // Another key may have to sign.
        Selection::Key(_) if !is_dry_run => realm::look(config, store.as_ref(), Entropy).await?.secrets,
        _ => Vec::new(),
    };
    let revoker = Revoker { keysmith: keys::keysmith(config, store.as_ref(), &audit, &secrets), hold: &|_| {} };
    if is_dry_run { say(revoker.preview(selection).await?) } else { say(revoker.revoke(selection).await?) }
}

/// Through the running sidegate, which knows who has heard.
async fn wait(config: &Config, words: Words<'_>, patience: Duration) -> Result<(), Failure> {
    let Some(place) = &config.admin else {
        return Err(Failure::Other(format!(
            "admin.listen is off: the running sidegate takes no calls\n  hint: {WITHOUT}"
        )));
    };
    let asked = message::Revoke::new(words, patience);
    let answer = call(place, "/revoke", &asked, patience + BEYOND).await;
    let Revoked { done, heard, unknown } = answer.map_err(|error| match error {
        unreachable @ CallError::Unreachable { .. } => Failure::Other(format!("{unreachable}; {WITHOUT}")),
        error => error.into(),
    })?;
    say(done)?;
    let Some(Heard { replicas, silent, milliseconds }) = heard else {
        let why = unknown.unwrap_or_default();
        return Err(Failure::Unheard(format!("nobody knows who has heard: {why}\n  hint: {AGAIN}")));
    };
    if !silent.is_empty() {
        let names: Vec<String> = silent.iter().map(|Silent { name, id }| format!("{name} ({id})")).collect();
        return Err(Failure::Unheard(format!(
            "not heard by {} of {replicas} replicas within {} s: {}\n  hint: {AGAIN}",
            silent.len(),
            patience.as_secs(),
            names.join(", ")
        )));
    }
    let all = if replicas == 1 { "the one replica".to_owned() } else { format!("all {replicas} replicas") };
    say(format_args!("heard by {all} after {milliseconds} ms"))
}

impl Arguments {
    fn words(&self) -> Words<'_> {
        Words {
            session: self.session.as_deref(),
            subject: self.subject.as_deref(),
            key: self.key.as_deref(),
            from: self.from.as_deref(),
            user_agent: self.user_agent.as_deref(),
            all: self.all,
        }
    }
}

impl From<NoSelection> for Failure {
    fn from(error: NoSelection) -> Self {
        Self::Other(error.to_string())
    }
}

const WITHOUT: &str = "without --wait, `sidegate revoke` writes to the store directly";
const AGAIN: &str = "nothing is undone; run the same again to wait for them, or see whether they still serve";
/// A call that takes so much longer than it should is lost. Ending a million sessions takes its time.
const BEYOND: Duration = Duration::from_mins(10);
