//! `sidegate keys …`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::authority::jose;
use crate::authority::keyring::Keyring;
use crate::authority::keys::{LIVE, change_keys, heard_after, published_for, record, signing};
use crate::authority::keysmith::{Keysmith, Retired, all_phases};
use crate::authority::revoke::{Ended, RevokeError};
use crate::boot::realm::{self, Joined};
use crate::clock::{Entropy, rfc3339};
use crate::config::checked::Config;
use crate::domain::key_life::Phase;
use crate::domain::keys::Algorithm;
use crate::domain::secret::{Fingerprint, OperatorSecret};
use crate::domain::time::Timestamp;
use crate::store::{KeyChange, Replica, SigningKeys, Store, StoredKey};
use crate::telemetry::{Audit, Event};

use super::{Failure, audit, joined_store, say};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show every signing key and operator secret, and where each is in its life
    List,
    /// Add a key that is published at once, and signs when `rotate` says so
    Generate {
        /// Its algorithm [default: key.algorithm]
        #[arg(long, value_name = "ALGORITHM", value_parser = algorithm)]
        algorithm: Option<Algorithm>,
    },
    /// Add a key that was made elsewhere: PKCS #8 in PEM; the way for RSA
    Import {
        /// The file
        file: PathBuf,
        /// Its algorithm [default: key.algorithm]
        #[arg(long, value_name = "ALGORITHM", value_parser = algorithm)]
        algorithm: Option<Algorithm>,
    },
    /// Let the newest waiting key sign, made if there is none, once it has been published for `key.publish_ahead`
    Rotate {
        /// Let it sign in a few seconds; who keeps a copy of the published keys may refuse its tokens for a while
        #[arg(long)]
        now: bool,
    },
    /// Ban a key for good: whatever it signed is refused on every replica; another one signs at once
    Retire {
        /// The key's name
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
    /// Forget an operator secret: whatever was made with it is refused
    ForgetSecret {
        /// The secret's fingerprint
        fingerprint: String,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> Result<ExitCode, Failure> {
    jose::install();
    let store = joined_store(config).await?;
    let store = store.as_ref();
    // Before anything is changed: what cannot be recorded is not done.
    let audit = &audit(config)?;
    let secrets = match &command {
        Command::Generate { .. } | Command::Rotate { .. } | Command::Retire { .. } => {
            realm::look(config, store, Entropy).await?.secrets
        }
        _ => Vec::new(),
    };
    let keysmith = keysmith(config, store, audit, &secrets);
    match command {
        Command::List => list(config, store).await?,
        Command::Generate { algorithm } => {
            let algorithm = algorithm.unwrap_or(config.key.algorithm);
            let kid = keysmith.generate(algorithm, None).await?;
            say(format_args!("added {kid} ({algorithm}), published; `sidegate keys rotate` lets it sign"))?;
        }
        Command::Import { file, algorithm } => {
            import(config, store, audit, &file, algorithm.unwrap_or(config.key.algorithm)).await?;
        }
        Command::Rotate { now } => rotate(config, &keysmith, now).await?,
        Command::Retire { kid } => retire(&keysmith, &kid).await?,
        Command::ForgetSecret { fingerprint } => forget_secret(config, store, audit, &fingerprint).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What keys are changed with, by a command.
pub(super) fn keysmith<'a>(
    config: &'a Config,
    store: &'a dyn Store,
    audit: &'a Audit,
    secrets: &'a [OperatorSecret],
) -> Keysmith<'a> {
    Keysmith { realm: &config.realm, store, audit, secrets, algorithm: config.key.algorithm, entropy: Entropy }
}

async fn list(config: &Config, store: &dyn Store) -> Result<(), Failure> {
    let keys = store.signing_keys().await?;
    say(format_args!("{:<43} {:<9} {:<20} STATE", "KEY", "ALGORITHM", "ADDED"))?;
    for (stored, phase) in all_phases(&keys) {
        let StoredKey { key, added, .. } = stored;
        let added = if *added == Timestamp::default() { "-".to_owned() } else { rfc3339(*added) };
        say(format_args!("{:<43} {:<9} {added:<20} {}", key.kid, key.algorithm.to_string(), shown(stored, phase)))?;
    }
    let joined = realm::look(config, store, Entropy).await?;
    let signs = signing(&joined.secrets, &joined.live).fingerprint();
    say(format_args!("\n{:<16} {:<5} STATE", "OPERATOR SECRET", "SEALS"))?;
    for secret in &joined.known_secrets {
        let sealed = |stored: &&StoredKey| stored.banned.is_none() && stored.key.secret == *secret;
        let seals = keys.list.iter().filter(sealed).count();
        say(format_args!("{:<16} {seals:<5} {}", secret.to_string(), secret_state(*secret, signs, &joined)))?;
    }
    Ok(())
}

fn shown(stored: &StoredKey, phase: Phase) -> String {
    match phase {
        Phase::Waiting => "published, waits for `keys rotate`".to_owned(),
        Phase::SignsFrom(from) => format!("published, signs from {}", rfc3339(from)),
        Phase::Signs => "signs".to_owned(),
        Phase::VerifiesUntil(until) => format!("verifies until {}", rfc3339(until)),
        Phase::Over => "over".to_owned(),
        Phase::Banned => format!("retired {}", rfc3339(stored.banned.unwrap_or_default())),
    }
}

fn secret_state(secret: Fingerprint, signs: Fingerprint, joined: &Joined) -> String {
    let has = |replica: &&Replica| replica.secrets.contains(&secret);
    let (all, have) = (joined.live.len(), joined.live.iter().filter(has).count());
    let ours = joined.secrets.iter().any(|known| known.fingerprint() == secret);
    let role = match (ours, secret == signs) {
        (true, true) => "signs",
        (true, false) => "verifies",
        (false, _) => "not configured here",
    };
    let lacking: Vec<&str> =
        joined.live.iter().filter(|replica| !has(replica)).map(|replica| replica.name.as_str()).collect();
    let without = if lacking.is_empty() { String::new() } else { format!("; not on {}", lacking.join(", ")) };
    format!("{role}; on {have} of {all} running replicas{without}")
}

/// Adds a key that was made elsewhere. A realm without any other has one that signs.
async fn import(
    config: &Config,
    store: &dyn Store,
    audit: &Audit,
    file: &Path,
    algorithm: Algorithm,
) -> Result<(), Failure> {
    let unreadable = |why: &dyn std::fmt::Display| Failure::Other(format!("{} cannot be read: {why}", file.display()));
    let pem = Zeroizing::new(std::fs::read(file).map_err(|error| unreadable(&error))?);
    let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| {
        unreadable(
            &"no `BEGIN PRIVATE KEY`\n  hint: `openssl pkcs8 -topk8 -nodes -in FILE` writes other keys as PKCS #8",
        )
    })?;
    let Joined { secrets, live, .. } = realm::look(config, store, Entropy).await?;
    let key = Keyring::import(&config.realm, algorithm, pkcs8.secret_pkcs8_der(), signing(&secrets, &live), Entropy)?;
    let mut signs = false;
    let added = change(store, audit, |keys| {
        if let Some(known) = keys.list.iter().find(|stored| stored.key.kid == key.kid) {
            let state = if known.banned.is_some() { "is retired" } else { "is there already" };
            return Err(Failure::Other(format!("the key {} {state}", key.kid)));
        }
        signs = keys.list.iter().all(|stored| stored.banned.is_some());
        Ok(Some(KeyChange::Add(key.clone(), signs.then_some(Duration::ZERO))))
    });
    added.await?;
    let next = if signs { "signs from now on" } else { "published; `sidegate keys rotate` lets it sign" };
    say(format_args!("added {} ({algorithm}), {next}", key.kid))
}

async fn rotate(config: &Config, keysmith: &Keysmith<'_>, now: bool) -> Result<(), Failure> {
    let ahead = if now { heard_after(config.poll_interval) } else { published_for(config) };
    let kid = keysmith.let_next_sign(config.key.algorithm, ahead).await?;
    let keys = keysmith.store.signing_keys().await?;
    let from = keys.list.iter().find(|stored| stored.key.kid == kid).and_then(|stored| stored.signs_from);
    say(format_args!("{kid} signs from {}", from.map_or_else(|| "now".to_owned(), rfc3339)))
}

async fn retire(keysmith: &Keysmith<'_>, kid: &str) -> Result<(), Failure> {
    match keysmith.retire(kid).await? {
        Retired::Unknown => Err(Failure::Other(RevokeError::NoKey(kid.to_owned()).to_string())),
        Retired::Already => say(Ended::KeyBefore(kid.to_owned())),
        Retired::Now { successor } => say(Ended::Key { kid: kid.to_owned(), successor }),
    }
}

async fn forget_secret(config: &Config, store: &dyn Store, audit: &Audit, text: &str) -> Result<(), Failure> {
    let known = store.join(config.access_token.ttl).await?.secrets;
    let Some(fingerprint) = known.iter().find(|known| known.to_string() == text) else {
        return Err(Failure::Other(format!(
            "the realm knows no operator secret {text}\n  hint: see `sidegate keys list`"
        )));
    };
    let live = store.replicas(LIVE).await?;
    let using: Vec<&str> = live
        .iter()
        .filter(|replica| replica.secrets.contains(fingerprint))
        .map(|replica| replica.name.as_str())
        .collect();
    let sealed = store
        .signing_keys()
        .await?
        .list
        .iter()
        .any(|stored| stored.key.secret == *fingerprint && stored.banned.is_none());
    if !using.is_empty() || sealed {
        let what = if using.is_empty() {
            "a signing key is sealed under it".to_owned()
        } else {
            format!("in use on {}", using.join(", "))
        };
        return Err(Failure::Other(format!(
            "{text}: {what}\n  hint: take its file out of key.secret_files everywhere, put another first, and wait a minute"
        )));
    }
    if known.len() == 1 {
        return Err(Failure::Other(format!("{text} is the realm's only operator secret")));
    }
    store.remove_secret(*fingerprint).await?;
    audit.record(&Event::new("operator_secret", "forgotten").key(text));
    say(format_args!("forgot {text}: whatever was made with it is refused"))
}

/// Changes the keys and says so in the audit lines.
async fn change(
    store: &dyn Store,
    audit: &Audit,
    decide: impl FnMut(&SigningKeys) -> Result<Option<KeyChange>, Failure>,
) -> Result<(), Failure> {
    if let Some(change) = change_keys(store, decide).await? {
        record(audit, &change);
    }
    Ok(())
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    Algorithm::parse(text).ok_or_else(|| format!("not one of {}", Algorithm::ALL.map(Algorithm::name).join(", ")))
}
