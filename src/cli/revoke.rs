//! `sidegate revoke …`.

use std::process::ExitCode;

use clap::Args;

use crate::config::checked::Config;
use crate::domain::session::{SessionId, Subject};

use super::{Failure, joined_store};

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
    if let Some(text) = &arguments.session {
        let id = SessionId::parse(text)
            .ok_or_else(|| Failure::Other(format!("{text:?} is no session id: 32 hexadecimal digits, lower case")))?;
        let ended = store.end_session(id).await?;
        println!("{}", if ended { format!("ended session {id}") } else { format!("session {id} had ended already") });
    } else if let Some(text) = &arguments.subject {
        let subject = Subject::parse(text).ok_or_else(|| Failure::Other(format!("{text:?} cannot be a subject")))?;
        store.end_subject(&subject).await?;
        println!("ended every session of {subject}");
    } else {
        store.end_realm().await?;
        println!("ended every session of realm {}", config.realm);
    }
    Ok(ExitCode::SUCCESS)
}
