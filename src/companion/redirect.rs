//! `redirect`: a CGI program that redirects old URLs to new ones, by `.redirects` in its directory.
//!
//! The requested URL is SCRIPT_NAME with PATH_INFO. `answer` is pure: client data becomes part of Location
//! only in the place of a `*`, encoded so that it can neither end the field nor change the host.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;

use super::Refusal;
use super::cgi_page::{VariableLookup, environment, problem};
use crate::response::escape;

/// Maximum size of a list in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

const USAGE: &str = "\
usage:  redirect
A CGI program: the server runs it, in a directory whose .redirects holds lines of two words,
the old URL and the new one. Copy it to where cgipat matches; redirect(8) has examples.";

/// Answers the request in the environment, by the list in the working directory.
///
/// # Errors
/// No line of the list applies. The client gets an error page, and standard error, which the server logs, a
/// message.
pub fn run(arguments: &[OsString]) -> Result<(), Refusal> {
    if super::helped_by_hand(arguments, USAGE) {
        return Ok(());
    }
    let (page, outcome) = answer(&environment, list());
    // A closed connection is not this program's error.
    let _ = io::stdout().write_all(&page);
    outcome
}

/// Reads the list of redirects.
fn list() -> io::Result<Vec<u8>> {
    // With O_NONBLOCK, opening a FIFO of that name does not hang.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(".redirects")?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// Response, and the result of the program.
fn answer(variables: VariableLookup<'_>, list: io::Result<Vec<u8>>) -> (Vec<u8>, Result<(), Refusal>) {
    let internal =
        |why: &str| (problem("500 Internal Error", why, b""), Err(Refusal::new(format!("redirect: {why}"))));
    let Some(script) = variables("SCRIPT_NAME") else {
        return internal("Couldn't get SCRIPT_NAME environment variable.");
    };
    let Ok(list) = list else { return internal("Couldn't open .redirects file.") };
    let asked = [script, variables("PATH_INFO").unwrap_or_default()].concat();
    match find(&list, &asked) {
        Some(location) => (moved(&location), Ok(())),
        None => {
            let why = "The requested URL <code>{}</code> was not found on this server.";
            let noted = Refusal::new(format!("redirect: nothing for {}", asked.escape_ascii()));
            (problem("404 Not Found", why, &asked), Err(noted))
        }
    }
}

/// Target of the first line that matches `asked`.
fn find(list: &[u8], asked: &[u8]) -> Option<Vec<u8>> {
    list.split(|&b| b == b'\n').find_map(|line| {
        let mut words = without_comment(line).split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (from, to) = (words.next()?, words.next()?);
        match from.iter().position(|&b| b == b'*') {
            None if from == asked => Some(spelled(to)),
            None => None,
            Some(star) => Some(joined(to, asked.strip_prefix(&from[..star])?)),
        }
    })
}

/// Removes a comment: from a `#` at the start or behind a blank; inside a URL, `#` begins a fragment.
fn without_comment(line: &[u8]) -> &[u8] {
    let starts = |at: usize| line[at] == b'#' && (at == 0 || line[at - 1].is_ascii_whitespace());
    &line[..(0..line.len()).find(|&at| starts(at)).unwrap_or(line.len())]
}

/// Joins `to` and the text that `*` stands for.
///
/// The text must not become part of the host: `https://host` and `.evil.example` would form another host,
/// and `/` and `/evil.example` too.
fn joined(to: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut url = spelled(to);
    let slashes = rest.iter().take_while(|&&b| b == b'/').count();
    let rest = if url.ends_with(b"/") { &rest[slashes..] } else { rest };
    if is_bare_host(&url) && !rest.is_empty() && !rest.starts_with(b"/") {
        url.push(b'/');
    }
    escape::url_path(&mut url, rest);
    url
}

/// Tells whether the URL is `scheme://host`, with nothing behind the host.
fn is_bare_host(url: &[u8]) -> bool {
    url.windows(2)
        .position(|pair| pair == b"//")
        .is_some_and(|at| !url[at + 2..].iter().any(|b| b"/?#".contains(b)))
}

/// Encodes characters of a listed URL that are not valid in URLs; one `#` may begin a fragment.
fn spelled(url: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(url.len());
    let (reference, fragment) = match url.iter().position(|&b| b == b'#') {
        Some(at) => (&url[..at], Some(&url[at + 1..])),
        None => (url, None),
    };
    // url_reference would escape the brackets of an IPv6 address.
    for (at, part) in reference.split_inclusive(|b| b"[]".contains(b)).enumerate() {
        match part.split_last() {
            Some((bracket @ (b'[' | b']'), before)) if at < 2 => {
                escape::url_reference(&mut out, before);
                out.push(*bracket);
            }
            _ => escape::url_reference(&mut out, part),
        }
    }
    if let Some(fragment) = fragment {
        out.push(b'#');
        escape::url_reference(&mut out, fragment);
    }
    out
}

/// Redirect response.
fn moved(location: &[u8]) -> Vec<u8> {
    let mut out = b"Status: 302 Found\r\nLocation: ".to_vec();
    out.extend_from_slice(location);
    out.extend_from_slice(b"\r\nContent-Type: text/html; charset=utf-8\r\n\r\n");
    out.extend_from_slice(
        b"<!DOCTYPE html>\n<title>Moved</title>\n<h1>Moved</h1>\n<p>This page is now at <a href=\"",
    );
    escape::html(&mut out, location);
    out.extend_from_slice(b"\">");
    escape::html(&mut out, location);
    out.extend_from_slice(b"</a>.</p>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &[u8] = b"# moved in 2001
        /exact /new   # a note
        /manual/* https://manual.example.org/
        /host* https://host.example
        /top/* /
        /frag /page#part
        /six http://[::1]:80/x
        /many* /archive/ignored words
        /cut*this /kept/
        lonely
        /exact /never
";

    fn to(asked: &str) -> Option<String> {
        find(LIST, asked.as_bytes()).map(|url| String::from_utf8(url).unwrap())
    }

    fn answered(script: Option<&str>, path_info: Option<&str>, list: io::Result<Vec<u8>>) -> (String, bool) {
        let variables = |name: &str| match name {
            "SCRIPT_NAME" => script.map(Into::into),
            "PATH_INFO" => path_info.map(Into::into),
            _ => None,
        };
        let (page, outcome) = answer(&variables, list);
        (String::from_utf8(page).unwrap(), outcome.is_ok())
    }

    #[test]
    fn the_first_line_that_fits_whole_is_taken() {
        assert_eq!(to("/exact").as_deref(), Some("/new"));
        assert_eq!(to("/exact/more"), None);
        assert_eq!(to("lonely"), None);
    }

    #[test]
    fn a_star_hands_on_what_it_stands_for() {
        assert_eq!(to("/manual/a/b.html").as_deref(), Some("https://manual.example.org/a/b.html"));
        assert_eq!(to("/manual/").as_deref(), Some("https://manual.example.org/"));
        assert_eq!(to("/many").as_deref(), Some("/archive/ignored"));
        assert_eq!(to("/cutX").as_deref(), Some("/kept/X"));
    }

    #[test]
    fn a_fragment_is_no_comment_and_an_address_keeps_its_brackets() {
        assert_eq!(to("/frag").as_deref(), Some("/page#part"));
        assert_eq!(to("/six").as_deref(), Some("http://[::1]:80/x"));
    }

    #[test]
    fn client_data_cannot_change_the_host() {
        assert_eq!(to("/host.evil.example/").as_deref(), Some("https://host.example/.evil.example/"));
        assert_eq!(to("/host@evil.example").as_deref(), Some("https://host.example/%40evil.example"));
        assert_eq!(to("/host/x").as_deref(), Some("https://host.example/x"));
        assert_eq!(to("/top//evil.example").as_deref(), Some("/evil.example"));
    }

    #[test]
    fn client_data_cannot_end_the_field() {
        assert_eq!(
            to("/manual/a\r\nSet-Cookie: x?y#z%41").as_deref(),
            Some("https://manual.example.org/a%0d%0aSet-Cookie%3a%20x%3fy%23z%2541")
        );
    }

    #[test]
    fn a_redirect_has_status_location_and_page() {
        let (page, done) = answered(Some("/ex"), Some("act"), Ok(LIST.to_vec()));
        assert!(done);
        assert!(page.starts_with("Status: 302 Found\r\nLocation: /new\r\nContent-Type: text/html"), "{page}");
        assert!(page.contains("<a href=\"/new\">/new</a>"), "{page}");
    }

    #[test]
    fn nothing_found_is_404_and_shows_the_url_as_text() {
        let (page, done) = answered(Some("/<script>"), None, Ok(LIST.to_vec()));
        assert!(!done && page.starts_with("Status: 404 Not Found\r\n"));
        assert!(page.contains("/&lt;script&gt;") && !page.contains("<script>"));
    }

    #[test]
    fn no_list_or_no_name_is_500() {
        let (page, done) = answered(Some("/x"), None, Err(io::ErrorKind::NotFound.into()));
        assert!(!done && page.starts_with("Status: 500 ") && page.contains("Couldn't open .redirects file."));
        let (page, done) = answered(None, None, Ok(Vec::new()));
        assert!(!done && page.starts_with("Status: 500 ") && page.contains("SCRIPT_NAME"));
    }

    proptest! {
        #[test]
        fn any_list_and_url_give_one_graphic_location(list in prop::collection::vec(any::<u8>(), 0..60), asked: Vec<u8>) {
            let list = [b"* ".to_vec(), list].concat();
            if let Some(url) = find(&list, &asked) {
                prop_assert!(url.iter().all(u8::is_ascii_graphic));
            }
        }
    }
}
