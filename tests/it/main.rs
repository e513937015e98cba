//! All integration tests, as one binary: linking dominates the build.

mod architecture;
mod support;
mod words;
