//! Reading of the files that the configuration names.

use std::io;
use std::path::Path;

use super::failure::Failure;
use crate::config::Config;
use crate::log;
use crate::representation::mime::Types;
use crate::rules::Rules;
use crate::site::Loaded;
use crate::sys::reason;
use crate::throttle::Throttles;

/// Reads the files named by the configuration. Relative names of password files start from `start`.
pub(crate) fn load(config: &Config, start: &Path) -> Result<Loaded, Failure> {
    let rules = load_rules(config, start)?;
    Ok(Loaded { throttles: load_throttles(config, &rules)?, types: load_types(config)?, rules })
}

/// Reads the rules; names of their files are relative to `start`.
pub(crate) fn load_rules(config: &Config, start: &Path) -> Result<Rules, Failure> {
    let rules = Rules::load(config, start);
    rules.map_err(|error| {
        Failure::new(error.to_string(), "mend the rules; --check tells without starting")
            .with_kind(error.kind())
            .with_option("rules")
    })
}

/// Warns of password files in directories that cannot be opened: what they protect is refused.
///
/// A reload meets such directories where the server is confined to those of its start (Landlock), or where
/// its user may not enter them.
pub(crate) fn warn_of_password_files(rules: &Rules) {
    for (line, file) in rules.all_auth_files() {
        if let Some(errno) = file.fault() {
            let why = reason(&io::Error::from(errno));
            log::warning!(
                "{line}: the directory of the file cannot be opened - {why}; what it protects is answered 403 \
                 until a restart can open it"
            );
        }
    }
}

/// Warnings of password files that cannot be found any more, now that the root directory is another.
pub(crate) fn lost_password_files(rules: &Rules) -> Vec<String> {
    let mut warnings = Vec::new();
    for (line, file) in rules.all_auth_files() {
        if file.has_moved() {
            warnings.push(format!(
                "{line}: after chroot no absolute link leads to the file; what it protects is answered 403"
            ));
        }
    }
    warnings
}

/// Reads the media types.
pub(crate) fn load_types(config: &Config) -> Result<Types, Failure> {
    let types = Types::new(&config.charset).with_default(&config.default_type);
    let Some(path) = &config.mime_types else { return Ok(types) };
    types.load(path).map_err(|error| {
        let advice = "give mime_types a readable file of lines: type extension extension...";
        Failure::new(error.to_string(), advice).with_kind(error.kind()).with_option("mime_types")
    })
}

/// Reads the throttle file; invalid lines are reported and skipped, as in thttpd.
fn load_throttles(config: &Config, rules: &Rules) -> Result<Throttles, Failure> {
    let (mut throttles, problems) = match &config.throttle_file {
        None => (Throttles::none(), Vec::new()),
        Some(path) => Throttles::load(path).map_err(|error| {
            Failure::from_call(path.display(), error, "give a readable throttle file with -t")
                .with_option("throttles")
        })?,
    };
    for problem in problems {
        match problem.skipped {
            true => log::critical!("{problem}"),
            false => log::warning!("{problem}"),
        }
    }
    throttles.add_rates(rules.rates().cloned());
    if let Some(most) = rules.connections_per_address() {
        throttles.cap_connections(most);
    }
    if config.limits.connections_per_address > 0 {
        throttles.cap_connections(config.limits.connections_per_address);
    }
    Ok(throttles)
}
