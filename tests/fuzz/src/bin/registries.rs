//! See `targets::registries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hallmark_fuzz::targets::registries(data));
