//! `sidegate revoke …`.

use std::process::ExitCode;

use clap::Args;

use crate::config::checked::Config;
use crate::domain::session::{SessionId, Subject};
use crate::telemetry::Event;

use super::{Failure, audit, joined_store, say};

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Arguments {
    /// End one session, by its id (the `sid` of its tokens)
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// End every session of a subject (the `sub` of its tokens)
    #[arg(long)]
    subject: Option<String>,
    /// End every session of the realm
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let store = joined_store(config).await?;
    let audit = audit(config)?;
    if let Some(text) = &arguments.session {
        let id = SessionId::parse(text)
            .ok_or_else(|| Failure::Other(format!("{text:?} is no session id: 32 hexadecimal digits, lower case")))?;
        if !store.end_session(id).await? {
            return Err(Failure::Other(format!("there is no session {id} in realm {}", config.realm)));
        }
        audit.record(&Event::new("revocation", "session").session(id));
        say(format_args!("ended session {id}"))?;
    } else if let Some(text) = &arguments.subject {
        let subject = Subject::parse(text).ok_or_else(|| Failure::Other(format!("{text:?} cannot be a subject")))?;
        let living = store.sessions_of(&subject).await?.len();
        store.end_subject(&subject).await?;
        audit.record(&Event::new("revocation", "subject").of(&subject));
        let hint = if living == 0 { ": nobody is logged in under that subject" } else { "" };
        say(format_args!("ended {living} sessions of {subject}{hint}"))?;
    } else {
        store.end_realm().await?;
        audit.record(&Event::new("revocation", "everybody"));
        say(format_args!("ended every session of realm {}", config.realm))?;
    }
    Ok(ExitCode::SUCCESS)
}
