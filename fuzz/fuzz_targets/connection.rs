//! See `thttpd_fuzz::TARGETS`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tree")).expect("fuzz/tree"),
    |data: &[u8]| thttpd_fuzz::run("connection", data)
);
