//! Table of all options.
//!
//! The flag parser, the config-file parser, `--help`, `--dump-config`, and the tests of
//! `thttpd.conf.example` and of the manual use this table. To add an option, add a field to [`Config`] and
//! a row here; the tests then report the documents that lack the option.

use super::kind::{CliAction, Kind, Number, Unit};
use super::pattern::Pattern;
use super::proxies;
use super::{Config, Limits};
use Group::{Access, Cgi, Command, Files, Logs, Proxies, Responses, Server, Times};
use Kind::{Host, Log, Name, Path, Switch, Text};

/// Row of the table: an option, its words, and the field it sets. Missing words are empty.
#[derive(Clone, Copy)]
pub struct OptionSpec {
    /// Flag that sets or turns on, whole (`-p`, `--help`).
    pub flag: &'static str,
    /// Flag that turns off (`-nor`).
    pub off_flag: &'static str,
    /// Config-file name; empty for options of the command line alone.
    pub name: &'static str,
    /// Alternative config-file name.
    pub alias: &'static str,
    /// Names in older versions, not documented, and whether each sets or turns on.
    pub old_names: &'static [(&'static str, bool)],
    /// Config-file name that turns off (`nochroot`).
    pub off_name: &'static str,
    /// Heading in `--help` and in the example file.
    pub group: Group,
    /// Placeholder of the flag's value, in thttpd's words.
    pub value: &'static str,
    /// Help text of one line.
    pub help: &'static str,
    /// Meaning of a missing value ("every address"); empty if there always is one.
    pub unset: &'static str,
    /// Kind of the value, and its field.
    pub kind: Kind,
}

impl OptionSpec {
    /// Flags, and whether each sets or turns on; false = turns off.
    pub fn flags(&self) -> impl Iterator<Item = (&'static str, bool)> {
        [(self.flag, true), (self.off_flag, false)].into_iter().filter(|(flag, _)| !flag.is_empty())
    }

    /// Config-file names, and whether each sets or turns on; false = turns off.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let names = [(self.name, true), (self.alias, true), (self.off_name, false)];
        names.into_iter().filter(|(name, _)| !name.is_empty())
    }

    /// Effect of the config-file name `name`, without regard to case (thttpd's rule).
    ///
    /// `Some(true)` sets or turns on, `Some(false)` turns off, `None` is not a name of this option.
    pub fn turned_by(&self, name: &str) -> Option<bool> {
        let mut names = self.names().chain(self.old_names.iter().copied());
        names.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, on)| on)
    }
}

/// Index in [`OPTIONS`] of the option with the config-file name `name`.
pub fn place_of(name: &str) -> Option<usize> {
    OPTIONS.iter().position(|row| row.turned_by(name).is_some())
}

/// Headings of `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Options of the command line alone.
    Command,
    /// Addresses, process and user.
    Server,
    /// Mapping of URLs to files.
    Files,
    /// Header fields and content of responses.
    Responses,
    /// Access rules and rates.
    Access,
    /// CGI scripts.
    Cgi,
    /// Proxies in front of the server.
    Proxies,
    /// Logs and signals.
    Logs,
    /// Limits on size and number.
    Limits,
    /// Time limits.
    Times,
}

impl Group {
    /// All groups in the order of `--help`.
    pub const ALL: [Group; 10] =
        [Command, Server, Files, Responses, Access, Cgi, Proxies, Logs, Group::Limits, Times];

    /// Text of the heading.
    pub fn title(self) -> &'static str {
        match self {
            Command => "Command line only",
            Server => "Server",
            Files => "Files",
            Responses => "Responses",
            Access => "Access",
            Cgi => "CGI scripts",
            Proxies => "Behind proxies",
            Logs => "Logs and signals",
            Group::Limits => "Limits",
            Times => "Times, in seconds",
        }
    }
}

impl OptionSpec {
    /// Adds the flag, and thttpd's placeholder of its value.
    const fn flag(mut self, flag: &'static str, value: &'static str) -> OptionSpec {
        self.flag = flag;
        self.value = value;
        self
    }

    const fn off(mut self, name: &'static str, flag: &'static str) -> OptionSpec {
        self.off_name = name;
        self.off_flag = flag;
        self
    }

    const fn alias(mut self, alias: &'static str) -> OptionSpec {
        self.alias = alias;
        self
    }

