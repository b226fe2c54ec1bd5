//! One directory of the tree, in which more than one name is opened.

use std::cell::Cell;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};

use super::open::READ;
use super::path::{below, join};
use super::{Links, View};
use crate::sys::stat::{StatFields, fstat};

/// Flags for a directory that is only a place to open names in.
const PLACE: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Directory of the tree: its name alone, or with a descriptor.
///
/// A name is looked up anew for each file, and may lead elsewhere then: a link was changed, or a directory
/// renamed. An open directory stays the same one, so that its password file and a file in it belong together.
#[derive(Debug)]
pub struct DirectoryRef<'v> {
    view: &'v View<'v>,
    name: &'v [u8],
    opened: Option<OwnedFd>,
    /// Device and inode of the open directory, once they were asked for.
    inode: Cell<Option<(u64, u64)>>,
}

impl<'v> DirectoryRef<'v> {
    /// Directory by its name, relative to the root; the empty name is the top.
    pub fn named(view: &'v View<'v>, name: &'v [u8]) -> DirectoryRef<'v> {
        DirectoryRef { view, name, opened: None, inode: Cell::new(None) }
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// Those of [`View::open_path`]; ENOTDIR for a file.
    pub fn open(mut self, links: Links) -> nix::Result<DirectoryRef<'v>> {
        self.ensure_open(links)?;
        Ok(self)
    }

    /// Opens the directory unless it is open.
    ///
    /// # Errors
    /// Those of [`DirectoryRef::open`].
    pub fn ensure_open(&mut self, links: Links) -> nix::Result<()> {
        if self.opened.is_none() {
            self.opened = Some(self.view.open_with(self.name, PLACE, links)?);
        }
        Ok(())
    }

    /// Opens the directory from `above`, if its name is below that one's.
    ///
    /// # Errors
    /// Those of [`DirectoryRef::open`].
    pub fn open_below(self, above: &DirectoryRef<'_>, links: Links) -> nix::Result<DirectoryRef<'v>> {
        let rest = below(self.name, above.name);
        let (Some(dir), Some(rest)) = (&above.opened, rest) else { return self.open(links) };
        let opened = self.view.open_from(dir.as_fd(), rest, PLACE, links)?;
        Ok(DirectoryRef { opened: Some(opened), ..self })
    }

    /// Name relative to the root.
    pub fn name(&self) -> &'v [u8] {
        self.name
    }

    /// Opens the file `base` in this directory for reading; the empty name is the directory itself.
    ///
    /// # Errors
    /// Those of [`View::open_read`].
    pub fn open_read(&self, base: &[u8], links: Links) -> nix::Result<File> {
        self.open_as(base, READ, links)
    }

    /// Opens the file `base` in this directory with `flags`, [`READ`] or [`PATH`](super::PATH).
    ///
    /// # Errors
    /// Those of [`View::open_read`].
    pub fn open_as(&self, base: &[u8], flags: OFlag, links: Links) -> nix::Result<File> {
        if let Some(dir) = &self.opened {
            match self.view.open_from(dir.as_fd(), base, flags, links) {
                // A link out of this directory may still lead to a target in the tree.
                Err(Errno::EXDEV | Errno::ELOOP) if links == Links::Within => {}
                opened => return opened.map(File::from),
            }
        }
        self.view.open_with(&join(self.name, base), flags, links).map(File::from)
    }

    /// Tells whether this directory has an entry called `base`; a dangling link counts.
    ///
    /// The directory is opened first, with `links` allowed on the way. ENOENT then refers to the entry alone,
    /// and never to a directory that was renamed or is not mounted yet.
    ///
    /// # Errors
    /// Those of the system calls; the answer is unknown then.
    pub fn has_entry(&self, base: &[u8], links: Links) -> nix::Result<bool> {
        let own;
        let dir = match &self.opened {
            Some(dir) => dir,
            None => {
                own = self.view.open_with(self.name, PLACE, links)?;
                &own
            }
        };
        // `readlinkat` does not access a file system that is mounted on the entry.
        match readlinkat(dir, base) {
            Ok(_) | Err(Errno::EINVAL) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Opens the directory once more, as a place to open names in.
    ///
    /// # Errors
    /// Those of [`DirectoryRef::open`].
    pub fn reopen(&self, links: Links) -> nix::Result<File> {
        let opened = match &self.opened {
            Some(dir) => self.view.open_from(dir.as_fd(), b"", PLACE, links),
            None => self.view.open_with(self.name, PLACE, links),
        };
        opened.map(File::from)
    }

    /// Tells whether the directory is open.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Device and inode of the open directory, which stay the same; `None` for a mere name.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn inode(&self) -> nix::Result<Option<(u64, u64)>> {
        if let (Some(opened), None) = (&self.opened, self.inode.get()) {
            let facts = fstat(opened)?;
            self.inode.set(Some((facts.st_dev, facts.inode())));
        }
        Ok(self.inode.get())
    }
}
