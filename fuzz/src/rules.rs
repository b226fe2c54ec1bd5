//! The rules file, and what its patterns and targets make of the names that clients ask for.

use thttpd::request::client::Scheme;
use thttpd::rules::{Answer, Rules, SiteKey};

/// A host, a name and a query, a line each, and a rules file behind them.
pub fn file(data: &[u8]) {
    let (host, rest) = super::line(data);
    let (path, rest) = super::line(rest);
    let (query, content) = super::line(rest);
    let Some(host) = plain(host) else { return };
    match Rules::parse(content, "rules") {
        Err(faults) => {
            assert!(!faults.is_empty());
            let lines = content.split(|&byte| byte == b'\n').count();
            for fault in faults {
                let said = fault.to_string();
                let number = said.strip_prefix("rules:").and_then(|rest| rest.split(':').next());
                let number: usize = number.expect("a place").parse().expect("a line");
                assert!((1..=lines).contains(&number) && !fault.text.is_empty(), "{said}");
            }
        }
        Ok(rules) => {
            is_written_as_it_is_read(&rules);
            for vhost in [false, true] {
                answer(&rules, &Asked { host, path, query: Some(query), vhost });
            }
        }
    }
}

/// One target: a pattern, the target, a host, a name and a query, a line each.
pub fn target(data: &[u8]) {
    let (pattern, rest) = super::line(data);
    let (target, rest) = super::line(rest);
    let (host, rest) = super::line(rest);
    let (path, query) = super::line(rest);
    let Some(host) = plain(host) else { return };
    for action in [&b" redirect 302 "[..], b" rewrite "] {
        let Ok(rules) = Rules::parse(&[pattern, action, target].concat(), "rules") else { continue };
        for vhost in [false, true] {
            answer(&rules, &Asked { host, path, query: None, vhost });
            let authority = answer(&rules, &Asked { host, path, query: Some(query), vhost });
            // Parts of a name change no other site's location.
            if vhost || !pattern_has_host(pattern) {
                let other = Asked { host, path: b"other", query: None, vhost };
                if let (Some(one), Some(other)) = (authority, answer(&rules, &other)) {
                    assert_eq!(one, other, "{}", target.escape_ascii());
                }
            }
        }
    }
}

/// A host as requests have it.
fn plain(host: &[u8]) -> Option<&str> {
    let is_host_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%[]:".contains(byte);
    host.iter().all(is_host_byte).then(|| str::from_utf8(host).ok()).flatten()
}

fn pattern_has_host(pattern: &[u8]) -> bool {
    pattern.windows(2).any(|two| two == b"//")
}

struct Asked<'a> {
    host: &'a str,
    /// Decoded, without its first slash.
    path: &'a [u8],
    query: Option<&'a [u8]>,
    vhost: bool,
}

/// Sends a request along the rules; gives the authority that it is redirected to.
fn answer(rules: &Rules, asked: &Asked<'_>) -> Option<Vec<u8>> {
    let site = SiteKey::new(Scheme::Http, asked.host, asked.vhost.then_some("default"));
    let prefix: &[u8] = if asked.vhost { b"default/" } else { b"" };
    let full = [prefix, asked.path].concat();
    let name = site.name(&full);
    let covering = rules.cover(&[name]);
    assert_eq!(covering, rules.cover(&[name, name]));
    if let Some(response_rules) = rules.response_rules(&name) {
        for lines in [&response_rules.lines, &response_rules.freshness] {
            assert!(lines.is_empty() || lines.ends_with(b"\r\n"));
            for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                let line = line.strip_suffix(b"\r").expect("the end of a line");
                assert!(line.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t'));
                assert!(line.windows(2).any(|two| two == b": "), "{}", line.escape_ascii());
            }
        }
    }
    // As requests have it: without blanks and line ends.
    let query = asked.query.filter(|query| query.iter().all(u8::is_ascii_graphic));
    let routed = rules.route(&site, asked.path, prefix, query);
    for name in &routed.rewritten {
        let inner = name.strip_suffix(b"/").unwrap_or(name);
        let mut segments = inner.split(|&byte| byte == b'/');
        let is_sound = |segment: &[u8]| !matches!(segment, b"" | b"." | b"..") && !segment.contains(&0);
        assert!(name.is_empty() || segments.all(is_sound), "{}", name.escape_ascii());
    }
    if let Some(Some(query)) = &routed.query {
        assert!(query.iter().all(u8::is_ascii_graphic), "{}", query.escape_ascii());
    }
    match routed.answer {
        Some(Answer::Redirect(status, location)) => {
            assert!(matches!(status, 301 | 302 | 303 | 307 | 308));
            Some(authority(&location))
        }
        _ => None,
    }
}

/// The site that a Location leads to; empty = this one.
fn authority(location: &[u8]) -> Vec<u8> {
    assert!(location.iter().all(u8::is_ascii_graphic), "{}", location.escape_ascii());
    assert!(!location.contains(&b'\\'), "{}", location.escape_ascii());
    if location.starts_with(b"/") {
        assert!(!location.starts_with(b"//"), "{}", location.escape_ascii());
        return Vec::new();
    }
    let schemes = [&b"http://"[..], b"https://"];
    let rest = schemes.iter().find_map(|scheme| location.strip_prefix(*scheme)).expect("a scheme");
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    assert!(!rest[..end].contains(&b'@'), "{}", location.escape_ascii());
    rest[..end].to_vec()
}

/// A dump, read again, is the same dump but for the numbers of its lines.
fn is_written_as_it_is_read(rules: &Rules) {
    let lines = |dump: String| -> Vec<String> {
        dump.lines().map(|line| line.trim_start_matches("# ").to_owned()).collect()
    };
    let bare = |line: &String| match line.strip_prefix("rules:") {
        Some(rest) => rest.split_once(": ").expect("a place").1.to_owned(),
        None => line.clone(),
    };
    let dump: Vec<String> = lines(rules.dump()).iter().map(bare).collect();
    let again = Rules::parse(dump.join("\n").as_bytes(), "rules");
    let again = again.unwrap_or_else(|faults| panic!("{}: {}", dump.join(" / "), faults[0]));
    let again: Vec<String> = lines(again.dump()).iter().map(bare).collect();
    assert_eq!(dump, again);
}
