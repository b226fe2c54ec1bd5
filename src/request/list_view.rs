//! The form of a directory's list that a request asks for.

use super::{Request, accept};
use crate::config::choice::ListingStyle;

/// What a list is sorted by: Apache's `C=N|M|S`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// The name.
    Name,
    /// Time of the last change.
    Modified,
    /// The size.
    Size,
}

/// The form of a list that a request asks for; two requests of equal views get equal pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListView {
    /// What the list looks like.
    pub style: ListingStyle,
    /// Column that its entries are in the order of.
    pub key: SortKey,
    /// The last entry first.
    pub descending: bool,
}

impl ListView {
    /// The view that `request` asks for where lists have `style`: `modern` ones can be sorted, and are JSON
    /// for clients that prefer that.
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

/// Apache's `C=S;O=D`, in any order; anything else is passed over.
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

/// Does a client name JSON, and HTML less gladly or not at all?
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
