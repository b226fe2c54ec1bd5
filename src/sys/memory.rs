//! The C library's allocator, told how this server uses it.

/// Makes all threads draw on one arena. glibc's arenas for further threads grow by a system call for
/// every page, which a worker that fills the cache spent some 7 % of its time on; the first
/// one grows in larger steps, and what is small is each thread's own all the same. Call it before the
/// first thread. Other C libraries have no such arenas.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    {
        use nix::libc::{M_ARENA_MAX, mallopt};
        // SAFETY: no other thread runs yet, and the call only sets a number that later calls to malloc
        // read.
        unsafe {
            mallopt(M_ARENA_MAX, 1);
        }
    }
}