    const fn once_called(mut self, old_names: &'static [(&'static str, bool)]) -> OptionSpec {
        self.old_names = old_names;
        self
    }

    const fn unset(mut self, unset: &'static str) -> OptionSpec {
        self.unset = unset;
        self
    }
}

/// Row with a config-file name; the methods above add the rest.
const fn option(name: &'static str, group: Group, kind: Kind, help: &'static str) -> OptionSpec {
    let (flag, off_flag, alias, off_name, value, unset) = ("", "", "", "", "", "");
    OptionSpec { flag, off_flag, name, alias, old_names: &[], off_name, group, value, help, unset, kind }
}

/// Row of an action, which only the command line has.
const fn act(flag: &'static str, value: &'static str, act: CliAction, help: &'static str) -> OptionSpec {
    option("", Command, Kind::CliAction(act), help).flag(flag, value)
}

/// Accessor of a numeric field of any type.
type NumberField = fn(&mut Config) -> &mut dyn Number;

const fn count(field: NumberField, least: i64, most: i64) -> Kind {
    Kind::Number { field, unit: Unit::Count, least, most }
}

const fn bytes(field: NumberField, least: i64, most: i64) -> Kind {
    Kind::Number { field, unit: Unit::Bytes, least, most }
}

/// Time in seconds, at most a year so that no deadline overflows.
const fn seconds(field: NumberField, least: i64) -> Kind {
    Kind::Number { field, unit: Unit::Seconds, least, most: 366 * 86400 }
}

/// Time in seconds for caches; negative values turn the option off.
const fn age(field: NumberField) -> Kind {
    Kind::Number { field, unit: Unit::Seconds, least: i64::MIN, most: u32::MAX as i64 }
}

const MIB: i64 = 1 << 20;
const TIB: i64 = 1 << 40;
/// Upper limit for counts, beyond the descriptors of any kernel.
const MANY: i64 = 10_000_000;

/// Names of the symbolic link check in thttpd 2.25 and sthttpd.
const OLD_SYMLINK_NAMES: [(&str, bool); 4] =
    [("symlink", true), ("symlinks", true), ("nosymlink", false), ("nosymlinks", false)];

