//! What the tests drive sidegate with.

#![expect(unreachable_pub, reason = "a test binary exports nothing; here `pub` tells a module's interface")]
#![expect(clippy::expect_used, reason = "a test that cannot go on says why and ends")]

pub mod client;
pub mod clock;
pub mod deployment;
pub mod named_tests;
pub mod net;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod relay;
pub mod upstream;
pub mod wait;
pub mod watchdog;
pub mod wire;
