//! sidegate: token authentication in front of HTTP APIs that have none.

pub mod clock;
pub mod config;
pub mod domain;
pub mod store;
