//! All integration tests, as one binary: linking dominates the build.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says why and ends")]

mod access_token;
mod account;
mod admin;
mod architecture;
mod audit;
mod browser;
mod cli;
mod clients;
mod config;
mod connections;
mod cookie;
mod cors;
mod edge;
mod ends;
mod faults;
mod fleet;
mod flow;
mod fuzz_seeds;
mod import;
mod keys;
mod legacy;
mod limits;
mod model;
mod observed;
mod on_call;
mod properties;
mod readme;
mod requirements;
mod store;
mod support;
mod token_format;
mod upstream_login;
mod vault;
mod words;
