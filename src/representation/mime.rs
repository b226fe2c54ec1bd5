//! Media types: maps a file name to its type and content encodings (thttpd's rules, `mime_guess`'s table).
//!
//! Called once for each opened file, by [`super::Representation::new`].

use std::cmp::Ordering;
use std::io;
use std::path::Path;

use crate::config::kind::media;
use crate::config::printable::{joined, shortened};
use crate::rules::{ResponseRules, SortedMap};
use crate::sys::{named, read_lines, without_byte_order_mark};

/// Extensions that mean a content encoding instead of a type (thttpd's three).
const ENCODINGS: [(&str, &str); 3] = [("Z", "compress"), ("gz", "gzip"), ("uu", "x-uuencode")];

/// Usual beginnings of types, and `mime_guess`'s types in the order of their extensions: lines of an extension,
/// a capital letter for one of the beginnings, and what follows that (`build.rs`).
const TYPES: (&[&str], &str) = include!(concat!(env!("OUT_DIR"), "/types.rs"));

/// Types of thttpd, and of RFC 8878, with precedence over `mime_guess`.
///
/// `mime_guess` lacks some, so that an object file would be shown as text. It differs in others, so that a
/// text would be saved.
const THTTPDS: [(&str, &str); 11] = [
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
    ("zst", "application/zstd"),
];

/// Media types by file name: the operator's table, the built-in one, and a default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types {
    /// Types by lower-case extension; they count before the built-in ones.
    own: SortedMap<Box<[u8]>, Box<str>>,
    /// Type of files with an unknown extension.
    default: String,
    /// Charset of textual types.
    charset: Vec<u8>,
}

impl Types {
    /// Built-in types; text and unknown types are in `charset`, as in thttpd.
    pub fn new(charset: &[u8]) -> Types {
        Types { own: SortedMap::default(), default: "text/plain".to_owned(), charset: charset.to_owned() }
    }

    /// Sets the type of files with an unknown extension.
    pub fn with_default(self, default: &str) -> Types {
        Types { default: default.to_owned(), ..self }
    }

