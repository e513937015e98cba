//! The property is in `properties/identity.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::identity::holds(input));
