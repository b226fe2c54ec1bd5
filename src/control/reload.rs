//! HUP with `reload_on_hup`: the configuration is read again and put in force for the requests to
//! come; connections stay.

use std::io;
use std::sync::Arc;

use super::{Control, Periodic, THROTTLE_TIME};
use crate::boot::{build_site, load};
use crate::cgi::{self, children::Children};
use crate::config::Config;
use crate::log;

impl Control<'_> {
    /// Reads the configuration again. If anything is wrong with it, the old one stays.
    pub(super) fn reload(&mut self) {
        self.running.notify.reloading();
        match self.try_reload() {
            Ok(()) => {
                self.running.site.stats.reloaded(true);
                log::notice!("configuration read again");
            }
            Err(reason) => {
                self.running.site.stats.reloaded(false);
                log::critical!("configuration not read again, the old one stays - {reason}");
            }
        }
        self.running.notify.ready(&self.running.summary);
    }

    fn try_reload(&mut self) -> Result<(), String> {
        let old = &self.running.site;
        if old.config.chroot {
            // Below the new root there may be files of the same names, but they are anybody's.
            return Err("after chroot only a restart reads it".into());
        }
        let mut config = (self.reread)()?;
        let kept = keep_fixed(&mut config, &old.config);
        if !kept.is_empty() {
            log::warning!("a restart is needed to change {}", kept.join(", "));
        }
        let config = Arc::new(config);
        let mut loaded = load(&config).map_err(|failure| failure.to_string())?;
        loaded.throttles.follow(&old.throttles);
        loaded.rules.follow(&old.rules);
        let children = self.children(&config).map_err(|error| error.to_string())?;
        let records = (Arc::clone(&old.log), Arc::clone(&old.stats));
        let site =
            build_site(&config, loaded, records, children.clone()).map_err(|failure| failure.to_string())?;
        self.running.server.replace_site(Arc::clone(&site));
        self.throttles = Periodic::new(THROTTLE_TIME).filter(|_| !site.throttles.is_empty());
        self.stats = Periodic::new(config.stats_interval);
        self.running.site = site;
        self.running.children = children;
        Ok(())
    }

    /// Where scripts run; if none could until now and some may from now on, it is made.
    fn children(&self, config: &Config) -> io::Result<Option<Arc<Children>>> {
        match &self.running.children {
            None if config.cgi_pattern.is_some() => Ok(Some(Arc::new(cgi::children()?))),
            present => Ok(present.clone()),
        }
    }
}

/// Puts back what was settled when the server started; names what the operator has changed of it.
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
    // Landlock was, or was not, applied with regard to these.
    if old.landlock {
        keep!(cgi_pattern as "cgipat", symlink_check as "symlinkcheck");
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_start_settled_stays_and_is_named() {
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
