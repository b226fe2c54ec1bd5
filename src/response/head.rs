//! Response heads: writes a [`Response`]'s head, with fields in thttpd's order.
//!
//! Called once per response, into a reused buffer. For speed, no code here allocates or uses the formatting
//! machinery. Every value is cleaned while being written, except dates and entity tags made by the server.
//! So no field can end its line early, whatever its source (RFC 9110 §5.5).

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Body, Response, Status};
use crate::log::decimal::push_decimal;
use crate::representation::imf_fixdate;
use crate::request::Version;
use crate::rules::{AppliedRules, ResponseRules, is_freshness};

/// Complete interim response to `Expect: 100-continue` (RFC 9110 §10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Length of an IMF-fixdate in bytes.
const DATE_LEN: usize = 29;

/// Fields of every response head, made once from the configuration.
#[derive(Debug, Clone, Default)]
pub struct HeadPolicy {
    /// Server line.
    server: Vec<u8>,
    /// P3P line; empty if not configured.
    p3p: Vec<u8>,
    /// `Cache-Control: max-age=` line; empty without a max-age.
    max_age: Vec<u8>,
    /// `Cache-Control` line with `private`, for responses that only some clients may have.
    private_max_age: Vec<u8>,
    /// Value of max-age, in seconds.
    age: Option<u32>,
}

impl HeadPolicy {
    /// Fields for all heads: `server` names the software, `p3p` (`-P`) is the P3P value or empty.
    ///
    /// `max_age` (`-M`) is in seconds.
    pub fn new(server: &str, p3p: &[u8], max_age: Option<u32>) -> HeadPolicy {
        let mut policy = HeadPolicy { age: max_age, ..HeadPolicy::default() };
        field(&mut policy.server, "Server", server.as_bytes());
        if !p3p.is_empty() {
            field(&mut policy.p3p, "P3P", p3p);
        }
        if let Some(seconds) = max_age {
            field(&mut policy.max_age, "Cache-Control", format!("max-age={seconds}").as_bytes());
            let value = format!("private, max-age={seconds}");
            field(&mut policy.private_max_age, "Cache-Control", value.as_bytes());
        }
        policy
    }
}

/// Current time as text for heads.
///
/// The text changes once a second, so each worker keeps one clock and calls [`advance`](Clock::advance).
#[derive(Debug, Clone)]
pub struct Clock {
    second: u64,
    date: [u8; DATE_LEN],
    expires: [u8; DATE_LEN],
    /// Expires values for other ages, within this second.
    ages: RefCell<Vec<(u32, [u8; DATE_LEN])>>,
}

impl Clock {
    /// Clock set to `now`, for heads under `policy`.
    pub fn new(now: SystemTime, policy: &HeadPolicy) -> Clock {
        let mut clock = Clock {
            second: u64::MAX,
            date: [b' '; DATE_LEN],
            expires: [b' '; DATE_LEN],
            ages: RefCell::default(),
        };
        clock.advance(now, policy);
        clock
    }

    /// Sets the clock to `now`, which may be earlier than before; cheap within one second.
    pub fn advance(&mut self, now: SystemTime, policy: &HeadPolicy) {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second == self.second {
            return;
        }
        self.second = second;
        self.ages.borrow_mut().clear();
        let fresh = std::time::Duration::from_secs(policy.age.unwrap_or(0).into());
        self.date.copy_from_slice(imf_fixdate(now).as_bytes());
        self.expires.copy_from_slice(imf_fixdate(now + fresh).as_bytes());
    }

    /// Seconds since the epoch.
    pub fn second(&self) -> u64 {
        self.second
    }

    /// Expires value of a response that stays fresh for `age` seconds.
    fn in_seconds(&self, age: u32) -> [u8; DATE_LEN] {
        const MOST_AGES: usize = 8;
        let mut ages = self.ages.borrow_mut();
        if let Some((_, text)) = ages.iter().find(|(known, _)| *known == age) {
            return *text;
        }
        let at =
            UNIX_EPOCH + std::time::Duration::from_secs(self.second.saturating_add(age.into()).min(1 << 40));
        let mut text = [b' '; DATE_LEN];
        text.copy_from_slice(imf_fixdate(at).as_bytes());
        if ages.len() < MOST_AGES {
            ages.push((age, text));
        }
        text
    }

    /// Value of the Date field.
    #[cfg(test)]
    pub fn date(&self) -> &[u8] {
        &self.date
    }
}

