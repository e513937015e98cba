//! `sidegate check`.

use std::path::Path;
use std::process::ExitCode;

use crate::config::checked::{Config, Login};

use super::Failure;

/// Whoever gets here has a configuration without problems: they are reported when it is loaded.
#[expect(clippy::unnecessary_wraps, reason = "commands have one shape")]
pub(super) fn check(path: &Path, config: &Config) -> Result<ExitCode, Failure> {
    println!("{} is valid", path.display());
    println!("  realm     {}", config.realm);
    for address in &config.server.listen {
        println!("  listen    http://{address}");
    }
    println!("  health    http://{}", config.health);
    for (name, upstream) in &config.upstreams {
        println!("  upstream  {name}: http://{}:{}", upstream.host, upstream.port);
    }
    println!("  store     {}", config.store.location);
    println!("  login     {}", if config.login == Login::None { "none" } else { "built-in users" });
    println!("  routes    {}, everything else needs a token", config.routes.routes().len());
    for warning in &config.warnings {
        println!("warning: {warning}");
    }
    Ok(ExitCode::SUCCESS)
}
