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
mod foreign;
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

/// Where access-log lines go (`-l`, `logfile=`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// No `-l`: each line goes to syslog, without its date.
    Syslog,
    /// `/dev/null`: no access log at all.
    Off,
    /// `-`: standard output.
    Stdout,
    /// Anything else: a file, appended to, reopened on HUP.
    File(PathBuf),
}

/// Bounds on what one request may ask of us; each is an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole request head (`head_limit`); beyond it 431.
    pub head: usize,
    /// Bytes of the request target (`target_limit`); beyond it 414.
    pub target: usize,
    /// Number of field lines (`field_limit`, at most [`Limits::MOST_FIELDS`]); beyond it 431.
    pub fields: usize,
    /// Bytes of a request's content (`body_limit`); beyond it 413.
    pub body: u64,
    /// Memory of all unfinished requests (`request_memory`, 0 = by the memory that there is); beyond it 503.
    pub request_memory: usize,
    /// Disk of all unfinished requests' content (`request_spool`, 0 = 1 GiB); beyond it 503.
    pub request_spool: usize,
    /// Bytes a second of a request's content while it is waited for (`body_min_rate`, 0 = any); then 408.
    pub body_rate: u64,
    /// Bytes a second that a client takes of a response (`send_min_rate`, 0 = any); then it is closed.
    pub send_rate: u64,
    /// Requests on one persistent connection (`keepalive_requests`, 0 = no bound).
    pub keepalive_requests: u64,
    /// Simultaneous connections (`max_connections`, 0 = what descriptors and memory allow).
    pub connections: usize,
    /// Simultaneous connections of one client address, IPv6 by /64 (`max_connections_per_address`, 0 = no bound).
    pub connections_per_address: usize,
    /// Bytes a script may write in one response (`cgi_output_limit`, 0 = no bound).
    pub cgi_output: u64,
}

impl Limits {
    /// No configuration may raise `field_limit` over this: the parser's array lives on the stack.
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

/// How long each wait may last; each is an option, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From a request's first byte to its complete head (`head_timeout`); then 408.
    pub head: Duration,
    /// Between two bytes of a request's content (`body_timeout`); then 408.
    pub body: Duration,
    /// Without progress while sending (`send_timeout`); then the connection is closed.
    pub send: Duration,
    /// Waiting time over which `body_min_rate` and `send_min_rate` are averaged (`min_rate_window`).
    pub rate_window: Duration,
    /// An idle persistent connection between requests (`keepalive_timeout`); then it is closed.
    pub keepalive: Duration,
    /// Total life of a persistent connection after which it is closed at the next response
    /// (`keepalive_max_time`, zero = no bound).
    pub keepalive_total: Duration,
    /// Run time of a CGI script (`cgi_timeout`); then INT, and later KILL.
    pub cgi: Duration,
    /// From TERM until the listeners close (`stop_delay`).
    pub stop_delay: Duration,
    /// Time that TERM leaves to requests in flight (`stop_grace`).
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

/// How proxies tell of their clients. Its rules stand in `request::forwarded`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyTrust {
    /// Peers that are believed (`trusted_proxies`); empty = none.
    pub trusted: AddressList,
    /// The field by which they name the client, in lower case (`client_header`).
    pub field: String,
}

impl Default for ProxyTrust {
    fn default() -> ProxyTrust {
        ProxyTrust { trusted: AddressList::default(), field: "x-forwarded-for".into() }
    }
}

/// Bounds of the cache of open representations (see `resource::cache`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Files remembered (`cache_entries`, 0 = no cache).
    pub entries: usize,
    /// Bytes of small files' content held in memory (`cache_bytes`).
    pub bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits { entries: 16384, bytes: 32 * 1024 * 1024 }
    }
}

