//! Error pages: built-in ones, and the operator's files.

use super::*;
use crate::docroot::Links;
use crate::response::SERVER;
use crate::response::error_pages::{ErrorPages, LARGEST_PAGE};
use crate::response::fixture::{content, root};
use crate::testing::TempTree;
use nix::sys::stat::Mode;
use std::os::unix::fs::symlink;

fn text(response: &Response) -> String {
    String::from_utf8(content(response)).unwrap()
}

fn page(rejection: &Rejection, url: &[u8], pages: &ErrorPages, host_dir: Option<&[u8]>) -> Response {
    super::page(rejection, url, &Policy { host_dir, ..crate::response::fixture::policy(pages) })
}

fn built_in_page(rejection: &Rejection, url: &[u8]) -> String {
    text(&page(rejection, url, &ErrorPages::builtin(), None))
}

/// Page for a 404 below `dir`.
fn found(dir: &TempTree, host_dir: Option<&[u8]>) -> String {
    text(&page(
        &Rejection::new(404, ""),
        b"/x",
        &ErrorPages::below(root(dir), b"koi8-r", Links::Refuse),
        host_dir,
    ))
}

#[test]
fn a_built_in_page_names_status_target_and_server() {
    let response = page(&Rejection::new(404, ""), b"/nope", &ErrorPages::builtin(), None);
    assert_eq!(response.status, Status(404));
    assert_eq!(response.media_type.as_deref(), Some(&b"text/html; charset=UTF-8"[..]));
    let text = text(&response);
    assert!(text.starts_with("<!DOCTYPE html>\n"), "{text}");
    for part in
        ["<title>404 Not Found</title>", "There is nothing at /nope on this server.", SERVER, "viewport"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn every_status_has_a_sentence() {
    for status in (400..=417).chain([421, 429, 431, 451, 500, 501, 502, 503, 504, 505, 599]) {
        let text = built_in_page(&Rejection::new(status, ""), b"/here");
        assert!(text.contains(&format!("<h1>{status} ")), "{text}");
        assert!(!text.contains("{url}"), "{text}");
    }
}

#[test]
fn a_stages_own_sentence_goes_before_the_usual_one() {
    let text = built_in_page(&Rejection::new(403, "You may not read {url}, nor {url}."), b"/a");
    assert!(text.contains("<p>You may not read /a, nor /a.</p>"), "{text}");
}

#[test]
fn nothing_of_the_request_becomes_markup() {
    let rejection = Rejection::new(400, "bad <b>{url}</b>");
    let text = built_in_page(&rejection, b"/<script>\"'&\xff\n{url}");
    assert!(
        text.contains("bad &lt;b&gt;/&lt;script&gt;&quot;&#39;&amp;\u{fffd}&#xfffd;{url}&lt;/b&gt;"),
        "{text}"
    );
}

#[test]
fn a_long_target_is_cut_between_characters() {
    let url = format!("/{}", "\u{e9}".repeat(500));
    let text = built_in_page(&Rejection::new(404, ""), url.as_bytes());
    assert!(text.contains(&format!("at /{}\u{2026} on", "\u{e9}".repeat(79))), "{text}");
}

#[test]
fn the_rejection_decides_whether_the_connection_goes_on() {
    assert!(page(&Rejection::malformed("no"), b"", &ErrorPages::builtin(), None).close);
    assert!(!page(&Rejection::new(400, "no"), b"", &ErrorPages::builtin(), None).close);
}

#[test]
fn overload_says_when_to_come_back() {
    let retry = |status| {
        let response = page(&Rejection::new(status, ""), b"/", &ErrorPages::builtin(), None);
        response.fields.iter().any(|(name, _)| *name == "Retry-After")
    };
    assert!(retry(503) && retry(429));
    assert!(!retry(404) && !retry(500));
}

#[test]
fn the_operators_page_is_sent_as_it_is_in_the_configured_charset() {
    let dir = TempTree::new();
    dir.file("errors/err404.html", b"<title>own</title>\0{url}");
    let response =
        page(&Rejection::new(404, ""), b"/x", &ErrorPages::below(root(&dir), b"koi8-r", Links::Refuse), None);
    assert_eq!(content(&response), b"<title>own</title>\0{url}");
    assert_eq!(response.media_type.as_deref(), Some(&b"text/html; charset=koi8-r"[..]));
    let other =
        page(&Rejection::new(403, ""), b"/x", &ErrorPages::below(root(&dir), b"koi8-r", Links::Refuse), None);
    assert!(text(&other).contains("403 Forbidden"));
}

#[test]
fn a_hosts_page_goes_before_the_servers() {
    let dir = TempTree::new();
    dir.file("errors/err404.html", b"server");
    dir.file("one.example/errors/err404.html", b"host");
    dir.file("two.example/index.html", b"");
    assert_eq!(found(&dir, Some(b"one.example")), "host");
    assert_eq!(found(&dir, Some(b"two.example")), "server");
    assert_eq!(found(&dir, Some(b"unknown.example")), "server");
    assert_eq!(found(&dir, None), "server");
}

#[test]
fn links_lead_to_pages_within_the_tree_only() {
    let (dir, outside) = (TempTree::new(), TempTree::new());
    outside.file("errors/err404.html", "secret");
    dir.file("one.example/errors/err404.html", "host");
    symlink("one.example", dir.path().join("www.one.example")).unwrap();
    symlink(dir.path().join("one.example"), dir.path().join("absolute.example")).unwrap();
    symlink(outside.path(), dir.path().join("linked.example")).unwrap();
    symlink(outside.path().join("errors"), dir.path().join("errors")).unwrap();
    assert_eq!(found(&dir, Some(b"www.one.example")), "host");
    assert_eq!(found(&dir, Some(b"absolute.example")), "host");
    let up = format!("../{}", outside.path().file_name().unwrap().to_str().unwrap());
    for host_dir in [None, Some("linked.example"), Some(&up), Some("."), Some("..")] {
        let text = found(&dir, host_dir.map(str::as_bytes));
        assert!(text.contains("404 Not Found") && !text.contains("secret"), "{host_dir:?}: {text}");
    }
}

#[test]
fn a_page_that_is_no_file_or_too_large_does_not_exist() {
    let dir = TempTree::new();
    std::fs::create_dir_all(dir.path().join("errors/err404.html")).unwrap();
    assert!(found(&dir, None).contains("404 Not Found"));

    let dir = TempTree::new();
    std::fs::create_dir(dir.path().join("errors")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("errors/err404.html"), Mode::S_IRWXU).unwrap();
    assert!(found(&dir, None).contains("404 Not Found"), "and a FIFO makes nobody wait");

    let dir = TempTree::new();
    dir.file("errors/err404.html", vec![b'x'; LARGEST_PAGE as usize]);
    assert_eq!(found(&dir, None).len(), LARGEST_PAGE as usize);
    dir.file("errors/err404.html", vec![b'x'; LARGEST_PAGE as usize + 1]);
    assert!(found(&dir, None).contains("404 Not Found"));
}
