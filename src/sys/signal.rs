//! Waiting for a signal.

use nix::libc;
use nix::sys::signal::{SigSet, Signal};

/// Waits for one of `signals`, which the caller has blocked, and consumes it; `None` for an unknown signal.
///
/// nix's `wait` would panic for the latter, and bring a table of all error names into the binary.
pub fn wait(signals: &SigSet) -> Option<Signal> {
    let mut number = 0;
    // SAFETY: the set is an initialised one and only read; the number is ours, and written to before
    // the call returns.
    match unsafe { libc::sigwait(signals.as_ref(), &raw mut number) } {
        0 => Signal::try_from(number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_waits_is_taken() {
        let set: SigSet = [Signal::SIGURG].into_iter().collect();
        let before = SigSet::thread_get_mask().unwrap();
        set.thread_block().unwrap();
        nix::sys::signal::raise(Signal::SIGURG).unwrap();
        assert_eq!(wait(&set), Some(Signal::SIGURG));
        before.thread_set_mask().unwrap();
    }
}
