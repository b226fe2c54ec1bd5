//! Index files: what is served for a directory.

use nix::errno::Errno;

use crate::docroot::path::join;
use crate::docroot::{Links, View};

/// thttpd's names, in its order.
const NAMES: [&str; 6] = ["index.html", "index.htm", "index.xhtml", "index.xht", "Default.htm", "index.cgi"];

/// Full name of the index file of `dir` (no trailing slash; empty = the top): the first of `names`, or of
/// thttpd's if there are none, that exists, usable or not.
pub fn find(view: &View<'_>, dir: &[u8], names: &[String]) -> Option<Vec<u8>> {
    let built_in = if names.is_empty() { &NAMES[..] } else { &[] };
    let mut names = names.iter().map(String::as_str).chain(built_in.iter().copied());
    names.find(|name| is_there(view, dir, name.as_bytes())).map(|name| join(dir, name.as_bytes()))
}

/// Is an index file of this name a page, and no program?
pub fn is_page(name: &[u8]) -> bool {
    let end = name.rsplit(|&b| b == b'.').next().unwrap_or_default();
    ["html", "htm", "xhtml", "xht"].iter().any(|page| end.eq_ignore_ascii_case(page.as_bytes()))
}

/// Whether `dir` has an index file of this name, usable or not: a failed look-up must not open the list of
/// the directory. A dangling link counts as there. A directory that may only be read (EACCES) has a list.
fn is_there(view: &View<'_>, dir: &[u8], name: &[u8]) -> bool {
    match view.stat(&join(dir, name), Links::Follow) {
        Ok(_) => true,
        Err(Errno::EACCES) => false,
        Err(Errno::ENOENT) => view.has_entry(dir, name, Links::Follow) != Ok(false),
        Err(_) => true,
    }
}
