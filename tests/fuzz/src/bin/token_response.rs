//! See `targets::token_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hallmark_fuzz::targets::token_response(data));