/// All options. Rows with flags are in the order of thttpd's usage line.
#[rustfmt::skip]
pub const OPTIONS: &[OptionSpec] = &[
    act("-C", "configfile", CliAction::ReadFile, "read a config file, here among the flags"),
    option("port", Server, count(|c| &mut c.port, 0, 65535),
        "port to listen on; 0 lets the kernel choose").flag("-p", "port"),
    option("dir", Files, Path(|c| &mut c.dir),
        "directory to serve").flag("-d", "dir").unset("where it was started"),
    option("chroot", Files, Switch(|c| &mut c.chroot),
        "make the directory the root of the process; turns symlinkcheck off, its opposite on")
        .flag("-r", "").off("nochroot", "-nor"),
    option("data_dir", Files, Path(|c| &mut c.data_dir),
        "directory to change to after chroot").flag("-dd", "data_dir").unset("none"),
    option("symlinkcheck", Files, Switch(|c| &mut c.symlink_check),
        "refuse symbolic links that leave the directory").flag("-s", "").off("nosymlinkcheck", "-nos")
        .once_called(&OLD_SYMLINK_NAMES),
    option("vhost", Files, Switch(|c| &mut c.vhost),
        "serve each host name from the directory of that name").flag("-v", "").off("novhost", "-nov"),
    option("vhost_default", Files, proxies::VHOST_DEFAULT,
        "the directory of hosts that have none").unset("none"),
    option("globalpasswd", Access, Switch(|c| &mut c.global_passwd),
        "the .htpasswd at the top protects the whole tree").flag("-g", "").off("noglobalpasswd", "-nog"),
    option("user", Server, Name(|c| &mut c.user),
        "whom to become when started as root").flag("-u", "user"),
    option("cgipat", Cgi, Kind::Pattern(|c| &mut c.cgi_pattern, |text| Pattern::relative(text)),
        "which files are scripts").flag("-c", "cgipat").unset("none"),
    option("throttles", Access, Path(|c| &mut c.throttle_file),
        "file of bandwidth limits").flag("-t", "throttles").unset("none"),
    option("rules", Access, Path(|c| &mut c.rules_file),
        "file of rules: redirects, fields, caching, access, rates").unset("none"),
    option("rule", Access, Kind::Lines(|c| &mut c.rules),
        "a line behind those of the rules file; may be repeated").unset("none"),
    option("host", Server, Host(|c| &mut c.host),
        "name or address to listen on; also the server's name").flag("-h", "host").unset("every address"),
    option("logfile", Logs, Log(|c| &mut c.log),
        "access log; - is standard output, /dev/null is no log").flag("-l", "logfile").unset("syslog"),
    option("pidfile", Server, Path(|c| &mut c.pid_file),
        "file to write the process number to").flag("-i", "pidfile").unset("none"),
    option("charset", Responses, Text(|c| &mut c.charset),
        "character set told of text files").flag("-T", "charset"),
    option("mime_types", Responses, Path(|c| &mut c.mime_types),
        "file of media types that count before the built-in ones").unset("none"),
    option("default_type", Responses, Kind::Media(|c| &mut c.default_type),
        "media type of files whose name tells none"),
    option("p3p", Responses, Text(|c| &mut c.p3p),
        "value of the P3P field; empty sends none").flag("-P", "P3P"),
    option("max_age", Responses, age(|c| &mut c.max_age),
        "seconds a cache may keep a file; negative says nothing").flag("-M", "maxage"),
    act("-V", "", CliAction::ShowVersion, "print the version"),
    option("debug", Server, Switch(|c| &mut c.foreground),
        "stay in the foreground").flag("-D", ""),

    act("-o", "name=value", CliAction::Assign, "set an option by its config-file name"),
    act("--help", "", CliAction::ShowHelp, "print this"),
    act("--version", "", CliAction::ShowVersion, "print the version"),
    act("--check", "", CliAction::Check, "check the configuration"),
    act("--dump-config", "", CliAction::DumpConfig, "print every option and where it was set"),
    act("--explain", "url", CliAction::Explain, "tell how a URL would be answered"),
    act("--from", "address", CliAction::From, "whom to explain it for"),
    act("--healthcheck", "[url]", CliAction::HealthCheck, "ask the running server for a URL"),

    option("workers", Server, count(|c| &mut c.workers, 0, 1024),
        "threads that serve; 0 goes by the processors"),
    option("landlock", Server, Switch(|c| &mut c.landlock),
        "have the kernel confine the process to what it serves").off("nolandlock", ""),
    option("watchdog", Server, seconds(|c| &mut c.watchdog, 0),
        "abort after so many seconds of standstill; 0 is never"),

    option("listing", Files, Switch(|c| &mut c.listing),
        "list directories without an index file").off("nolisting", ""),
    option("listing_style", Files, Kind::Choice(|c| &mut c.listing_style),
        "what lists look like: classic, modern or json"),
    option("hide_dotfiles", Files, Switch(|c| &mut c.hide_dotfiles),
        "leave names that begin with a dot out of listings").off("showdotfiles", ""),
    option("index", Files, Kind::Names(|c| &mut c.index),
        "what is served for a directory: the first that is in it")
        .unset("index.html, index.htm, ... index.cgi"),
    option("cache_entries", Files, count(|c| &mut c.cache.entries, 0, MANY),
        "files kept open for the next request; 0 is none"),
    option("cache_bytes", Files, bytes(|c| &mut c.cache.bytes, 0, TIB),
        "content of small files kept in memory; 0 is none"),

    option("precompressed", Files, Switch(|c| &mut c.precompressed),
        "send the .gz, .br or .zst beside a file in its place").off("noprecompressed", ""),

    option("etag", Responses, Kind::Choice(|c| &mut c.etag),
        "what entity tags are made of: content, file or none"),
    option("redirects", Responses, Kind::Choice(|c| &mut c.redirects),
        "how redirects to a directory's slash name it: absolute or relative"),

    option("urlpat", Access, Kind::Pattern(|c| &mut c.url_pattern, |text| Pattern::new(text)),
        "files that only local pages may refer to").unset("none"),
    option("localpat", Access, Kind::Pattern(|c| &mut c.local_pattern, |text| Pattern::new(text)),
        "hosts whose pages are local").unset("the server's name"),
    option("noemptyreferrers", Access, Switch(|c| &mut c.no_empty_referrers),
        "refuse those files without a referrer, too").alias("noemptyreferers"),

    option("cgilimit", Cgi, count(|c| &mut c.cgi_limit, 0, MANY),
        "scripts at once; 0 is no bound"),
    option("cgi_timeout", Cgi, seconds(|c| &mut c.timeouts.cgi, 1),
        "seconds a script may run"),
    option("cgi_output_limit", Cgi, bytes(|c| &mut c.limits.cgi_output, 0, i64::MAX),
        "output of a script; 0 is no bound"),

    option("log_format", Logs, Kind::Choice(|c| &mut c.log_format),
        "lines of the access log: combined or json"),
    option("stats_interval", Logs, seconds(|c| &mut c.stats_interval, 0),
        "seconds between statistics in syslog; 0 is only on USR2"),
    option("reload_on_hup", Logs, Switch(|c| &mut c.reload_on_hup),
        "HUP also reads the configuration again").off("noreload_on_hup", ""),

    option("listen", Proxies, proxies::LISTEN,
        "where to listen, instead of host and port, and for what").unset("host and port"),
    option("trusted_proxies", Proxies, proxies::TRUSTED,
        "peers that may name the clients they speak for").unset("none"),
    option("client_header", Proxies, proxies::CLIENT_HEADER,
        "the field by which they do"),

    option("max_connections", Group::Limits, count(|c| &mut c.limits.connections, 0, MANY),
        "connections at once; 0 goes by descriptors and memory"),
    option("max_connections_per_address", Group::Limits,
        count(|c| &mut c.limits.connections_per_address, 0, MANY),
        "those of one address (IPv6: one /64); 0 is no bound"),
    option("head_limit", Group::Limits, bytes(|c| &mut c.limits.head, 512, MIB),
        "a request's head; more is 431"),
    option("target_limit", Group::Limits, bytes(|c| &mut c.limits.target, 16, MIB),
        "a request's target; more is 414"),
    option("field_limit", Group::Limits, count(|c| &mut c.limits.fields, 1, Limits::MOST_FIELDS as i64),
        "field lines of a request; more is 431"),
    option("body_limit", Group::Limits, bytes(|c| &mut c.limits.body, 0, i64::MAX),
        "a request's content; more is 413"),
    option("request_memory", Group::Limits, bytes(|c| &mut c.limits.request_memory, 0, TIB),
        "memory of all unfinished requests; more is 503; 0 goes by the memory"),
    option("request_spool", Group::Limits, bytes(|c| &mut c.limits.request_spool, 0, TIB),
        "content of all unfinished requests on disk; more is 503; 0 is 1 GiB"),
    option("body_min_rate", Group::Limits, bytes(|c| &mut c.limits.body_rate, 0, TIB),
        "bytes a second of a request's content; less is 408; 0 is any"),
    option("send_min_rate", Group::Limits, bytes(|c| &mut c.limits.send_rate, 0, TIB),
        "bytes a second that a client takes; 0 is any"),
    option("keepalive_requests", Group::Limits, count(|c| &mut c.limits.keepalive_requests, 0, i64::MAX),
        "requests of a connection; 0 is no bound, 1 no keep-alive"),

    option("head_timeout", Times, seconds(|c| &mut c.timeouts.head, 1),
        "from a request's first byte to the end of its head"),
    option("body_timeout", Times, seconds(|c| &mut c.timeouts.body, 1),
        "between two arrivals of a request's content"),
    option("send_timeout", Times, seconds(|c| &mut c.timeouts.send, 1),
        "without progress in sending"),
    option("min_rate_window", Times, seconds(|c| &mut c.timeouts.rate_window, 1),
        "over which body_min_rate and send_min_rate are averaged"),
    option("keepalive_timeout", Times, seconds(|c| &mut c.timeouts.keepalive, 1),
        "between two requests of a connection"),
    option("keepalive_max_time", Times, seconds(|c| &mut c.timeouts.keepalive_total, 0),
        "a connection's life; 0 is no bound"),
    option("stop_delay", Times, seconds(|c| &mut c.timeouts.stop_delay, 0),
        "from TERM until the listeners close; /healthz is 503 meanwhile"),
    option("stop_grace", Times, seconds(|c| &mut c.timeouts.grace, 0),
        "for requests in flight after TERM"),
];

#[cfg(test)]
mod tests;
