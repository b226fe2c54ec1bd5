//! Settings of the configuration that responses follow.

use std::time::SystemTime;

use super::error_pages::ErrorPages;
use crate::config::choice::{ListingStyle, RedirectForm};
use crate::docroot::blocking::Blocking;

/// Settings that a response depends on.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// Location of the operator's error pages.
    pub pages: &'a ErrorPages,
    /// Directory of the virtual host below the root; its error pages have precedence.
    pub host_dir: Option<&'a [u8]>,
    /// Charset of listings (`-T`): names are sent as raw bytes.
    pub charset: &'a [u8],
    /// Set if listings omit dot files.
    pub hide_dotfiles: bool,
    /// Style of directory lists.
    pub listing_style: ListingStyle,
    /// Form of the Location when redirecting to a directory's slash.
    pub redirects: RedirectForm,
    /// Text at the foot of generated pages; empty = no foot.
    pub signature: &'a str,
    /// Worker that answers; told before a call that may block.
    pub blocking: &'a dyn Blocking,
    /// The current time, for the age of entries in a listing.
    pub now: SystemTime,
}
