//! `-i`: the pid file.
//!
//! The file is looked at before ports are bound, and written when they are: a server that cannot have its
//! ports leaves it alone. It is given up when the ports are closed, so that a successor may start while
//! the last requests are answered, and only while our own number stands in it: a successor, or another
//! server with the same file, may have written theirs. Each change is made under a lock of the file.
//! No symbolic link is followed: root writes here, in a directory that may be another user's.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::signal::kill;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, UnlinkatFlags, ftruncate, geteuid, unlinkat};

use super::failure::Failure;
use crate::sys::directory::{may_create_in, open_parent};
use crate::sys::stat::{StatFields, fstatat};

/// The administrator's user id.
const ROOT: u32 = 0;
/// Maximum wait for a lock, since every process that may read the file can hold a lock forever.
const LOCK_TIME: Duration = Duration::from_millis(500);
/// Maximum number of retries if the file is removed between opening and locking.
const TRIES: usize = 100;

/// Location of the pid file.
#[derive(Debug)]
pub struct PidFilePlace {
    /// Directory, held open since no path leads there after chroot.
    dir: OwnedFd,
    name: OsString,
    /// Path as written by the operator.
    shown: String,
}

/// Pid file that contains this process's id.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    place: PidFilePlace,
}

impl PidFilePlace {
    /// Checks `path` without changing anything; `None` for `/dev/null`, which keeps no number.
    ///
    /// # Errors
    /// The directory is missing, or the file is not a pid file that the server may write.
    pub fn find(path: &Path) -> Result<Option<PidFilePlace>, Failure> {
        if path == Path::new("/dev/null") {
            return Ok(None);
        }
        let shown = path.display().to_string();
        let no_file = |errno: Errno| failure(&shown, &errno.into());
        let name = path.file_name().ok_or_else(|| no_file(Errno::EISDIR))?.to_owned();
        let place = PidFilePlace { dir: open_parent(path).map_err(no_file)?, name, shown };
        let found = match place.open(OFlag::O_RDWR) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                may_create_in(&place.dir).map_err(Into::into)
            }
            opened => opened.map(drop),
        };
        match found {
            Ok(()) => Ok(Some(place)),
            Err(error) => Err(failure(&place.shown, &error)),
        }
    }

    /// Tells whether the file contains the number of another living process, which may be a leaving server.
    pub fn names_another(&self) -> bool {
        let Some(pid) = self.open(OFlag::O_RDONLY).ok().and_then(|file| number_in(&file)) else {
            return false;
        };
        pid != std::process::id().cast_signed()
            && matches!(kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM))
    }

    /// Directory of the file; `None` if no descriptor is left.
    pub fn directory(&self) -> Option<OwnedFd> {
        self.dir.try_clone().ok()
    }

    /// Writes this process's id into the file, replacing the content.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn write(self) -> Result<PidFile, Failure> {
        match self.write_ours() {
            Ok(file) => Ok(PidFile { file, place: self }),
            Err(error) => Err(failure(&self.shown, &error)),
        }
    }

    fn write_ours(&self) -> io::Result<File> {
        for _ in 0..TRIES {
            let file = self.open(OFlag::O_RDWR | OFlag::O_CREAT)?;
            lock_briefly(&file)?;
            if self.is(&file) {
                ftruncate(&file, 0)?;
                file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)?;
                file.unlock()?;
                return Ok(file);
            }
        }
        Err(Errno::EAGAIN.into())
    }

    fn open(&self, flags: OFlag) -> io::Result<File> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let mode = Mode::from_bits_truncate(0o644);
        let file = File::from(openat(&self.dir, self.name.as_os_str(), flags, mode)?);
        let meta = file.metadata()?;
        match () {
            () if !meta.is_file() => Err(Errno::ENOTSUP.into()),
            // Another name for a file of another purpose.
            () if meta.nlink() > 1 => Err(Errno::EMLINK.into()),
            // The owner could write another process's number, and stopping the server by the pid file would
            // end that process.
            () if meta.uid() != geteuid().as_raw() && meta.uid() != ROOT => Err(Errno::EPERM.into()),
            () => Ok(file),
        }
    }

    /// Tells whether `file` is the file that the name refers to now.
    fn is(&self, file: &File) -> bool {
        let there = fstatat(&self.dir, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let ours = file.metadata();
        there.is_ok_and(|there| {
            ours.is_ok_and(|ours| (there.st_dev, there.inode()) == (ours.dev(), ours.ino()))
        })
    }
}

impl PidFile {
    /// Removes the file if it still contains this process's id; truncates it if removal is not permitted.
    pub fn give_up(self) {
        let PidFile { file, place } = self;
        // Closing the file releases the lock.
        let _ = lock_briefly(&file);
        let is_ours = number_in(&file) == Some(std::process::id().cast_signed()) && place.is(&file);
        if is_ours && unlinkat(&place.dir, place.name.as_os_str(), UnlinkatFlags::NoRemoveDir).is_err() {
            let _ = ftruncate(&file, 0);
        }
    }
}

