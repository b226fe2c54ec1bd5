//! Redirects: to a directory's name with its slash, and to the location of a rule.

use super::page::Page;
use super::{Policy, Response, Status, escape};
use crate::config::choice::RedirectForm;

/// Redirects to `reference`, a path that ends in a slash, with an optional query.
///
/// The encoding is the client's. The status is 302 as in thttpd, since the name may become a file later.
pub fn to(reference: &[u8], policy: &Policy<'_>) -> Response {
    let location = match policy.redirects {
        RedirectForm::Absolute => absolute(reference),
        RedirectForm::Relative => relative(reference),
    };
    to_location(302, location, policy)
}

/// Redirects to `location`, unchanged.
pub fn to_location(status: u16, location: Vec<u8>, policy: &Policy<'_>) -> Response {
    let mut content = b"<p>What you asked for is at <a href=\"".to_vec();
    escape::html(&mut content, &location);
    content.extend_from_slice(b"\">");
    escape::html(&mut content, &location);
    content.extend_from_slice(b"</a>.</p>\n");
    let title = format!("{status} {}", Status(status).reason());
    let page = Page { title: title.as_bytes(), charset: b"UTF-8", style: "" };
    let page = page.render(&content, policy.signature);
    Response::page(status, b"text/html; charset=UTF-8", page).with("Location", location)
}

/// Absolute path for the Location field.
///
/// The path begins with exactly one slash. A second slash, or a backslash, would be read as the start of a
/// host.
fn absolute(reference: &[u8]) -> Vec<u8> {
    let rest = reference.iter().position(|&byte| byte != b'/').map_or(&b""[..], |at| &reference[at..]);
    let mut location = b"/".to_vec();
    escape::url_reference(&mut location, rest);
    location
}

/// Last segment of the path with its slash, relative to the request target.
///
/// A colon in the segment would be read as the end of a scheme (RFC 3986 §4.2).
fn relative(reference: &[u8]) -> Vec<u8> {
    let end = reference.iter().position(|&byte| byte == b'?').unwrap_or(reference.len());
    let path = reference[..end].strip_suffix(b"/").unwrap_or(&reference[..end]);
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let segment = &path[start..];
    let mut location =
        if segment.is_empty() || segment.contains(&b':') { b"./".to_vec() } else { Vec::new() };
    if !segment.is_empty() {
        escape::url_reference(&mut location, segment);
        location.push(b'/');
    }
    escape::url_reference(&mut location, &reference[end..]);
    location
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::fixture::policy;
    use crate::response::{Body, ErrorPages};
    use proptest::prelude::*;

    fn location(reference: &[u8]) -> Vec<u8> {
        let pages = ErrorPages::builtin();
        let response = to(reference, &policy(&pages));
        assert_eq!(response.status.0, 302);
        response.fields.into_iter().find(|(name, _)| *name == "Location").unwrap().1.into_owned()
    }

    #[test]
    fn path_and_query_are_kept_as_they_were_spelled() {
        for (reference, expected) in [
            ("/sub/", "/sub/"),
            ("/a..b/", "/a..b/"),
            ("/sub/?x=y", "/sub/?x=y"),
            ("/a%20b/?q=%2f", "/a%20b/?q=%2f"),
            ("sub/", "/sub/"),
            ("", "/"),
        ] {
            assert_eq!(location(reference.as_bytes()), expected.as_bytes(), "{reference}");
        }
    }

    #[test]
    fn no_reference_leads_to_another_host() {
        for (reference, expected) in [
            ("//evil.example/", "/evil.example/"),
            ("///evil.example/", "/evil.example/"),
            ("/\\evil.example/", "/%5cevil.example/"),
            ("\\\\evil.example/", "/%5c%5cevil.example/"),
        ] {
            assert_eq!(location(reference.as_bytes()), expected.as_bytes(), "{reference}");
        }
    }

    #[test]
    fn the_page_links_to_the_new_place_without_markup_of_the_client() {
        let Body::Page(page) = to(b"/a&\"><script>/", &policy(&ErrorPages::builtin())).body else {
            panic!("a page")
        };
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("<a href=\"/a&amp;%22%3e%3cscript%3e/\">"), "{page}");
        assert!(!page.contains("<script"), "{page}");
    }

    #[test]
    fn a_relative_redirect_is_the_last_segment_as_it_was_spelled() {
        for (reference, expected) in [
            ("/sub/", "sub/"),
            ("/a/b%20c/?q=/x/", "b%20c/?q=/x/"),
            ("//evil.example/", "evil.example/"),
            ("/http:/", "./http:/"),
            ("/a/\\evil.example/", "%5cevil.example/"),
            ("/a/%2e%2e/", "%2e%2e/"),
            ("//", "./"),
            ("", "./"),
        ] {
            assert_eq!(relative(reference.as_bytes()), expected.as_bytes(), "{reference}");
        }
    }

    proptest! {
        #[test]
        fn any_relative_redirect_is_one_segment_on_this_host(reference: Vec<u8>) {
            let location = relative(&reference);
            let path = location.split(|&byte| byte == b'?').next().unwrap();
            let path = path.strip_prefix(b"./").unwrap_or(path);
            prop_assert!(path.iter().position(|&byte| byte == b'/').is_none_or(|at| at + 1 == path.len()));
            prop_assert!(!location.starts_with(b"/"));
            let first = location.split(|&byte| byte == b'/').next().unwrap();
            prop_assert!(!first.contains(&b':') || location.starts_with(b"?"));
            prop_assert!(location.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\'));
        }

        #[test]
        fn any_reference_becomes_one_graphic_path_on_this_host(reference: Vec<u8>) {
            let location = location(&reference);
            prop_assert!(location.starts_with(b"/") && !location.starts_with(b"//"));
            prop_assert!(location.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\'));
        }
    }
}
