//! `sidegate run`.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::boot::{self, Running};
use crate::clock::Entropy;
use crate::config::checked::Config;

use super::{Failure, start_logging, system_clock};

pub(super) async fn run(config: &Config) -> Result<ExitCode, Failure> {
    start_logging(config);
    let running = boot::start(config, system_clock(), Entropy).await?;
    for address in &running.listen {
        tracing::info!("listening on http://{address}");
    }
    tracing::info!("health on http://{}", running.health);
    serve_until_signal(running).await
}

/// Serves until SIGTERM or Ctrl-C. SIGTERM comes from what also routes requests here, so it drains first; a person at a
/// terminal does not wait for that. A second signal ends it at once.
pub(crate) async fn serve_until_signal(running: Running) -> Result<ExitCode, Failure> {
    let signals = |kind| signal(kind).map_err(|error| Failure::Other(format!("signals cannot be received: {error}")));
    let (mut terminate, mut interrupt) = (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
    let terminated = tokio::select! {
        _ = terminate.recv() => true,
        _ = interrupt.recv() => false,
    };
    tracing::info!("stopping: not ready any more, finishing what is in flight");
    let stopping = async { if terminated { running.drain().await } else { running.stop().await } };
    let in_time = tokio::select! {
        in_time = stopping => in_time,
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
    };
    if in_time {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped with requests still in flight");
    }
    Ok(ExitCode::SUCCESS)
}
