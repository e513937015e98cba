//! The property is in `properties/target.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::target::holds(input));
