//! `sidegate sessions …`.

use std::process::ExitCode;

use clap::Subcommand;

use crate::clock::rfc3339;
use crate::config::checked::Config;
use crate::domain::session::{Origin, Subject};

use super::{Failure, joined_store, say};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show a subject's sessions, newest first
    List {
        /// The `sub` of the tokens
        #[arg(long)]
        subject: String,
    },
}

pub(super) async fn run(config: &Config, Command::List { subject }: Command) -> Result<ExitCode, Failure> {
    let parsed = Subject::parse(&subject).ok_or_else(|| Failure::Other(format!("{subject:?} cannot be a subject")))?;
    let sessions = joined_store(config).await?.sessions_of(&parsed).await?;
    say(format_args!("{:<32} {:<20} {:<20} {:<20} FROM", "SESSION", "LOGIN", "LAST REFRESH", "ENDS"))?;
    for session in &sessions {
        say(format_args!(
            "{:<32} {:<20} {:<20} {:<20} {}",
            session.id,
            rfc3339(session.created),
            rfc3339(session.rotated),
            rfc3339(session.idle_end.min(session.absolute_end)),
            place(&session.last_from)
        ))?;
    }
    say(format_args!("{} session{}", sessions.len(), if sessions.len() == 1 { "" } else { "s" }))?;
    Ok(ExitCode::SUCCESS)
}

fn place(origin: &Origin) -> String {
    let address = origin.address.map_or_else(|| "?".to_owned(), |address| address.to_string());
    let user_agent = origin.user_agent.as_deref().unwrap_or("?");
    format!("{address} {user_agent}")
}
