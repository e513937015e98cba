//! The property is in `properties/config.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::config::holds(input));
