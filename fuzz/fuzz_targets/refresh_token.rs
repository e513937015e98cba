//! The property is in `properties/refresh_token.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::refresh_token::holds(input));
