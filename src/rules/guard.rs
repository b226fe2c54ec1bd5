//! Guards: access rules by address, password and request rate.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::AtFlags;

use super::bucket::Requests;
use super::pattern::Pattern;
use super::words::Words;
use crate::config::address_list::AddressList;
use crate::request::target::is_never_served;
use crate::sys::filesystem::OpenDirectory;
use crate::sys::stat::{StatFields, fstatat};

/// Condition of a guard line.
#[derive(Debug)]
pub enum Guard {
    /// The client is in the list.
    Allow(AddressList),
    /// The client is not in the list.
    Deny(AddressList),
    /// The client is a user of the file. `None` (`auth -`) lifts the password demanded by earlier lines.
    Auth(Option<AuthFile>),
    /// The client stays below a request rate.
    Requests(Requests),
}

/// Password file named by an `auth` line.
#[derive(Debug)]
pub struct AuthFile {
    /// Path as written in the rules file.
    pub path: PathBuf,
    /// Realm sent to clients in WWW-Authenticate.
    pub realm: String,
    /// Directory that holds the file, opened with the rules, or the error of opening it.
    pub dir: Result<Arc<OpenDirectory>, Errno>,
    /// Directory of the file that a symbolic link leads to, if that is another one.
    ///
    /// A confined server may read it only if it is open at start.
    pub target_dir: Option<Result<Arc<OpenDirectory>, Errno>>,
    /// Device and inode of the file when the rules were read; `None` if there was no such file.
    seen: Option<(u64, u64)>,
}

impl AuthFile {
    /// Base name of the file.
    pub fn base(&self) -> &[u8] {
        self.path.file_name().unwrap_or_default().as_bytes()
    }

    /// Opens the directory of the file, and that of a link's target. Relative paths start from `start`.
    pub(super) fn open(&mut self, start: &Path) {
        let open = |dir: &Path| OpenDirectory::open(dir).map(Arc::new);
        let path = start.join(&self.path);
        let dir = path.parent().unwrap_or(Path::new("/"));
        self.dir = open(dir);
        let target = path.canonicalize().ok();
        let target_dir = target.as_deref().and_then(Path::parent);
        let is_other = |other: &&Path| dir.canonicalize().is_ok_and(|dir| dir != **other);
        self.target_dir = target_dir.filter(is_other).map(open);
        self.seen = self.identity();
    }

    /// Tells whether another file is found, or none, than when the rules were read.
    ///
    /// In a new root directory, a symbolic link with an absolute path leads elsewhere.
    pub fn has_moved(&self) -> bool {
        self.seen.is_some() && self.identity() != self.seen
    }

    /// Device and inode of the file, found from its open directory.
    fn identity(&self) -> Option<(u64, u64)> {
        let dir = self.dir.as_ref().ok()?;
        let meta = fstatat(&dir.file, self.base(), AtFlags::empty()).ok()?;
        Some((meta.st_dev, meta.inode()))
    }

    /// Directories that are open for the file.
    pub fn dirs(&self) -> Vec<Arc<OpenDirectory>> {
        let mut dirs = Vec::new();
        for dir in [Some(&self.dir), self.target_dir.as_ref()] {
            if let Some(Ok(dir)) = dir {
                dirs.push(Arc::clone(dir));
            }
        }
        dirs
    }

    /// Error of opening a directory that the file needs.
    pub fn fault(&self) -> Option<Errno> {
        let of_target = || self.target_dir.as_ref()?.as_ref().err();
        self.dir.as_ref().err().or_else(of_target).copied()
    }

    /// Tells whether the server would serve the file to clients.
    ///
    /// A file below the served directory `dir` must be named `.ht...`, since such names are never served.
    /// Relative paths start from `start`.
    pub(super) fn is_served_below(&self, dir: &Path, start: &Path) -> bool {
        let Ok(dir) = start.join(dir).canonicalize() else { return false };
        let path = start.join(&self.path);
        let within = path.parent().and_then(|parent| parent.canonicalize().ok());
        let named = within.map(|parent| parent.join(path.file_name().unwrap_or_default()));
        let is_bare = |path: PathBuf| {
            path.starts_with(&dir) && !is_never_served(path.file_name().unwrap_or_default().as_bytes())
        };
        named.is_some_and(is_bare) || path.canonicalize().is_ok_and(is_bare)
    }
}

impl Guard {
    /// Reads the guard action `word` with its arguments.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn parse(word: &str, words: &Words, pattern: &Pattern) -> Result<Guard, String> {
        match word {
            "allow" => Ok(Guard::Allow(AddressList::parse(&words.joined())?)),
            "deny" => Ok(Guard::Deny(AddressList::parse(&words.joined())?)),
            "requests" => Requests::parse(words.slice()).map(Guard::Requests),
            _ => match words.slice() {
                [] => Err("write auth FILE [REALM...], or auth -".into()),
                [dash] if dash == "-" => Ok(Guard::Auth(None)),
                [dash, ..] if dash == "-" => Err("auth - takes no realm".into()),
                [file, ..] if file.ends_with('/') => Err(format!("{file}: a directory is no password file")),
                [file, realm @ ..] => {
                    let realm = realm.join(" ");
                    let realm = if realm.is_empty() { pattern.to_string() } else { realm };
                    Ok(Guard::Auth(Some(AuthFile {
                        path: file.into(),
                        realm,
                        dir: Err(Errno::ENOENT),
                        target_dir: None,
                        seen: None,
                    })))
                }
            },
        }
    }
}
