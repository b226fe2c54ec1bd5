//! Panic on demand, for the test of what a defect costs.
//!
//! A debug build panics at a request for the target that `THTTPD_PANIC_AT` names. Release builds have none.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::LazyLock;

static PANIC_AT: LazyLock<Option<OsString>> = LazyLock::new(|| std::env::var_os("THTTPD_PANIC_AT"));

/// Panics if `target` is that of `THTTPD_PANIC_AT`.
pub fn panic_if_requested(target: &[u8]) {
    assert!(PANIC_AT.as_ref().is_none_or(|at| at.as_bytes() != target), "a panic was asked for");
}
