//! Entries of a directory, read once and sorted by name.

use std::ffi::{CStr, CString, OsString};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag};

use crate::cache::{MOST_SUBDIRECTORIES, Subdirectory};
use crate::docroot::blocking::Blocking;
use crate::request::target::is_never_served;
use crate::resource::Directory;
use crate::resource::list_limiter::ListPermit;
use crate::response::Policy;
use crate::sys::directory::{Dir, Type};
use crate::sys::stat::{FileStat, StatFields, fstat, fstatat};

/// Maximum size of a page in bytes, to bound the memory of one request; longer lists end with a note.
pub(super) const LARGEST_PAGE: usize = 16 * 1024 * 1024;

/// Maximum number of entries in a list, to bound the memory of one request; longer lists end with a note.
pub const MOST_ENTRIES: usize = 100_000;

/// One directory entry.
#[derive(Debug)]
pub struct Entry {
    name: CString,
    /// Permission and type bits of the entry itself.
    pub mode: u32,
    /// Mode bits of the link's target, if the entry is a link.
    pub target_mode: u32,
    /// Number of hard links.
    pub links: u64,
    /// Size in bytes.
    pub size: i64,
    /// Size of the link's target in bytes, if the entry is a link.
    pub target_size: i64,
    /// Last change, in seconds since the epoch.
    pub modified: i64,
    /// Last change of the link's target, if the entry is a link.
    pub target_modified: i64,
}

impl Entry {
    fn new(name: CString, entry: &FileStat, target: &FileStat) -> Entry {
        Entry {
            mode: entry.st_mode,
            target_mode: target.st_mode,
            links: entry.links(),
            size: entry.bytes(),
            target_size: target.bytes(),
            modified: entry.modified().0,
            target_modified: target.modified().0,
            name,
        }
    }

    /// File name of the entry.
    pub fn name(&self) -> &[u8] {
        self.name.to_bytes()
    }

    /// Tells whether the entry is a directory, or a link to one.
    pub fn is_directory(&self) -> bool {
        kind(self.target_mode) == SFlag::S_IFDIR
    }

    /// Tells whether the entry is a symbolic link.
    pub fn is_link(&self) -> bool {
        kind(self.mode) == SFlag::S_IFLNK
    }

    /// Tells whether the entry is a regular file, or a link to one.
    pub fn is_file(&self) -> bool {
        kind(self.target_mode) == SFlag::S_IFREG
    }
}

/// File type bits of a mode.
pub fn kind(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits())
}

/// Entries of one directory.
#[derive(Debug)]
pub struct Entries {
    dir: Dir,
    /// Decoded path of the directory: no leading slash, a trailing slash, empty for the top.
    pub url_path: Vec<u8>,
    /// Entries in the byte order of their names.
    pub list: Vec<Entry>,
    /// Set if the list holds all entries.
    pub complete: bool,
    /// Maximum size of a page in bytes.
    pub largest_page: usize,
    /// Subdirectories, if inotify events of this directory report every change to the rest of the list.
    ///
    /// `None` if an entry is a link, has other names, or lies on another file system: such a list is not
    /// cached.
    pub subdirectories: Option<Vec<Subdirectory>>,
    /// Text of a README.txt to show below the list.
    pub readme: Option<Arc<[u8]>>,
    /// Permit, returned when the page is made.
    _permit: Option<ListPermit>,
}

impl Entries {
    /// Reads all entries.
    ///
    /// # Errors
    /// Errors of reading the directory.
    pub fn read(directory: Directory, policy: &Policy<'_>) -> Result<Entries, Errno> {
        Entries::read_at_most(directory, policy, MOST_ENTRIES)
    }

    /// Reads at most `most` entries.
    pub fn read_at_most(directory: Directory, policy: &Policy<'_>, most: usize) -> Result<Entries, Errno> {
        // The directory is reopened through itself, since the descriptor may be an `O_PATH` one.
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
        let mut remote = RemoteAccess { blocking: policy.blocking, permit: directory.permit };
        let look = |(name, kind): (CString, _)| {
            let seen = look(&dir, &name, kind, &mut remote);
            watchable.add(&name, seen.as_ref().map(|(entry, _)| entry));
            seen.map(|(entry, target)| Entry::new(name, &entry, &target))
        };
        let list = names.into_iter().filter_map(look).collect();
        let subdirectories = watchable.subdirectories;
        let Directory { url_path, readme, .. } = directory;
        let (largest_page, permit) = (LARGEST_PAGE, remote.permit);
        Ok(Entries { dir, url_path, list, complete, largest_page, subdirectories, readme, _permit: permit })
    }

    /// Target of a link; `None` if the entry is not a link any more.
    pub fn target(&self, entry: &Entry) -> Option<OsString> {
        readlinkat(&self.dir, &*entry.name).ok()
    }
}

/// Access to entries that lie in storage which may not answer.
struct RemoteAccess<'a> {
    blocking: &'a dyn Blocking,
    /// Permit of the list, until such storage is entered.
    permit: Option<ListPermit>,
}

impl RemoteAccess<'_> {
    /// Asks for leave to wait for such storage.
    ///
    /// Workers in it have a limit of their own. Their permits are returned, so that others can make lists
    /// while they hang.
    fn enter(&mut self) -> bool {
        let is_entered = self.blocking.enter_remote();
        if is_entered {
            self.permit = None;
        }
        is_entered
    }
}

/// Metadata of `name`.
///
/// `None` if the file is gone, is a dangling link, or lies in storage that may not answer now.
fn look(
    dir: &Dir,
    name: &CStr,
    listed: Option<Type>,
    remote: &mut RemoteAccess<'_>,
) -> Option<(FileStat, FileStat)> {
    let entry = match listed {
        // Only directories can be mount points of other file systems that block; these types need no
        // caution.
        Some(Type::File | Type::Symlink) => fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?,
        _ => stat_carefully(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW, remote)?,
    };
    let is_link = kind(entry.st_mode) == SFlag::S_IFLNK;
    let target = if is_link { stat_carefully(dir, name, AtFlags::empty(), remote)? } else { entry };
    Some((entry, target))
}

/// Collector of the facts that decide whether a list may be cached ([`Entries::subdirectories`]).
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

/// Runs `stat` on a name that may lead to another file system, if the worker is allowed to wait for that.
fn stat_carefully(dir: &Dir, name: &CStr, flags: AtFlags, remote: &mut RemoteAccess<'_>) -> Option<FileStat> {
    let last = if flags.is_empty() { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    let how =
        OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC | last).resolve(ResolveFlag::RESOLVE_NO_XDEV);
    match openat2(dir, name, how) {
        Ok(file) => fstat(file).ok(),
        Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => None,
        Err(_) => remote.enter().then(|| fstatat(dir, name, flags).ok())?,
    }
}

/// Tells whether an entry of this name is listed.
fn is_shown(name: &[u8], is_top: bool, hide_dotfiles: bool) -> bool {
    match name {
        b".." => !is_top,
        _ if is_never_served(name) => false,
        _ => !(hide_dotfiles && name.starts_with(b".")),
    }
}
