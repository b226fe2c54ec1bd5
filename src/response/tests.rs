//! Responses by resource and method.

use super::fixture::{content, hello, open, policy, request, root};
use super::*;
use crate::docroot::Links;
use crate::resource::{Directory, Resource, Script};
use crate::sys::fd::OpenFile;
use crate::testing::TempTree;
use std::fs::File;
use std::sync::Arc;

fn answer(method: &str, resource: Resource) -> Response {
    let pages = ErrorPages::builtin();
    respond(&request(method, "/hello.txt", &[]), resource, &policy(&pages))
}

fn hello_file() -> Resource {
    let (representation, content) = hello();
    Resource::File(representation, content)
}

fn directory(dir: &TempTree) -> Resource {
    Resource::Directory(Box::new(Directory::new(open(dir), b"sub/".to_vec())))
}

fn value<'r>(response: &'r Response, name: &str) -> Option<&'r [u8]> {
    response.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| &value[..])
}

#[test]
fn methods_are_answered_refused_or_not_known() {
    let dir = TempTree::new();
    for (method, status) in [
        ("GET", 200),
        ("HEAD", 200),
        ("OPTIONS", 204),
        ("POST", 405),
        ("PUT", 405),
        ("DELETE", 405),
        ("TRACE", 405),
        ("PATCH", 405),
        ("CONNECT", 501),
        ("get", 501),
        ("FOO", 501),
    ] {
        for resource in [hello_file(), directory(&dir)] {
            let response = answer(method, resource);
            assert_eq!(response.status.0, status, "{method}");
            let allow = (status == 405 || status == 204).then_some(&b"GET, HEAD, OPTIONS"[..]);
            assert_eq!(value(&response, "Allow"), allow, "{method}");
            assert!(!response.close, "{method}");
        }
    }
}

#[test]
fn an_unknown_method_is_named_in_the_page_as_text() {
    let pages = ErrorPages::builtin();
    let mut request = request("FOO", "/", &[]);
    request.method_text = b"<FOO>&'{url}";
    let page = content(&respond(&request, hello_file(), &policy(&pages)));
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("the method \u{2018}&lt;FOO&gt;&amp;&#39;/\u{2019}."), "{page}");
}

#[test]
fn head_is_answered_like_get() {
    let dir = TempTree::new();
    dir.file("file", b"");
    for resource in [|_: &TempTree| hello_file(), directory] {
        let (get, head) = (answer("GET", resource(&dir)), answer("HEAD", resource(&dir)));
        assert_eq!(get.body.bytes(), head.body.bytes());
        assert_eq!(get.media_type, head.media_type);
        assert_eq!(get.representation, head.representation);
    }
}

#[test]
fn every_known_method_follows_a_move() {
    for method in ["GET", "HEAD", "POST", "PUT", "OPTIONS"] {
        let response = answer(method, Resource::Moved(b"/sub/?x=y".to_vec()));
        assert_eq!(response.status.0, 302, "{method}");
        assert_eq!(value(&response, "Location"), Some(&b"/sub/?x=y"[..]));
    }
}

#[test]
fn the_server_itself_tells_its_methods() {
    let response = answer("OPTIONS", Resource::Server);
    assert_eq!(response.status.0, 204);
    assert!(matches!(response.body, Body::None));
    assert!(value(&response, "Allow").is_some());
}

#[test]
fn unmet_conditions_become_error_pages_with_required_fields() {
    let pages = ErrorPages::builtin();
    let beyond = request("GET", "/hello.txt", &[("Range", "bytes=99-")]);
    let response = respond(&beyond, hello_file(), &policy(&pages));
    assert_eq!(response.status.0, 416);
    assert_eq!(response.content_range.as_deref(), Some("bytes */14"));
    assert!(response.representation.is_none(), "the page is not the file");
    let unmet = request("GET", "/hello.txt", &[("If-Match", "\"other\"")]);
    assert_eq!(respond(&unmet, hello_file(), &policy(&pages)).status.0, 412);
}

#[test]
fn a_listing_knows_neither_conditions_nor_ranges() {
    let (dir, pages) = (TempTree::new(), ErrorPages::builtin());
    let fields = [
        ("If-Modified-Since", "Sun, 13 Sep 2020 12:26:40 GMT"),
        ("If-None-Match", "*"),
        ("Range", "bytes=0-4"),
    ];
    let response = respond(&request("GET", "/sub/", &fields), directory(&dir), &policy(&pages));
    assert_eq!(response.status.0, 200);
    assert_eq!(response.content_range, None);
}

#[test]
fn errors_are_the_operators_pages_where_there_are_some() {
    let dir = TempTree::new();
    dir.file("errors/err405.html", b"server's");
    dir.file("one.example/errors/err405.html", b"host's");
    let pages = ErrorPages::below(root(&dir), b"UTF-8", Links::Refuse);
    for (host_dir, expected) in [(None, &b"server's"[..]), (Some(&b"one.example"[..]), b"host's")] {
        let policy = Policy { host_dir, ..policy(&pages) };
        let response = respond(&request("POST", "/hello.txt", &[]), hello_file(), &policy);
        assert_eq!(content(&response), expected);
        assert!(value(&response, "Allow").is_some());
    }
}

#[test]
fn a_script_is_not_for_this_stage() {
    let script = Script {
        dir: Arc::new(OpenFile::from(File::open(".").unwrap())),
        name: b"a.cgi".to_vec(),
        url_path: b"/a.cgi".to_vec(),
        path_info: Vec::new(),
        query: None,
    };
    assert_eq!(answer("GET", Resource::Script(Box::new(script))).status.0, 500);
}
