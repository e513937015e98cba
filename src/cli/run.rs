//! `sidegate run`.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::boot::{self, Running};
use crate::clock::Entropy;
use crate::config::checked::Config;

use super::{Failure, start_logging, system_clock};

pub(super) async fn run(config: &Config) -> Result<ExitCode, Failure> {
    start_logging(config);
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        running = boot::start(config, system_clock(), Entropy) => running?,
        _ = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    for address in &running.listen {
        tracing::info!("listening on http://{address}");
    }
    if let Some(place) = &running.admin {
        tracing::info!("the operator's calls on {place}");
    }
    tracing::info!("health on http://{}", running.health);
    serve_until_signal(running, signals).await
}

/// What asks a process to stop. Listened to before anybody is told that it serves: a signal that came in between would
/// end it without a word.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Which one came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Terminate,
    Interrupt,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::Other(format!("signals cannot be received: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.interrupt.recv() => Asked::Interrupt,
        }
    }
}

/// Serves until SIGTERM or Ctrl-C. SIGTERM comes from what also routes requests here, so it drains first; a person at a
/// terminal does not wait for that. A second signal ends it at once.
pub(crate) async fn serve_until_signal(mut running: Running, mut signals: Signals) -> Result<ExitCode, Failure> {
    let asked = tokio::select! {
        asked = signals.next() => asked,
        () = running.broken() => {
            running.stop().await;
            return Ok(ExitCode::FAILURE);
        }
    };
    tracing::info!("stopping: not ready any more, finishing what is in flight");
    let stopping = async { if asked == Asked::Terminate { running.drain().await } else { running.stop().await } };
    let in_time = tokio::select! {
        in_time = stopping => in_time,
        _ = signals.next() => false,
    };
    if in_time {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped before everything in flight had ended");
    }
    Ok(ExitCode::SUCCESS)
}
