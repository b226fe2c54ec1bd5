//! `ssi`: a CGI program that sends a page with its server-side includes filled in.
//!
//! `site::Site` opens PATH_TRANSLATED if the page may be shown; `page` copies its text and executes each
//! `directive`. There is no `exec`, and data from the client is written as text, not as markup.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::Refusal;
use super::cgi_page::{VariableLookup, environment, problem};

mod directive;
mod format;
mod page;
mod site;

use page::Filler;
use site::{Site, SsiError};

const USAGE: &str = "\
usage:  ssi
A CGI program: the server runs it for /cgi-bin/ssi/PAGE, and it sends that page with its
server-side includes filled in. Copy it to where cgipat matches; ssi(8) has examples.";

/// Answers the request in the environment.
///
/// # Errors
/// No page can be shown. The client gets an error page, and standard error, which the server logs, a
/// message.
pub fn run(arguments: &[OsString]) -> Result<(), Refusal> {
    if super::helped_by_hand(arguments, USAGE) {
        return Ok(());
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = answer(&environment, &mut out);
    // A closed connection is not this program's error.
    let _ = out.flush();
    outcome
}

/// Writes the response; returns the result of the program.
fn answer(variables: VariableLookup<'_>, out: &mut dyn Write) -> Result<(), Refusal> {
    let (site, name) = match document(variables) {
        Ok(document) => document,
        Err(why) => {
            let _ = out.write_all(&problem("500 Internal Error", why, b""));
            return Err(Refusal::new(format!("ssi: {why}")));
        }
    };
    match site.open(&name) {
        Ok(shown) => {
            let _ = out.write_all(b"Content-Type: text/html\r\n\r\n");
            // From here on, only a closed connection makes writes fail.
            let _ = Filler::new(&site, variables, out).fill(shown);
            Ok(())
        }
        Err(problem) => {
            let (status, why) = match problem {
                SsiError::NotFound => ("404 Not Found", "The requested page <code>{}</code> was not found."),
                SsiError::NotPermitted => ("403 Forbidden", "The page <code>{}</code> may not be shown."),
            };
            let _ = out.write_all(&super::cgi_page::problem(
                status,
                why,
                &variables("PATH_INFO").unwrap_or_default(),
            ));
            Err(Refusal::new(format!("ssi: {}: {status}", name.escape_ascii())))
        }
    }
}

/// Site, and the name of the page in it.
///
/// PATH_TRANSLATED is the site's directory followed by PATH_INFO, so that removing PATH_INFO gives the
/// directory.
fn document(variables: VariableLookup<'_>) -> Result<(Site, Vec<u8>), &'static str> {
    let file = variables("PATH_TRANSLATED").ok_or("Couldn't get PATH_TRANSLATED environment variable.")?;
    let info = variables("PATH_INFO").ok_or("Couldn't get PATH_INFO environment variable.")?;
    let root = file.strip_suffix(&info[..]).filter(|_| info.starts_with(b"/"));
    let root = root.ok_or("PATH_TRANSLATED does not end in PATH_INFO.")?;
    let root = if root.is_empty() { b"/" } else { root };
    let site = Site::open_at(PathBuf::from(OsString::from_vec(root.to_vec())), variables("CGI_PATTERN"))
        .map_err(|_| "The site's directory could not be opened.")?;
    Ok((site, info[1..].to_vec()))
}

#[cfg(test)]
mod tests;
