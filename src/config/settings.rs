//! The configuration while it is being read: what is true so far, who wrote it, what was wrong.
//!
//! Enters: one written option after the other, from the flags or a file, in the order that counts.
//! The last one wins, as in thttpd.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::Config;
use super::error::ConfigError;
use super::error_kind::ConfigErrorKind;
use super::expand::expand;
use super::kind::Kind;
use super::options::{OPTIONS, place_of};
use super::origin::{Origin, Origins};
use super::suggest;

/// Settings read so far.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The values; where a problem was met, the one before it.
    pub config: Config,
    /// Where each value came from.
    pub origins: Origins,
    /// Errors, in the order met.
    pub problems: Vec<ConfigError>,
    /// Where relative names of config files begin; empty is the present directory.
    pub dir: PathBuf,
}

impl Settings {
    /// Applies one word as a config file holds it: `name` or `name=value`. Names are told apart
    /// without regard to case; `name=` has a value, the empty one (thttpd's rules).
    pub fn word(&mut self, word: &[u8], origin: Origin) {
        let mut parts = word.splitn(2, |&b| b == b'=');
        let name = parts.next().map(String::from_utf8_lossy).unwrap_or_default();
        let value = parts.next().map(OsStr::from_bytes);
        let found =
            OPTIONS.iter().enumerate().find_map(|(place, row)| row.turned_by(&name).map(|on| (place, on)));
        let outcome = match found {
            None => Err(ConfigErrorKind::Unknown { nearest: suggest::name(&name) }),
            Some((place, on)) => self.set_expanded(place, on, value, &origin),
        };
        if let Err(why) = outcome {
            let written = [if origin == Origin::Assignment { &b"-o "[..] } else { b"" }, word].concat();
            self.problems.push(ConfigError::new(&origin, &written, why));
        }
    }

    /// Sets the option at `place` to `value`, after expanding variables in it.
    fn set_expanded(
        &mut self,
        place: usize,
        on: bool,
        value: Option<&OsStr>,
        origin: &Origin,
    ) -> Result<(), ConfigErrorKind> {
        let expanded = value.map(|value| expand(value.as_bytes())).transpose()?;
        self.set(place, on, expanded.as_deref().map(OsStr::from_bytes), origin)
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
            (Kind::Switch(_), Some(_)) => return Err(ConfigErrorKind::NoValue),
            (_, None) => return Err(ConfigErrorKind::ValueRequired),
            (kind, Some(value)) => kind.set(&mut self.config, value)?,
        }
        self.origins.set(place, origin.clone());
        if row.name == "chroot" {
            // thttpd's rule: inside a chroot no link can leave, so the check goes off with it.
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
