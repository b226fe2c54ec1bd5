//! Reload: HUP with `reload_on_hup` reads the configuration again for new requests; connections stay open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file_task::FileTask;
use crate::boot::{Failure, build_site, load, no_thread, warn_of_password_files};
use crate::cgi::{self, children::Children};
use crate::config::Config;
use crate::log;
use crate::site::{Records, Site};

/// Time after which the log reports that a reload takes long.
pub(super) const LONG: Duration = Duration::from_secs(10);

/// Reader of the configuration, which reads again from the places of the start.
pub struct ConfigReader {
    /// Working directory of the start, from which relative names begin.
    pub start: PathBuf,
    /// Function that reads the configuration relative to a directory.
    pub read: Box<ReadConfig>,
}

/// Function that reads a configuration relative to the directory it is given.
pub type ReadConfig = dyn Fn(&Path) -> Result<Config, Failure> + Send + Sync;

/// Reload in progress, if there is one.
#[derive(Debug, Default)]
pub(super) struct Reload {
    pub(super) task: Option<FileTask<Result<Reloaded, Failure>>>,
    /// Set if another HUP has arrived.
    pub(super) again: bool,
    /// Time at which to log that reading takes long.
    pub(super) told_at: Option<Instant>,
}

/// New configuration, ready to be applied.
#[derive(Debug)]
pub(super) struct Reloaded {
    pub(super) site: Arc<Site>,
    pub(super) children: Option<Arc<Children>>,
}

/// Reads the configuration and the files that it names.
pub(super) fn read_again(
    reader: &ConfigReader,
    old: &Site,
    children: Option<Arc<Children>>,
) -> Result<Reloaded, Failure> {
    if old.config.chroot {
        // Below the new root, files with these names may belong to any user.
        return Err(Failure::new("after chroot only a restart reads it", ""));
    }
    let mut config = (reader.read)(&reader.start)?;
    let kept = keep_fixed(&mut config, &old.config);
    if !kept.is_empty() {
        log::warning!("a restart is needed to change {}", kept.join(", "));
    }
    let config = Arc::new(config);
    let mut loaded = load(&config, &reader.start)?;
    warn_of_password_files(&loaded.rules);
    loaded.throttles.follow(&old.throttles);
    loaded.rules.follow(&old.rules);
    let children = children_for(&config, children).map_err(no_thread)?;
    let records = Records { log: Arc::clone(&old.log), stats: Arc::clone(&old.stats) };
    let site = build_site(&config, loaded, records, children.clone())?;
    Ok(Reloaded { site, children })
}

/// Script runner for the new configuration, started if CGI was disabled until now.
fn children_for(config: &Config, present: Option<Arc<Children>>) -> io::Result<Option<Arc<Children>>> {
    match present {
        None if config.cgi_pattern.is_some() => Ok(Some(Arc::new(cgi::children()?))),
        present => Ok(present),
    }
}

/// Restores options that cannot change while running; returns the names of those that differ.
fn keep_fixed(new: &mut Config, old: &Config) -> Vec<&'static str> {
    let mut changed = Vec::new();
    macro_rules! keep {
        ($($($field:ident).+ as $name:literal),* $(,)?) => {$(
            if new.$($field).+ != old.$($field).+ {
                new.$($field).+ = old.$($field).+.clone();
                changed.push($name);
            }
        )*};
    }
    keep!(
        port as "port", host as "host", listen as "listen", dir as "dir", chroot as "chroot", data_dir as "data_dir",
        user as "user", log as "logfile", log_format as "log_format", pid_file as "pidfile", foreground as "debug",
        workers as "workers", landlock as "landlock", watchdog as "watchdog",
        limits.connections as "max_connections",
    );
    // Landlock was applied, or not, with these settings.
    if old.landlock {
        keep!(cgi_pattern as "cgipat", symlink_check as "symlinkcheck");
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_fixed_at_start_stay_and_are_named() {
        let old = Config { port: 80, charset: "a".into(), ..Config::default() };
        let mut new = Config { port: 81, user: "x".into(), charset: "b".into(), ..Config::default() };
        assert_eq!(keep_fixed(&mut new, &old), ["port", "user"]);
        assert_eq!(new, Config { charset: "b".into(), ..old });
    }

    #[test]
    fn an_unchanged_configuration_needs_no_restart() {
        assert_eq!(keep_fixed(&mut Config::default(), &Config::default()), [""; 0]);
    }
}
