//! View of a directory list that a request asks for.

use super::{Request, accept};
use crate::config::choice::ListingStyle;

/// Sort column of a list: Apache's `C=N|M|S`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// The name.
    Name,
    /// Time of the last change.
    Modified,
    /// The size.
    Size,
}

/// View of a list. Requests with equal views get equal pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListView {
    /// Style of the list.
    pub style: ListingStyle,
    /// Column that the entries are sorted by.
    pub key: SortKey,
    /// Set for descending order.
    pub descending: bool,
}

impl ListView {
    /// View for `request`, for lists in `style`.
    ///
    /// `modern` lists can be sorted, and are sent as JSON to clients that prefer JSON.
    pub fn new(request: &Request<'_>, style: ListingStyle) -> ListView {
        let wants_json = || prefers_json(request.fields.all("Accept"));
        let plain = |style| ListView { style, key: SortKey::Name, descending: false };
        match style {
            ListingStyle::Modern if !wants_json() => sorted(request.query.unwrap_or_default()),
            ListingStyle::Modern => plain(ListingStyle::Json),
            style => plain(style),
        }
    }
}

/// Parses Apache's `C=S;O=D`, in any order; other text is ignored.
fn sorted(query: &[u8]) -> ListView {
    let mut view = ListView { style: ListingStyle::Modern, key: SortKey::Name, descending: false };
    for part in query.split(|byte| b";&".contains(byte)) {
        match part {
            b"C=N" => view.key = SortKey::Name,
            b"C=M" => view.key = SortKey::Modified,
            b"C=S" => view.key = SortKey::Size,
            b"O=A" => view.descending = false,
            b"O=D" => view.descending = true,
            _ => {}
        }
    }
    view
}

/// Tells whether a client lists JSON, and HTML with a lower weight or not at all.
fn prefers_json<'v>(values: impl Iterator<Item = &'v [u8]>) -> bool {
    let (mut json, mut html) = (0, 0);
    for (name, weight) in accept::members(values) {
        if name.eq_ignore_ascii_case(b"application/json") {
            json = weight;
        } else if name.eq_ignore_ascii_case(b"text/html") {
            html = weight;
        }
    }
    json > html
}