/// Properties of the exchange that a head depends on.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Version of the request: 0.9 gets no head.
    pub version: Version,
    /// Set if the connection stays open after this response, unless the response closes it.
    pub keep_alive: bool,
    /// Set if the content is sent in chunks (1.1 only), without Content-Length.
    pub chunked: bool,
    /// Current time.
    pub clock: &'a Clock,
    /// Fields of every head.
    pub policy: &'a HeadPolicy,
}

/// Appends `response`'s head, empty line included, to `out`; nothing for HTTP/0.9.
pub fn write(out: &mut Vec<u8>, response: &Response, frame: &Frame<'_>) {
    if frame.version == Version::Http09 {
        return;
    }
    status_line(out, response.status, response.status.reason());
    let applied_rules = response.applied_rules.as_ref();
    let response_rules = applied_rules.map(AppliedRules::response_rules);
    if !replaces(response_rules, "Server") {
        out.extend_from_slice(&frame.policy.server);
    }
    let representation = response.representation.as_deref();
    if let Some(media_type) = response.media_type.as_deref().or(representation.map(|r| &*r.media_type)) {
        field(out, "Content-Type", media_type);
    }
    own_field(out, b"Date: ", &frame.clock.date);
    if let Some(representation) = representation {
        let (date, etag) = (representation.last_modified.as_bytes(), representation.etag.as_bytes());
        if !date.is_empty() {
            own_field(out, b"Last-Modified: ", date);
        }
        if !etag.is_empty() {
            own_field(out, b"ETag: ", etag);
        }
        out.extend_from_slice(b"Accept-Ranges: bytes\r\n");
        if representation.vary {
            out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
        }
    }
    connection(out, frame.version, frame.keep_alive && !response.close);
    if response.status.is_error() {
        out.extend_from_slice(b"Cache-Control: no-cache,no-store\r\n");
    }
    if let Some(encodings) = representation.map(|r| &*r.encodings).filter(|e| !e.is_empty()) {
        field(out, "Content-Encoding", encodings.as_bytes());
    }
    if let Some(range) = &response.content_range {
        field(out, "Content-Range", range.as_bytes());
    }
    framing(out, response, frame);
    freshness(out, response, frame);
    for (name, value) in &response.fields {
        if !replaces(response_rules, name) && !is_freshness(name) {
            field(out, name, value);
        }
    }
    if let Some(applied_rules) = applied_rules {
        out.extend_from_slice(&applied_rules.response_rules().lines);
        allow_origin(out, applied_rules);
    }
    out.extend_from_slice(b"\r\n");
}

/// Response head of a script.
#[derive(Debug, Clone, Copy)]
pub struct CgiHead<'a> {
    /// Status code.
    pub status: Status,
    /// Reason phrase, if the script sets one.
    pub reason: Option<&'a str>,
    /// Value of Content-Length, if the length is known.
    pub length: Option<u64>,
    /// Fields in order, except those about framing and the connection.
    pub fields: &'a [(String, Vec<u8>)],
    /// Response rules for the script.
    pub applied_rules: Option<&'a AppliedRules>,
}

