//! `thttpd DIR`: settings for serving a directory given without a flag.
//!
//! thttpd refused an argument without a flag, so that no existing command line changes its meaning.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::error::ConfigError;
use super::error_kind::ConfigErrorKind;
use super::options::place_of;
use super::origin::Origin;
use super::settings::Settings;

/// Port to use if the default port is not permitted.
const UNPRIVILEGED_PORT: u16 = 8080;

/// Tells whether `argument`, which is not a flag, may be a directory.
pub fn is_directory(argument: &OsStr) -> bool {
    !argument.is_empty() && argument != "-"
}

/// Tells whether `argument` is `name=value` with the name of an option, so that `-o` was forgotten.
pub fn is_assignment(argument: &str) -> bool {
    argument.split_once('=').is_some_and(|(name, _)| place_of(name).is_some())
}

/// Sets options for serving `dir`: foreground, log on standard output, loopback only.
///
/// Options set by a flag or a file are kept.
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
