//! Links from a directory list to its entries.

use crate::response::escape;

/// Appends the relative reference to an entry.
///
/// A colon in the first segment would be read as the end of a scheme (RFC 3986 §4.2), even if escaped, by
/// clients that decode the escape first.
pub(super) fn reference(out: &mut Vec<u8>, name: &[u8], is_directory: bool) {
    if name.contains(&b':') {
        out.extend_from_slice(b"./");
    }
    escape::url_path(out, name);
    if is_directory {
        out.push(b'/');
    }
}
