//! Every store gives the same answers, and errors that say what is wrong.

#![expect(unreachable_pub, reason = "a test binary exports nothing")]
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

pub mod bench;
mod contract;
mod histories;
pub mod model;
mod opening;
mod pooler;
mod postgres;
pub mod samples;
mod sqlite;
