//! Common errors in a config line: `port = 80`, `port 80`, `-p 80`, `dir=/my site`.
//!
//! thttpd's file allows no blanks around the equals sign and has no quotes. Checked word by word, such a
//! line would give two or three errors without a useful hint.

use getopts::HasArg;

use super::error_kind::ConfigErrorKind;
use super::options::{OPTIONS, OptionSpec};
use super::printable::printable;
use super::suggest;

/// Number of leading `words` that belong together, and the corrected form.
///
/// `None` if the first word can be checked alone.
pub fn misspelt(words: &[&[u8]]) -> Option<(usize, ConfigErrorKind)> {
    let (first, rest) = words.split_first()?;
    let named = Named::find(first)?;
    let next = rest.first().copied();
    let stranger = next.filter(|word| is_stranger(word));
    let (length, value) = match (named.value, next) {
        (None, Some(b"=")) => (2 + usize::from(rest.len() > 1), rest.get(1).copied()),
        (None, Some(word)) if word.starts_with(b"=") => (2, Some(&word[1..])),
        (Some(b""), _) if stranger.is_some() => (2, stranger),
        (None, Some(word)) if stranger.is_some() && (named.takes_value() || truth(word).is_some()) => {
            (2, next)
        }
        (Some(_), _) if stranger.is_some() && named.takes_value() => {
            let more = rest.iter().take_while(|word| is_stranger(word)).count();
            return Some((1 + more, ConfigErrorKind::BlankInValue { flag: named.row.flag }));
        }
        (value, _) if !named.is_option_name => (1, value),
        _ => return None,
    };
    Some((length, ConfigErrorKind::ToBeWritten(named.written(value.unwrap_or_default()))))
}

/// Corrected form of the switch `name`, which was given a `value`.
pub fn switch_with_value(name: &str, value: &[u8]) -> Option<String> {
    let row = OPTIONS.iter().find(|row| row.turned_by(name).is_some())?;
    let on = row.turned_by(name)? == truth(value)?;
    let word = if on { row.name } else { row.off_name };
    Some(if word.is_empty() { format!("nothing: {} is off by default", row.name) } else { word.to_owned() })
}

fn truth(word: &[u8]) -> Option<bool> {
    let is_any = |words: &[&str]| words.iter().any(|one| word.eq_ignore_ascii_case(one.as_bytes()));
    match () {
        () if is_any(&["yes", "true", "on", "1"]) => Some(true),
        () if is_any(&["no", "false", "off", "0"]) => Some(false),
        () => None,
    }
}

/// Word that begins with the name of an option, or is its flag.
struct Named<'w> {
    row: &'static OptionSpec,
    on: bool,
    /// Text behind the equals sign, if there is one.
    value: Option<&'w [u8]>,
    /// Set unless the word is a flag or a name with a colon.
    is_option_name: bool,
}

impl<'w> Named<'w> {
    fn find(word: &'w [u8]) -> Option<Named<'w>> {
        let equals = word.iter().position(|&b| b == b'=');
        let (name, value) = (&word[..equals.unwrap_or(word.len())], equals.map(|at| &word[at + 1..]));
        let colon = name.iter().position(|&b| b == b':').filter(|_| equals.is_none());
        let (bare, value) = match colon.map(|at| name.split_at(at)) {
            Some((bare, b":")) => (bare, None),
            Some((bare, rest)) => (bare, Some(&rest[1..])),
            None => (name, value),
        };
        let bare = str::from_utf8(bare).ok()?;
        let by_name = OPTIONS.iter().find_map(|row| Some((row, row.turned_by(bare)?)));
        let flag =
            |row: &'static OptionSpec| row.flags().find(|(flag, _)| *flag == bare).map(|(_, on)| (row, on));
        let by_flag = || OPTIONS.iter().filter(|row| !row.name.is_empty()).find_map(flag);
        let is_option_name = by_name.is_some() && colon.is_none();
        let (row, on) = by_name.or_else(by_flag)?;
        Some(Named { row, on, value, is_option_name })
    }

    fn takes_value(&self) -> bool {
        self.row.kind.takes() != HasArg::No
    }

    /// Corrected form of the option for a config file.
    fn written(&self, value: &[u8]) -> String {
        if self.takes_value() {
            return format!("{}={}", self.row.name, printable(value));
        }
        let name = if self.on { self.row.name } else { self.row.off_name };
        switch_with_value(name, value).unwrap_or_else(|| name.to_owned())
    }
}

/// Tells whether a word neither is an option nor looks like a misspelt one.
///
/// An equals sign behind a name makes any name an option; operators of other servers (`=`, `+=`, `=>`) have none.
pub(super) fn is_stranger(word: &[u8]) -> bool {
    let is_assignment = word.contains(&b'=') && word.first().is_some_and(u8::is_ascii_alphanumeric);
    Named::find(word).is_none() && !is_assignment && suggest::name(&String::from_utf8_lossy(word)).is_none()
}
