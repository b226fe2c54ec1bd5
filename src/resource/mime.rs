//! A file's name → its media type and content encodings (thttpd's rules round `mime_guess`'s table).
//!
//! Called once for each file opened, by [`super::Representation::new`].

use std::cmp::Ordering;

/// The type of a file whose name tells none, as in thttpd.
const UNKNOWN: &str = "text/plain";

/// Extensions that name an encoding of the content, not its type (thttpd's three).
const ENCODINGS: [(&str, &str); 3] = [("Z", "compress"), ("gz", "gzip"), ("uu", "x-uuencode")];

/// `mime_guess`'s types, one `extension type` to a line, in the order of the extensions (`build.rs`).
const TYPES: &str = include_str!(concat!(env!("OUT_DIR"), "/types.txt"));

/// thttpd's types that count before `mime_guess`'s: those that it does not know, without which an object file
/// would be shown as text, and those that it takes for something else, so that a text would be saved.
const THTTPDS: [(&str, &str); 10] = [
    ("a", "application/octet-stream"),
    ("asc", "text/plain"),
    ("iv", "application/x-inventor"),
    ("loc", "application/xml-loc"),
    ("mv", "video/x-sgi-movie"),
    ("o", "application/octet-stream"),
    ("smi", "application/smil"),
    ("tsp", "application/dsptype"),
    ("vx", "video/x-rad-screenplay"),
    ("wsrc", "application/x-wais-source"),
];

/// Content-Type and Content-Encoding of the file called `file_name` (a path is fine).
///
/// The name's extensions are read from the right. Those that name an encoding are set aside, and
/// listed innermost first, joined with commas; the first other one decides the type, whatever its
/// case. No extension, or one that is not known, means plain text. Types that carry characters get
/// `; charset=` and `charset`.
pub fn describe(file_name: &[u8], charset: &str) -> (String, String) {
    let mut name = file_name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let mut encodings: Vec<&str> = Vec::new();
    let mut media_type = UNKNOWN;
    while let Some((rest, extension)) = split_extension(name) {
        let Some(encoding) = find(&ENCODINGS, extension) else {
            media_type = type_of(extension);
            break;
        };
        encodings.push(encoding);
        name = rest;
    }
    encodings.reverse();
    let charset = if is_text(media_type) { format!("; charset={charset}") } else { String::new() };
    (media_type.to_owned() + &charset, encodings.join(","))
}

/// What stands before and after the last dot; none without a dot.
fn split_extension(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    Some((&name[..dot], &name[dot + 1..]))
}

fn type_of(extension: &[u8]) -> &'static str {
    find(&THTTPDS, extension).or_else(|| look_up(TYPES, &extension.to_ascii_lowercase())).unwrap_or(UNKNOWN)
}

/// The type that the line of `extension` has; found by halving the text, as a line says on which side of
/// it another one is.
fn look_up(mut lines: &'static str, extension: &[u8]) -> Option<&'static str> {
    while !lines.is_empty() {
        let before = &lines.as_bytes()[..lines.len() / 2];
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let (line, rest) = lines[start..].split_once('\n')?;
        let (known, media_type) = line.split_once(' ')?;
        match extension.cmp(known.as_bytes()) {
            Ordering::Less => lines = &lines[..start],
            Ordering::Equal => return Some(media_type),
            Ordering::Greater => lines = rest,
        }
    }
    None
}

fn find(table: &[(&str, &'static str)], extension: &[u8]) -> Option<&'static str> {
    table
        .iter()
        .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(extension))
        .map(|&(_, meaning)| meaning)
}

/// Does the configured charset apply? To text, XHTML and XML; other types say it themselves
/// (SVG, RSS) or are not made of characters.
fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/") || matches!(media_type, "application/xhtml+xml" | "application/xml")
}

#[cfg(test)]
mod tests;
