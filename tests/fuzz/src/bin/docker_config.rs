//! See `targets::docker_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hallmark_fuzz::targets::docker_config(data));
