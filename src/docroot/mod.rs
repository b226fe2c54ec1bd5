//! Looking names up below the root, and never outside it.
//!
//! Every file this server reads for a client is opened here, relative to one directory descriptor.
//! The kernel itself refuses to leave the tree (`openat2`, RESOLVE_BENEATH); where it lacks that
//! call (before Linux 5.6, or under a sandbox that hides it) each component is opened in turn
//! without following links, which comes to the same.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};

pub mod blocking;
pub mod path;

use crate::sys::filesystem::{self, OpenDirectory};
use path::without_links;

/// How often `openat2` is asked again when a rename elsewhere got in its way (EAGAIN).
const TRIES: usize = 4;

/// The top of the tree that is served.
#[derive(Debug)]
pub struct DocRoot {
    dir: OwnedFd,
    /// Absolute path of `dir` with a trailing slash: absolute symbolic links that begin with it
    /// lead back into the tree (thttpd).
    path: Vec<u8>,
    /// `dir` as it was opened: relative to the working directory, which never changes while we serve.
    at: PathBuf,
    /// The root's own file system is one that answers from this machine.
    is_local: bool,
    /// False once the kernel has said that it does not know `openat2`.
    has_openat2: AtomicBool,
}

/// How symbolic links are treated on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Any link on the way is an error (ELOOP): the name was expanded before.
    Refuse,
    /// Followed as long as they stay inside, absolute ones too.
    Within,
    /// Followed wherever they lead (`-nos`).
    Follow,
}

impl DocRoot {
    /// Opens the directory `at` as the root; `path` is its absolute path as later seen in link targets.
    ///
    /// # Errors
    /// When `at` is no directory or may not be searched.
    pub fn open(at: &Path, path: &[u8]) -> nix::Result<DocRoot> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = nix::fcntl::open(at, flags, Mode::empty())?;
        let mut path = path.to_vec();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        let is_local = filesystem::is_local(dir.as_fd());
        Ok(DocRoot { dir, path, at: at.into(), is_local, has_openat2: AtomicBool::new(true) })
    }

    /// Looks whether the directory is still there and may be opened.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self) -> nix::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = openat(&self.dir, ".", flags, Mode::empty())?;
        // A directory that was removed can still be opened through a descriptor of it.
        if fstat(&dir)?.st_nlink == 0 { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// Absolute path with a trailing slash.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path of `name` for system calls that take no directory descriptor.
    pub fn path_of(&self, name: &[u8]) -> PathBuf {
        self.at.join(OsStr::from_bytes(name))
    }
}

/// The tree as one look-up may see it: all of it, or the part that is known to answer at once.
///
/// A system call may hang for as long as a network file system's server does not answer, and the thread
/// with it. A local view never enters another file system than the root's own (openat2(2),
/// RESOLVE_NO_XDEV): a name beyond a mount point is EXDEV, without a question to what is mounted there.
#[derive(Debug)]
pub struct View<'r> {
    root: &'r DocRoot,
    local: bool,
    /// A name led to another file system: what was found is not the answer.
    crossed: Cell<bool>,
}

impl<'r> View<'r> {
    /// The root's file system alone; nothing where that may hang itself.
    pub fn local(root: &'r DocRoot) -> View<'r> {
        View { root, local: true, crossed: Cell::new(false) }
    }

    /// All file systems: for a thread that may be kept waiting.
    pub fn anywhere(root: &'r DocRoot) -> View<'r> {
        View { root, local: false, crossed: Cell::new(false) }
    }

    /// The tree.
    pub fn root(&self) -> &'r DocRoot {
        self.root
    }

    /// Is the view a local one?
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// Did a name lead out of a local view? Then no outcome counts.
    pub fn has_crossed(&self) -> bool {
        self.crossed.get()
    }

    /// `stat` of a name; the top is the empty name.
    ///
    /// # Errors
    /// As the system call.
    pub fn stat(&self, name: &[u8], links: Links) -> nix::Result<FileStat> {
        if self.local {
            let last = if links == Links::Refuse { OFlag::O_NOFOLLOW } else { OFlag::empty() };
            let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | last;
            return fstat(self.noted(self.open_here(or_dot(name), flags, ResolveFlag::empty()))?);
        }
        let flags = match links {
            Links::Refuse => AtFlags::AT_SYMLINK_NOFOLLOW,
            Links::Within | Links::Follow => AtFlags::empty(),
        };
        fstatat(&self.root.dir, or_dot(name), flags)
    }

    /// `stat` of a name of which `links` are on no component, not on the last one alone; where `links` are
    /// followed within, the file that they lead to must be, too.
    ///
    /// # Errors
    /// As the system call; ELOOP or EXDEV where a link is refused.
    pub fn stat_beneath(&self, name: &[u8], links: Links) -> nix::Result<FileStat> {
        if links == Links::Follow {
            return self.stat(name, Links::Follow);
        }
        fstat(self.open_path(name, links)?)
    }

    /// Whether the directory `dir` holds an entry called `name`, a dangling link included.
    ///
    /// The directory is opened first: ENOENT then speaks of the entry alone, and never of a directory that
    /// was renamed away or not mounted yet.
    ///
    /// # Errors
    /// As the system calls; the answer is not known then.
    pub fn has_entry(&self, dir: &[u8], name: &[u8], links: Links) -> nix::Result<bool> {
        let dir = self.open_with(dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, links)?;
        // What may be mounted on the entry is not asked.
        match nix::fcntl::readlinkat(&dir, name) {
            Ok(_) | Err(Errno::EINVAL) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// A descriptor for the name alone (O_PATH): nothing is read, and no device has effects.
    ///
    /// # Errors
    /// As [`View::stat_beneath`].
    pub fn open_path(&self, name: &[u8], links: Links) -> nix::Result<OwnedFd> {
        self.open_with(name, OFlag::O_PATH | OFlag::O_CLOEXEC, links)
    }

    /// Called before a look at what lies outside the tree, of whose file systems nothing is known.
    ///
    /// # Errors
    /// EXDEV in a local view.
    pub fn leave(&self) -> nix::Result<()> {
        self.noted(if self.local { Err(Errno::EXDEV) } else { Ok(()) })
    }

    /// Target of a symbolic link; EINVAL when `name` is none. Its directory has been entered before.
    ///
    /// # Errors
    /// As the system call.
    pub fn read_link(&self, name: &[u8]) -> nix::Result<Vec<u8>> {
        nix::fcntl::readlinkat(&self.root.dir, name).map(OsStringExt::into_vec)
    }

    /// Opens a name for reading. Never blocks on a FIFO, never becomes a controlling terminal; the
    /// caller checks what kind of file it got.
    ///
    /// # Errors
    /// As the system call; ELOOP where `links` refuses one.
    pub fn open_read(&self, name: &[u8], links: Links) -> nix::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        self.open_with(name, flags, links).map(File::from)
    }

    /// Opens the file `name` of a directory outside the tree for reading, wherever links lead. Never blocks on
    /// a FIFO, as [`View::open_read`].
    ///
    /// # Errors
    /// As the system call; EXDEV in a local view for a file that may lie in another file system.
    pub fn open_beside(&self, dir: &OpenDirectory, name: &[u8]) -> nix::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let opened = match (self.local, dir.is_local) {
            (false, _) => openat(&dir.file, name, flags, Mode::empty()),
            (true, false) => Err(Errno::EXDEV),
            (true, true) => {
                let answer = self.ask_openat2(
                    dir.file.as_fd(),
                    name,
                    OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_XDEV),
                );
                answer.unwrap_or(Err(Errno::EXDEV))
            }
        };
        self.noted(opened).map(File::from)
    }

