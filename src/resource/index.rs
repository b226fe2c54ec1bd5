//! Index files: what is served for a directory.

use nix::errno::Errno;

use crate::docroot::path::join;
use crate::docroot::{Links, View};
use crate::sys::is_shortage;

/// thttpd's names, in its order.
const NAMES: [&str; 6] = ["index.html", "index.htm", "index.xhtml", "index.xht", "Default.htm", "index.cgi"];

/// Full name of the index file of `dir` (no trailing slash; empty = the top): the first of `names`, or of
/// thttpd's if there are none, that exists, usable or not.
///
/// # Errors
/// The system lacks what a look-up needs ([`is_shortage`]), which says nothing of the file.
pub fn find(view: &View<'_>, dir: &[u8], names: &[String]) -> nix::Result<Option<Vec<u8>>> {
    let built_in = if names.is_empty() { &NAMES[..] } else { &[] };
    for name in names.iter().map(String::as_str).chain(built_in.iter().copied()) {
        if is_there(view, dir, name.as_bytes())? {
            return Ok(Some(join(dir, name.as_bytes())));
        }
    }
    Ok(None)
}

/// Is an index file of this name a page, and no program?
pub fn is_page(name: &[u8]) -> bool {
    let end = name.rsplit(|&b| b == b'.').next().unwrap_or_default();
    ["html", "htm", "xhtml", "xht"].iter().any(|page| end.eq_ignore_ascii_case(page.as_bytes()))
}

/// Whether `dir` has an index file of this name, usable or not: a failed look-up must not open the list of
/// the directory. A dangling link counts as there. A directory that may only be read (EACCES) has a list.
fn is_there(view: &View<'_>, dir: &[u8], name: &[u8]) -> nix::Result<bool> {
    match view.stat(&join(dir, name), Links::Follow) {
        Ok(_) => Ok(true),
        Err(Errno::EACCES) => Ok(false),
        Err(Errno::ENOENT) => match view.has_entry(dir, name, Links::Follow) {
            Err(errno) if is_shortage(errno) => Err(errno),
            found => Ok(found != Ok(false)),
        },
        Err(errno) if is_shortage(errno) => Err(errno),
        Err(_) => Ok(true),
    }
}
