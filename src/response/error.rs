//! Error pages: the operator's `errors/errNNN.html`, else a short built-in page.
//!
//! All 4xx and 5xx responses of the server itself are made here, from the [`Rejection`] of any stage.

use std::borrow::Cow;

use super::page::Page;
use super::{Policy, Response, Status, escape};
use crate::request::{Rejection, Request};

/// Maximum number of characters of the request target in a page.
const URL_SHOWN: usize = 80;

/// Value of Retry-After for a 503, in seconds.
const RETRY_AFTER: &[u8] = b"10";

/// Error response for a `rejection` of `request` by any stage.
pub fn refuse(rejection: &Rejection, request: &Request<'_>, policy: &Policy<'_>) -> Response {
    page(rejection, request.target, policy)
}

/// Error response for a rejection.
///
/// `url` is the request target as sent, empty if the target was malformed. A rejection without a sentence
/// gets the usual sentence of its status. The caller adds the fields that need more context
/// (WWW-Authenticate, Allow).
pub fn page(rejection: &Rejection, url: &[u8], policy: &Policy<'_>) -> Response {
    let status = rejection.status;
    let mut response = match policy.pages.find(status, policy.host_dir, policy.blocking) {
        Some(body) => Response {
            media_type: Some(policy.pages.media_type.clone().into()),
            body,
            ..Response::bare(status)
        },
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
    let mut content = b"<p>".to_vec();
    escape::html(&mut content, sentence(rejection, &shown(url)).as_bytes());
    content.extend_from_slice(b"</p>\n");
    if let Some(up) = way_up(url) {
        content.extend_from_slice(format!("<p><a href=\"{up}\">Up one level</a></p>\n").as_bytes());
    }
    Page { title: title.as_bytes(), charset: b"UTF-8", style: "" }.render(&content, signature)
}

/// Sentence about a rejection of a request for `url`.
pub fn sentence(rejection: &Rejection, url: &str) -> String {
    let why = if rejection.why.is_empty() { usual_sentence(rejection.status) } else { &rejection.why };
    why.replace("{url}", url)
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
