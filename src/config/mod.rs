//! Configuration: flags and files turned into validated settings.
//!
//! Input: the argument vector, and the config files it names. Output: one immutable [`Config`],
//! with where each value came from ([`origin::Origins`]), or every [`error::ConfigError`] found.
//! `boot` calls [`args::parse`] once at start; later stages read only the [`Config`].
//!
//! ```text
//! argv ──args──► flag ──┐
//!                       ├─► settings ──► Config, Origins, warnings
//! file ──file──► word ──┘      ▲
//!                     options::OPTIONS: the one table
//! ```
//!
//! The table also feeds [`help`] (`--help`) and [`dump`] (`--dump-config`), so an
//! option is added in one place: its row, beside the field it sets.

use std::path::PathBuf;
use std::time::Duration;

pub mod address_list;
pub mod args;
pub mod choice;
pub mod dump;
pub mod error;
pub mod error_kind;
pub mod expand;
pub mod file;
pub mod foreign;
pub mod help;
pub mod kind;
pub mod listen;
mod misspelt;
mod operand;
pub mod options;
pub mod origin;
pub mod pattern;
pub mod printable;
pub mod proxies;
pub mod settings;
pub mod suggest;
mod warnings;

use address_list::AddressList;
use choice::{EtagSource, ListingStyle, LogFormat, RedirectForm};
use listen::Listen;
use pattern::Pattern;

/// Destination of access-log lines (`-l`, `logfile=`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// No `-l`: syslog, without the date.
    Syslog,
    /// `/dev/null`: no access log.
    Off,
    /// `-`: standard output.
    Stdout,
    /// File that lines are appended to, reopened on HUP.
    File(PathBuf),
}

/// Limits on the resources of requests and connections; each is an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum size of a request head in bytes (`head_limit`); beyond it 431.
    pub head: usize,
    /// Maximum size of the request target in bytes (`target_limit`); beyond it 414.
    pub target: usize,
    /// Maximum number of field lines (`field_limit`, at most [`Limits::MOST_FIELDS`]); beyond it 431.
    pub fields: usize,
    /// Maximum size of a request's content in bytes (`body_limit`); beyond it 413.
    pub body: u64,
    /// Maximum memory of all unfinished requests (`request_memory`, 0 = chosen by the system's memory);
    /// beyond it 503.
    pub request_memory: usize,
    /// Maximum disk space of all unfinished requests' content (`request_spool`, 0 = 1 GiB); beyond it 503.
    pub request_spool: usize,
    /// Minimum rate of a request's content in bytes a second (`body_min_rate`, 0 = any); below it 408.
    pub body_rate: u64,
    /// Minimum rate of a response in bytes a second (`send_min_rate`, 0 = any); below it the connection is
    /// closed.
    pub send_rate: u64,
    /// Maximum number of requests on one persistent connection (`keepalive_requests`, 0 = no limit).
    pub keepalive_requests: u64,
    /// Maximum number of connections (`max_connections`, 0 = by descriptors and memory).
    pub connections: usize,
    /// Maximum number of connections of one address, IPv6 by /64 (`max_connections_per_address`, 0 = no
    /// limit).
    pub connections_per_address: usize,
    /// Maximum output of a script in bytes (`cgi_output_limit`, 0 = no limit).
    pub cgi_output: u64,
}

impl Limits {
    /// Upper limit of `field_limit`: the parser's array is on the stack.
    pub const MOST_FIELDS: usize = 128;
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: 16 * 1024,
            target: 8000,
            fields: 100,
            body: 100 * 1024 * 1024,
            request_memory: 0,
            request_spool: 0,
            body_rate: 100,
            send_rate: 100,
            keepalive_requests: 0,
            connections: 0,
            connections_per_address: 0,
            cgi_output: 0,
        }
    }
}

