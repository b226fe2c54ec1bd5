//! See `thttpd_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| thttpd_fuzz::run("rules_file", data));
