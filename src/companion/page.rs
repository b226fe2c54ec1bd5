//! What a CGI program of ours answers with: a head and a short page, every word of others escaped.

use crate::response::escape;

/// A whole CGI response: `status` (`404 Not Found`) unless it is 200, further fields, and a page.
pub fn answer(status: &str, fields: &[(&str, &str)], title: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if !status.starts_with("200") {
        line(&mut out, "Status", status);
    }
    for (name, value) in fields {
        line(&mut out, name, value);
    }
    line(&mut out, "Content-Type", "text/html; charset=UTF-8");
    out.extend_from_slice(b"\n<!DOCTYPE html>\n<title>");
    escape::html(&mut out, title.as_bytes());
    out.extend_from_slice(b"</title>\n<h1>");
    escape::html(&mut out, title.as_bytes());
    out.extend_from_slice(b"</h1>\n<p>");
    escape::html(&mut out, text.as_bytes());
    out.extend_from_slice(b"</p>\n");
    out
}

/// One field line; whatever would end it early is left out.
fn line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.bytes().filter(|byte| !byte.is_ascii_control()));
    out.push(b'\n');
}
