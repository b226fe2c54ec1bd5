//! Index files: what is served for a directory.

use super::beneath::{Links, Root};

/// In thttpd's order; the first that exists is the one, usable or not.
const NAMES: [&str; 6] = ["index.html", "index.htm", "index.xhtml", "index.xht", "Default.htm", "index.cgi"];

/// Full name of the index file of `dir` (no trailing slash; empty = the top), if it has one.
pub fn find(root: &Root, dir: &[u8]) -> Option<Vec<u8>> {
    NAMES.iter().map(|name| join(dir, name.as_bytes())).find(|name| root.stat(name, Links::Follow).is_ok())
}

/// `dir/name`, or `name` at the top.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(dir.len() + 1 + name.len());
    whole.extend_from_slice(dir);
    if !dir.is_empty() {
        whole.push(b'/');
    }
    whole.extend_from_slice(name);
    whole
}
