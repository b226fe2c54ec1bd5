//! Index files: the file that is served for a directory.

use nix::errno::Errno;

use crate::docroot::path::join;
use crate::docroot::{DirectoryRef, Links, View};
use crate::sys::is_shortage;

/// Default names, in thttpd's order.
const NAMES: [&str; 6] = ["index.html", "index.htm", "index.xhtml", "index.xht", "Default.htm", "index.cgi"];

/// Full name of the index file of `dir`: the first of `names` that exists, usable or not.
///
/// `dir` has no trailing slash; an empty `dir` is the top directory. Without `names`, thttpd's list is
/// used.
///
/// # Errors
/// The system is short of a resource ([`is_shortage`]), so that the file's existence is unknown.
pub fn find(view: &View<'_>, dir: &[u8], names: &[String]) -> nix::Result<Option<Vec<u8>>> {
    let built_in = if names.is_empty() { &NAMES[..] } else { &[] };
    let mut place = DirectoryRef::named(view, dir);
    for name in names.iter().map(String::as_str).chain(built_in.iter().copied()) {
        if is_there(view, &mut place, name.as_bytes())? {
            return Ok(Some(join(dir, name.as_bytes())));
        }
    }
    Ok(None)
}

/// Tells whether an index file of this name is a page and not a script.
pub fn is_page(name: &[u8]) -> bool {
    let end = name.rsplit(|&b| b == b'.').next().unwrap_or_default();
    ["html", "htm", "xhtml", "xht"].iter().any(|page| end.eq_ignore_ascii_case(page.as_bytes()))
}

/// Tells whether `dir` has an index file of this name, usable or not.
///
/// A failed look-up must not expose the list of the directory, so a dangling link counts as an index file.
/// In a directory without search permission (EACCES) no file can be served, so the list is shown.
///
/// `dir` is opened for the first name that is missing, and stays open for the others.
fn is_there(view: &View<'_>, dir: &mut DirectoryRef<'_>, name: &[u8]) -> nix::Result<bool> {
    match view.stat(&join(dir.name(), name), Links::Follow) {
        Ok(_) => Ok(true),
        Err(Errno::EACCES) => Ok(false),
        Err(Errno::ENOENT) => {
            match dir.ensure_open(Links::Follow).and_then(|()| dir.has_entry(name, Links::Follow)) {
                Err(errno) if is_shortage(errno) => Err(errno),
                found => Ok(found != Ok(false)),
            }
        }
        Err(errno) if is_shortage(errno) => Err(errno),
        Err(_) => Ok(true),
    }
}
