//! The property is in `properties/route.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::route::holds(input));
