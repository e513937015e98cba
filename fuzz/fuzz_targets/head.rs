//! The property is in `properties/head.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::head::holds(input));
