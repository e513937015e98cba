//! `sidegate token …`.

use std::fmt::Write;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use serde_json::Value;

use crate::authority::keyring::Keyring;
use crate::authority::{jose, keys};
use crate::boot::realm;
use crate::clock::{Clock, Entropy, SystemClock, rfc3339};
use crate::config::checked::Config;
use crate::domain::access_token::{self, TokenFault};
use crate::domain::keys::KeyId;
use crate::domain::refresh_token::{PREFIX, Ratchet};
use crate::domain::rotation::SessionState;
use crate::domain::session::Epochs;
use crate::store::Store;

use super::{Failure, input, joined_store, say};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what a token is and whether it would be accepted now; the token is read from standard input
    Inspect,
}

pub(super) async fn run(config: &Config, Command::Inspect: Command) -> Result<ExitCode, Failure> {
    jose::install();
    let store = joined_store(config).await?;
    let joined = realm::look(config, store.as_ref(), Entropy).await?;
    let token = input::token()?;
    if token.starts_with(PREFIX) {
        let ratchet = keys::ratchet(&config.realm, &joined.secrets, &joined.live);
        inspect_refresh_token(&token, &ratchet, store.as_ref()).await
    } else {
        let keyring = realm::open_keys(config, store.as_ref(), &joined.secrets).await?;
        inspect_access_token(&token, config, &keyring, store.as_ref()).await
    }
}

async fn inspect_refresh_token(token: &str, ratchet: &Ratchet, store: &dyn Store) -> Result<ExitCode, Failure> {
    say(format_args!("a refresh token"))?;
    let opened = match ratchet.open(token) {
        Ok(opened) => opened,
        Err(fault) => return refused(&fault.to_string()),
    };
    say(format_args!("  session     {}", opened.session()))?;
    say(format_args!("  generation  {}", opened.generation()))?;
    let state = store.session(opened.session()).await?;
    match state {
        Some(state) if !is_over(state.session.epochs, &state) && state.session.hash == opened.hash() => {
            accepted("the live one of its session")
        }
        Some(state) if !is_over(state.session.epochs, &state) => {
            refused(&format!("its session is at generation {}", state.session.generation))
        }
        _ => refused("its session has ended"),
    }
}

async fn inspect_access_token(
    token: &str,
    config: &Config,
    keyring: &Keyring,
    store: &dyn Store,
) -> Result<ExitCode, Failure> {
    say(format_args!("an access token, or meant to be one"))?;
    // Shown as they stand there, believed or not; the third part, the signature, is never shown.
    for (name, part) in ["header", "claims"].iter().zip(token.split('.')) {
        let read = URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        say(format_args!(
            "  {name}  {}",
            read.map_or_else(|| "not readable".to_owned(), |value| plain(&value.to_string()))
        ))?;
    }
    let rules = config.access_token.rules();
    let identity = match access_token::verify(token, keyring.verifying(), &rules, SystemClock.now()) {
        Ok(identity) => identity,
        Err(TokenFault::UnknownKey) if names_one_of(token, keyring.banned()) => {
            return refused("the key it was signed with is retired");
        }
        Err(fault) => return refused(&fault.to_string()),
    };
    say(format_args!("  until   {}", rfc3339(identity.expires)))?;
    match store.session(identity.session).await? {
        Some(state) if !is_over(identity.epochs, &state) => accepted("its session lives"),
        _ => refused("its session has ended"),
    }
}

fn names_one_of(token: &str, keys: &[KeyId]) -> bool {
    let header = token.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let header = header.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()).unwrap_or_default();
    keys.iter().any(|key| header["kid"] == key.as_str())
}

/// JSON in ASCII: what somebody else wrote is not to move the cursor of whoever looks at it.
fn plain(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut text, character| {
        if character.is_ascii() && !character.is_ascii_control() {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        text
    })
}

/// For a token that was issued under `epochs`.
fn is_over(epochs: Epochs, state: &SessionState) -> bool {
    epochs.is_void_under(state.current) || state.session.has_expired(state.now)
}

fn accepted(why: &str) -> Result<ExitCode, Failure> {
    say(format_args!("accepted: {why}")).map(|()| ExitCode::SUCCESS)
}

fn refused(why: &str) -> Result<ExitCode, Failure> {
    say(format_args!("refused: {why}")).map(|()| ExitCode::FAILURE)
}
