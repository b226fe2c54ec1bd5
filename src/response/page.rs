//! HTML frame of every generated page.
//!
//! Pages fit a phone's width, follow the reader's choice of light or dark, and load nothing.

use super::escape;

/// Style sheet of all pages. `color-scheme` alone sets colours for both light and dark.
const STYLE: &str = ":root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:45rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}\
h1{font-size:1.4rem}footer{margin-top:2rem;font-size:.8rem;opacity:.7}";

/// Parts of a generated page.
pub struct Page<'a> {
    /// Title and heading, plain text.
    pub title: &'a [u8],
    /// Charset of the page's bytes.
    pub charset: &'a [u8],
    /// Additional style; trusted text.
    pub style: &'static str,
}

impl Page<'_> {
    /// Renders the page around `content`, which the caller has escaped. An empty `foot` is omitted.
    pub fn render(&self, content: &[u8], foot: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(content.len() + STYLE.len() + 600);
        out.extend_from_slice(b"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"");
        escape::html(&mut out, self.charset);
        out.extend_from_slice(
            b"\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
        );
        escape::html(&mut out, self.title);
        out.extend_from_slice(b"</title>\n<style>");
        out.extend_from_slice(STYLE.as_bytes());
        out.extend_from_slice(self.style.as_bytes());
        out.extend_from_slice(b"</style>\n</head>\n<body>\n<main>\n<h1>");
        escape::html(&mut out, self.title);
        out.extend_from_slice(b"</h1>\n");
        out.extend_from_slice(content);
        out.extend_from_slice(b"</main>\n");
        if !foot.is_empty() {
            out.extend_from_slice(b"<footer>");
            escape::html(&mut out, foot.as_bytes());
            out.extend_from_slice(b"</footer>\n");
        }
        out.extend_from_slice(b"</body>\n</html>\n");
        if self.charset.eq_ignore_ascii_case(b"UTF-8") { valid_utf8(out) } else { out }
    }
}

/// `page` with U+FFFD for what HTML forbids, as browsers show it: a name may hold any bytes.
fn valid_utf8(page: Vec<u8>) -> Vec<u8> {
    let page = String::from_utf8(page)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    // Control characters beyond ASCII, and code points that are no characters (HTML §13.1.4).
    let is_forbidden = |c: char| {
        matches!(c, '\u{80}'..='\u{9f}' | '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
    };
    let page = if page.contains(is_forbidden) { page.replace(is_forbidden, "\u{fffd}") } else { page };
    page.into_bytes()
}

/// The media type of a page in `charset`.
pub fn html_in(charset: &[u8]) -> Vec<u8> {
    [b"text/html; charset=", charset].concat()
}
