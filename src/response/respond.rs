//! Choice of the response to a request for a resource.

use std::borrow::Cow;

use super::error::refuse;
use super::message::Response;
use super::policy::Policy;
use super::{file, listing, redirect};
use crate::request::{Method, Rejection, Request};
use crate::resource::Resource;

/// Methods that files and listings answer (RFC 9110 §10.2.1).
const ALLOW: (&str, Cow<'static, [u8]>) = ("Allow", Cow::Borrowed(b"GET, HEAD, OPTIONS"));

/// Response to `request` for `resource`.
///
/// Scripts are run by `cgi`; a [`Resource::Script`] here is answered with 500.
pub fn respond(request: &Request<'_>, resource: Resource, policy: &Policy<'_>) -> Response {
    match (resource, request.method) {
        (_, Method::Unknown) => refuse(&unknown_method(request), request, policy),
        (Resource::Moved(to), _) => redirect::to(&to, policy),
        (Resource::Redirect { status, location }, _) => redirect::to_location(status, location, policy),
        (Resource::Preflight { is_script, headers }, _) => preflight(is_script, headers),
        (Resource::Status(status), _) => self::status(status, request, policy),
        (Resource::Server, _) | (_, Method::Options) => options(),
        (Resource::File(representation, content), Method::Get | Method::Head) => {
            file::respond(request, representation, content)
                .unwrap_or_else(|unmet| unmet.respond(request, policy))
        }
        (Resource::Directory(directory), Method::Get | Method::Head) => {
            listing::page(request, *directory, policy)
                .unwrap_or_else(|rejection| refuse(&rejection, request, policy))
        }
        (Resource::Text { media_type, content }, Method::Get | Method::Head) => {
            Response::page(200, media_type.as_bytes(), content).with("Cache-Control", &b"no-cache"[..])
        }
        (Resource::File(..) | Resource::Directory(_) | Resource::Text { .. }, _) => {
            let mut response = refuse(&Rejection::new(405, ""), request, policy);
            response.fields.push(ALLOW);
            response
        }
        (Resource::Script(_), _) => refuse(&Rejection::new(500, ""), request, policy),
    }
}

/// Response with the status set by a rule.
fn status(status: u16, request: &Request<'_>, policy: &Policy<'_>) -> Response {
    match status {
        200 => Response::page(200, b"text/plain; charset=UTF-8", b"ok".to_vec()),
        204 => Response::bare(204),
        error => refuse(&Rejection::new(error, ""), request, policy),
    }
}

/// Answer to a CORS preflight request: allowed methods and fields (Fetch §4.8).
///
/// Access-Control-Allow-Origin comes from the response rules.
fn preflight(is_script: bool, headers: Option<Vec<u8>>) -> Response {
    let methods = if is_script { &b"GET, HEAD, POST"[..] } else { b"GET, HEAD" };
    let response = Response::bare(204).with("Access-Control-Allow-Methods", methods);
    match headers {
        Some(headers) => response.with("Access-Control-Allow-Headers", headers),
        None => response,
    }
}

/// Answer to OPTIONS (RFC 9110 §9.3.7): no content, and the allowed methods.
fn options() -> Response {
    let mut response = Response::bare(204);
    response.fields.push(ALLOW);
    response
}

fn unknown_method(request: &Request<'_>) -> Rejection {
    let method = String::from_utf8_lossy(request.method_text);
    let shown: String = method.chars().take(20).collect();
    Rejection::new(501, format!("This server does not implement the method \u{2018}{shown}\u{2019}."))
}
