//! All integration tests, as one binary: linking dominates the build.

mod store;
mod support;