/// Time limits of waits; each is an option, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Maximum time from a request's first byte to its complete head (`head_timeout`); then 408.
    pub head: Duration,
    /// Maximum time between two reads of a request's content (`body_timeout`); then 408.
    pub body: Duration,
    /// Maximum time without progress while sending (`send_timeout`); then the connection is closed.
    pub send: Duration,
    /// Waiting time over which `body_min_rate` and `send_min_rate` are averaged (`min_rate_window`).
    pub rate_window: Duration,
    /// Maximum idle time of a persistent connection (`keepalive_timeout`); then it is closed.
    pub keepalive: Duration,
    /// Maximum age of a persistent connection (`keepalive_max_time`, zero = no limit).
    ///
    /// The connection is closed at the next response.
    pub keepalive_total: Duration,
    /// Maximum run time of a CGI script (`cgi_timeout`); then INT, and later KILL.
    pub cgi: Duration,
    /// Time from TERM until the listeners close (`stop_delay`).
    pub stop_delay: Duration,
    /// Time after TERM for requests in progress (`stop_grace`).
    pub grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let s = Duration::from_secs;
        Timeouts {
            head: s(60),
            body: s(60),
            send: s(300),
            rate_window: s(60),
            keepalive: s(20),
            keepalive_total: s(3600),
            cgi: s(30),
            stop_delay: s(0),
            grace: s(5),
        }
    }
}

/// Settings for trusted proxies; `request::forwarded` applies them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyTrust {
    /// Trusted peers (`trusted_proxies`); empty = none.
    pub trusted: AddressList,
    /// Field with the client's address, in lower case (`client_header`).
    pub field: String,
}

impl Default for ProxyTrust {
    fn default() -> ProxyTrust {
        ProxyTrust { trusted: AddressList::default(), field: "x-forwarded-for".into() }
    }
}

/// Limits of the cache of open files (see `cache`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Maximum number of cached files (`cache_entries`, 0 = no cache).
    pub entries: usize,
    /// Maximum memory for content of small files, in bytes (`cache_bytes`).
    pub bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits { entries: 16384, bytes: 32 * 1024 * 1024 }
    }
}

