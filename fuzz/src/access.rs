//! Who asks, and what is written down of it.

use thttpd::auth::{credentials::Credentials, crypt, htpasswd};
use thttpd::log::access::AccessEntry;

/// Whatever a client sends, its line is one line of six quotes and printable ASCII.
pub fn line(data: &[u8]) {
    let (first, rest) = super::line(data);
    let (second, third) = super::line(rest);
    let text = String::from_utf8_lossy(second);
    let entry = AccessEntry {
        peer: "::1",
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
