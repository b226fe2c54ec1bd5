//! A file system in user space that answers nothing: storage whose server has stopped.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// The first request of a mount, the only one that is answered.
const INIT: u32 = 26;

/// A mounted directory in which every look-up waits, in a state that no signal ends, until this is dropped.
pub struct SilentMount {
    at: PathBuf,
    reader: Option<JoinHandle<()>>,
}

impl SilentMount {
    /// Mounts at the directory `at`; none, said aloud, where the system allows no such mount.
    pub fn new(at: &Path) -> Option<SilentMount> {
        if !super::is_root() {
            return None;
        }
        let device = match File::options().read(true).write(true).open("/dev/fuse") {
            Ok(device) => device,
            Err(error) => {
                assert!(
                    std::env::var_os("THTTPD_TESTS_SKIP").is_none_or(|v| v != "never"),
                    "/dev/fuse: {error}"
                );
                eprintln!("skipped: /dev/fuse: {error}");
                return None;
            }
        };
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("silent"), at, Some("fuse.silent"), flags, Some(&options[..])).expect("mount of FUSE");
        let reader = std::thread::spawn(move || take_requests(&device));
        Some(SilentMount { at: at.into(), reader: Some(reader) })
    }
}

impl Drop for SilentMount {
    fn drop(&mut self) {
        // FORCE aborts the connection: who waits gets an error.
        let _ = umount2(&self.at, MntFlags::MNT_FORCE);
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Takes requests, and so keeps a signal from withdrawing them, until the mount is gone.
fn take_requests(mut device: &File) {
    let mut request = vec![0; 256 * 1024];
    while let Ok(length) = device.read(&mut request) {
        if length >= 16 && request[4..8] == INIT.to_ne_bytes() {
            // Length, no error, the request's number; version 7.31, and no feature.
            let mut answer = [80_u32.to_ne_bytes(), 0_u32.to_ne_bytes()].concat();
            answer.extend_from_slice(&request[8..16]);
            let numbers = [7_u32, 31, 0, 0, 16, 128 * 1024].into_iter().chain([0; 10]);
            answer.extend(numbers.flat_map(u32::to_ne_bytes));
            device.write_all(&answer).expect("answer to INIT");
        }
    }
}
