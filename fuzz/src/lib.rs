//! Properties that hold for any bytes, stage by stage: each function takes a fuzzer's input and panics
//! where the stage breaks its word.
//!
//! `fuzz_targets/` hands them to libFuzzer (`fuzz/run`); `tests/corpus.rs` hands them the kept corpus, so
//! that whatever was found once is tried again by every run of the tests.

mod access;
mod connection;
mod content;
mod request;
mod response;
mod rules;
mod scripts;
mod written;

/// A stage, by the name of its directory in the corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 21] = [
    ("access_line", access::line),
    ("body", content::body),
    ("cgi_head", scripts::output),
    ("config_file", written::config_file),
    ("connection", connection::converse),
    ("credentials", access::credentials),
    ("dates", response::dates),
    ("escape", response::escape),
    ("forwarded", request::forwarded),
    ("head", request::head),
    ("host", request::host),
    ("htpasswd", access::password_file),
    ("json_line", access::json_line),
    ("listen", written::listen),
    ("pattern", written::pattern),
    ("proxy_head", request::proxy_head),
    ("range", response::range),
    ("rule_target", rules::target),
    ("rules_file", rules::file),
    ("target", request::target),
    ("throttle_file", written::throttle_file),
];

/// The function of that name; the fuzzer's binaries are one line each.
pub fn run(name: &str, data: &[u8]) {
    let known = TARGETS.iter().find(|(known, _)| *known == name);
    known.unwrap_or_else(|| panic!("no target {name}")).1(data);
}

/// Cuts the first byte off: how the rest is to be fed, in pieces of that many bytes.
fn step(data: &[u8]) -> (usize, &[u8]) {
    match data.split_first() {
        Some((&first, rest)) => (usize::from(first).max(1), rest),
        None => (1, data),
    }
}

/// Takes the part before the first newline off.
fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, b""),
    }
}
