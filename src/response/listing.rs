//! Directory lists: as thttpd's columns, as a table, or as JSON.
//!
//! Entries are read through the directory's open descriptor only, so that the listed directory is the
//! checked one. Links are relative (RFC 3986 §4.2), so that they work behind a proxy that removes a path
//! prefix.

use std::sync::Arc;

use nix::errno::Errno;

use super::page::html_in;
use super::{Body, Policy, Response};
use crate::cache::ListPage;
use crate::config::choice::ListingStyle;
use crate::request::list_view::ListView;
use crate::request::{Rejection, Request};
use crate::resource::Directory;
use crate::sys::is_shortage;
use crate::sys::memory::{LISTING_MEMORY, MemoryReservation};
use crate::sys::stat::fstat;

mod classic;
mod entries;
mod json;
mod modern;
mod reference;

use entries::{Entries, LARGEST_PAGE};

/// Pages up to this size take no more memory than a request does, so that none is reserved for them.
const SMALL: usize = 4 * 1024;

/// Size in bytes of a directory that is likely to have a long list.
const LIKELY_LONG: usize = 64 * 1024;

/// Lists `directory`.
///
/// The list omits `.ht*` files, dangling links, the parent entry at the top, and dot files if the policy
/// hides them. The page has no validator, as a directory's times do not change when a file in it grows.
pub fn page(request: &Request<'_>, directory: Directory, policy: &Policy<'_>) -> Result<Response, Rejection> {
    let view = ListView::new(request, policy.listing_style);
    let (body, held) = match &directory.kept {
        Some(page) => (whole(page), Some(Arc::clone(&page.held))),
        None => make(directory, view, policy)?,
    };
    let media_type = match view.style {
        ListingStyle::Json => b"application/json".into(),
        ListingStyle::Classic | ListingStyle::Modern => html_in(policy.charset).into(),
    };
    let mut response = Response { media_type: Some(media_type), body, held, ..Response::bare(200) };
    if view.style == ListingStyle::Modern {
        response = response.with("Content-Security-Policy", modern::SECURITY_POLICY.as_bytes());
    }
    let varies = policy.listing_style == ListingStyle::Modern;
    Ok(if varies { response.with("Vary", &b"Accept"[..]) } else { response })
}

fn whole(page: &ListPage) -> Body {
    Body::Bytes(Arc::clone(&page.bytes), 0..page.bytes.len())
}

/// Content, and the reservation for its memory.
type MadeList = (Body, Option<Arc<MemoryReservation>>);

/// Makes the list, and caches it if possible.
fn make(mut directory: Directory, view: ListView, policy: &Policy<'_>) -> Result<MadeList, Rejection> {
    let mut held = room_for(&directory)?;
    let keep = directory.keep.take();
    let mut entries = Entries::read(directory, policy).map_err(rejection)?;
    let page = match view.style {
        ListingStyle::Classic => classic::render(&entries, policy),
        ListingStyle::Json => json::render(&entries),
        ListingStyle::Modern => modern::render(&mut entries, view, policy),
    };
    if page.len() <= SMALL {
        return Ok((Body::Page(page), None));
    }
    let len = page.capacity();
    if !held.as_mut().is_some_and(|held| held.resize(len)) {
        // The old list is dropped first: the cache then has room for one of this size.
        drop(held.take());
        held = Some(reserve(len)?);
    }
    let held = held.map(Arc::new);
    match (keep, entries.subdirectories.take(), &held) {
        (Some(keep), Some(subdirectories), Some(held)) if keep.has_room_for(page.len()) => {
            let page = ListPage { bytes: page.into(), held: Arc::clone(held) };
            keep.keep(&page, subdirectories);
            Ok((whole(&page), Some(page.held)))
        }
        _ => Ok((Body::Page(page), held)),
    }
}

/// Reserves memory for a list that is likely to be long.
///
/// The refusal comes before the work. On most file systems, a directory's size grows with its names.
fn room_for(directory: &Directory) -> Result<Option<MemoryReservation>, Rejection> {
    let size = fstat(&directory.dir).map_or(0, |meta| meta.st_size);
    match usize::try_from(size).unwrap_or_default().min(LARGEST_PAGE) {
        ..=LIKELY_LONG => Ok(None),
        likely => reserve(likely).map(Some),
    }
}

/// Reserves memory for a list. Long lists leave half of the budget to the others, which most directories have.
fn reserve(bytes: usize) -> Result<MemoryReservation, Rejection> {
    let may_reserve = bytes <= LIKELY_LONG || !LISTING_MEMORY.is_tight();
    may_reserve.then(|| LISTING_MEMORY.reserve(bytes)).flatten().ok_or_else(too_many)
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

#[cfg(test)]
mod tests;
