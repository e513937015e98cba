//! The property is in `properties/cookie.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::cookie::holds(input));
