//! Fork of the server into the background.

use nix::unistd::ForkResult;

/// Forks. Only the boot sequence may call this, before starting any thread.
///
/// # Errors
/// The system lacks resources for another process.
pub fn fork_alone() -> nix::Result<ForkResult> {
    // SAFETY: in a process with one thread the child has everything the parent had: no lock is held
    // by a thread that is not there. The boot sequence starts threads after this call only, and
    // has joined the short-lived one of `zone::fix`.
    unsafe { nix::unistd::fork() }
}
