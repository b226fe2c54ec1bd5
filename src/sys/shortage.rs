//! Shortages of system resources: one list of errors for all stages.
//!
//! A request that lacks a descriptor, memory or a process is parked for at most `head_timeout`, and then
//! answered with 503 and Retry-After. The table in `net::admission` lists the cases of each stage.

use std::io;

use nix::errno::Errno;

/// Tells whether `errno` is a shortage of descriptors or memory, which may pass.
///
/// EAGAIN is not, as it means "not ready" for files and sockets.
pub fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS)
}

/// Tells whether starting a process or thread failed for a shortage; here EAGAIN means too many.
pub fn is_process_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    errno.is_some_and(|errno| errno == Errno::EAGAIN || is_shortage(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_may_pass_are_shortages() {
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS] {
            assert!(is_shortage(errno) && is_process_shortage(&errno.into()), "{errno}");
        }
        assert!(!is_shortage(Errno::EAGAIN) && is_process_shortage(&Errno::EAGAIN.into()));
        for errno in [Errno::EACCES, Errno::ENOENT, Errno::EIO] {
            assert!(!is_shortage(errno) && !is_process_shortage(&errno.into()), "{errno}");
        }
    }
}
