//! A defect on demand, for the test that shows what one costs: a debug build panics at a request
//! whose target `THTTPD_PANIC_AT` names. Release builds have nothing of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::LazyLock;

static PANIC_AT: LazyLock<Option<OsString>> = LazyLock::new(|| std::env::var_os("THTTPD_PANIC_AT"));

/// Panics if `target` is the one.
pub fn panic_if_requested(target: &[u8]) {
    assert!(PANIC_AT.as_ref().is_none_or(|at| at.as_bytes() != target), "a panic was asked for");
}
