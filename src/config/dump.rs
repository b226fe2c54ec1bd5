//! `--dump-config`: the effective configuration as a config file.
//!
//! Each line ends in a comment with the origin of the value. Values that a config file cannot express (no
//! value, or a value with a blank or `#`) are commented out, so that the output is valid for `-C`.

use super::Config;
use super::expand::escape;
use super::kind::Kind;
use super::options::{Group, OPTIONS, OptionSpec};
use super::origin::Origins;
use super::printable::printable;

/// Column of the comments at line ends.
const COMMENT: usize = 36;

/// Config file with all options of `config` and their origins, grouped as in `--help`.
pub fn render(config: &mut Config, origins: &Origins) -> Vec<u8> {
    let mut text = Vec::new();
    for group in Group::ALL.into_iter().filter(|&group| group != Group::Command) {
        let blank = if text.is_empty() { "" } else { "\n" };
        text.extend_from_slice(format!("{blank}# {}\n", group.title()).as_bytes());
        for row in OPTIONS.iter().filter(|row| row.group == group) {
            text.extend(line(row, config, origins));
        }
    }
    text
}

/// Line of one option; for rules, one line each.
fn line(row: &OptionSpec, config: &mut Config, origins: &Origins) -> Vec<u8> {
    let name = row.name;
    if let (Kind::Lines(_), false) = (&row.kind, config.rules.is_empty()) {
        let mut lines = Vec::new();
        for rule in &config.rules {
            lines.extend_from_slice(&rule_line(name, rule, origins));
        }
        return lines;
    }
    let origin = origins.get(name);
    let (word, note) = match (&row.kind, row.kind.read(config)) {
        (Kind::Switch(_), Some(_)) => (name.to_owned(), String::new()),
        (Kind::Switch(_), None) if row.off_name.is_empty() => (format!("#{name}"), ": off".to_owned()),
        (Kind::Switch(_), None) => (row.off_name.to_owned(), String::new()),
        (_, None) => (format!("#{name}="), format!(": {}", row.unset)),
        (_, Some(value)) if is_one_word(&value) => {
            let value = escape(&value);
            // The value is written unchanged, as values may be any bytes.
            let width = name.len() + 1 + String::from_utf8_lossy(&value).chars().count();
            let padding = " ".repeat(COMMENT.saturating_sub(width));
            return [name.as_bytes(), b"=", &value, format!("{padding} # {origin}\n").as_bytes()].concat();
        }
        (_, Some(value)) => {
            (format!("#{name}={}", printable(&value)), " (a config file cannot hold this value)".to_owned())
        }
    };
    format!("{word:COMMENT$} # {origin}{note}\n").into_bytes()
}

/// Line of one rule, with its variables unexpanded.
fn rule_line(name: &str, rule: &str, origins: &Origins) -> Vec<u8> {
    let word = format!("{name}={}", printable(rule.as_bytes()));
    let origin = origins.get(name);
    let line = match is_one_word(rule.as_bytes()) {
        true => format!("{word:COMMENT$} # {origin}\n"),
        false => format!("#{word} # {origin} (a config file cannot hold this value)\n"),
    };
    line.into_bytes()
}

/// Tells whether the config file's reader would take `value` as one word.
fn is_one_word(value: &[u8]) -> bool {
    !value.iter().any(|b| b.is_ascii_control() || matches!(b, b' ' | b'#'))
}

#[cfg(test)]
mod tests;
