//! Error pages: the operator's `errors/errNNN.html`, else a short built-in page.
//!
//! All 4xx and 5xx responses of the server itself are made here, from the [`Rejection`] of any stage.

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

use super::page::{Page, html_in};
use super::{Policy, Response, Status, escape};
use crate::docroot::path::expand;
use crate::docroot::{DocRoot, Links, View};
use crate::request::Rejection;

/// Maximum size of an operator's page, in bytes; a larger file is ignored.
const LARGEST_PAGE: u64 = 1024 * 1024;

/// Maximum number of characters of the request target in a page.
const URL_SHOWN: usize = 80;

/// Value of Retry-After for a 503, in seconds.
const RETRY_AFTER: &[u8] = b"10";

/// Location of the operator's error pages: `errors/` in the root and in each virtual host's directory.
#[derive(Debug)]
pub struct ErrorPages {
    root: Option<Arc<DocRoot>>,
    media_type: Vec<u8>,
}

impl ErrorPages {
    /// Error pages without files: built-in pages only.
    #[cfg(test)]
    pub fn builtin() -> ErrorPages {
        ErrorPages { root: None, media_type: Vec::new() }
    }

    /// Error pages below `root`, the directory that URLs are resolved in, sent as HTML in `charset`.
    pub fn below(root: Arc<DocRoot>, charset: &[u8]) -> ErrorPages {
        ErrorPages { root: Some(root), media_type: html_in(charset) }
    }

    /// Operator's page for `status`; the host's directory comes before the root.
    ///
    /// A page in storage that may not answer is ignored, so that an error is sent without waiting.
    fn find(&self, status: u16, policy: &Policy<'_>) -> Option<Vec<u8>> {
        let root = self.root.as_ref()?;
        let local = View::local(root);
        let page = find_in(&local, status, policy.host_dir);
        if !local.has_crossed() {
            return page;
        }
        policy.blocking.enter_remote().then(|| find_in(&View::anywhere(root), status, policy.host_dir))?
    }
}

fn find_in(view: &View<'_>, status: u16, host_dir: Option<&[u8]>) -> Option<Vec<u8>> {
    let name = format!("errors/err{status}.html");
    host_dir
        .and_then(|host_dir| read(view, &[host_dir, b"/", name.as_bytes()].concat()))
        .or_else(|| read(view, name.as_bytes()))
}

/// Reads a page; `None` if the file is missing, unreadable, not regular, too large or outside the tree.
fn read(view: &View<'_>, name: &[u8]) -> Option<Vec<u8>> {
    let expanded = expand(view, name, true).ok().filter(|expanded| expanded.path_info.is_empty())?;
    let file = view.open_read(&expanded.name, Links::Refuse).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut page = Vec::new();
    file.take(LARGEST_PAGE + 1).read_to_end(&mut page).ok()?;
    (page.len() as u64 <= LARGEST_PAGE).then_some(page)
}

/// Error response for a rejection.
///
/// `url` is the request target as sent, empty if the target was malformed. A rejection without a sentence
/// gets the usual sentence of its status. The caller adds the fields that need more context
/// (WWW-Authenticate, Allow).
pub fn page(rejection: &Rejection, url: &[u8], policy: &Policy<'_>) -> Response {
    let status = rejection.status;
    let mut response = match policy.pages.find(status, policy) {
        Some(own) => Response::page(status, policy.pages.media_type.clone(), own),
        None => {
            Response::page(status, b"text/html; charset=UTF-8", built_in(rejection, url, policy.signature))
        }
    };
    response.close = rejection.close;
    response.may_pass = rejection.may_pass;
    if matches!(status, 429 | 503) {
        response.fields.push(("Retry-After", Cow::Borrowed(RETRY_AFTER)));
    }
    response
}

fn built_in(rejection: &Rejection, url: &[u8], signature: &str) -> Vec<u8> {
    let title = format!("{} {}", rejection.status, Status(rejection.status).reason());
    let sentence = if rejection.why.is_empty() { usual_sentence(rejection.status) } else { &rejection.why };
    let mut content = b"<p>".to_vec();
    escape::html(&mut content, sentence.replace("{url}", &shown(url)).as_bytes());
    content.extend_from_slice(b"</p>\n");
    if let Some(up) = way_up(url) {
        content.extend_from_slice(format!("<p><a href=\"{up}\">Up one level</a></p>\n").as_bytes());
    }
    Page { title: title.as_bytes(), charset: b"UTF-8", style: "" }.render(&content, signature)
}

/// Relative link to the directory above `url`; `None` for the top, or for a malformed target.
fn way_up(url: &[u8]) -> Option<&'static str> {
    let path = url.split(|&byte| byte == b'?').next().unwrap_or_default();
    match path {
        [b'/'] => None,
        [b'/', .., b'/'] => Some("../"),
        [b'/', ..] => Some("./"),
        _ => None,
    }
}

/// Beginning of a request target, as text.
fn shown(url: &[u8]) -> String {
    let text = String::from_utf8_lossy(url);
    let mut shown: String = text.chars().take(URL_SHOWN).collect();
    if text.chars().nth(URL_SHOWN).is_some() {
        shown.push('\u{2026}');
    }
    shown
}

/// Sentence about a status, for rejections without a sentence of their own.
fn usual_sentence(status: u16) -> &'static str {
    match status {
        400 => "The server could not make sense of this request.",
        401 => "{url} asks for a user name and a password.",
        403 => "You are not allowed to see {url}.",
        404 => "There is nothing at {url} on this server.",
        405 => "{url} does not answer to this method.",
        408 => "The request did not arrive in time.",
        412 => "{url} is not in the state that the request requires.",
        413 => "The request carries more than the server accepts.",
        414 => "The address is longer than the server accepts.",
        416 => "{url} does not reach as far as the part that was asked for.",
        417 => "The server cannot do what the request expects of it.",
        429 => "Too many requests came from your address. Please try again later.",
        431 => "The head of the request is larger than the server accepts.",
        451 => "{url} may not be shown for legal reasons.",
        501 => "The server does not implement what was asked for.",
        503 => "The server is too busy to send {url} now. Please try again later.",
        504 => "The program behind {url} did not answer in time.",
        505 => "The server speaks HTTP/1.1, not the version of this request.",
        _ if status < 500 => "The request for {url} cannot be answered.",
        _ => "Something went wrong on the server while it prepared {url}.",
    }
}

#[cfg(test)]
mod tests;
