//! See `targets::matching`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hallmark_fuzz::targets::matching(data));
