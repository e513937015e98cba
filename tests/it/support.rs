//! What several tests need: real servers, real files, clocks that can be set.

pub mod postgres;
