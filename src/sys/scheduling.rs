//! Scheduling: time slices of threads.

use std::time::Duration;

use nix::libc::{SYS_sched_getattr, SYS_sched_setattr, c_int, c_long, c_uint, pid_t, sched_attr, syscall};

/// Id of the calling thread for sched_setattr(2).
const ME: pid_t = 0;
const NO_FLAGS: c_uint = 0;

/// Requests a time slice of `slice` for the calling thread and its future threads; zero = the system's
/// default.
///
/// The thread's share of processor time is unchanged, but it runs sooner after waking, and in smaller
/// pieces. Linux 6.12 and later accept 0.1 to 100 ms; earlier versions ignore the request. A niceness or
/// policy such as `SCHED_FIFO` set by an administrator is kept.
///
/// Async-signal-safe: may be called between fork and exec.
pub fn ask_for_slice(slice: Duration) {
    let Some(mut attributes) = attributes().filter(is_ordinary) else { return };
    attributes.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
    // SAFETY: `attributes` is as the kernel filled it in, one field changed; the call reads `size` bytes
    // of it, and keeps none. Refused, it changes nothing.
    unsafe {
        syscall(SYS_sched_setattr, ME, &raw const attributes, NO_FLAGS);
    }
}

/// Tells whether the policy is an ordinary one; others use the field for another purpose.
fn is_ordinary(attributes: &sched_attr) -> bool {
    use nix::libc::{SCHED_BATCH, SCHED_OTHER};
    [SCHED_OTHER, SCHED_BATCH].map(c_int::cast_unsigned).contains(&attributes.sched_policy)
}

/// Scheduling attributes of the calling thread; `None` before Linux 3.14, or if not permitted.
fn attributes() -> Option<sched_attr> {
    let size = size_of::<sched_attr>() as c_uint;
    // SAFETY: all of the structure's fields are integers, for which zero is a value; the call writes
    // `size` bytes at most, which is what there is.
    let (answer, attributes) = unsafe {
        let mut attributes = std::mem::zeroed::<sched_attr>();
        let answer: c_long = syscall(SYS_sched_getattr, ME, &raw mut attributes, size, NO_FLAGS);
        (answer, attributes)
    };
    (answer == 0).then_some(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attributes of a thread that is nicer by `nice`, after `ask_for_slice`.
    fn after(nice: c_int, slice: Duration) -> sched_attr {
        let ask = move || {
            // SAFETY: changes this thread's own niceness (Linux has one for each thread).
            unsafe { nix::libc::nice(nice) };
            ask_for_slice(slice);
            attributes().unwrap()
        };
        std::thread::spawn(ask).join().unwrap()
    }

    /// Tells whether this kernel supports the request.
    fn heeds() -> bool {
        let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
        let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
        (numbers.next(), numbers.next()) >= (Some(6), Some(12))
    }

    #[test]
    fn a_thread_gets_the_slice_it_asks_for_and_keeps_its_niceness() {
        let own = attributes().unwrap().sched_nice;
        let asked = after(3, Duration::from_micros(200));
        assert_eq!(asked.sched_nice, (own + 3).min(19));
        assert!(is_ordinary(&asked));
        let slice = Duration::from_nanos(asked.sched_runtime);
        assert!(!heeds() || slice == Duration::from_micros(200), "{slice:?}");
    }

    #[test]
    fn zero_is_the_systems_own_slice_again() {
        let own = attributes().unwrap().sched_runtime;
        let ask_twice = || {
            ask_for_slice(Duration::from_micros(200));
            ask_for_slice(Duration::ZERO);
            attributes().unwrap().sched_runtime
        };
        assert_eq!(std::thread::spawn(ask_twice).join().unwrap(), own);
    }
}
