//! `sidegate drain`.

use std::process::ExitCode;
use std::time::Duration;

use crate::admin::client::call;
use crate::admin::message::{Drain, Drained};
use crate::config::checked::Config;

use super::{Failure, say};

/// Returns when the running sidegate has told whoever routes to it, and waited for `server.drain_delay`.
pub(super) async fn run(config: &Config) -> Result<ExitCode, Failure> {
    let Some(place) = &config.admin else {
        return Err(Failure::Other("admin.listen is off: the running sidegate takes no calls".into()));
    };
    let patience = config.server.drain_delay + BEYOND;
    let Drained {} = call(place, "/drain", &Drain {}, patience).await?;
    say("drained: not ready any more; SIGTERM ends it without another wait")?;
    Ok(ExitCode::SUCCESS)
}

/// A call that takes so much longer than it should is lost.
const BEYOND: Duration = Duration::from_secs(10);
