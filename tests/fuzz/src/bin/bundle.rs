//! See `targets::signatures::bundle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hallmark_fuzz::targets::signatures::bundle(data));
