//! Texts that an operator writes: none may do worse than be reported.

use std::path::Path;

use thttpd::config::file;
use thttpd::config::listen as listeners;
use thttpd::config::pattern::Pattern;
use thttpd::config::settings::Settings;
use thttpd::throttle::file as throttles;

/// A configuration file: what is refused is named, what is taken is within its range.
pub fn config_file(data: &[u8]) {
    let mut settings = Settings::default();
    file::parse(data, "file", &mut settings);
    let limits = settings.config.limits;
    assert!((512..=1 << 20).contains(&limits.head) && limits.fields <= 128);
    for problem in &settings.problems {
        assert!(!problem.to_string().is_empty());
    }
}

/// A throttle file: a line is a rule, a problem, or nothing.
pub fn throttle_file(data: &[u8]) {
    let parsed = throttles::parse(Path::new("file"), data);
    let lines = data.split(|&byte| byte == b'\n').count();
    let skipped = parsed.problems.iter().filter(|problem| problem.skipped).count();
    assert!(parsed.rules.len() + skipped <= lines);
    assert!(parsed.rules.iter().all(|rule| rule.min <= rule.max));
    assert!(parsed.problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
}

/// A pattern against a name: what the obvious, slow way says, where that is affordable.
pub fn pattern(data: &[u8]) {
    let (pattern, name) = super::line(data);
    let Ok(pattern) = std::str::from_utf8(pattern) else { return };
    let matched = Pattern::new(pattern).matches(name);
    if pattern.len() <= 16 && name.len() <= 16 {
        let slowly = pattern.as_bytes().split(|&byte| byte == b'|').any(|one| obviously(one, name));
        assert_eq!(matched, slowly, "{pattern:?} {}", name.escape_ascii());
    }
}

/// `?` is any byte, `*` any number of any but a slash, `**` any number of any.
fn obviously(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=name.len()).any(|at| obviously(rest, &name[at..])),
        [b'*', rest @ ..] => {
            let slash = name.iter().position(|&byte| byte == b'/').unwrap_or(name.len());
            (0..=slash).any(|at| obviously(rest, &name[at..]))
        }
        [b'?', rest @ ..] => name.split_first().is_some_and(|(_, name)| obviously(rest, name)),
        [byte, rest @ ..] => name.split_first().is_some_and(|(b, name)| b == byte && obviously(rest, name)),
    }
}

/// A list of listeners: what is read is written so that it is read the same.
pub fn listen(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match listeners::parse(text) {
        Ok(list) => assert_eq!(listeners::parse(&listeners::write(&list)), Ok(list)),
        Err(refusal) => assert!(!refusal.is_empty()),
    }
}