    fn open_with(&self, name: &[u8], flags: OFlag, links: Links) -> nix::Result<OwnedFd> {
        let name = or_dot(name);
        match links {
            Links::Follow if self.local => self.noted(self.open_here(name, flags, ResolveFlag::empty())),
            Links::Follow => openat(&self.root.dir, name, flags, Mode::empty()),
            Links::Refuse => self.noted(self.open_beneath(name, flags, ResolveFlag::RESOLVE_NO_SYMLINKS)),
            Links::Within => self.open_within(name, flags),
        }
    }

    /// To the kernel an absolute link leads out of the tree, even one that leads back into it, and without
    /// `openat2` it follows none: such names are expanded first.
    fn open_within(&self, name: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
        let opened = self.open_beneath(name, flags, ResolveFlag::RESOLVE_NO_MAGICLINKS);
        if self.root.has_openat2.load(Relaxed) && opened.as_ref().err() != Some(&Errno::EXDEV) {
            return opened;
        }
        let name = without_links(self, name)?;
        self.noted(self.open_beneath(or_dot(&name), flags, ResolveFlag::RESOLVE_NO_SYMLINKS))
    }

    fn open_beneath(&self, name: &[u8], flags: OFlag, links: ResolveFlag) -> nix::Result<OwnedFd> {
        let beneath = ResolveFlag::RESOLVE_BENEATH | links;
        if self.local {
            return self.open_here(name, flags, beneath);
        }
        let how = OpenHow::new().flags(flags).resolve(beneath);
        match self.ask_openat2(self.root.dir.as_fd(), name, how) {
            Some(answer) => answer,
            None => open_by_components(self.root.dir.as_fd(), name, flags),
        }
    }

    /// Opens what lies in the root's own file system, if that is local; EXDEV for the rest.
    fn open_here(&self, name: &[u8], flags: OFlag, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
        if !self.root.is_local {
            return Err(Errno::EXDEV);
        }
        // Without `openat2` nothing tells what lies in another file system before it has been entered.
        let how = OpenHow::new().flags(flags).resolve(resolve | ResolveFlag::RESOLVE_NO_XDEV);
        let answer = self.ask_openat2(self.root.dir.as_fd(), name, how);
        answer.unwrap_or(Err(Errno::EXDEV))
    }

    /// None where the kernel does not know the call, or is kept from an answer by renames elsewhere.
    fn ask_openat2(&self, dir: BorrowedFd<'_>, name: &[u8], how: OpenHow) -> Option<nix::Result<OwnedFd>> {
        for _ in 0..TRIES {
            if !self.root.has_openat2.load(Relaxed) {
                break;
            }
            match openat2(dir, name, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
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

/// A link where a directory was wanted is ELOOP, as `openat2` says it: a caller that takes ENOTDIR for
/// "does not exist" must not be misled.
fn link_or(errno: Errno, dir: BorrowedFd<'_>, segment: &[u8]) -> Errno {
    if errno == Errno::ENOTDIR && nix::fcntl::readlinkat(dir, segment).is_ok() { Errno::ELOOP } else { errno }
}

fn or_dot(name: &[u8]) -> &[u8] {
    if name.is_empty() { b"." } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempTree;
    use std::os::unix::fs::symlink;

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
