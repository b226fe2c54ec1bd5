//! Index files: the file that is served for a directory.

use nix::errno::Errno;

use crate::docroot::path::{Expanded, expand_plain, join};
use crate::docroot::{DirectoryRef, Links, View};
use crate::sys::is_shortage;
use crate::sys::stat::FileStat;

/// Default names, in thttpd's order.
const NAMES: [&str; 6] = ["index.html", "index.htm", "index.xhtml", "index.xht", "Default.htm", "index.cgi"];

/// Index file that exists, usable or not.
#[derive(Debug)]
pub struct Index {
    /// Name with links not expanded.
    pub name: Vec<u8>,
    /// Expanded name with the file's facts, if the name has no links.
    pub plain: Option<(Expanded, FileStat)>,
}

/// Index file of `dir`: the first of `names` that exists, usable or not.
///
/// `dir` has no trailing slash; an empty `dir` is the top directory. Without `names`, thttpd's list is
/// used.
///
/// # Errors
/// The system is short of a resource ([`is_shortage`]), so that the file's existence is unknown.
pub fn find(view: &View<'_>, dir: &[u8], names: &[String]) -> nix::Result<Option<Index>> {
    let built_in = if names.is_empty() { &NAMES[..] } else { &[] };
    let mut place = DirectoryRef::named(view, dir);
    for name in names.iter().map(String::as_str).chain(built_in.iter().copied()) {
        if let Some(index) = look(view, &mut place, name.as_bytes())? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Tells whether an index file of this name is a page and not a script.
pub fn is_page(name: &[u8]) -> bool {
    let end = name.rsplit(|&b| b == b'.').next().unwrap_or_default();
    ["html", "htm", "xhtml", "xht"].iter().any(|page| end.eq_ignore_ascii_case(page.as_bytes()))
}

/// Index file of this name in `dir`, usable or not.
///
/// A failed look-up must not expose the list of the directory, so a dangling link counts as an index file.
/// In a directory without search permission (EACCES) no file can be served, so the list is shown.
///
/// `dir` is opened for the first name that is missing, and stays open for the others.
fn look(view: &View<'_>, dir: &mut DirectoryRef<'_>, base: &[u8]) -> nix::Result<Option<Index>> {
    let name = join(dir.name(), base);
    let seen = match expand_plain(view, &name) {
        Ok(plain) => return Ok(Some(Index { name, plain: Some(plain) })),
        Err(Errno::ENOENT) => Err(Errno::ENOENT),
        Err(_) => view.stat(&name, Links::Follow),
    };
    let is_there = match seen {
        Ok(_) => true,
        Err(Errno::EACCES) => false,
        Err(Errno::ENOENT) => {
            match dir.ensure_open(Links::Follow).and_then(|()| dir.has_entry(base, Links::Follow)) {
                Err(errno) if is_shortage(errno) => return Err(errno),
                found => found != Ok(false),
            }
        }
        Err(errno) if is_shortage(errno) => return Err(errno),
        Err(_) => true,
    };
    Ok(is_there.then_some(Index { name, plain: None }))
}
