//! `-i`: the pid file.
//!
//! The file is locked while the server runs, so a second one does not start beside it, and one that a
//! dead server left behind is simply taken over. No symbolic link is followed: root writes here, in a
//! directory that may belong to another user.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, ftruncate, geteuid, unlinkat};

use super::failure::Failure;

/// The administrator's user id.
const ROOT: u32 = 0;

/// The file, held locked.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    /// Its directory stays open: after chroot no path leads there.
    dir: OwnedFd,
    name: OsString,
}

impl PidFile {
    /// Creates or takes over `path`, and writes our process id into it.
    ///
    /// # Errors
    ///
    /// The file cannot be had, or another server holds it.
    pub fn create(path: &Path) -> Result<PidFile, Failure> {
        let shown = path.display();
        let failed = |error: io::Error| {
            let advice = match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ELOOP) => "a pid file must not be a symbolic link: see -i",
                Some(Errno::EMLINK) => "a pid file must have no second name (hard link): see -i",
                Some(Errno::EPERM) => "a pid file of another user is not taken over: remove it, or see -i",
                _ => "give a file that can be written with -i",
            };
            Failure::of(&shown, error, advice)
        };
        let name = path.file_name().ok_or_else(|| failed(Errno::EISDIR.into()))?.to_owned();
        let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = open(parent, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
        let dir = dir.map_err(|errno| failed(errno.into()))?;
        loop {
            let file = match lock(&dir, &name).map_err(failed)? {
                Locked::Ours(file) => file,
                Locked::Gone => continue,
                Locked::Theirs(holder) => {
                    return Err(Failure::new(
                        format!("{shown} - {holder}"),
                        "stop it first, or give another file with -i",
                    ));
                }
            };
            let pid_file = PidFile { file, dir, name };
            pid_file.write().map_err(failed)?;
            return Ok(pid_file);
        }
    }

    fn write(&self) -> io::Result<()> {
        ftruncate(&self.file, 0)?;
        let text = format!("{}\n", std::process::id());
        (&self.file).write_all(text.as_bytes())
    }

    /// The directory it is in; none when there is no descriptor left to name it.
    pub fn directory(&self) -> Option<OwnedFd> {
        self.dir.try_clone().ok()
    }

    /// Removes the file. Where the user that we have become may not do that, it is emptied.
    pub fn remove(self) {
        if unlinkat(&self.dir, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir).is_err() {
            let _ = ftruncate(&self.file, 0);
        }
    }
}

enum Locked {
    Ours(File),
    /// Its owner removed it while we came.
    Gone,
    /// A running server's; which one, as far as the file tells.
    Theirs(String),
}

fn lock(dir: &OwnedFd, name: &OsString) -> io::Result<Locked> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let mut file = File::from(openat(dir, name.as_os_str(), flags, Mode::from_bits_truncate(0o644))?);
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Errno::EEXIST.into());
    }
    if meta.nlink() > 1 {
        // A hard link may be another name of any file of the system.
        return Err(Errno::EMLINK.into());
    }
    // Its owner could write another process's number into it, and who ends the server would end that.
    if meta.uid() != geteuid().as_raw() && meta.uid() != ROOT {
        return Err(Errno::EPERM.into());
    }
    match file.try_lock() {
        Ok(()) => match fstatat(dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(now) if (now.st_dev, now.st_ino) == (meta.dev(), meta.ino()) => Ok(Locked::Ours(file)),
            _ => Ok(Locked::Gone),
        },
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
            Ok(Locked::Theirs(holder(pid.trim())))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Describes the holder of a locked file with the text `pid`. Any user who may open the file can lock it,
/// so only a number is repeated.
fn holder(pid: &str) -> String {
    match pid.parse::<u32>() {
        Ok(pid) => format!("Another server runs as process {pid}"),
        Err(_) => "Another process has locked it".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TempTree;

    #[test]
    fn it_holds_our_pid_while_we_run_and_is_gone_afterwards() {
        let tree = TempTree::new();
        let path = tree.path().join("pid");
        let held = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        held.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_one_is_taken_over() {
        let tree = TempTree::new();
        tree.file("pid", "4194304 and a long line of rubbish\n");
        let held = PidFile::create(&tree.path().join("pid")).unwrap();
        assert_eq!(fs::read_to_string(tree.path().join("pid")).unwrap(), format!("{}\n", std::process::id()));
        held.remove();
    }

    #[test]
    fn a_running_servers_is_left_alone() {
        let tree = TempTree::new();
        let path = tree.path().join("pid");
        let held = PidFile::create(&path).unwrap();
        let failure = PidFile::create(&path).unwrap_err().to_string();
        assert!(failure.contains(&format!("runs as process {}", std::process::id())), "{failure}");
        held.remove();
    }

    #[test]
    fn neither_symbolic_nor_hard_links_are_followed() {
        let tree = TempTree::new();
        tree.file("precious", "text");
        symlink(tree.path().join("precious"), tree.path().join("soft")).unwrap();
        fs::hard_link(tree.path().join("precious"), tree.path().join("hard")).unwrap();
        for (name, advice) in [("soft", "symbolic link"), ("hard", "hard link")] {
            let failure = PidFile::create(&tree.path().join(name)).unwrap_err().to_string();
            assert!(failure.contains(advice), "{failure}");
            assert_eq!(fs::read_to_string(tree.path().join("precious")).unwrap(), "text");
        }
    }

    #[test]
    fn what_stands_in_a_locked_file_is_not_repeated_unless_it_is_a_number() {
        let tree = TempTree::new();
        tree.file("pid", "\x1b]0;owned\x07 17");
        let path = tree.path().join("pid");
        let theirs = File::open(&path).unwrap();
        theirs.lock().unwrap();
        let failure = PidFile::create(&path).unwrap_err().to_string();
        assert!(failure.contains("Another process has locked it"), "{failure}");
        assert!(!failure.contains("owned"), "{failure}");
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
        let failure = PidFile::create(&path).unwrap_err().to_string();
        assert!(failure.contains("another user"), "{failure}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "17\n");
    }
}
