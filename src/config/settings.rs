//! Settings under construction: values, their origins, and errors.
//!
//! Input: the written options, one after another, from flags and files in their order. The last one wins,
//! as in thttpd.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::Config;
use super::error::ConfigError;
use super::error_kind::ConfigErrorKind;
use super::expand::expand;
use super::kind::Kind;
use super::misspelt;
use super::options::{OPTIONS, place_of};
use super::origin::{Origin, Origins};
use super::printable::{MOST_LINES, printable};
use super::suggest;

/// Settings read so far.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Values so far; after an error the previous value stays.
    pub config: Config,
    /// Origin of each value.
    pub origins: Origins,
    /// Errors in the order found.
    pub problems: Vec<ConfigError>,
    /// Hint at the manual, if a file is written for another server.
    pub hint: Option<String>,
    /// Value of `--from`.
    pub from: Option<String>,
    /// Directory for relative names of config files; empty = the current directory.
    pub dir: PathBuf,
}

impl Settings {
    /// Applies one word in the form of a config file: `name` or `name=value`.
    ///
    /// Names are compared without regard to case, and `name=` has an empty value (thttpd's rules).
    pub fn word(&mut self, word: &[u8], origin: Origin) {
        let mut parts = word.splitn(2, |&b| b == b'=');
        let name = parts.next().map(String::from_utf8_lossy).unwrap_or_default();
        let value = parts.next().map(OsStr::from_bytes);
        let found =
            OPTIONS.iter().enumerate().find_map(|(place, row)| row.turned_by(&name).map(|on| (place, on)));
        let outcome = match found {
            None => Err(match with_equals_sign(word) {
                Some(mended) => ConfigErrorKind::ToBeWritten(mended),
                None if self.has_enough_problems() => ConfigErrorKind::Unknown { nearest: None },
                None => ConfigErrorKind::Unknown { nearest: suggest::name(&name) },
            }),
            Some((place, on)) => self.set_expanded(place, on, value, &origin),
        };
        if let Err(why) = outcome {
            self.refuse(word, &origin, why);
        }
    }

    /// Expands variables in `value`, and sets the option at `place`.
    fn set_expanded(
        &mut self,
        place: usize,
        on: bool,
        value: Option<&OsStr>,
        origin: &Origin,
    ) -> Result<(), ConfigErrorKind> {
        // A rule is split into words before its variables are expanded.
        if let Kind::Lines(_) = OPTIONS[place].kind {
            return self.set(place, on, value, origin);
        }
        let expanded = value.map(|value| expand(value.as_bytes())).transpose()?;
        self.set(place, on, expanded.as_deref().map(OsStr::from_bytes), origin)
    }

    /// Tells whether no further problem will be shown, so that advice on it would be in vain.
    ///
    /// The search for the nearest name takes long: half a minute for a log of two megabytes named by mistake.
    fn has_enough_problems(&self) -> bool {
        self.problems.len() >= MOST_LINES
    }

    /// Applies the words of one line in a config file.
    pub fn line(&mut self, words: &[&[u8]], origin: &Origin) {
        if self.has_enough_problems() {
            // One problem a line is counted.
            let known = self.problems.len();
            for word in words {
                self.word(word, origin.clone());
                if self.problems.len() > known {
                    break;
                }
            }
            return;
        }
        let mut rest = words;
        while let Some((word, behind)) = rest.split_first() {
            rest = match misspelt::misspelt(rest) {
                // A line of words that are all unknown is one mistake.
                None => match rest.iter().take_while(|word| misspelt::is_stranger(word)).count() {
                    0 | 1 => {
                        self.word(word, origin.clone());
                        behind
                    }
                    length => {
                        let why = ConfigErrorKind::Unknown { nearest: None };
                        self.refuse(&rest[..length].join(&b' '), origin, why);
                        &rest[length..]
                    }
                },
                Some((length, why)) => {
                    self.refuse(&rest[..length].join(&b' '), origin, why);
                    &rest[length..]
                }
            };
        }
    }

    fn refuse(&mut self, written: &[u8], origin: &Origin, why: ConfigErrorKind) {
        let flag: &[u8] = match origin {
            Origin::Assignment => b"-o ",
            Origin::Variable => b"THTTPD_CONFIG: ",
            _ => b"",
        };
        self.problems.push(ConfigError::new(origin, &[flag, written].concat(), why));
    }

    /// Sets the option at `place` of the table, or turns it `on` or off.
    pub(super) fn set(
        &mut self,
        place: usize,
        on: bool,
        value: Option<&OsStr>,
        origin: &Origin,
    ) -> Result<(), ConfigErrorKind> {
        let row = &OPTIONS[place];
        match (&row.kind, value) {
            (Kind::Switch(_), None) => row.kind.turn(&mut self.config, on),
            (Kind::Switch(_), Some(value)) => {
                let name = if on { row.name } else { row.off_name };
                let instead = misspelt::switch_with_value(name, value.as_bytes());
                return Err(ConfigErrorKind::NoValue { instead });
            }
            (_, None) => return Err(ConfigErrorKind::ValueRequired),
            (kind, Some(value)) => kind.set(&mut self.config, value)?,
        }
        self.origins.set(place, origin.clone());
        if row.name == "chroot" {
            // In a chroot no link can leave the tree, so that `-r` turns the check off (thttpd's rule).
            self.turn_symlink_check(!on, origin);
        }
        Ok(())
    }

    fn turn_symlink_check(&mut self, on: bool, origin: &Origin) {
        self.config.symlink_check = on;
        if let Some(place) = place_of("symlinkcheck") {
            self.origins.set(place, origin.clone());
        }
    }
}

/// Corrected form of `word`, a name and a value with a blank between them, as only `-o` can have it.
fn with_equals_sign(word: &[u8]) -> Option<String> {
    let word = printable(word);
    let (name, value) = word.split_once(' ')?;
    let value = value.trim_matches([' ', '=']);
    (place_of(name).is_some() && !value.contains(' ')).then(|| format!("{name}={value}"))
}
