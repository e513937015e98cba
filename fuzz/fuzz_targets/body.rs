//! The property is in `properties/body.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::body::holds(input));
