//! See `targets::signatures::certificate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hallmark_fuzz::targets::signatures::certificate(data));
