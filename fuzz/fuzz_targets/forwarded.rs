//! The property is in `properties/forwarded.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::forwarded::holds(input));
