//! How long the scheduler lets a thread run before another one's turn.

use std::time::Duration;

use nix::libc::{SYS_sched_getattr, SYS_sched_setattr, c_int, c_long, c_uint, pid_t, sched_attr, syscall};

/// The calling thread itself.
const ME: pid_t = 0;
const NO_FLAGS: c_uint = 0;

/// Asks for turns of `slice` for the calling thread, and for those it starts from now on; of zero, for
/// the system's own (some milliseconds). The thread gets no more processor time and no less, but sooner
/// after it wakes, and in smaller pieces. Linux 6.12 and later take 0.1 to 100 ms; earlier ones pay no
/// heed. What an administrator has chosen, a niceness or a policy like `SCHED_FIFO`, stays.
///
/// Async-signal-safe: it may be called between fork and exec.
pub fn ask_for_slice(slice: Duration) {
    let Some(mut attributes) = attributes().filter(is_ordinary) else { return };
    attributes.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
    // SAFETY: `attributes` is as the kernel filled it in, one field changed; the call reads `size` bytes
    // of it, and keeps none. Refused, it changes nothing.
    unsafe {
        syscall(SYS_sched_setattr, ME, &raw const attributes, NO_FLAGS);
    }
}

/// Other policies read the same field as something else.
fn is_ordinary(attributes: &sched_attr) -> bool {
    use nix::libc::{SCHED_BATCH, SCHED_OTHER};
    [SCHED_OTHER, SCHED_BATCH].map(c_int::cast_unsigned).contains(&attributes.sched_policy)
}

/// The calling thread's scheduling attributes; none before Linux 3.14, or where they may not be asked for.
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

    /// Calls `ask_for_slice` on a thread that is nicer by `nice`; its attributes afterwards.
    fn after(nice: c_int, slice: Duration) -> sched_attr {
        let ask = move || {
            // SAFETY: changes this thread's own niceness (Linux has one for each thread).
            unsafe { nix::libc::nice(nice) };
            ask_for_slice(slice);
            attributes().unwrap()
        };
        std::thread::spawn(ask).join().unwrap()
    }

    /// Does this kernel let a thread choose?
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
