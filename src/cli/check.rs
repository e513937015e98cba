//! `sidegate check`.

use std::path::Path;
use std::process::ExitCode;

use crate::config::checked::{Config, Login};

use super::{Failure, say};

/// Whoever gets here has a configuration without problems: they are reported when it is loaded.
pub(super) fn check(path: &Path, config: &Config) -> Result<ExitCode, Failure> {
    say(format_args!("{} is valid", path.display()))?;
    say(format_args!("  realm     {}", config.realm))?;
    for address in &config.server.listen {
        say(format_args!("  listen    http://{address}"))?;
    }
    say(format_args!("  health    http://{}", config.health))?;
    say(format_args!("  admin     {}", config.admin.as_ref().map_or_else(|| "off".to_owned(), ToString::to_string)))?;
    for (name, upstream) in &config.upstreams {
        say(format_args!("  upstream  {name}: http://{}:{}", upstream.host, upstream.port))?;
    }
    say(format_args!("  store     {}", config.store.location))?;
    match &config.login {
        Login::Users { .. } => say("  login     built-in users")?,
        Login::Upstream(login) => {
            let page = login.page.as_ref().map_or_else(String::new, |page| format!("GET {}, ", page.path()));
            say(format_args!("  login     {page}{} {} of {}", login.method, login.target.path(), login.upstream))?;
        }
        Login::None => say("  login     none")?,
    }
    say(format_args!("  routes    {}, everything else needs a token", config.routes.routes().len()))?;
    for warning in &config.warnings {
        say(format_args!("warning: {warning}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
