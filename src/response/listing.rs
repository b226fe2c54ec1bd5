//! A directory → the page that lists it: in thttpd's columns, as a table, or as JSON.
//!
//! Reads through the directory's open descriptor only: what was checked is what is listed. Links are
//! relative (RFC 3986 §4.2), so that they hold behind a proxy that takes a prefix off the path.

use nix::errno::Errno;
use nix::sys::stat::fstat;

use super::page::html_in;
use super::{Policy, Response, escape};
use crate::config::choice::ListingStyle;
use crate::request::{Rejection, Request, accept};
use crate::resource::Directory;
use crate::sys::is_shortage;
use crate::sys::memory::{LISTING_MEMORY, MemoryReservation};

mod classic;
mod entries;
mod json;
mod modern;

use entries::Entries;

/// Bytes after which a listing breaks off with a note: what one request may hold.
const LARGEST_PAGE: usize = 16 * 1024 * 1024;

/// Pages up to this size fit into a socket's buffer, and wait nowhere else for their reader.
const SMALL: usize = 64 * 1024;

/// What a list is sorted by: Apache's `C=N|M|S`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SortKey {
    Name,
    Modified,
    Size,
}

/// The form of a list that a request asks for; two requests of equal views get equal pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    style: ListingStyle,
    key: SortKey,
    descending: bool,
}

impl View {
    /// The view of `request`: `modern` lists can be sorted, and are JSON for who asks for that.
    pub fn of(request: &Request<'_>, policy: &Policy<'_>) -> View {
        let wants_json = || prefers_json(request.fields.all("Accept"));
        let plain = |style| View { style, key: SortKey::Name, descending: false };
        match policy.listing_style {
            ListingStyle::Modern if !wants_json() => sorted(request.query.unwrap_or_default()),
            ListingStyle::Modern => plain(ListingStyle::Json),
            style => plain(style),
        }
    }
}

/// Apache's `C=S;O=D`, in any order; anything else is passed over.
fn sorted(query: &[u8]) -> View {
    let mut view = View { style: ListingStyle::Modern, key: SortKey::Name, descending: false };
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

/// Lists `directory`.
///
/// Left out are `.ht*` files, links that lead nowhere, and at the top the way up; dot files too
/// if the policy hides them. The page carries no validator: a directory's own times do not move
/// when a file in it grows.
pub fn page(request: &Request<'_>, directory: Directory, policy: &Policy<'_>) -> Result<Response, Rejection> {
    let view = View::of(request, policy);
    let mut held = room_for(&directory)?;
    let mut entries = Entries::read(directory, policy).map_err(rejection)?;
    let html = || html_in(policy.charset);
    let response = match view.style {
        ListingStyle::Classic => Response::page(200, html(), classic::render(&entries, policy)),
        ListingStyle::Json => Response::page(200, b"application/json", json::render(&entries)),
        ListingStyle::Modern => {
            let page = modern::render(&mut entries, view, policy);
            Response::page(200, html(), page)
                .with("Content-Security-Policy", modern::SECURITY_POLICY.as_bytes())
        }
    };
    let varies = policy.listing_style == ListingStyle::Modern;
    let response = if varies { response.with("Vary", &b"Accept"[..]) } else { response };
    let len = usize::try_from(response.body.len()).unwrap_or(usize::MAX);
    if len <= SMALL {
        held = None;
    } else if !held.as_mut().is_some_and(|held| held.resize(len)) {
        // What was held goes first: where nothing is, there is room for one.
        drop(held.take());
        held = Some(LISTING_MEMORY.reserve(len).ok_or_else(too_many)?);
    }
    Ok(Response { held, ..response })
}

/// Memory for a list that is likely to be long: refused before the work rather than after it. A
/// directory's own size, on most file systems, grows with its names.
fn room_for(directory: &Directory) -> Result<Option<MemoryReservation>, Rejection> {
    let size = fstat(&directory.dir).map_or(0, |meta| meta.st_size);
    match usize::try_from(size).unwrap_or_default().min(LARGEST_PAGE) {
        ..=SMALL => Ok(None),
        likely => LISTING_MEMORY.reserve(likely).map(Some).ok_or_else(too_many),
    }
}

fn too_many() -> Rejection {
    Rejection::new(503, "Too many are reading long lists just now; please try again later.")
}

fn rejection(errno: Errno) -> Rejection {
    match errno {
        errno if is_shortage(errno) => Rejection::shortage(),
        _ => Rejection::new(500, ""),
    }
}

/// Appends the relative reference to an entry. A colon in a name would make a scheme of what is before it
/// (RFC 3986 §4.2), for a client that undoes its escape.
fn reference(out: &mut Vec<u8>, name: &[u8], is_directory: bool) {
    if name.contains(&b':') {
        out.extend_from_slice(b"./");
    }
    escape::url_path(out, name);
    if is_directory {
        out.push(b'/');
    }
}

#[cfg(test)]
mod tests;
