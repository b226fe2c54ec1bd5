//! The client of a request, and its record in the log.

use thttpd::auth::{credentials::Credentials, crypt, htpasswd};
use thttpd::log::access::{AccessEntry, Details};
use thttpd::log::json;

/// Whatever a client sends, its line is one line of six quotes and printable ASCII.
pub fn line(data: &[u8]) {
    let (first, rest) = super::line(data);
    let (second, third) = super::line(rest);
    let text = String::from_utf8_lossy(second);
    let entry = AccessEntry {
        peer: b"::1",
        user: Some(first),
        method: "GET",
        vhost: Some(third),
        target: data,
        version: &text,
        status: 200,
        bytes: data.len() as u64,
        referer: second,
        agent: data,
    };
    let mut line = Vec::new();
    entry.write(b"[D] ", &mut line);
    let text = line.strip_suffix(b"\n").expect("a line");
    assert!(text.iter().all(|&byte| (b' '..0x7f).contains(&byte)));
    assert_eq!(text.iter().filter(|&&byte| byte == b'"').count(), 6);
}

/// Whatever a client sends, its JSON line is one object: strings that end where they should, names, numbers.
pub fn json_line(data: &[u8]) {
    let (first, rest) = super::line(data);
    let text = String::from_utf8_lossy(first);
    let entry = AccessEntry {
        peer: b"::1",
        user: Some(first),
        method: "GET",
        vhost: None,
        target: data,
        version: &text,
        status: 200,
        bytes: data.len() as u64,
        referer: rest,
        agent: data,
    };
    let details = Details { host: first, file: rest, id: data, ..Details::default() };
    let mut line = Vec::new();
    json::write(&entry, &details, b"2026-01-31T12:00:00.042Z", &mut line);
    let text = std::str::from_utf8(line.strip_suffix(b"\n").expect("a line")).expect("UTF-8");
    assert!(!text.chars().any(char::is_control));
    assert_eq!(members(text), Some(14), "{text}");
}

/// How many members an object has whose values are strings, numbers or null; none if it is no such object.
fn members(text: &str) -> Option<usize> {
    let mut rest = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut count = 0;
    loop {
        rest = after_string(rest)?.strip_prefix(':')?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        rest = match digits {
            0 => after_string(rest).or_else(|| rest.strip_prefix("null"))?,
            digits => &rest[digits..],
        };
        count += 1;
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.is_empty().then_some(count),
        }
    }
}

/// Rest behind a string of JSON at the start of `text`.
fn after_string(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('"')?;
    loop {
        let at = rest.find(['"', '\\'])?;
        if rest[at..].starts_with('"') {
            return Some(&rest[at + 1..]);
        }
        rest = match rest.as_bytes().get(at + 1)? {
            b'"' | b'\\' => &rest[at + 2..],
            b'u' if rest.as_bytes().get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => &rest[at + 6..],
            _ => return None,
        };
    }
}

/// Credentials are a user without a colon and a password.
pub fn credentials(data: &[u8]) {
    if let Some(credentials) = Credentials::parse(data) {
        assert!(!credentials.user().contains(&b':'));
        assert!(credentials.user().len() + credentials.password().len() <= data.len());
    }
}

/// The hash that is found stands in the file behind the user's name; no hash is too odd to be checked.
pub fn password_file(data: &[u8]) {
    let (user, file) = super::line(data);
    let Some(hash) = htpasswd::hash_of(file, user) else { return };
    assert!(!hash.contains(&b'\n') && !hash.contains(&b':'));
    let beginning = [user, b":", hash].concat();
    assert!(file.split(|&byte| byte == b'\n').any(|line| line.starts_with(&beginning)));
    if !crypt::is_slow(hash) {
        assert!(!crypt::verify(hash, b"not the password \xff"), "{}", hash.escape_ascii());
    }
}
