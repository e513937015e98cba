//! A fleet under fire: real Postgres servers, real replicas, clients who behave and clients who do not, and somebody who
//! breaks things meanwhile. Everybody writes down what they did and what came of it; the record is checked afterwards.
//!
//! `cargo test` runs a bounded form; `scripts/fleet` the long one, with its figures.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

use std::io::Write;

mod audit;
mod checks;
mod client;
mod figures;
mod flood;
mod latency;
mod load;
mod memory;
mod nemesis;
mod prober;
mod record;
mod rolling;
mod single;
mod site;
mod stage;
mod token;
mod victim;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Seconds, for every change.
    Bounded,
    /// A minute and more, for figures that can be told.
    Long,
}

impl Form {
    fn chosen() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test process is told how much to do by a variable")]
        let form = std::env::var("SIDEGATE_FLEET").unwrap_or_default();
        match form.as_str() {
            "" => Self::Bounded,
            "long" => Self::Long,
            other => panic!("SIDEGATE_FLEET is `long` or not set, and not {other:?}"),
        }
    }
}

/// Shows a figure, past the capture of the test runner.
fn show(figure: &str) {
    std::io::stdout().write_all(format!("{figure}\n").as_bytes()).unwrap();
}
