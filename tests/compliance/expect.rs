//! One answer held against one expectation.

use serde_json::Value;

use super::{latin1, shown};
use crate::support::Answer;

/// Differences between an answer and its expectation, as sentences; empty = none.
///
/// `normal` removes ports and paths of this run from a text; `log` reads the access-log lines of the
/// request.
pub fn differences(
    expect: &Value,
    answer: &Answer,
    normal: &dyn Fn(String) -> String,
    log: &dyn Fn() -> Vec<String>,
) -> Vec<String> {
    let status = if answer.status == 0 { Value::Null } else { Value::from(answer.status) };
    let allowed = expect["status"].as_array().unwrap();
    if !allowed.contains(&status) {
        return vec![format!("status {status}, expected {}", expect["status"])];
    }
    let mut bad = Vec::new();
    fields(expect, answer, normal, &mut bad);
    body(expect, answer, normal, &mut bad);
    location(expect, answer, &mut bad);
    freshness(expect, answer, &mut bad);
    log_line(expect, normal, log, &mut bad);
    bad
}

fn strings<'a>(expect: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    expect[key].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_str)
}

fn fields(expect: &Value, answer: &Answer, normal: &dyn Fn(String) -> String, bad: &mut Vec<String>) {
    let squeezed = |text: &str| text.replace(' ', "").to_lowercase();
    for (name, value) in expect["headers"].as_object().unwrap() {
        let got = answer.field(name).map(|v| normal(v.to_owned()));
        if got.as_deref().map(squeezed) != value.as_str().map(squeezed) {
            bad.push(format!("{name}: {got:?}, expected {value}"));
        }
    }
    for name in strings(expect, "has_header") {
        if answer.field(name).is_none() {
            bad.push(format!("no {name} field"));
        }
    }
    if let Some(prefix) = expect["content_type_prefix"].as_str()
        && !answer.field("Content-Type").is_some_and(|v| v.starts_with(prefix))
    {
        bad.push(format!("Content-Type {:?}", answer.field("Content-Type")));
    }
}

fn body(expect: &Value, answer: &Answer, normal: &dyn Fn(String) -> String, bad: &mut Vec<String>) {
    let text = normal(shown(&answer.body));
    if let Some(whole) = expect["body"].as_str()
        && text != whole
    {
        bad.push(format!("body {text:?}, expected {whole:?}"));
    }
    if let Some(length) = expect["body_length"].as_u64() {
        let made: Vec<u8> = (0..length).map(|i| ((i * 7 + i / 251) % 256) as u8).collect();
        if answer.body != made {
            bad.push(format!("body of {} bytes differs from the {length} expected", answer.body.len()));
        }
    }
    if let Some(prefix) = expect["body_prefix"].as_str()
        && !text.starts_with(prefix)
    {
        bad.push(format!("body does not start with {prefix:?}"));
    }
    bad.extend(
        strings(expect, "body_lines")
            .filter(|l| !text.lines().any(|x| x == *l))
            .map(|l| format!("body lacks {l:?}")),
    );
    bad.extend(
        strings(expect, "body_lacks").filter(|l| text.contains(l)).map(|l| format!("body holds {l:?}")),
    );
    let links: Vec<Vec<u8>> =
        text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(decoded).collect();
    for name in strings(expect, "listing_names") {
        let wanted = decoded(name);
        let last = last_segment(&wanted);
        if last != b"." && last != b".." && !links.iter().any(|link| last_segment(link) == last) {
            bad.push(format!("the listing lacks {name:?}"));
        }
    }
}

fn last_segment(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// A link's target: HTML references and percent-encoding undone.
fn decoded(link: &str) -> Vec<u8> {
    let link =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")]
            .iter()
            .fold(link.to_owned(), |text, (reference, plain)| text.replace(reference, plain));
    thttpd::request::target::decode(&latin1(&link))
}

fn location(expect: &Value, answer: &Answer, bad: &mut Vec<String>) {
    let Some(wanted) = expect["location_path"].as_str() else { return };
    let got = answer.field("Location").unwrap_or_default();
    let path = match got.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => got,
    };
    if path != wanted {
        bad.push(format!("Location {got:?}, expected {wanted:?}"));
    }
}

fn freshness(expect: &Value, answer: &Answer, bad: &mut Vec<String>) {
    let Some(wanted) = expect["expires_after"].as_u64() else { return };
    if !matches!(answer.status, 200 | 206 | 304) {
        return;
    }
    let time = |name| answer.field(name).and_then(|v| httpdate::parse_http_date(v).ok());
    match (time("Date"), time("Expires")) {
        (Some(date), Some(expires))
            if expires.duration_since(date).is_ok_and(|d| d.as_secs().abs_diff(wanted) <= 2) => {}
        other => bad.push(format!("Date and Expires {other:?}")),
    }
    let wanted = expect["cache_control"].as_str().unwrap();
    if !answer.fields("Cache-Control").any(|v| v.contains(wanted)) {
        bad.push("Cache-Control differs".to_owned());
    }
}

/// `[begin, bytes (or null for any), end]` of the one line.
fn log_line(
    expect: &Value,
    normal: &dyn Fn(String) -> String,
    log: &dyn Fn() -> Vec<String>,
    bad: &mut Vec<String>,
) {
    let lines = || -> Vec<String> { log().into_iter().map(|line| normal(without_date(&line))).collect() };
    if let Some(wanted) = expect["log"].as_array() {
        let (begin, end) = (wanted[0].as_str().unwrap(), wanted[2].as_str().unwrap());
        let fits = |line: &String| {
            line.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end)).is_some_and(|bytes| {
                wanted[1].as_str().map_or(bytes.trim().parse::<u64>().is_ok(), |n| bytes.trim() == n)
            })
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
        while !lines().iter().any(fits) {
            if std::time::Instant::now() > deadline {
                bad.push(format!("log {:?}, expected {begin} {} {end}", lines(), wanted[1]));
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    for part in strings(expect, "log_lacks") {
        if lines().iter().any(|line| line.contains(part)) {
            bad.push("log holds an unescaped quote".to_owned());
        }
    }
}

fn without_date(line: &str) -> String {
    match (line.find('['), line.find(']')) {
        (Some(start), Some(end)) if start < end => format!("{}[DATE]{}", &line[..start], &line[end + 1..]),
        _ => line.to_owned(),
    }
}