/// Validated configuration, shared and immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `-p`, `port`: port to listen on; with 0 the kernel chooses.
    pub port: u16,
    /// Port to use if `port` is not permitted to this user; only if the command line is a directory alone.
    pub fallback_port: Option<u16>,
    /// `-h`, `host`: name or address to bind, and the server's name; `None` = every address.
    pub host: Option<String>,
    /// `-d`, `dir`: directory to change to at start.
    pub dir: Option<PathBuf>,
    /// `-r`: chroot into the directory.
    pub chroot: bool,
    /// `-dd`, `data_dir`: directory to change to after chroot.
    pub data_dir: Option<PathBuf>,
    /// `-s`/`-nos`: expand symbolic links, and refuse targets outside the tree.
    pub symlink_check: bool,
    /// `-v`: one directory per host name.
    pub vhost: bool,
    /// `vhost_default`: directory of hosts that have none.
    pub vhost_default: Option<String>,
    /// `-g`: the `.htpasswd` at the top applies to the whole tree.
    pub global_passwd: bool,
    /// `-u`, `user`: user to change to when started as root.
    pub user: String,
    /// `-c`, `cgipat`: pattern of scripts, leading slashes removed; `None` = no CGI.
    pub cgi_pattern: Option<Pattern>,
    /// `cgilimit`: maximum number of simultaneous scripts; 0 = no limit.
    pub cgi_limit: usize,
    /// `-t`, `throttles`: throttle file.
    pub throttle_file: Option<PathBuf>,
    /// `rules`: rules file.
    pub rules_file: Option<PathBuf>,
    /// `rule`: additional lines behind those of the rules file.
    pub rules: Vec<String>,
    /// `-l`, `logfile`: destination of the access log.
    pub log: LogTarget,
    /// `log_format`: format of the access log.
    pub log_format: LogFormat,
    /// `-i`, `pidfile`: pid file.
    pub pid_file: Option<PathBuf>,
    /// `-T`, `charset`: charset of text types.
    pub charset: Vec<u8>,
    /// `mime_types`: file of media types with precedence over the built-in ones.
    pub mime_types: Option<PathBuf>,
    /// `default_type`: media type of files with an unknown extension.
    pub default_type: String,
    /// `index`: names of index files in order of preference; empty = thttpd's.
    pub index: Vec<String>,
    /// `-P`, `p3p`: value of the P3P field; empty = none.
    pub p3p: Vec<u8>,
    /// `-M`, `max_age`: seconds for Cache-Control and Expires; `None` = no such fields.
    pub max_age: Option<u32>,
    /// `etag`: source of entity tags.
    pub etag: EtagSource,
    /// `redirects`: form of the Location when redirecting to a directory's slash.
    pub redirects: RedirectForm,
    /// `urlpat`: pattern of files that the referrer filter protects, with a leading slash kept as in
    /// thttpd.
    pub url_pattern: Option<Pattern>,
    /// `localpat`: hosts that count as local referrers.
    pub local_pattern: Option<Pattern>,
    /// `noemptyreferrers`: refuse protected URLs without a referrer.
    pub no_empty_referrers: bool,
    /// `-D`, `debug`: run in the foreground.
    pub foreground: bool,
    /// `workers`: number of worker threads; 0 = chosen by the number of processors.
    pub workers: usize,
    /// Limits of requests and connections.
    pub limits: Limits,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Limits of the cache.
    pub cache: CacheLimits,
    /// `listing`/`nolisting`: list directories without an index file.
    pub listing: bool,
    /// `precompressed`: send precompressed files beside the requested one.
    pub precompressed: bool,
    /// `listing_style`: style of directory lists.
    pub listing_style: ListingStyle,
    /// `hide_dotfiles`/`showdotfiles`: omit names that begin with a dot from lists.
    pub hide_dotfiles: bool,
    /// `stats_interval`: interval between statistics in the log; zero = only on USR2.
    pub stats_interval: Duration,
    /// `watchdog`: abort after this time without progress; zero = never.
    pub watchdog: Duration,
    /// `listen`: listeners; empty = by `host` and `port`.
    pub listen: Vec<Listen>,
    /// Trusted proxies, and the field they use.
    pub proxies: ProxyTrust,
    /// `landlock`/`nolandlock`: confine the process to the served files by Landlock.
    pub landlock: bool,
    /// `reload_on_hup`/`noreload_on_hup`: read the configuration again on HUP, beside reopening the log.
    pub reload_on_hup: bool,
}

impl Config {
    /// Server name for requests without a host: `host`, else the machine's name.
    pub fn server_name(&self) -> Option<String> {
        let machine = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        self.host.clone().or_else(machine)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            port: 80,
            fallback_port: None,
            host: None,
            dir: None,
            chroot: false,
            data_dir: None,
            symlink_check: true,
            vhost: false,
            vhost_default: None,
            global_passwd: false,
            user: "nobody".into(),
            cgi_pattern: None,
            cgi_limit: 0,
            throttle_file: None,
            rules_file: None,
            rules: Vec::new(),
            log: LogTarget::Syslog,
            log_format: LogFormat::Combined,
            pid_file: None,
            charset: "UTF-8".into(),
            mime_types: None,
            default_type: "text/plain".into(),
            index: Vec::new(),
            p3p: Vec::new(),
            max_age: None,
            etag: EtagSource::Content,
            redirects: RedirectForm::Absolute,
            url_pattern: None,
            local_pattern: None,
            no_empty_referrers: false,
            foreground: false,
            workers: 0,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            cache: CacheLimits::default(),
            listing: true,
            precompressed: false,
            listing_style: ListingStyle::Classic,
            hide_dotfiles: false,
            stats_interval: Duration::from_secs(3600),
            watchdog: Duration::from_secs(360),
            listen: Vec::new(),
            proxies: ProxyTrust::default(),
            landlock: true,
            reload_on_hup: false,
        }
    }
}
