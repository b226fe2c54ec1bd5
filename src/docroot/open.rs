//! Opening of names below the root, with the links that the caller allows.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::Ordering::Relaxed;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

use super::path::without_links;
use super::{Links, View};
use crate::sys::filesystem::OpenDirectory;
use crate::sys::stat::{FileStat, fstat, fstatat};

/// Number of `openat2` calls for one name while concurrent renames make it fail with EAGAIN.
const TRIES: usize = 4;

/// Flags for a file that is read. A FIFO does not block, and a terminal does not become the controlling one.
/// Systems of 32 bits open files of 2 GiB and more only if asked to.
pub const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_LARGEFILE)
    .union(OFlag::O_CLOEXEC);

/// Flags for a name alone: no content is read, no permission is needed, and devices have no side effects.
pub const PATH: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

impl View<'_> {
    /// Runs `stat` on a name; the top is the empty name.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn stat(&self, name: &[u8], links: Links) -> nix::Result<FileStat> {
        if self.local {
            let last = if links == Links::Refuse { OFlag::O_NOFOLLOW } else { OFlag::empty() };
            let flags = PATH | last;
            let here = self.root.dir.as_fd();
            return fstat(self.noted(self.open_here(here, or_dot(name), flags, ResolveFlag::empty()))?);
        }
        let flags = match links {
            Links::Refuse => AtFlags::AT_SYMLINK_NOFOLLOW,
            Links::Within | Links::Follow => AtFlags::empty(),
        };
        fstatat(&self.root.dir, or_dot(name), flags)
    }

    /// Runs `stat` on a name, with `links` applied to every component, not only to the last one.
    ///
    /// With [`Links::Within`], the target must also lie in the tree.
    ///
    /// # Errors
    /// Those of the system call; ELOOP or EXDEV for a refused link.
    pub fn stat_beneath(&self, name: &[u8], links: Links) -> nix::Result<FileStat> {
        if links == Links::Follow {
            return self.stat(name, Links::Follow);
        }
        fstat(self.open_path(name, links)?)
    }

    /// Opens the name alone, with [`PATH`].
    ///
    /// # Errors
    /// Those of [`View::stat_beneath`].
    pub fn open_path(&self, name: &[u8], links: Links) -> nix::Result<OwnedFd> {
        self.open_with(name, PATH, links)
    }

    /// Announces access to a path outside the tree, whose file system is unknown.
    ///
    /// # Errors
    /// EXDEV in a local view.
    pub fn leave(&self) -> nix::Result<()> {
        self.noted(if self.local { Err(Errno::EXDEV) } else { Ok(()) })
    }

    /// Target of a symbolic link whose directory has been opened before.
    ///
    /// # Errors
    /// Those of the system call; EINVAL if `name` is not a link.
    pub fn read_link(&self, name: &[u8]) -> nix::Result<Vec<u8>> {
        nix::fcntl::readlinkat(&self.root.dir, name).map(OsStringExt::into_vec)
    }

    /// Opens a name for reading.
    ///
    /// A FIFO does not block, and a terminal does not become the controlling one. The caller checks the
    /// file type.
    ///
    /// # Errors
    /// Those of the system call; ELOOP for a refused link.
    pub fn open_read(&self, name: &[u8], links: Links) -> nix::Result<File> {
        self.open_with(name, READ, links).map(File::from)
    }

    /// Opens the file `name` in a directory outside the tree for reading, and follows all links.
    ///
    /// A FIFO does not block.
    ///
    /// # Errors
    /// Those of the system call; EXDEV in a local view if the file may lie in another file system.
    pub fn open_beside(&self, dir: &OpenDirectory, name: &[u8]) -> nix::Result<File> {
        let opened = match (self.local, dir.is_local) {
            (false, _) => openat(&dir.file, name, READ, Mode::empty()),
            (true, false) => Err(Errno::EXDEV),
            (true, true) => {
                let answer = self.ask_openat2(
                    dir.file.as_fd(),
                    name,
                    OpenHow::new().flags(READ).resolve(ResolveFlag::RESOLVE_NO_XDEV),
                );
                answer.unwrap_or(Err(Errno::EXDEV))
            }
        };
        self.noted(opened).map(File::from)
    }

    /// Opens a name below the root.
    pub(super) fn open_with(&self, name: &[u8], flags: OFlag, links: Links) -> nix::Result<OwnedFd> {
        let opened = self.open_from(self.root.dir.as_fd(), name, flags, links);
        let is_done = links != Links::Within
            || self.root.has_openat2.load(Relaxed) && opened.as_ref().err() != Some(&Errno::EXDEV);
        if is_done {
            return opened;
        }
        // The kernel treats every absolute link as leaving the tree, and the fallback without `openat2`
        // follows no links. Names with links are therefore expanded first.
        let name = without_links(self, or_dot(name))?;
        self.open_from(self.root.dir.as_fd(), &name, flags, Links::Refuse)
    }

    /// Opens a name below `dir`, an open directory of the tree.
    ///
    /// With [`Links::Within`], a link that leads out of `dir` is EXDEV even if its target lies in the tree;
    /// without `openat2`, each link is ELOOP.
    pub(super) fn open_from(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        flags: OFlag,
        links: Links,
    ) -> nix::Result<OwnedFd> {
        let name = or_dot(name);
        match links {
            Links::Follow if self.local => self.noted(self.open_here(dir, name, flags, ResolveFlag::empty())),
            Links::Follow => openat(dir, name, flags, Mode::empty()),
            Links::Refuse => {
                self.noted(self.open_beneath(dir, name, flags, ResolveFlag::RESOLVE_NO_SYMLINKS))
            }
            Links::Within => self.open_beneath(dir, name, flags, ResolveFlag::RESOLVE_NO_MAGICLINKS),
        }
    }

    fn open_beneath(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        flags: OFlag,
        links: ResolveFlag,
    ) -> nix::Result<OwnedFd> {
        let beneath = ResolveFlag::RESOLVE_BENEATH | links;
        if self.local {
            return self.open_here(dir, name, flags, beneath);
        }
        let how = OpenHow::new().flags(flags).resolve(beneath);
        match self.ask_openat2(dir, name, how) {
            Some(answer) => answer,
            None => open_by_components(dir, name, flags),
        }
    }

    /// Opens a name in the root's own file system, if that is local; EXDEV otherwise.
    fn open_here(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        flags: OFlag,
        resolve: ResolveFlag,
    ) -> nix::Result<OwnedFd> {
        if !self.root.is_local {
            return Err(Errno::EXDEV);
        }
        // The fallback without `openat2` would enter another file system before noticing it, so it is not
        // used.
        let how = OpenHow::new().flags(flags).resolve(resolve | ResolveFlag::RESOLVE_NO_XDEV);
        self.ask_openat2(dir, name, how).unwrap_or(Err(Errno::EXDEV))
    }

    /// Calls `openat2`; `None` if the kernel lacks the call, or keeps failing because of concurrent
    /// renames.
    fn ask_openat2(&self, dir: BorrowedFd<'_>, name: &[u8], how: OpenHow) -> Option<nix::Result<OwnedFd>> {
        for _ in 0..TRIES {
            if !self.root.has_openat2.load(Relaxed) {
                break;
            }
            match openat2(dir, name, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // EPERM is a sandbox's answer to an unknown call, and fanotify(7)'s for a file that a scanner refuses.
                Err(Errno::EPERM) if self.root.can_openat2() => return Some(Err(Errno::EPERM)),
                Err(Errno::ENOSYS | Errno::EPERM) => self.root.has_openat2.store(false, Relaxed),
                answer => return Some(answer),
            }
        }
        None
    }

    fn noted<T>(&self, answer: nix::Result<T>) -> nix::Result<T> {
        if self.local && matches!(answer, Err(Errno::EXDEV)) {
            self.crossed.set(true);
        }
        answer
    }
}