    /// Adds the types of the file at `path`: lines of `type extension extension…`.
    ///
    /// # Errors
    /// The file cannot be read; or, as invalid data, each invalid line with its place.
    pub fn load(mut self, path: &Path) -> io::Result<Types> {
        let text = read_lines(path).map_err(|error| named(&path.display(), &error))?;
        let mut faults = Vec::new();
        for (line, number) in without_byte_order_mark(&text).split(|&b| b == b'\n').zip(1..) {
            if let Err(fault) = self.line(line) {
                faults.push(format!("{}:{number}: {}", path.display(), shortened(fault)));
            }
        }
        if faults.is_empty() {
            return Ok(self);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, joined(None, &mut faults.into_iter())))
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let code = line.split(|&b| b == b'#').next().unwrap_or_default();
        let text = std::str::from_utf8(code).map_err(|_| "not valid UTF-8")?;
        let mut words = text.split_ascii_whitespace();
        let Some(first) = words.next() else { return Ok(()) };
        let media_type = media(first).map_err(|why| format!("{first}: {why}"))?;
        // An extension with a dot inside, as Debian's file has some, is that of no file: one part decides.
        if let Some(odd) =
            words.clone().find(|word| word.starts_with('.') || word.contains(['/', '{', '}', ';']))
        {
            return Err(format!("{odd}: not an extension"));
        }
        for extension in words {
            self.own.insert(extension.to_ascii_lowercase().into_bytes().into(), media_type.into());
        }
        Ok(())
    }

    /// Content-Type and Content-Encoding of the file called `file_name`, which may be a path.
    ///
    /// Extensions are read from the right. Those of encodings are collected, and listed innermost first,
    /// joined with commas. The first other extension decides the type, without regard to case. Without a
    /// known extension, the default applies. Textual types get `; charset=`.
    pub fn describe(&self, file_name: &[u8]) -> (Vec<u8>, String) {
        let (media_type, encodings) = self.type_and_encodings(file_name);
        (with_charset(&media_type, Some(&self.charset)), encodings)
    }

    /// Type without charset, and the encodings.
    fn type_and_encodings(&self, file_name: &[u8]) -> (String, String) {
        let mut name = file_name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let mut encodings: Vec<&str> = Vec::new();
        let mut media_type = None;
        while let Some((rest, extension)) = split_extension(name) {
            let own = self.own_type(extension);
            match find(&ENCODINGS, extension).filter(|_| own.is_none()) {
                Some(encoding) => encodings.push(encoding),
                None => {
                    media_type = own.map(str::to_owned).or_else(|| built_in(extension));
                    // SVG writes the encoding into the extension: `a.svgz` is `a.svg.gz`.
                    let is_svg = media_type.as_deref() == Some("image/svg+xml");
                    if is_svg && extension.eq_ignore_ascii_case(b"svgz") {
                        encodings.push("gzip");
                    }
                    break;
                }
            }
            name = rest;
        }
        encodings.reverse();
        (media_type.unwrap_or_else(|| self.default.clone()), encodings.join(","))
    }

    /// Type and encodings of a file under `response_rules`. A type set by a rule has no encodings.
    pub fn describe_by_rules(
        &self,
        file_name: &[u8],
        response_rules: &ResponseRules,
    ) -> (Box<[u8]>, Box<str>) {
        let charset = match &response_rules.charset {
            Some(charset) => charset.as_deref().map(str::as_bytes),
            None => Some(&*self.charset),
        };
        let (media_type, encodings) = match &response_rules.media_type {
            Some(media_type) => (media_type.to_string(), String::new()),
            None => self.type_and_encodings(file_name),
        };
        (with_charset(&media_type, charset).into(), encodings.into())
    }

    /// Tells whether the last segment of `path` has a known extension of a type other than HTML.
    pub fn names_other_than_html(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let Some((_, extension)) = split_extension(name) else { return false };
        match self.own_type(extension).map(str::to_owned).or_else(|| built_in(extension)) {
            Some(media_type) => !matches!(&*media_type, "text/html" | "application/xhtml+xml"),
            None => find(&ENCODINGS, extension).is_some(),
        }
    }

    fn own_type(&self, extension: &[u8]) -> Option<&str> {
        if self.own.is_empty() {
            return None;
        }
        self.own.get(&*extension.to_ascii_lowercase()).map(|media_type| &**media_type)
    }
}

/// Adds `charset` to a textual `media_type` that has no charset.
fn with_charset(media_type: &str, charset: Option<&[u8]>) -> Vec<u8> {
    match charset.filter(|_| is_text(media_type)) {
        Some(charset) => [media_type.as_bytes(), b"; charset=", charset].concat(),
        None => media_type.into(),
    }
}

/// Splits at the last dot; `None` without a dot.
fn split_extension(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    Some((&name[..dot], &name[dot + 1..]))
}

fn built_in(extension: &[u8]) -> Option<String> {
    find(&THTTPDS, extension).map(str::to_owned).or_else(|| look_up(&extension.to_ascii_lowercase()))
}

/// Type of `extension` in the sorted lines, found by bisection of the text.
fn look_up(extension: &[u8]) -> Option<String> {
    let (beginnings, mut lines) = TYPES;
    while !lines.is_empty() {
        let before = &lines.as_bytes()[..lines.len() / 2];
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let (line, rest) = lines[start..].split_once('\n')?;
        let letter = line.bytes().position(|byte| byte.is_ascii_uppercase())?;
        match extension.cmp(&line.as_bytes()[..letter]) {
            Ordering::Less => lines = &lines[..start],
            Ordering::Equal => {
                let beginning = beginnings[usize::from(line.as_bytes()[letter] - b'A')];
                return Some([beginning, &line[letter + 1..]].concat());
            }
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

/// Tells whether the configured charset applies: to text, XHTML and XML.
///
/// Other types declare the charset themselves (SVG, RSS) or are not textual.
fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/") && !media_type.contains(';')
        || matches!(media_type, "application/xhtml+xml" | "application/xml")
}

#[cfg(test)]
mod tests;
