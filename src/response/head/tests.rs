//! Whole heads, byte for byte, and values that try to break a line.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::representation::Representation;
use crate::response::fixture::{hello, now};
use crate::response::{Body, Response};
use proptest::prelude::*;

/// Head of `response` in the usual frame, modified by `change`, as lines.
fn lines(policy: &HeadPolicy, response: &Response, change: impl FnOnce(&mut Frame<'_>)) -> Vec<String> {
    let clock = Clock::new(now(), policy);
    let mut frame =
        Frame { version: Version::Http11, keep_alive: true, chunked: false, clock: &clock, policy };
    change(&mut frame);
    let mut out = b"kept".to_vec();
    write(&mut out, response, &frame);
    let text = String::from_utf8(out).unwrap();
    let head = text.strip_prefix("kept").unwrap();
    head.split("\r\n").map(str::to_owned).collect()
}

fn plain() -> HeadPolicy {
    HeadPolicy::new("thttpd/3.0.0", b"", None)
}

fn of_file(status: u16, body: Body) -> Response {
    Response { representation: Some(hello().0), body, ..Response::bare(status) }
}

fn hello_body() -> Body {
    Body::Bytes(Arc::from(&b"Hello, world!\n"[..]), 0..14)
}

#[test]
fn a_files_head_has_every_field_in_thttpds_order() {
    let response = of_file(200, hello_body());
    let etag = format!("ETag: {}", hello().0.etag);
    assert_eq!(
        lines(&plain(), &response, |_| {}),
        [
            "HTTP/1.1 200 OK",
            "Server: thttpd/3.0.0",
            "Content-Type: text/plain; charset=UTF-8",
            "Date: Sun, 13 Sep 2020 12:26:40 GMT",
            "Last-Modified: Fri, 14 Jul 2017 02:40:00 GMT",
            &etag,
            "Accept-Ranges: bytes",
            "Content-Length: 14",
            "",
            "",
        ]
    );
}

#[test]
fn p3p_and_freshness_come_after_the_length_and_extra_fields_last() {
    let policy = HeadPolicy::new("thttpd/3.0.0", b"CP=\"NOI DSP\"", Some(3600));
    let response = Response::page(302, b"text/html", b"moved".to_vec()).with("Location", &b"/sub/"[..]);
    assert_eq!(
        lines(&policy, &response, |frame| frame.keep_alive = false),
        [
            "HTTP/1.1 302 Found",
            "Server: thttpd/3.0.0",
            "Content-Type: text/html",
            "Date: Sun, 13 Sep 2020 12:26:40 GMT",
            "Connection: close",
            "Content-Length: 5",
            "P3P: CP=\"NOI DSP\"",
            "Cache-Control: max-age=3600",
            "Expires: Sun, 13 Sep 2020 13:26:40 GMT",
            "Location: /sub/",
            "",
            "",
        ]
    );
}

#[test]
fn an_error_is_not_to_be_stored_and_says_so_once() {
    let policy = HeadPolicy::new("thttpd/3.0.0", b"", Some(60));
    let head = lines(&policy, &Response::page(404, b"text/html", Vec::new()), |_| {});
    let caching: Vec<_> = head.iter().filter(|line| line.starts_with("Cache-Control")).collect();
    assert_eq!(caching, ["Cache-Control: no-cache,no-store"]);
    assert!(!head.iter().any(|line| line.starts_with("Expires")));
    assert!(head.contains(&"Content-Length: 0".to_owned()));
}

#[test]
fn not_modified_keeps_type_encoding_and_validators_but_no_length() {
    let encoded = Representation { encodings: "gzip".into(), ..(*hello().0).clone() };
    let response = Response { representation: Some(Arc::new(encoded)), ..Response::bare(304) };
    let head = lines(&plain(), &response, |_| {});
    for start in ["Content-Type: text/plain", "Last-Modified: ", "ETag: ", "Content-Encoding: gzip"] {
        assert!(head.iter().any(|line| line.starts_with(start)), "{start} in {head:?}");
    }
    assert!(!head.iter().any(|line| line.starts_with("Content-Length")));
}

#[test]
fn a_response_may_have_another_type_than_its_file() {
    let response =
        Response { media_type: Some(b"multipart/byteranges".into()), ..of_file(206, hello_body()) };
    let head = lines(&plain(), &response, |_| {});
    let types: Vec<_> = head.iter().filter(|line| line.starts_with("Content-Type")).collect();
    assert_eq!(types, ["Content-Type: multipart/byteranges"]);
}

#[test]
fn a_part_of_a_file_says_which() {
    let response = Response {
        content_range: Some("bytes 5-8/14".into()),
        ..of_file(206, Body::Bytes(Arc::from(&b"Hello, world!\n"[..]), 5..9))
    };
    let head = lines(&plain(), &response, |_| {});
    assert_eq!(head[7..9], ["Content-Range: bytes 5-8/14", "Content-Length: 4"]);
}

#[test]
fn a_close_is_always_said_and_keep_alive_where_the_version_does_not_imply_it() {
    for (version, keep_alive, close, expected) in [
        (Version::Http11, true, false, None),
        (Version::Http11, false, false, Some("Connection: close")),
        (Version::Http11, true, true, Some("Connection: close")),
        (Version::Http10, true, false, Some("Connection: keep-alive")),
        (Version::Http10, true, true, Some("Connection: close")),
        (Version::Http10, false, false, Some("Connection: close")),
    ] {
        let response = Response { close, ..Response::bare(204) };
        let head = lines(&plain(), &response, |frame| {
            frame.version = version;
            frame.keep_alive = keep_alive;
        });
        assert_eq!(head[0], "HTTP/1.1 204 No Content", "ours, whatever the request's");
        let line = head.iter().find(|line| line.starts_with("Connection")).map(String::as_str);
        assert_eq!(line, expected, "{version:?} {keep_alive} {close}");
    }
}

#[test]
fn chunked_content_has_no_length() {
    let head = lines(&plain(), &of_file(200, hello_body()), |frame| frame.chunked = true);
    assert!(head.contains(&"Transfer-Encoding: chunked".to_owned()));
    assert!(!head.iter().any(|line| line.starts_with("Content-Length")));
}

#[test]
fn http_0_9_gets_no_head() {
    assert_eq!(lines(&plain(), &of_file(200, hello_body()), |f| f.version = Version::Http09), [""]);
}

#[test]
fn a_clock_changes_its_text_with_the_second_in_either_direction() {
    let policy = HeadPolicy::new("s", b"", Some(1));
    let mut clock = Clock::new(now(), &policy);
    for (offset, date) in [(0, "12:26:40"), (1, "12:26:41"), (60, "12:27:40"), (0, "12:26:40")] {
        clock.advance(now() + Duration::from_secs(offset), &policy);
        assert_eq!(String::from_utf8_lossy(clock.date()), format!("Sun, 13 Sep 2020 {date} GMT"));
    }
    assert_eq!(&clock.expires[..], b"Sun, 13 Sep 2020 12:26:41 GMT");
}

proptest! {
    #[test]
    fn no_value_ends_its_line(value: Vec<u8>, text in "\\PC*[\r\n\\x00]\\PC*") {
        let policy = HeadPolicy::new(&text, text.as_bytes(), None);
        let representation = Representation {
            media_type: text.clone().into_bytes().into(),
            encodings: text.clone().into(),
            ..(*hello().0).clone()
        };
        let response = Response {
            representation: Some(Arc::new(representation)),
            content_range: Some(text),
            fields: vec![("Location", Cow::Owned(value))],
            ..Response::bare(200)
        };
        let clock = Clock::new(now(), &policy);
        let frame =
            Frame { version: Version::Http11, keep_alive: true, chunked: false, clock: &clock, policy: &policy };
        let mut out = Vec::new();
        write(&mut out, &response, &frame);
        let bare = |at: usize| match out[at] {
            b'\r' => out.get(at + 1) != Some(&b'\n'),
            b'\n' => at == 0 || out[at - 1] != b'\r',
            b'\0' => true,
            _ => false,
        };
        prop_assert!(!(0..out.len()).any(bare));
        let line_ends = out.windows(2).filter(|pair| pair == b"\r\n").count();
        prop_assert_eq!(line_ends, 12, "status, ten fields, empty line");
    }
}
