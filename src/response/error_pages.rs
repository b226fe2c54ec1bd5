//! The operator's own error pages, as files below the root.

use std::io::Read;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::Body;
use super::page::html_in;
use crate::docroot::blocking::Blocking;
use crate::docroot::path::expand;
use crate::docroot::{DocRoot, Links, View};
use crate::sys::fd::OpenFile;
use crate::sys::filesystem;

/// Maximum size of an operator's page, in bytes; a larger file is ignored.
pub(super) const LARGEST_PAGE: u64 = 1024 * 1024;

/// Pages up to this size are read into memory; a larger one is sent from its file, so that clients that do
/// not read it hold no memory.
const SMALL: u64 = 4 * 1024;

/// Location of the operator's error pages: `errors/` in the root and in each virtual host's directory.
#[derive(Debug)]
pub struct ErrorPages {
    root: Option<Arc<DocRoot>>,
    /// Symbolic links that may lead to a page: [`Links::Follow`] for all.
    links: Links,
    /// Media type of the pages.
    pub(super) media_type: Vec<u8>,
}

impl ErrorPages {
    /// Error pages without files: built-in pages only.
    #[cfg(test)]
    pub fn builtin() -> ErrorPages {
        ErrorPages { root: None, links: Links::Refuse, media_type: Vec::new() }
    }

    /// Error pages below `root`, the directory that URLs are resolved in, sent as HTML in `charset`.
    pub fn below(root: Arc<DocRoot>, charset: &[u8], links: Links) -> ErrorPages {
        ErrorPages { root: Some(root), links, media_type: html_in(charset) }
    }

    /// Operator's page for `status`; the host's directory comes before the root.
    ///
    /// A page in storage that may not answer is ignored while no worker may look there.
    pub(super) fn find(&self, status: u16, host_dir: Option<&[u8]>, blocking: &dyn Blocking) -> Option<Body> {
        let root = self.root.as_ref()?;
        let local = View::local(root);
        let page = self.find_in(&local, status, host_dir);
        if !local.has_crossed() {
            return page;
        }
        blocking.enter_remote().then(|| self.find_in(&View::anywhere(root), status, host_dir))?
    }

    fn find_in(&self, view: &View<'_>, status: u16, host_dir: Option<&[u8]>) -> Option<Body> {
        let name = format!("errors/err{status}.html");
        let in_host = host_dir.map(|host_dir| [host_dir, b"/", name.as_bytes()].concat());
        let in_host = in_host.and_then(|name| read(view, &name, self.links));
        in_host.or_else(|| read(view, name.as_bytes(), self.links))
    }
}

/// Opens a page; `None` if the file is missing, unreadable, not regular, too large or, where `links` are
/// refused, outside the tree.
fn read(view: &View<'_>, name: &[u8], links: Links) -> Option<Body> {
    let expanded =
        expand(view, name, links == Links::Refuse).ok().filter(|expanded| expanded.path_info.is_empty())?;
    let file = view.open_read(&expanded.name, links).ok()?;
    let metadata = file.metadata().ok()?;
    match metadata.len() {
        _ if !metadata.is_file() => None,
        ..=SMALL => {
            let mut page = Vec::new();
            file.take(SMALL).read_to_end(&mut page).ok()?;
            Some(Body::Page(page))
        }
        len @ ..=LARGEST_PAGE => {
            let is_local = view.is_local() || filesystem::is_local(file.as_fd());
            let file = if is_local { OpenFile::from(file) } else { OpenFile::remote(file) };
            Some(Body::File(Arc::new(file), 0..len))
        }
        _ => None,
    }
}
