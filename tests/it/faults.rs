//! What goes wrong while sidegate works: duplicates at the same moment, a killed process, a store that is away, a
//! client that has gone; and what may never be found in the store.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

mod kill;
mod leaks;
mod outage;
mod parallel;
mod tables;
