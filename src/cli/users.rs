//! `sidegate users …`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::authority::passwords::Passwords;
use crate::authority::passwords::known_hash::KnownHash;
use crate::clock::Entropy;
use crate::config::checked::{Argon2, Config, Login};
use crate::domain::access_token::REGISTERED;
use crate::domain::session::Subject;
use crate::domain::user::{PasswordHash, User, UserName};
use crate::telemetry::Event;

use super::{Failure, UserArgument, audit, input, joined_store, say};

mod import;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user; the password is asked for, or read from standard input
    Add {
        #[command(flatten)]
        user: UserArgument,
        /// What the tokens carry as `sub` [default: the name]
        #[arg(long)]
        subject: Option<String>,
        /// A role; may stand several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// The scopes of the tokens, separated by spaces
        #[arg(long)]
        scope: Option<String>,
        /// A claim of the tokens, as NAME=VALUE; the value is JSON, or else text; may stand several times
        #[arg(long = "claim", value_name = "NAME=VALUE")]
        claims: Vec<String>,
    },
    /// Bring users along from another system, with the password hashes they have there
    Import(import::Arguments),
    /// Set a new password, and end all of the user's sessions
    Passwd(UserArgument),
    /// Let no login in, and end all of the user's sessions
    Disable(UserArgument),
    /// Let logins in again
    Enable(UserArgument),
    /// Show every user
    List,
    /// Remove a user, and end all of the user's sessions
    Remove(UserArgument),
}

pub(super) async fn run(config: &Config, command: Command) -> Result<ExitCode, Failure> {
    if matches!(config.login, Login::Upstream(_)) {
        built_in_users(config)?;
    }
    // Before anything is changed: what cannot be recorded is not done.
    let audit = audit(config)?;
    let record = |outcome: &'static str, name: &UserName| audit.record(&Event::new("user", outcome).user(name));
    match command {
        Command::Add { user, subject, roles, scope, claims } => {
            let name = name(&user)?;
            let subject_text = subject.unwrap_or_else(|| name.as_str().to_owned());
            let subject = Subject::parse(&subject_text)
                .ok_or_else(|| Failure::Other(format!("{subject_text:?} cannot be a subject")))?;
            let claims = claims_of(&roles, scope, &claims)?;
            let store = joined_store(config).await?;
            let password_hash = new_hash(config, &name).await?;
            let user = User { name, subject, password_hash, disabled: false, claims };
            if !store.add_user(&user).await? {
                return Err(Failure::Other(format!(
                    "there is a user {} or a subject {} already",
                    user.name, user.subject
                )));
            }
            record("added", &user.name);
            say(format_args!("added {}", user.name))?;
        }
        Command::Import(arguments) => import::run(config, &arguments, record).await?,
        Command::Passwd(user) => {
            let name = name(&user)?;
            let store = joined_store(config).await?;
            if store.account(&name).await?.is_none() {
                return Err(nobody(&name));
            }
            let hash = new_hash(config, &name).await?;
            store.set_password(&name, &hash).await?.ok_or_else(|| nobody(&name))?;
            record("password_set", &name);
            say(format_args!("set a new password for {name}; all sessions ended"))?;
        }
        Command::Disable(user) => {
            let name = set_disabled(config, &user, true).await?;
            record("disabled", &name);
            say(format_args!("disabled {name}; all sessions ended"))?;
        }
        Command::Enable(user) => {
            let name = set_disabled(config, &user, false).await?;
            record("enabled", &name);
            say(format_args!("enabled {name}"))?;
        }
        Command::Remove(user) => {
            let name = name(&user)?;
            if !joined_store(config).await?.remove_user(&name).await? {
                return Err(nobody(&name));
            }
            record("removed", &name);
            say(format_args!("removed {name}; all sessions ended"))?;
        }
        Command::List => {
            let users = joined_store(config).await?.users().await?;
            say(format_args!("{:<24} {:<24} {:<9} {:<14} CLAIMS", "NAME", "SUBJECT", "STATE", "HASH"))?;
            for User { name, subject, password_hash, disabled, claims } in users {
                let state = if disabled { "disabled" } else { "enabled" };
                // With one that cannot be read nobody logs in.
                let hash = KnownHash::parse(&password_hash.0).map_or("unusable", |hash| hash.scheme());
                say(format_args!("{name:<24} {subject:<24} {state:<9} {hash:<14} {}", Value::Object(claims)))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn set_disabled(config: &Config, user: &UserArgument, disabled: bool) -> Result<UserName, Failure> {
    let name = name(user)?;
    if !joined_store(config).await?.set_disabled(&name, disabled).await? {
        return Err(nobody(&name));
    }
    Ok(name)
}

fn name(user: &UserArgument) -> Result<UserName, Failure> {
    user_name(&user.name).map_err(Failure::Other)
}

fn user_name(text: &str) -> Result<UserName, String> {
    UserName::parse(text).ok_or_else(|| {
        format!(
            "{text:?} cannot be a user name: 1 to {} bytes, no control characters, no space at the ends",
            UserName::MAX_BYTES
        )
    })
}

fn nobody(name: &UserName) -> Failure {
    Failure::Other(format!("there is no user {name}"))
}

/// Reads a password, checks it against the policy, and hashes it.
async fn new_hash(config: &Config, name: &UserName) -> Result<PasswordHash, Failure> {
    let (min_length, argon2) = built_in_users(config)?;
    let password = input::new_password()?;
    password.check(min_length, name).map_err(|weak| Failure::Other(weak.to_string()))?;
    Ok(Passwords::new(argon2, min_length, Entropy)?.hash(password).await?)
}

/// What is asked of a new password, and how it is hashed.
fn built_in_users(config: &Config) -> Result<(usize, Argon2), Failure> {
    match config.login {
        Login::Users { min_length, argon2 } => Ok((min_length, argon2)),
        Login::Upstream(_) => Err(Failure::Other(
            "login.provider is \"upstream\": there are no built-in users\n  hint: the application keeps them".into(),
        )),
        Login::None => Err(Failure::Other("login.provider is \"none\": there are no built-in users".into())),
    }
}

fn claims_of(roles: &[String], scope: Option<String>, claims: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut members = Map::new();
    for claim in claims {
        let (name, text) = claim
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Failure::Other(format!("{claim:?} is no claim: write NAME=VALUE")))?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        if members.insert(name.to_owned(), value).is_some() {
            return Err(Failure::Other(format!("the claim {name} is given twice")));
        }
    }
    all_claims(roles, scope, members).map_err(|name| {
        Failure::Other(format!("the claim {name} is sidegate's own; see --subject, --role and --scope"))
    })
}

/// What a user's tokens carry. `Err` names a claim that is not among what may be given as one.
fn all_claims(
    roles: &[String],
    scope: Option<String>,
    others: Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let is_ours = |name: &&String| REGISTERED.contains(&name.as_str()) || matches!(name.as_str(), "roles" | "scope");
    if let Some(name) = others.keys().find(is_ours) {
        return Err(name.clone());
    }
    let mut members = others;
    if !roles.is_empty() {
        members.insert("roles".into(), json!(roles));
    }
    if let Some(scope) = scope {
        members.insert("scope".into(), json!(scope));
    }
    Ok(members)
}