/// Everything the operator decided, validated. Shared and never changed after start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `-p`, `port`: port to listen on; 0 lets the kernel pick.
    pub port: u16,
    /// Port where `port` is not permitted to this user; only where the command line names a directory alone.
    pub fallback_port: Option<u16>,
    /// `-h`, `host`: name or address to bind, and the server's name; none = every address.
    pub host: Option<String>,
    /// `-d`, `dir`: directory to change to before anything is served.
    pub dir: Option<PathBuf>,
    /// `-r`: chroot into the directory.
    pub chroot: bool,
    /// `-dd`, `data_dir`: directory to change to after chroot.
    pub data_dir: Option<PathBuf>,
    /// `-s`/`-nos`: expand symbolic links and refuse what leaves the tree.
    pub symlink_check: bool,
    /// `-v`: a directory per host name.
    pub vhost: bool,
    /// `vhost_default`: the directory of hosts that have none.
    pub vhost_default: Option<String>,
    /// `-g`: the `.htpasswd` at the top decides for the whole tree.
    pub global_passwd: bool,
    /// `-u`, `user`: who to become when started as root.
    pub user: String,
    /// `-c`, `cgipat`: which files are scripts, leading slashes removed; none = no CGI.
    pub cgi_pattern: Option<Pattern>,
    /// `cgilimit`: scripts at once; 0 = no bound.
    pub cgi_limit: usize,
    /// `-t`, `throttles`: the throttle file.
    pub throttle_file: Option<PathBuf>,
    /// `rules`: the rules file.
    pub rules_file: Option<PathBuf>,
    /// `rule`: lines behind those of the rules file.
    pub rules: Vec<String>,
    /// `-l`, `logfile`.
    pub log: LogTarget,
    /// `log_format`: how its lines are written.
    pub log_format: LogFormat,
    /// `-i`, `pidfile`.
    pub pid_file: Option<PathBuf>,
    /// `-T`, `charset`: charset of text types.
    pub charset: Vec<u8>,
    /// `mime_types`: a file of media types that count before the built-in ones.
    pub mime_types: Option<PathBuf>,
    /// `default_type`: media type of files whose extension tells none.
    pub default_type: String,
    /// `index`: names that are served for their directory, the first that is there; empty = thttpd's.
    pub index: Vec<String>,
    /// `-P`, `p3p`: value of the P3P field; empty = none.
    pub p3p: Vec<u8>,
    /// `-M`, `max_age`: seconds for Cache-Control and Expires; none = no such fields.
    pub max_age: Option<u32>,
    /// `etag`: what entity tags are made of.
    pub etag: EtagSource,
    /// `redirects`: how the redirect to a directory's slash names it.
    pub redirects: RedirectForm,
    /// `urlpat`: what the referrer filter protects, a leading slash kept as thttpd does.
    pub url_pattern: Option<Pattern>,
    /// `localpat`: hosts that count as local referrers.
    pub local_pattern: Option<Pattern>,
    /// `noemptyreferrers`: refuse protected URLs without a referrer.
    pub no_empty_referrers: bool,
    /// `-D`, `debug`: stay in the foreground.
    pub foreground: bool,
    /// `workers`: threads that serve; 0 = chosen from the number of processors.
    pub workers: usize,
    /// Request and connection bounds.
    pub limits: Limits,
    /// Waits.
    pub timeouts: Timeouts,
    /// Cache bounds.
    pub cache: CacheLimits,
    /// `listing`/`nolisting`: a directory without an index file is listed.
    pub listing: bool,
    /// `precompressed`: files that lie compressed beside a file are sent in its place.
    pub precompressed: bool,
    /// `listing_style`: what lists look like.
    pub listing_style: ListingStyle,
    /// `hide_dotfiles`/`showdotfiles`: listings leave out names that begin with a dot.
    pub hide_dotfiles: bool,
    /// `stats_interval`: time between two blocks of statistics in the log; zero = only on USR2.
    pub stats_interval: Duration,
    /// `watchdog`: abort when the server has made no progress for this long; zero = never.
    pub watchdog: Duration,
    /// `listen`: where to listen, and for what; empty = `host` and `port` say it.
    pub listen: Vec<Listen>,
    /// Who may speak for other clients, and how.
    pub proxies: ProxyTrust,
    /// `landlock`/`nolandlock`: let the kernel confine the process to the files it serves.
    pub landlock: bool,
    /// `reload_on_hup`/`noreload_on_hup`: HUP reads the configuration again, beside the log.
    pub reload_on_hup: bool,
}

impl Config {
    /// Name of the server where a request names none: `host`, else the machine's name.
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
