//! Error pages of a CGI program (RFC 3875 §6), and its view of the request.

use std::os::unix::ffi::OsStringExt;

use crate::response::escape;

/// Look-up function for CGI variables; tests pass their own.
pub type VariableLookup<'v> = &'v dyn Fn(&str) -> Option<Vec<u8>>;

/// Value of a variable in the process's environment.
pub fn environment(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(OsStringExt::into_vec)
}

/// Complete error response with `status`, such as `404 Not Found`, and a page with the sentence `why`.
///
/// `{}` in `why` is replaced by the escaped `subject`.
pub fn problem(status: &str, why: &str, subject: &[u8]) -> Vec<u8> {
    let title = status.split_once(' ').map_or(status, |(_, title)| title);
    let mut out = format!("Status: {status}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n").into_bytes();
    out.extend_from_slice(
        format!("<!DOCTYPE html>\n<title>{title}</title>\n<h1>{title}</h1>\n<p>").as_bytes(),
    );
    let (before, after) = why.split_once("{}").unwrap_or((why, ""));
    out.extend_from_slice(before.as_bytes());
    if why.contains("{}") {
        escape::html(&mut out, subject);
    }
    out.extend_from_slice(after.as_bytes());
    out.extend_from_slice(b"</p>\n");
    out
}
