//! `sidegate init`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::boot;
use crate::clock::Entropy;
use crate::config::checked::Config;

use super::{Failure, audit, say, system_clock};

/// The configuration to start from: the one in the root of the project.
const STARTER: &str = include_str!("../../config.toml");

/// Writes the configuration unless there is one.
pub(super) fn write_configuration(path: &Path) -> Result<(), Failure> {
    let written = fs::OpenOptions::new().write(true).create_new(true).open(path);
    match written.and_then(|mut file| file.write_all(STARTER.as_bytes())) {
        Ok(()) => say(format_args!("wrote {}: change upstream.default.url to where your API listens", path.display())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            say(format_args!("{} is there already", path.display()))
        }
        Err(error) => Err(Failure::Other(format!("{} cannot be written: {error}", path.display()))),
    }
}

pub(super) async fn make_realm(config: &Config) -> Result<ExitCode, Failure> {
    boot::realm::migrate(config, &audit(config)?, system_clock(), Entropy).await?;
    say(format_args!("the store {} and its first signing key are ready", config.store.location))?;
    say(format_args!("next: sidegate users add NAME, then sidegate run"))?;
    Ok(ExitCode::SUCCESS)
}
