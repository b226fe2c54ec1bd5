//! The entries of a directory, read once, in the order of their names.

use std::ffi::{CStr, CString, OsString};
use std::sync::Arc;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use crate::cache::{MOST_SUBDIRECTORIES, Subdirectory};
use crate::docroot::blocking::Blocking;
use crate::resource::Directory;
use crate::resource::list_limiter::ListPermit;
use crate::response::Policy;

/// Entries after which a listing breaks off with a note: what one request may hold.
pub const MOST_ENTRIES: usize = 100_000;

/// One entry.
#[derive(Debug)]
pub struct Entry {
    name: CString,
    /// Permission and type bits of the entry itself.
    pub mode: u32,
    /// Those of what it leads to, if it is a link.
    pub target_mode: u32,
    /// Names of the same inode.
    pub links: nix::libc::nlink_t,
    /// Bytes.
    pub size: i64,
    /// Bytes of what it leads to, if it is a link.
    pub target_size: i64,
    /// Last change, in seconds since the epoch.
    pub modified: i64,
}

impl Entry {
    fn new(name: CString, entry: &FileStat, target: &FileStat) -> Entry {
        Entry {
            mode: entry.st_mode,
            target_mode: target.st_mode,
            links: entry.st_nlink,
            size: entry.st_size,
            target_size: target.st_size,
            modified: entry.st_mtime,
            name,
        }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        self.name.to_bytes()
    }

    /// Is it a directory, or a link to one?
    pub fn is_directory(&self) -> bool {
        kind(self.target_mode) == SFlag::S_IFDIR
    }

    /// Is it a symbolic link?
    pub fn is_link(&self) -> bool {
        kind(self.mode) == SFlag::S_IFLNK
    }

    /// Is it a plain file, or a link to one?
    pub fn is_file(&self) -> bool {
        kind(self.target_mode) == SFlag::S_IFREG
    }
}

/// The type of a file.
pub fn kind(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits())
}

/// A directory's entries.
#[derive(Debug)]
pub struct Entries {
    dir: Dir,
    /// The directory's decoded path: no leading slash, trailing slash, empty for the top.
    pub url_path: Vec<u8>,
    /// By name, in the order of the bytes.
    pub list: Vec<Entry>,
    /// There are no more than these.
    pub complete: bool,
    /// Bytes after which a page breaks off.
    pub largest_page: usize,
    /// The subdirectories, where a change to anything else that is shown is an event in this directory: no
    /// link is among the entries, no file with other names, nothing of another file system.
    pub subdirectories: Option<Vec<Subdirectory>>,
    /// Text of a README.txt to show below the list.
    pub readme: Option<Arc<[u8]>>,
    /// Held until the page is made.
    _permit: Option<ListPermit>,
}

impl Entries {
    /// Reads them.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn read(directory: Directory, policy: &Policy<'_>) -> Result<Entries, Errno> {
        Entries::read_at_most(directory, policy, MOST_ENTRIES)
    }

    /// Reads `most` of them.
    pub fn read_at_most(directory: Directory, policy: &Policy<'_>, most: usize) -> Result<Entries, Errno> {
        // Opened again by way of itself: the descriptor may be one for paths only.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir = Dir::openat(&directory.dir, c".", flags, Mode::empty())?;
        let is_top = directory.url_path.is_empty();
        let (mut names, mut complete) = (Vec::new(), true);
        for entry in dir.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if !is_shown(name.to_bytes(), is_top, policy.hide_dotfiles) {
                continue;
            }
            if names.len() == most {
                complete = false;
                break;
            }
            names.push((name.to_owned(), entry.file_type()));
        }
        names.sort_unstable_by(|(one, _): &(CString, _), (other, _)| one.cmp(other));
        let mut watchable = Watchable::from_dir(&dir);
        let look = |(name, kind): (CString, _)| {
            let seen = look(&dir, &name, kind, policy.blocking);
            watchable.add(&name, seen.as_ref().map(|(entry, _)| entry));
            seen.map(|(entry, target)| Entry::new(name, &entry, &target))
        };
        let list = names.into_iter().filter_map(look).collect();
        let subdirectories = watchable.subdirectories;
        let Directory { url_path, readme, permit, .. } = directory;
        let largest_page = super::LARGEST_PAGE;
        Ok(Entries { dir, url_path, list, complete, largest_page, subdirectories, readme, _permit: permit })
    }

    /// Where a link leads; none if it is no link any more.
    pub fn target(&self, entry: &Entry) -> Option<OsString> {
        readlinkat(&self.dir, &*entry.name).ok()
    }
}

/// What the disk says of `name`; none if it is gone, a link to nothing, or in storage that no worker may
/// look at just now.
fn look(
    dir: &Dir,
    name: &CStr,
    listed: Option<Type>,
    blocking: &dyn Blocking,
) -> Option<(FileStat, FileStat)> {
    let entry = match listed {
        // Nothing but a directory, as good as ever, has another file system mounted on it.
        Some(Type::File | Type::Symlink) => fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?,
        _ => stat_carefully(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW, blocking)?,
    };
    let is_link = kind(entry.st_mode) == SFlag::S_IFLNK;
    let target = if is_link { stat_carefully(dir, name, AtFlags::empty(), blocking)? } else { entry };
    Some((entry, target))
}

/// Collects what decides whether a list may be kept ([`Entries::subdirectories`]).
struct Watchable {
    device: Option<u64>,
    subdirectories: Option<Vec<Subdirectory>>,
}

impl Watchable {
    fn from_dir(dir: &Dir) -> Watchable {
        Watchable { device: fstat(dir).ok().map(|meta| meta.st_dev), subdirectories: Some(Vec::new()) }
    }

    fn add(&mut self, name: &CStr, seen: Option<&FileStat>) {
        let here = seen.filter(|seen| Some(seen.st_dev) == self.device);
        match here.map(|seen| (kind(seen.st_mode), seen)) {
            Some((SFlag::S_IFREG, seen)) if seen.st_nlink == 1 => {}
            Some((SFlag::S_IFDIR, seen)) => {
                let others = self.subdirectories.as_mut();
                if let Some(others) = others.filter(|others| others.len() < MOST_SUBDIRECTORIES) {
                    others.push(Subdirectory { name: name.into(), seen: *seen });
                } else {
                    self.subdirectories = None;
                }
            }
            _ => self.subdirectories = None,
        }
    }
}

/// `stat` of a name that may lead to another file system, which is asked only if a worker may wait for it.
fn stat_carefully(dir: &Dir, name: &CStr, flags: AtFlags, blocking: &dyn Blocking) -> Option<FileStat> {
    let last = if flags.is_empty() { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    let how =
        OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC | last).resolve(ResolveFlag::RESOLVE_NO_XDEV);
    match openat2(dir, name, how) {
        Ok(file) => fstat(file).ok(),
        Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => None,
        Err(_) => blocking.enter_remote().then(|| fstatat(dir, name, flags).ok())?,
    }
}

/// Is an entry of this name listed?
fn is_shown(name: &[u8], is_top: bool, hide_dotfiles: bool) -> bool {
    match name {
        b".." => !is_top,
        _ if name.starts_with(b".ht") => false,
        _ => !(hide_dotfiles && name.starts_with(b".")),
    }
}
