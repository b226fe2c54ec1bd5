//! Inputs that decide and shape a response.

use std::time::{Duration, SystemTime};

use thttpd::representation::mime::Types;
use thttpd::representation::{FileFacts, Representation, imf_fixdate};
use thttpd::request::Fields;
use thttpd::response::conditional;
use thttpd::response::escape::{html, url_path, url_reference};
use thttpd::response::range::{Selection, select};

/// Ranges lie within the file, do not overlap, and are few.
pub fn range(data: &[u8]) {
    let (value, rest) = super::line(data);
    let len = rest.iter().take(8).fold(0_u64, |len, &byte| len << 8 | u64::from(byte));
    let ranges = match select(value, len) {
        Selection::Whole | Selection::Unsatisfiable => return,
        Selection::One(range) => vec![range],
        Selection::Several(ranges) => {
            assert!((2..=256).contains(&ranges.len()));
            ranges
        }
    };
    let mut sorted = ranges;
    sorted.sort_unstable_by_key(|range| range.start);
    assert!(sorted.iter().all(|range| range.start < range.end && range.end <= len));
    assert!(sorted.windows(2).all(|pair| pair[0].end <= pair[1].start));
}

/// Any text may stand where a date or an entity tag should; a date that is one is read as it is written.
pub fn dates(data: &[u8]) {
    let facts =
        FileFacts { device: 1, inode: 7, len: 5, modified: (784_111_777, 0), changed: (784_111_777, 0) };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let representation = Representation::new(b"a.txt", &facts, &Types::new(b"UTF-8"), now);
    for name in ["If-Modified-Since", "If-Unmodified-Since", "If-None-Match", "If-Match", "If-Range"] {
        let mut fields = Fields::default();
        for value in data.split(|&byte| byte == b'\n') {
            fields.push(name, value);
        }
        let _ = conditional::evaluate(&fields, &representation);
        let _ = conditional::range_applies(&fields, &representation);
    }
    let text = String::from_utf8_lossy(data);
    if let Ok(date) = httpdate::parse_http_date(&text) {
        assert_eq!(httpdate::parse_http_date(&imf_fixdate(date)).ok(), Some(date));
    }
}

/// Escaped text holds no markup and no line's end, and an escaped path only what a URL may hold.
pub fn escape(data: &[u8]) {
    let escaped = |escape: fn(&mut Vec<u8>, &[u8])| {
        let mut out = Vec::new();
        escape(&mut out, data);
        out
    };
    let unsafe_in_html = |byte: &u8| b"<>\"'".contains(byte) || byte.is_ascii_control();
    assert!(!escaped(html).iter().any(unsafe_in_html));
    for out in [escaped(url_path), escaped(url_reference)] {
        assert!(out.iter().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(byte)));
    }
    assert_eq!(thttpd::request::target::decode(&escaped(url_path)), data);
}
