//! Reload: HUP with `reload_on_hup` reads the configuration again for new requests; connections stay open.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file_task::{FileTask, TaskState};
use super::{ConfigReader, Control, Periodic, THROTTLE_TIME};
use crate::boot::{build_site, load};
use crate::cgi::{self, children::Children};
use crate::config::Config;
use crate::log;
use crate::site::{Records, Site};

/// Time after which the log reports that a reload takes long.
const LONG: Duration = Duration::from_secs(10);

/// Reload in progress, if there is one.
#[derive(Debug, Default)]
pub(super) struct Reload {
    task: Option<FileTask<Result<Reloaded, String>>>,
    /// Set if another HUP has arrived.
    again: bool,
    /// Time at which to log that reading takes long.
    told_at: Option<Instant>,
}

/// New configuration, ready to be applied.
#[derive(Debug)]
struct Reloaded {
    site: Arc<Site>,
    children: Option<Arc<Children>>,
}

impl Control {
    /// Starts reading the configuration in a thread of its own, since the disk may hang.
    ///
    /// The old configuration stays until that is complete, and if there is any error.
    pub(super) fn reload(&mut self) {
        if self.reload.task.is_some() {
            self.reload.again = true;
            return;
        }
        self.running.notify.reloading();
        let (reread, old) = (Arc::clone(&self.reread), Arc::clone(&self.running.site));
        let children = self.running.children.clone();
        match FileTask::start(&self.running.commands, move || read_again(&reread, &old, children)) {
            Ok(task) => {
                let told_at = Some(Instant::now() + LONG);
                self.reload = Reload { task: Some(task), again: false, told_at };
            }
            Err(error) => self.end_reload(Err(error.to_string())),
        }
    }

    /// Applies the new configuration, if reading is complete.
    pub(super) fn finish_reload(&mut self) {
        let Some(task) = &self.reload.task else { return };
        let outcome = match task.poll() {
            TaskState::Done(outcome) => outcome,
            TaskState::Failed => Err("an internal error".into()),
            TaskState::Pending => return self.tell_long_reload(),
        };
        let again = std::mem::take(&mut self.reload).again;
        if self.shutdown.is_some() {
            return;
        }
        let outcome = outcome.map(|reloaded| self.put_in_force(reloaded));
        self.end_reload(outcome);
        if again {
            self.reload();
        }
    }

    fn tell_long_reload(&mut self) {
        if self.reload.told_at.is_some_and(|at| Instant::now() >= at) {
            self.reload.told_at = None;
            log::warning!("reading the configuration again takes long; the old one stays in force meanwhile");
        }
    }

    fn end_reload(&self, outcome: Result<(), String>) {
        self.running.site.stats.reloaded(outcome.is_ok());
        match outcome {
            Ok(()) => log::notice!("configuration read again"),
            Err(reason) => log::critical!("configuration not read again, the old one stays - {reason}"),
        }
        self.running.notify.ready(&self.running.summary);
    }

    fn put_in_force(&mut self, Reloaded { site, children }: Reloaded) {
        self.running.server.replace_site(Arc::clone(&site));
        self.throttles = Periodic::new(THROTTLE_TIME).filter(|_| !site.throttles.is_empty());
        self.stats = Periodic::new(site.config.stats_interval);
        self.running.site = site;
        self.running.children = children;
    }
}

/// Reads the configuration and the files that it names.
fn read_again(
    reread: &ConfigReader,
    old: &Site,
    children: Option<Arc<Children>>,
) -> Result<Reloaded, String> {
    if old.config.chroot {
        // Below the new root, files with these names may belong to any user.
        return Err("after chroot only a restart reads it".into());
    }
    let mut config = reread()?;
    let kept = keep_fixed(&mut config, &old.config);
    if !kept.is_empty() {
        log::warning!("a restart is needed to change {}", kept.join(", "));
    }
    let config = Arc::new(config);
    let mut loaded = load(&config).map_err(|failure| failure.to_string())?;
    loaded.throttles.follow(&old.throttles);
    loaded.rules.follow(&old.rules);
    let children = children_for(&config, children).map_err(|error| error.to_string())?;
    let records = Records { log: Arc::clone(&old.log), stats: Arc::clone(&old.stats) };
    let site =
        build_site(&config, loaded, records, children.clone()).map_err(|failure| failure.to_string())?;
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
