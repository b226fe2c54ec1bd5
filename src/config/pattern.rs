//! thttpd's shell-like patterns: `?`, `*`, `**` and `|` (cgipat, urlpat, localpat, throttle file).
//!
//! `*` is any run without a slash, `**` any run, `?` any one byte, `|` separates alternatives.
//! Case-sensitive, the whole string must match, nothing is escaped (thttpd's rule).

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    /// Takes the pattern as written. Every string is a valid pattern.
    pub fn new(text: &str) -> Pattern {
        Pattern { text: text.to_owned() }
    }

    /// The same with one leading slash removed from each alternative, as thttpd does for cgipat
    /// and throttle patterns: names are matched without their leading slash.
    pub fn relative(text: &str) -> Pattern {
        let text = text.strip_prefix('/').unwrap_or(text).replace("|/", "|");
        Pattern { text }
    }

    /// The pattern as it is matched.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Does the whole of `name` match one of the alternatives?
    pub fn matches(&self, name: &[u8]) -> bool {
        self.text.split('|').any(|one| matches_one(one.as_bytes(), name))
    }
}

/// Iterative matching with one remembered `*` and one remembered `**`: no recursion and no
/// exponential time, whatever the pattern.
fn matches_one(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut single: Option<(usize, usize)> = None;
    let mut double: Option<(usize, usize)> = None;
    loop {
        if pattern[p..].starts_with(b"**") {
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            double = Some((p, n));
            single = None;
            continue;
        }
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            single = Some((p, n));
            continue;
        }
        match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some(&want), Some(&got)) if want == b'?' || want == got => (p, n) = (p + 1, n + 1),
            _ => {
                // Widen the nearest star that still can: `*` stops at a slash, `**` never does.
                if let Some((after, at)) = single
                    && name.get(at).is_some_and(|&b| b != b'/')
                {
                    single = Some((after, at + 1));
                    (p, n) = (after, at + 1);
                } else if let Some((after, at)) = double
                    && at < name.len()
                {
                    double = Some((after, at + 1));
                    single = None;
                    (p, n) = (after, at + 1);
                } else {
                    return false;
                }
            }
        }
    }
}