/// Appends the head of a script's response `script_head`, empty line included, to `out`.
pub fn write_cgi_head(out: &mut Vec<u8>, script_head: &CgiHead<'_>, frame: &Frame<'_>) {
    status_line(out, script_head.status, script_head.reason.unwrap_or(script_head.status.reason()));
    let response_rules = script_head.applied_rules.map(AppliedRules::response_rules);
    if !replaces(response_rules, "Server") {
        out.extend_from_slice(&frame.policy.server);
    }
    own_field(out, b"Date: ", &frame.clock.date);
    connection(out, frame.version, frame.keep_alive);
    if frame.chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    } else if let Some(length) = script_head.length {
        content_length(out, length);
    }
    let is_sent = |name: &str| response_rules.is_none_or(|rules| !rules.removes(name));
    for (name, value) in script_head.fields.iter().filter(|(name, _)| is_sent(name)) {
        field(out, name, value);
    }
    if let Some(applied_rules) = script_head.applied_rules {
        apply_to_script_head(out, script_head, applied_rules, frame.clock);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields that rules add to the response of a script; the script's own fields stay.
fn apply_to_script_head(
    out: &mut Vec<u8>,
    script_head: &CgiHead<'_>,
    applied_rules: &AppliedRules,
    clock: &Clock,
) {
    let response_rules = applied_rules.response_rules();
    let has = |name: &str| {
        let own = script_head.fields.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        own && !response_rules.removes(name)
    };
    for (name, value) in response_rules.fields() {
        let is_kept = !(is_freshness(name) && script_head.status.is_error());
        if is_kept && !(response_rules.replaces(name) && has(name)) {
            field(out, name, value.as_bytes());
        }
    }
    if response_rules.varies_by_origin() {
        out.extend_from_slice(b"Vary: Origin\r\n");
    }
    if !has(ALLOW_ORIGIN) {
        allow_origin(out, applied_rules);
    }
    if script_head.status.is_of_file() && !has("Cache-Control") && !has("Expires") {
        cache(out, applied_rules, clock);
    }
}

/// Tells whether rules replace or remove the server's own field `name`.
fn replaces(response_rules: Option<&ResponseRules>, name: &str) -> bool {
    response_rules.is_some_and(|rules| rules.replaces(name))
}

/// Field that names the origin whose pages may read a response (Fetch §3.2).
const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";

fn allow_origin(out: &mut Vec<u8>, applied_rules: &AppliedRules) {
    if let Some(origin) =
        applied_rules.origin.as_ref().filter(|_| !applied_rules.response_rules().replaces(ALLOW_ORIGIN))
    {
        field(out, ALLOW_ORIGIN, origin);
    }
}

/// Appends Cache-Control and Expires of a cache rule, unless header rules set them; false without a rule.
fn cache(out: &mut Vec<u8>, applied_rules: &AppliedRules, clock: &Clock) -> bool {
    let Some((line, expires)) = applied_rules.cache() else { return false };
    let rules = applied_rules.response_rules();
    if !rules.replaces("Cache-Control") {
        out.extend_from_slice(line);
    }
    if let Some(seconds) = expires.filter(|_| !rules.replaces("Expires")) {
        own_field(out, b"Expires: ", &clock.in_seconds(seconds));
    }
    true
}

/// Appends the status line. The version is always `HTTP/1.1`, that of the server (RFC 9110 §2.5).
fn status_line(out: &mut Vec<u8>, status: Status, reason: &str) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, status.0.into());
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends the Connection field: `close` if the connection ends, `keep-alive` for a 1.0 client only.
fn connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        _ => {}
    }
}

/// Appends the field that tells where the content ends (RFC 9112 §6).
fn framing(out: &mut Vec<u8>, response: &Response, frame: &Frame<'_>) {
    if frame.chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    } else if !matches!(response.body, Body::None) {
        content_length(out, response.body.bytes());
    }
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Appends P3P to every head, and the configured freshness to all but errors.
///
/// The built-in Cache-Control of errors would contradict the freshness; thttpd sent both.
fn freshness(out: &mut Vec<u8>, response: &Response, frame: &Frame<'_>) {
    let applied_rules = response.applied_rules.as_ref();
    let response_rules = applied_rules.map(AppliedRules::response_rules);
    if !replaces(response_rules, "P3P") {
        out.extend_from_slice(&frame.policy.p3p);
    }
    if response.status.is_error() {
        return;
    }
    out.extend_from_slice(response_rules.map_or(&[][..], |response_rules| &response_rules.freshness));
    let is_said = response.status.is_of_file()
        && applied_rules.is_some_and(|applied_rules| cache(out, applied_rules, frame.clock))
        || replaces(response_rules, "Cache-Control");
    if is_said {
        return;
    }
    if let Some((name, value)) = response.fields.iter().find(|(name, _)| is_freshness(name)) {
        return field(out, name, value);
    }
    if !frame.policy.max_age.is_empty() {
        let is_private = applied_rules.is_some_and(|applied_rules| applied_rules.private);
        let line = if is_private { &frame.policy.private_max_age } else { &frame.policy.max_age };
        out.extend_from_slice(line);
        if !replaces(response_rules, "Expires") {
            own_field(out, b"Expires: ", &frame.clock.expires);
        }
    }
}

/// Appends one field line. Control bytes in the value, including line ends, become spaces.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    let is_bad = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    // Without an early exit the compiler can check many bytes at a time. Nearly all values are clean.
    if value.iter().fold(false, |found, &byte| found | is_bad(byte)) {
        for byte in out[start..start + value.len()].iter_mut().filter(|byte| is_bad(**byte)) {
            *byte = b' ';
        }
    }
}

/// Appends one field line with a value made by the server, which needs no cleaning. `name` includes `": "`.
#[inline]
fn own_field(out: &mut Vec<u8>, name: &'static [u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
