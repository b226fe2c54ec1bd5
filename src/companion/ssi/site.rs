//! Site of `ssi`: opens only files that the server would send to every client.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;

use crate::auth;
use crate::config::pattern::Pattern;
use crate::docroot::path::{Unexpandable, expand, split};
use crate::docroot::{DocRoot, Links, View};
use crate::request::target::is_never_served;

/// Directory that contains all files to show.
pub struct Site {
    root: DocRoot,
    path: PathBuf,
    cgi_pattern: Option<Pattern>,
}

/// Open file that may be shown.
pub struct Shown {
    /// Open file.
    pub file: File,
    /// Name relative to the site's root, links expanded.
    pub name: Vec<u8>,
    /// Length in bytes.
    pub len: u64,
    /// Modification time.
    pub modified: SystemTime,
}

/// Reason why a file is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SsiError {
    /// The file does not exist.
    NotFound,
    /// The file is outside the site, protected, a password file, a script, or not world-readable.
    NotPermitted,
}

impl Site {
    /// Site at `path`, with the `cgi_pattern` that the server passes to scripts.
    ///
    /// # Errors
    /// `path` is not a directory, or may not be searched.
    pub fn open_at(path: PathBuf, cgi_pattern: Option<Vec<u8>>) -> io::Result<Site> {
        let cgi_pattern = cgi_pattern.filter(|text| !text.is_empty()).map(Pattern::relative);
        let root = DocRoot::open(&path, path.as_os_str().as_bytes())?;
        Ok(Site { root, path, cgi_pattern })
    }

    /// Directory of the site.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens `name`, relative to the root, if the file may be shown.
    ///
    /// # Errors
    /// Those of [`SsiError`].
    pub fn open(&self, name: &[u8]) -> Result<Shown, SsiError> {
        if name.split(|&b| b == b'/').any(|segment| segment == b"..") {
            return Err(SsiError::NotPermitted);
        }
        let expanded = expand(&View::anywhere(&self.root), name, true).map_err(|why| match why {
            Unexpandable::Outside | Unexpandable::TooManyLinks => SsiError::NotPermitted,
            Unexpandable::Io(error) => problem(error),
        })?;
        if !expanded.path_info.is_empty() {
            return Err(SsiError::NotFound);
        }
        let name = expanded.name;
        if is_private(&name) || self.is_protected(split(&name).0) || self.is_script(&name) {
            return Err(SsiError::NotPermitted);
        }
        let file = View::anywhere(&self.root).open_read(&name, Links::Refuse).map_err(problem)?;
        let meta = file.metadata().map_err(|_| SsiError::NotPermitted)?;
        // The server's rule applies: readable for others, and not executable for others.
        if !meta.is_file() || meta.mode() & 0o004 == 0 || meta.mode() & 0o001 != 0 {
            return Err(SsiError::NotPermitted);
        }
        let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Shown { file, name, len: meta.len(), modified })
    }

    /// Tells whether the directory has a password file, since this request's credentials were not checked
    /// by it.
    fn is_protected(&self, dir: &[u8]) -> bool {
        let file = [dir, b"/", auth::FILE_NAME].concat();
        let file = file.strip_prefix(b"/").unwrap_or(&file);
        !matches!(View::anywhere(&self.root).stat(file, Links::Refuse), Err(Errno::ENOENT | Errno::ENOTDIR))
    }

    fn is_script(&self, name: &[u8]) -> bool {
        self.cgi_pattern.as_ref().is_some_and(|pattern| pattern.matches(name))
    }
}

/// Tells whether the name begins with `.ht`, as `.htpasswd` and its backups do.
fn is_private(name: &[u8]) -> bool {
    name.split(|&b| b == b'/').any(is_never_served)
}

fn problem(error: Errno) -> SsiError {
    match error {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::EINVAL => SsiError::NotFound,
        _ => SsiError::NotPermitted,
    }
}
