//! See `targets::signatures::manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hallmark_fuzz::targets::signatures::manifest(data));
