//! All integration tests, as one binary: linking dominates the build.

mod architecture;
mod config;
mod flow;
mod properties;
mod store;
mod support;
mod token_format;
mod words;
