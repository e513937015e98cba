//! Logs and metrics.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::checked::{Log, LogFormat, LogLevel};

pub mod audit;
mod metrics;

pub use self::audit::{Audit, Event};
pub use self::metrics::{Metrics, Outcomes};

/// Starts logging to standard output, once per process.
///
/// Only our own targets are printed. The libraries below us print `Authorization` and `Cookie` at debug level, and even
/// queries at error level; what matters of theirs reaches us as an error value and is said in our own words.
pub fn start_logging(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let access = if log.access { LevelFilter::INFO } else { LevelFilter::OFF };
    let targets = Targets::new().with_target("sidegate", level).with_target("sidegate::access", access);
    let lines = fmt::layer().with_writer(std::io::stdout).with_ansi(false);
    let lines = match log.format {
        LogFormat::Text => lines.with_target(true).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).with_current_span(false).boxed(),
    };
    // A second start in one process (tests) keeps the first one's settings.
    let _ = tracing_subscriber::registry().with(lines.with_filter(targets)).try_init();
}
