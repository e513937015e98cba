//! The property is in `properties/access_token.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::access_token::holds(input));
