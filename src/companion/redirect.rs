//! `redirect`: a CGI program that sends old URLs to new ones, as `.redirects` beside it says.

use super::page::answer;
use crate::response::escape;

/// The response for the URL path `key`, given the text of `.redirects`, and whether it leads anywhere.
pub fn respond(key: &str, redirects: &str) -> (Vec<u8>, bool) {
    match target(key, redirects) {
        Some(url) => {
            let text = format!("What you ask for is at {url} now.");
            let mut location = Vec::new();
            escape::url_reference(&mut location, url.as_bytes());
            let location = String::from_utf8_lossy(&location);
            (answer("302 Found", &[("Location", &location)], "Moved", &text), true)
        }
        None => {
            let text = format!("There is no {key} on this server.");
            (answer("404 Not Found", &[], "Not Found", &text), false)
        }
    }
}

/// The response when the list or the request cannot be read.
pub fn broken(why: &str) -> Vec<u8> {
    answer("500 Internal Server Error", &[], "Internal Server Error", why)
}

/// The first line that fits: `FROM URL`, where a `*` in FROM stands for any rest, which is then put at
/// the end of URL; `#` starts a comment (thttpd's rules).
fn target(key: &str, redirects: &str) -> Option<String> {
    redirects.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let (from, url) = line.trim().split_once(char::is_whitespace)?;
        let url = url.trim();
        match from.split_once('*') {
            Some((prefix, _)) => key.strip_prefix(prefix).map(|rest| format!("{url}{rest}")),
            None => (from == key).then(|| url.to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        "# moved\n/manual/*  https://manual.example.org/\n/a.html /b.html # once\n/* /elsewhere\n";

    #[test]
    fn the_first_line_that_fits_leads_on() {
        for (key, want) in
            [("/manual/x/y", "https://manual.example.org/x/y"), ("/a.html", "/b.html"), ("/c", "/elsewherec")]
        {
            assert_eq!(target(key, LIST).as_deref(), Some(want), "{key}");
        }
        assert_eq!(target("/a.htm", "/a.html /b\nnonsense\n"), None);
    }

    #[test]
    fn what_a_client_sends_neither_ends_a_field_nor_makes_markup() {
        let (head, found) = respond("/x\r\nSet-Cookie: a=b<script>", "/* /to/\n");
        let text = String::from_utf8(head).expect("text");
        assert!(found && !text.contains("<script>"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("Set-Cookie")), "{text}");
        assert!(text.starts_with("Status: 302 Found\nLocation: /to/x"), "{text}");
    }
}