fn failure(shown: &str, error: &io::Error) -> Failure {
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let advice = match errno {
        Errno::ENOTSUP => "a pid file is a regular file, or /dev/null for none: see -i",
        Errno::ELOOP => "a pid file must not be a symbolic link: see -i",
        Errno::EMLINK => "a pid file must have no second name (hard link): see -i",
        Errno::EPERM => "a pid file of another user is not taken over: remove it, or see -i",
        _ => "give a file that can be written with -i",
    };
    Failure::from_call(shown, errno, advice).with_option("pidfile")
}

/// Locks `file`; after the time limit, continues without the lock.
fn lock_briefly(file: &File) -> io::Result<()> {
    let deadline = Instant::now() + LOCK_TIME;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Process id in `file`.
fn number_in(file: &File) -> Option<i32> {
    let mut text = [0; 20];
    let length = file.read_at(&mut text, 0).ok()?;
    let pid = str::from_utf8(&text[..length]).ok()?.trim().parse().ok()?;
    (pid > 0).then_some(pid)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TempTree;

    fn write(path: &Path) -> Result<PidFile, Failure> {
        PidFilePlace::find(path)?.unwrap().write()
    }

    fn ours() -> String {
        format!("{}\n", std::process::id())
    }

    #[test]
    fn it_holds_our_pid_while_we_run_and_is_gone_afterwards() {
        let tree = TempTree::new();
        let path = tree.path().join("pid");
        let place = PidFilePlace::find(&path).unwrap().unwrap();
        assert!(!path.exists(), "to look at it changes nothing");
        let held = place.write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), ours());
        held.give_up();
        assert!(!path.exists());
    }

    #[test]
    fn whatever_stands_in_it_is_replaced() {
        let tree = TempTree::new();
        let path = tree.path().join("pid");
        for before in ["4194304 and a long line of rubbish\n", "1\n", ""] {
            tree.file("pid", before);
            let held = write(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), ours());
            held.give_up();
        }
    }

    #[test]
    fn one_that_is_no_longer_ours_is_left_alone() {
        let tree = TempTree::new();
        let path = tree.path().join("pid");
        let held = write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        held.give_up();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n", "another number");
        let held = write(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, ours()).unwrap();
        held.give_up();
        assert!(path.exists(), "another file");
    }

    #[test]
    fn a_process_that_lives_is_told_from_one_that_does_not() {
        let tree = TempTree::new();
        let path = tree.path().join("pid");
        for (text, lives) in [
            ("1\n", true),
            (&*ours(), false),
            ("4194304\n", false),
            ("0", false),
            ("-1", false),
            ("x", false),
        ] {
            tree.file("pid", text);
            assert_eq!(PidFilePlace::find(&path).unwrap().unwrap().names_another(), lives, "{text:?}");
        }
    }

    #[test]
    fn neither_symbolic_nor_hard_links_are_followed() {
        let tree = TempTree::new();
        tree.file("precious", "text");
        symlink(tree.path().join("precious"), tree.path().join("soft")).unwrap();
        fs::hard_link(tree.path().join("precious"), tree.path().join("hard")).unwrap();
        for (name, advice) in [("soft", "symbolic link"), ("hard", "hard link")] {
            let failure = PidFilePlace::find(&tree.path().join(name)).unwrap_err().to_string();
            assert!(failure.contains(advice), "{failure}");
            assert_eq!(fs::read_to_string(tree.path().join("precious")).unwrap(), "text");
        }
    }

    #[test]
    fn no_number_is_kept_in_dev_null_and_other_devices_are_refused() {
        assert!(PidFilePlace::find(Path::new("/dev/null")).unwrap().is_none());
        let failure = PidFilePlace::find(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(failure.contains("; a pid file is a regular file"), "{failure}");
    }

    #[test]
    fn a_lock_that_is_never_given_up_holds_nobody_up_for_long() {
        let tree = TempTree::new();
        tree.file("pid", "17");
        let path = tree.path().join("pid");
        let theirs = File::open(&path).unwrap();
        theirs.lock().unwrap();
        let held = write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), ours());
        held.give_up();
        assert!(!path.exists());
    }

    #[test]
    fn another_users_is_not_taken_over() {
        if !geteuid().is_root() {
            return;
        }
        let tree = TempTree::new();
        tree.file("pid", "17\n");
        let path = tree.path().join("pid");
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
        let failure = write(&path).unwrap_err().to_string();
        assert!(failure.contains("another user"), "{failure}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "17\n");
    }
}
