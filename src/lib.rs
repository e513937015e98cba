//! sidegate: token authentication in front of HTTP APIs that have none.

pub mod admin;
pub mod authority;
pub mod boot;
pub mod cli;
pub mod clock;
pub mod config;
mod demo;
pub mod domain;
pub mod gateway;
pub mod lifecycle;
pub mod store;
pub mod telemetry;
