//! All integration tests, as one binary: linking dominates the build.

mod architecture;
mod cli;
mod config;
mod flow;
mod readme;
mod store;
mod support;
mod token_format;
mod words;
