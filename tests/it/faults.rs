//! What goes wrong while sidegate works: duplicates at the same moment, a killed process, a store that is away, a
//! client that has gone; and what may never be found in the store.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

use std::io::Write;

mod disk;
mod first_start;
mod gone;
mod hooked_store;
mod kill;
mod leaks;
mod listening;
mod outage;
mod panics;
mod parallel;
mod races;
mod rollback;
mod silence;
pub(crate) mod tables;
mod versions;

/// Shows a figure, past the capture of the test runner.
fn show(figure: &str) {
    std::io::stdout().write_all(format!("{figure}\n").as_bytes()).unwrap();
}