fn open_by_components(root: BorrowedFd<'_>, name: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
    let walk = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut here: Option<OwnedFd> = None;
    let mut segments = name.split(|&b| b == b'/').filter(|s| !s.is_empty()).peekable();
    while let Some(segment) = segments.next() {
        if segment == b".." {
            return Err(Errno::EXDEV);
        }
        let dir = here.as_ref().map_or(root, AsFd::as_fd);
        let how = if segments.peek().is_some() { walk } else { flags | OFlag::O_NOFOLLOW };
        here = Some(openat(dir, segment, how, Mode::empty()).map_err(|errno| link_or(errno, dir, segment))?);
    }
    here.map_or_else(|| openat(root, ".", flags, Mode::empty()), Ok)
}

/// Converts an error of the fallback: a link in place of a directory is ELOOP, as with `openat2`.
///
/// Callers read ENOTDIR as "does not exist".
fn link_or(errno: Errno, dir: BorrowedFd<'_>, segment: &[u8]) -> Errno {
    if errno == Errno::ENOTDIR && nix::fcntl::readlinkat(dir, segment).is_ok() { Errno::ELOOP } else { errno }
}

fn or_dot(name: &[u8]) -> &[u8] {
    if name.is_empty() { b"." } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docroot::DocRoot;
    use crate::testing::TempTree;
    use nix::unistd::{Uid, setfsuid};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn both_ways_of_opening_refuse_links_and_climbing() {
        let tree = TempTree::new();
        tree.file("sub/a.txt", "a");
        symlink("a.txt", tree.path().join("sub/link")).expect("link");
        symlink("sub", tree.path().join("dirlink")).expect("link");
        let root = DocRoot::open(tree.path(), b"/").expect("root");
        for kernel_knows_openat2 in [true, false] {
            root.has_openat2.store(kernel_knows_openat2, Relaxed);
            let root = View::anywhere(&root);
            assert!(root.open_read(b"sub/a.txt", Links::Refuse).is_ok());
            assert!(root.open_read(b"", Links::Refuse).is_ok());
            assert_eq!(root.open_read(b"sub/link", Links::Refuse).err(), Some(Errno::ELOOP));
            assert!(root.open_read(b"dirlink/a.txt", Links::Refuse).is_err());
            assert_eq!(root.open_read(b"../etc", Links::Refuse).err(), Some(Errno::EXDEV));
            assert_eq!(root.open_read(b"sub/none", Links::Refuse).err(), Some(Errno::ENOENT));
        }
    }

    #[test]
    fn a_file_that_is_refused_with_eperm_does_not_make_the_call_unknown() {
        let root = DocRoot::open(Path::new("/etc"), b"/etc").expect("root");
        // Opened by another than its owner, as by one file-system user id of this thread alone.
        let opened = std::thread::scope(|scope| {
            let opener = scope.spawn(|| {
                setfsuid(Uid::from_raw(65534));
                View::anywhere(&root).open_with(b"passwd", READ | OFlag::O_NOATIME, Links::Refuse)
            });
            opener.join().expect("no panic")
        });
        if !root.can_openat2() {
            return eprintln!("skipped: no openat2 here");
        }
        assert_eq!(opened.err(), Some(Errno::EPERM));
        assert!(root.has_openat2.load(Relaxed));
    }

    #[test]
    fn both_ways_of_opening_follow_links_within_the_tree_and_none_out_of_it() {
        let tree = TempTree::new();
        tree.file("sub/a.txt", "a");
        symlink("../sub/a.txt", tree.path().join("sub/relative")).expect("link");
        symlink(tree.path().join("sub"), tree.path().join("absolute")).expect("link");
        symlink("/etc/passwd", tree.path().join("out")).expect("link");
        symlink("loop", tree.path().join("loop")).expect("link");
        let root = DocRoot::open(tree.path(), tree.path().as_os_str().as_encoded_bytes()).expect("root");
        let file = View::anywhere(&root).stat(b"sub/a.txt", Links::Refuse).expect("stat").st_ino;
        for kernel_knows_openat2 in [true, false] {
            root.has_openat2.store(kernel_knows_openat2, Relaxed);
            let root = View::anywhere(&root);
            for name in [&b"sub/a.txt"[..], b"sub/relative", b"absolute/a.txt"] {
                assert!(root.open_read(name, Links::Within).is_ok(), "{}", name.escape_ascii());
                assert_eq!(root.stat_beneath(name, Links::Within).map(|meta| meta.st_ino), Ok(file));
            }
            assert_eq!(root.open_read(b"out", Links::Within).err(), Some(Errno::EXDEV));
            assert_eq!(root.open_read(b"loop", Links::Within).err(), Some(Errno::ELOOP));
            assert_eq!(root.open_read(b"none", Links::Within).err(), Some(Errno::ENOENT));
        }
    }
}
