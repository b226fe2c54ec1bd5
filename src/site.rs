//! Site: one configuration and everything built from it, shared by all stages. No globals.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::cgi::Cgi;
use crate::cgi::children::Children;
use crate::config::Config;
use crate::docroot::blocking::Blocking;
use crate::docroot::{DocRoot, Links};
use crate::log::access::AccessLog;
use crate::log::stats::Stats;
use crate::representation::mime::Types;
use crate::resource::Resolver;
use crate::response::head::HeadPolicy;
use crate::response::{ErrorPages, Policy, SERVER};
use crate::rules::Rules;
use crate::throttle::Throttles;

/// Contents of the files named by the configuration.
#[derive(Debug)]
pub struct Loaded {
    /// Bandwidth rules.
    pub throttles: Throttles,
    /// Media types.
    pub types: Types,
    /// Rules.
    pub rules: Rules,
}

/// Records of what the server does, which outlive a configuration.
#[derive(Debug, Clone)]
pub struct Records {
    /// Where exchanges are recorded.
    pub log: Arc<AccessLog>,
    /// Counters.
    pub stats: Arc<Stats>,
}

/// One configuration, in force. A reload makes a new one; connections finish with the old.
#[derive(Debug)]
pub struct Site {
    /// Configuration in force.
    pub config: Arc<Config>,
    /// Resolver of names to resources.
    pub resolver: Resolver,
    /// Bandwidth rules.
    pub throttles: Arc<Throttles>,
    /// Access log.
    pub log: Arc<AccessLog>,
    /// Statistics.
    pub stats: Arc<Stats>,
    /// Script runner; `None` without CGI.
    pub cgi: Option<Cgi>,
    /// Fields of every response head.
    pub head_policy: HeadPolicy,
    /// Rules, whose counts a reload takes over.
    pub rules: Arc<Rules>,
    /// Set if the duration of exchanges is measured.
    pub is_timed: bool,
    pages: ErrorPages,
}

impl Site {
    /// Site that serves the current directory; call this after chroot and chdir.
    ///
    /// `webroot` is the directory's absolute path as seen in symbolic links below it (thttpd's webroot
    /// string).
    ///
    /// # Errors
    /// When the current directory cannot be opened.
    pub fn new(config: Arc<Config>, webroot: &[u8], loaded: Loaded, records: Records) -> io::Result<Site> {
        let Records { log, stats } = records;
        let root = Arc::new(DocRoot::open(Path::new("."), webroot)?);
        let links = Links::in_expanded(config.symlink_check);
        let pages = ErrorPages::below(Arc::clone(&root), &config.charset, links);
        let rules = Arc::new(loaded.rules);
        Ok(Site {
            resolver: Resolver::new(root, Arc::clone(&config), Arc::clone(&rules), loaded.types),
            head_policy: HeadPolicy::new(SERVER, &config.p3p, config.max_age),
            cgi: None,
            is_timed: log.has_details() || config.listen.iter().any(|listen| listen.status),
            throttles: Arc::new(loaded.throttles),
            rules,
            log,
            stats,
            pages,
            config,
        })
    }

    /// Enables scripts run by `children`, if the configuration has a CGI pattern.
    pub fn with_scripts(mut self, children: Option<Arc<Children>>) -> Site {
        let wanted = children.filter(|_| self.config.cgi_pattern.is_some());
        self.cgi = wanted.map(|children| Cgi::new(children, &self.config, self.resolver.root().path()));
        self
    }

    /// Policy for the response to one request.
    pub fn policy<'a>(
        &'a self,
        vhost: Option<&'a str>,
        now: SystemTime,
        blocking: &'a dyn Blocking,
    ) -> Policy<'a> {
        Policy {
            pages: &self.pages,
            host_dir: vhost.map(str::as_bytes),
            charset: &self.config.charset,
            hide_dotfiles: self.config.hide_dotfiles,
            listing_style: self.config.listing_style,
            redirects: self.config.redirects,
            signature: SERVER,
            blocking,
            now,
        }
    }
}
