//! Index files: what is served for a directory.

use super::beneath::{Links, Root};

/// thttpd's names, in its order.
const NAMES: [&str; 6] = ["index.html", "index.htm", "index.xhtml", "index.xht", "Default.htm", "index.cgi"];

/// Full name of the index file of `dir` (no trailing slash; empty = the top): the first of `names`, or of
/// thttpd's if there are none, that exists, usable or not.
pub fn find(root: &Root, dir: &[u8], names: &[String]) -> Option<Vec<u8>> {
    let built_in = if names.is_empty() { &NAMES[..] } else { &[] };
    let names = names.iter().map(String::as_str).chain(built_in.iter().copied());
    let mut full = names.map(|name| join(dir, name.as_bytes()));
    full.find(|name| root.stat(name, Links::Follow).is_ok())
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
