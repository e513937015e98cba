//! All integration tests, as one binary: linking dominates the build.

mod access_token;
mod architecture;
mod config;
mod edge;
mod flow;
mod store;
mod support;
mod token_format;
mod words;
