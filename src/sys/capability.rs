//! Capabilities of the process, capabilities(7).
//!
//! Container engines and service managers take some of them away from root. `boot/` asks before opening
//! anything, so that a start that must fail does so at once.

use nix::libc;

/// Value of `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;
const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;

/// Layout of `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// Layout of `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Tells whether this process may change its user and group ids.
///
/// True if the kernel does not tell, as the calls themselves will then fail.
pub fn may_change_user() -> bool {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: both pointers are valid for the whole call, and version 3 of the call writes two elements of
    // `data` and nothing else.
    let status = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    let wanted = 1 << CAP_SETUID | 1 << CAP_SETGID;
    status != 0 || data[0].effective & wanted == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_one_of_proc() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
        let effective = u64::from_str_radix(effective, 16).unwrap();
        assert_eq!(may_change_user(), effective & 0b1100_0000 == 0b1100_0000);
    }
}
