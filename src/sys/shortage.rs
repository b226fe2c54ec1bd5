//! What the system runs out of: one list of errors for all stages.
//!
//! The rule is one, too: a request that lacks a descriptor, memory or a process waits, parked, for at most
//! `head_timeout`, and is answered 503 with Retry-After when the shortage has not passed by then. Which
//! stage meets what is in the table of `net::admission`.

use std::io;

use nix::errno::Errno;

/// Is `errno` a shortage of descriptors or memory, which may pass? EAGAIN is none: of a file or a socket it
/// says "not ready".
pub fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS)
}

/// The same for the start of a process or a thread, where EAGAIN says that there are too many.
pub fn is_process_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    errno.is_some_and(|errno| errno == Errno::EAGAIN || is_shortage(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_a_shortage_and_what_is_wrong_for_good_is_none() {
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS] {
            assert!(is_shortage(errno) && is_process_shortage(&errno.into()), "{errno}");
        }
        assert!(!is_shortage(Errno::EAGAIN) && is_process_shortage(&Errno::EAGAIN.into()));
        for errno in [Errno::EACCES, Errno::ENOENT, Errno::EIO] {
            assert!(!is_shortage(errno) && !is_process_shortage(&errno.into()), "{errno}");
        }
    }
}
