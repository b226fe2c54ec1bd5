//! `thttpd DIR`: a directory without a flag → what serving it for a look needs.
//!
//! An argument without a flag was an error in thttpd, so no command line of old changes its meaning.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::error::ConfigError;
use super::error_kind::ConfigErrorKind;
use super::options::place_of;
use super::origin::Origin;
use super::settings::Settings;

/// Port where the usual one is not permitted.
const UNPRIVILEGED_PORT: u16 = 8080;

/// Can `argument`, which is no flag, name a directory?
pub fn is_directory(argument: &OsStr) -> bool {
    !argument.is_empty() && argument != "-"
}

/// Is this `name=value` with the name of an option? `-o` was forgotten then.
pub fn is_assignment(argument: &str) -> bool {
    argument.split_once('=').is_some_and(|(name, _)| place_of(name).is_some())
}

/// Settings for `dir`: the foreground, log lines on standard output, and this machine alone, each unless
/// a flag or a file said otherwise.
pub fn serve(dir: &OsStr, settings: &mut Settings) {
    let origin = Origin::Operand;
    let refused = |why| ConfigError::new(&origin, dir.as_bytes(), why);
    if matches!(settings.origins.get("dir"), Origin::Flag(_) | Origin::Assignment) {
        settings.problems.push(refused(ConfigErrorKind::Stray));
        return;
    }
    let is_unset = |name| *settings.origins.get(name) == Origin::Default;
    let no_port = is_unset("port") && is_unset("listen");
    let defaults = [
        ("dir", Some(dir), true),
        ("debug", None, is_unset("debug")),
        ("logfile", Some(OsStr::new("-")), is_unset("logfile")),
        ("host", Some(OsStr::new("localhost")), no_port && is_unset("host")),
    ];
    for (name, value, _) in defaults.into_iter().filter(|(.., wanted)| *wanted) {
        if let Some(place) = place_of(name) {
            let outcome = settings.set(place, true, value, &origin);
            settings.problems.extend(outcome.err().map(refused));
        }
    }
    settings.config.fallback_port = no_port.then_some(UNPRIVILEGED_PORT);
}
