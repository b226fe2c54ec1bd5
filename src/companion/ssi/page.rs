//! Page output: copies text and executes directives.

use std::io::{self, Read, Write};
use std::time::SystemTime;

use super::super::cgi_page::VariableLookup;
use super::directive::{PagePiece, name, pieces, tags};
use super::format;
use super::site::{Shown, Site, SsiError};
use crate::docroot::path::split;
use crate::response::escape;

/// Number of bytes of one file in which directives are looked for; the rest is sent as it is.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Maximum depth of nested includes, which ends a page that includes itself.
const MOST_DEPTH: usize = 16;

/// Maximum number of includes in one answer: a page that includes itself twice would be sent 2^16 times.
const MOST_INCLUDES: usize = 256;

/// Writer of one answer.
pub struct Filler<'s> {
    site: &'s Site,
    variables: VariableLookup<'s>,
    out: &'s mut dyn Write,
    time_format: String,
    abbreviated: bool,
    includes: usize,
    /// Requested page, also while an include is processed.
    document: Document,
}

struct Document {
    name: Vec<u8>,
    modified: SystemTime,
}

/// File whose directives are processed.
struct DirectivePlace<'p> {
    /// Directory of the file, relative to the site's root; empty for the top.
    dir: &'p [u8],
    depth: usize,
}

/// An attribute of a directive: `tag="value"`.
struct Attribute<'t> {
    tag: &'t [u8],
    value: &'t [u8],
}

impl<'s> Filler<'s> {
    /// Writer to `out`, with the CGI variables `variables`.
    pub fn new(site: &'s Site, variables: VariableLookup<'s>, out: &'s mut dyn Write) -> Filler<'s> {
        let document = Document { name: Vec::new(), modified: SystemTime::UNIX_EPOCH };
        let time_format = format::DEFAULT_TIME.to_owned();
        Filler { site, variables, out, time_format, abbreviated: false, includes: 0, document }
    }

    /// Writes the requested page.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn fill(&mut self, page: Shown) -> io::Result<()> {
        self.document = Document { name: page.name.clone(), modified: page.modified };
        self.copy(page, 0)
    }

    fn copy(&mut self, mut page: Shown, depth: usize) -> io::Result<()> {
        let mut text = Vec::new();
        // A partial page is better than none, and a CGI program has no log of its own.
        let _ = (&page.file).take(MOST_BYTES).read_to_end(&mut text);
        let place = DirectivePlace { dir: split(&page.name).0, depth };
        for piece in pieces(&text) {
            match piece {
                PagePiece::Text(text) => self.out.write_all(text)?,
                PagePiece::Directive(directive) => self.carry_out(directive, &place)?,
            }
        }
        io::copy(&mut page.file, &mut self.out).map(drop)
    }

    fn carry_out(&mut self, directive: &[u8], place: &DirectivePlace<'_>) -> io::Result<()> {
        let (name, rest) = name(directive);
        for (at, (tag, value)) in tags(rest).into_iter().enumerate() {
            if at > 0 && name != b"config" {
                self.out.write_all(b" ")?;
            }
            match name {
                b"config" => self.config(tag, value)?,
                b"echo" => self.echo(tag, value)?,
                b"include" | b"fsize" | b"flastmod" => {
                    self.of_file(name, &Attribute { tag, value }, place)?
                }
                _ => return self.complain("Unknown Directive", "directive", name),
            }
        }
        Ok(())
    }

    fn config(&mut self, tag: &[u8], value: &[u8]) -> io::Result<()> {
        match (tag, value) {
            (b"sizefmt", b"bytes") => self.abbreviated = false,
            (b"sizefmt", b"abbrev") => self.abbreviated = true,
            (b"timefmt", _) => match str::from_utf8(value) {
                Ok(format) if format::is_valid(format) => format.clone_into(&mut self.time_format),
                _ => return self.complain("Unknown Value", "timefmt", value),
            },
            (b"sizefmt", _) => return self.complain("Unknown Value", "sizefmt", value),
            _ => return self.complain("Unknown Tag", "tag", tag),
        }
        Ok(())
    }

    fn echo(&mut self, tag: &[u8], variable: &[u8]) -> io::Result<()> {
        if tag != b"var" {
            return self.complain("Unknown Tag", "tag", tag);
        }
        let now = SystemTime::now();
        let value = match variable {
            b"DOCUMENT_NAME" => {
                use std::os::unix::ffi::OsStrExt;
                Some([self.site.path().as_os_str().as_bytes(), b"/", &self.document.name].concat())
            }
            b"DOCUMENT_URI" => (self.variables)("PATH_INFO"),
            b"QUERY_STRING_UNESCAPED" => (self.variables)("QUERY_STRING"),
            b"DATE_LOCAL" => Some(format::local(now, &self.time_format).into()),
            b"DATE_GMT" => Some(format::gmt(now, &self.time_format).into()),
            b"LAST_MODIFIED" => Some(format::local(self.document.modified, &self.time_format).into()),
            other => str::from_utf8(other).ok().and_then(|name| (self.variables)(name)),
        };
        match value {
            Some(value) => self.write_text(&value),
            None => self.complain("Unknown Value", "variable", variable),
        }
    }

    /// Executes the directives that name a file.
    fn of_file(
        &mut self,
        directive: &[u8],
        attribute: &Attribute<'_>,
        place: &DirectivePlace<'_>,
    ) -> io::Result<()> {
        let Attribute { tag, value } = *attribute;
        let name = match tag {
            b"virtual" | b"file" => file_name(tag, value, place.dir),
            _ => return self.complain("Unknown Tag", "tag", tag),
        };
        let shown = match name.and_then(|name| self.site.open(&name)) {
            Ok(shown) => shown,
            Err(SsiError::NotFound) => return self.complain("Not Found", "file", value),
            Err(SsiError::NotPermitted) => return self.complain("Not Permitted", "file", value),
        };
        match directive {
            b"fsize" => self.write_text(format::size(shown.len, self.abbreviated).as_bytes()),
            b"flastmod" => self.write_text(format::local(shown.modified, &self.time_format).as_bytes()),
            _ if place.depth >= MOST_DEPTH || self.includes >= MOST_INCLUDES => {
                self.complain("Not Permitted", "further include", value)
            }
            _ => {
                self.includes += 1;
                self.copy(shown, place.depth + 1)
            }
        }
    }

    fn write_text(&mut self, text: &[u8]) -> io::Result<()> {
        let mut escaped = Vec::with_capacity(text.len());
        escape::html(&mut escaped, text);
        self.out.write_all(&escaped)
    }

    /// Writes an error into the page, at its place.
    fn complain(&mut self, title: &str, what: &str, which: &[u8]) -> io::Result<()> {
        write!(self.out, "<HR><H2>{title}</H2>\nThe {what} <CODE>")?;
        self.write_text(which)?;
        writeln!(self.out, "</CODE> cannot be used here.\n<HR>")
    }
}

/// Name of a file relative to the root.
///
/// `virtual` is relative to the root if it begins with a slash. Other names are relative to the page's
/// directory, which `file` must not leave.
fn file_name(tag: &[u8], value: &[u8], dir: &[u8]) -> Result<Vec<u8>, SsiError> {
    match value.strip_prefix(b"/") {
        Some(_) if tag == b"file" => Err(SsiError::NotPermitted),
        Some(from_root) => Ok(from_root.to_vec()),
        None if dir.is_empty() => Ok(value.to_vec()),
        None => Ok([dir, b"/", value].concat()),
    }
}
