//! Responses for files: status and bytes.

use super::*;
use crate::response::fixture::{content, file, hello, request};
use proptest::prelude::*;

const THEN: &str = "Fri, 14 Jul 2017 02:40:00 GMT";

/// Answer to `method` of `hello.txt`.
fn answer(method: &str, fields: &[(&str, &str)]) -> Result<Response, Unmet> {
    let (representation, content) = hello();
    respond(&request(method, "/hello.txt", fields), representation, content)
}

fn sent(fields: &[(&str, &str)]) -> (u16, Vec<u8>, Option<String>) {
    let response = answer("GET", fields).unwrap();
    (response.status.0, content(&response), response.content_range)
}

#[test]
fn a_plain_get_sends_the_whole_file() {
    assert_eq!(sent(&[]), (200, b"Hello, world!\n".to_vec(), None));
}

#[test]
fn one_range_is_206_even_when_it_is_the_whole_file() {
    for (value, bytes, content_range) in [
        ("bytes=0-4", "Hello", "bytes 0-4/14"),
        ("bytes=5-", ", world!\n", "bytes 5-13/14"),
        ("bytes=-5", "rld!\n", "bytes 9-13/14"),
        ("bytes=0-", "Hello, world!\n", "bytes 0-13/14"),
    ] {
        let expected = (206, bytes.as_bytes().to_vec(), Some(content_range.to_owned()));
        assert_eq!(sent(&[("Range", value)]), expected, "{value}");
    }
}

#[test]
fn a_range_beyond_the_file_is_unmet() {
    assert_eq!(answer("GET", &[("Range", "bytes=14-")]).unwrap_err(), Unmet::Range { len: 14 });
}

#[test]
fn head_has_no_ranges() {
    for range in ["bytes=0-4", "bytes=14-", "bytes=0-0,2-2"] {
        let response = answer("HEAD", &[("Range", range)]).unwrap();
        assert_eq!((response.status.0, response.body.bytes()), (200, 14), "{range}");
    }
}

#[test]
fn two_range_fields_are_none() {
    assert_eq!(sent(&[("Range", "bytes=0-4"), ("Range", "bytes=5-6")]).0, 200);
}

#[test]
fn if_range_decides_whether_the_range_counts() {
    let etag = hello().0.etag;
    for (validator, status) in [(&*etag, 206), (THEN, 206), ("\"other\"", 200), ("garbage", 200)] {
        assert_eq!(sent(&[("Range", "bytes=0-4"), ("If-Range", validator)]).0, status, "{validator}");
    }
    let beyond = answer("GET", &[("Range", "bytes=14-"), ("If-Range", "\"other\"")]).unwrap();
    assert_eq!(beyond.status.0, 200);
}

#[test]
fn preconditions_go_before_ranges_for_get_and_head() {
    for method in ["GET", "HEAD"] {
        let fields = [("If-Modified-Since", THEN), ("Range", "bytes=99-")];
        let response = answer(method, &fields).unwrap();
        assert_eq!(response.status.0, 304);
        assert!(matches!(response.body, Body::None) && response.representation.is_some());
        let fields = [("If-Match", "\"other\""), ("Range", "bytes=99-")];
        assert_eq!(answer(method, &fields).unwrap_err(), Unmet::Precondition);
    }
}

/// Splits multipart/byteranges content: each part's Content-Range and bytes.
fn parts(media_type: &[u8], content: &[u8]) -> Vec<(String, Vec<u8>)> {
    let boundary =
        str::from_utf8(media_type).unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let text = String::from_utf8(content.to_vec()).unwrap();
    let text = text.strip_prefix(&format!("\r\n--{boundary}\r\n")).unwrap();
    let text = text.strip_suffix(&format!("\r\n--{boundary}--\r\n")).unwrap();
    text.split(&format!("\r\n--{boundary}\r\n"))
        .map(|part| {
            let (head, bytes) = part.split_once("\r\n\r\n").unwrap();
            let (media_type, content_range) = head.split_once("\r\n").unwrap();
            assert_eq!(media_type, "Content-Type: text/plain; charset=UTF-8");
            (content_range.strip_prefix("Content-Range: ").unwrap().into(), bytes.into())
        })
        .collect()
}

#[test]
fn several_ranges_come_in_parts() {
    let response = answer("GET", &[("Range", "bytes=0-0, -1, 5-8")]).unwrap();
    assert_eq!(response.status.0, 206);
    assert_eq!(response.content_range, None, "each part has its own");
    let content = content(&response);
    assert_eq!(content.len() as u64, response.body.bytes());
    assert_eq!(
        parts(response.media_type.as_deref().unwrap(), &content),
        [
            ("bytes 0-0/14".into(), b"H".to_vec()),
            ("bytes 13-13/14".into(), b"\n".to_vec()),
            ("bytes 5-8/14".into(), b", wo".to_vec()),
        ]
    );
}

#[test]
fn no_two_responses_share_a_boundary() {
    let boundary = || answer("GET", &[("Range", "bytes=0-0,2-2")]).unwrap().media_type;
    assert_ne!(boundary(), boundary());
}

#[test]
fn a_file_on_disk_is_sent_from_its_descriptor() {
    let source = Arc::new(std::fs::File::open("/dev/null").unwrap().into());
    let request = request("GET", "/hello.txt", &[("Range", "bytes=5-8")]);
    let response = respond(&request, hello().0, Content::File(Arc::clone(&source))).unwrap();
    let Body::File(file, range) = response.body else { panic!("{:?}", response.body) };
    assert!(Arc::ptr_eq(&file, &source));
    assert_eq!(range, 5..9);
}

#[test]
fn an_empty_file_is_200_whatever_the_range() {
    for range in ["bytes=0-", "bytes=-1"] {
        let (representation, content) = file("empty.txt", b"");
        let response = respond(&request("GET", "/empty.txt", &[("Range", range)]), representation, content);
        let response = response.unwrap();
        assert_eq!((response.status.0, response.body.bytes()), (200, 0));
        assert!(!matches!(response.body, Body::None), "its length is said");
    }
}

proptest! {
    #[test]
    fn no_request_is_sent_much_more_than_the_file(
        set in "bytes=[0-9,-]{0,80}",
        bytes in prop::collection::vec(b'a'..=b'z', 0..200),
    ) {
        let (representation, source) = file("a.txt", &bytes);
        if let Ok(response) = respond(&request("GET", "/a.txt", &[("Range", &set)]), representation, source) {
            let part_heads = 17 * 150;
            prop_assert!(content(&response).len() <= bytes.len() + part_heads);
            prop_assert_eq!(content(&response).len() as u64, response.body.bytes());
        }
    }
}
