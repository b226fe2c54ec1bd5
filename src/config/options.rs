//! The one table of options.
//!
//! It feeds the flag parser, the config-file parser, the usage line, `--help`, `--dump-config`, the
//! tests of `thttpd.conf.example` and of the manual. To add an option: a field in
//! [`Config`](super::Config), a row here; the tests then name the documents that lack it.
//!
//! Rows with flags stand in the order of thttpd's usage line.

use super::kind::{Act, Kind, Number, Unit};
use super::pattern::Pattern;
use super::{Config, Limits};
use Group::{Access, Cgi, Files, Logs, Responses, Server, Times};
use Kind::{Host, Log, Name, Path, Switch};

/// One row: an option, its words, and the field it sets.
#[derive(Clone, Copy)]
pub struct Row {
    /// The flag that sets or turns on, whole (`-p`, `--help`); empty = none.
    pub flag: &'static str,
    /// The flag that turns off (`-nor`); empty = none.
    pub off_flag: &'static str,
    /// The config-file names; the first is the one we write. Empty = command line only.
    pub names: &'static [&'static str],
    /// The config-file name that turns off (`nochroot`); empty = none.
    pub off_name: &'static str,
    /// Where the option stands in `--help` and in the example file.
    pub group: Group,
    /// What the value is called in the usage line; empty = no value.
    pub value: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// What holds while there is no value ("every address"); empty = there always is one.
    pub unset: &'static str,
    /// Its kind and field.
    pub kind: Kind,
}

impl Row {
    /// Is `name` one of the config-file names, letter case aside?
    pub fn is_named(&self, name: &str) -> bool {
        self.turned(name).is_some()
    }

    /// What the config-file name `name` does here: `Some(true)` sets or turns on, `Some(false)`
    /// turns off, `None` is not a name of this option. Letter case does not matter.
    pub fn turned(&self, name: &str) -> Option<bool> {
        let same = |other: &&str| other.eq_ignore_ascii_case(name);
        if self.names.iter().any(|own| same(own)) {
            return Some(true);
        }
        (!self.off_name.is_empty() && same(&self.off_name)).then_some(false)
    }

    /// The config-file name we write; `None` for what only the command line can say.
    pub fn name(&self) -> Option<&'static str> {
        self.names.first().copied()
    }
}

/// The headings of `--help`, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What only the command line can say.
    Command,
    /// Addresses, the process, its user.
    Server,
    /// From URL to file.
    Files,
    /// Field values and listings.
    Responses,
    /// Who may have what.
    Access,
    /// Scripts.
    Cgi,
    /// Logs and signals.
    Logs,
    /// Bounds on size and number.
    Limits,
    /// Bounds on time, in seconds.
    Times,
}

impl Group {
    /// Every group, in the order of `--help`.
    pub const ALL: [Group; 9] = [
        Group::Command,
        Group::Server,
        Group::Files,
        Group::Responses,
        Group::Access,
        Group::Cgi,
        Group::Logs,
        Group::Limits,
        Group::Times,
    ];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Command => "Command line only",
            Group::Server => "Server",
            Group::Files => "Files",
            Group::Responses => "Responses",
            Group::Access => "Access",
            Group::Cgi => "CGI scripts",
            Group::Logs => "Logs and signals",
            Group::Limits => "Limits (0 = no bound, unless it says otherwise)",
            Group::Times => "Times (seconds)",
        }
    }
}

impl Row {
    const fn flag(mut self, flag: &'static str) -> Row {
        self.flag = flag;
        self
    }

    const fn off(mut self, name: &'static str, flag: &'static str) -> Row {
        self.off_name = name;
        self.off_flag = flag;
        self
    }

    const fn value(mut self, value: &'static str, unset: &'static str) -> Row {
        self.value = value;
        self.unset = unset;
        self
    }
}

/// A row with names only; the builders above add the rest.
const fn option(names: &'static [&'static str], group: Group, kind: Kind, help: &'static str) -> Row {
    Row { flag: "", off_flag: "", names, off_name: "", group, value: "", help, unset: "", kind }
}

/// A row that only the command line has.
const fn act(flag: &'static str, value: &'static str, act: Act, help: &'static str) -> Row {
    option(&[], Group::Command, Kind::Act(act), help).flag(flag).value(value, "")
}

/// The field of a number, of any number type.
type NumberField = fn(&mut Config) -> &mut dyn Number;

/// A row of a number of things.
const fn count(
    name: &'static [&'static str],
    group: Group,
    field: NumberField,
    range: Range,
    help: Text,
) -> Row {
    let kind = Kind::Number { field, unit: Unit::Count, least: range.0, most: range.1 };
    option(name, group, kind, help).value("n", "")
}

/// A row of a number of bytes.
const fn bytes(
    name: &'static [&'static str],
    group: Group,
    field: NumberField,
    range: Range,
    help: Text,
) -> Row {
    let kind = Kind::Number { field, unit: Unit::Bytes, least: range.0, most: range.1 };
    option(name, group, kind, help).value("size", "")
}

/// A row of a time; the longest is a year, so that no deadline overflows.
const fn seconds(
    name: &'static [&'static str],
    group: Group,
    field: NumberField,
    least: i64,
    help: Text,
) -> Row {
    let kind = Kind::Number { field, unit: Unit::Seconds, least, most: 366 * 86400 };
    option(name, group, kind, help).value("seconds", "")
}

type Text = &'static str;
/// Smallest and largest allowed value.
type Range = (i64, i64);

const KIB: i64 = 1024;
const MIB: i64 = 1024 * KIB;
const GIB: i64 = 1024 * MIB;
/// More connections than any kernel gives descriptors to.
const MANY: i64 = 10_000_000;

/// Every option.
#[rustfmt::skip]
pub const OPTIONS: &[Row] = &[
    act("-C", "configfile", Act::ReadFile, "read a config file, at this place among the flags"),
    count(&["port"], Server, |c| &mut c.port, (0, 65535), "port to listen on; 0 lets the kernel choose one")
        .flag("-p").value("port", ""),
    option(&["dir"], Files, Path(|c| &mut c.dir), "directory to serve (changed to at start)")
        .flag("-d").value("dir", "where it is started"),
    option(&["chroot"], Files, Switch(|c| &mut c.chroot), "make the directory the root of the process; -r turns the symlink check off, -nor on")
        .flag("-r").off("nochroot", "-nor"),
    option(&["data_dir"], Files, Path(|c| &mut c.data_dir), "directory to change to after chroot")
        .flag("-dd").value("data_dir", "none"),
    option(&["symlinkcheck"], Files, Switch(|c| &mut c.symlink_check), "refuse symbolic links that leave the directory")
        .flag("-s").off("nosymlinkcheck", "-nos"),
    option(&["vhost"], Files, Switch(|c| &mut c.vhost), "a directory for each host name")
        .flag("-v").off("novhost", "-nov"),
    option(&["globalpasswd"], Access, Switch(|c| &mut c.global_passwd), "the .htpasswd at the top protects the whole tree")
        .flag("-g").off("noglobalpasswd", "-nog"),
    option(&["user"], Server, Name(|c| &mut c.user), "who to become when started as root")
        .flag("-u").value("user", ""),
    option(&["cgipat"], Cgi, Kind::Pattern(|c| &mut c.cgi_pattern, Pattern::relative), "files that are scripts, as a pattern")
        .flag("-c").value("cgipat", "no scripts"),
    option(&["throttles"], Access, Path(|c| &mut c.throttle_file), "file of bandwidth limits by pattern")
        .flag("-t").value("throttles", "no limits"),
    option(&["host"], Server, Host(|c| &mut c.host), "host name or address to listen on; also the server's name")
        .flag("-h").value("host", "every address"),
    option(&["logfile"], Logs, Log(|c| &mut c.log), "access log; - is standard output, /dev/null no log")
        .flag("-l").value("logfile", "syslog"),
    option(&["pidfile"], Server, Path(|c| &mut c.pid_file), "file to write the process id to")
        .flag("-i").value("pidfile", "none"),
    option(&["charset"], Responses, Kind::Text(|c| &mut c.charset), "character set named for text files")
        .flag("-T").value("charset", ""),
    option(&["p3p"], Responses, Kind::Text(|c| &mut c.p3p), "value of the P3P field; empty sends none")
        .flag("-P").value("P3P", ""),
    count(&["max_age"], Responses, |c| &mut c.max_age, (i64::MIN, u32::MAX as i64), "seconds that caches may keep a file; negative says nothing")
        .flag("-M").value("maxage", ""),
    act("-V", "", Act::ShowVersion, "print the version and exit"),
    option(&["debug"], Server, Switch(|c| &mut c.foreground), "stay in the foreground").flag("-D"),

    act("-o", "name=value", Act::Assign, "set one option by its config-file name"),
    act("--help", "", Act::ShowHelp, "print this help and exit"),
    act("--version", "", Act::ShowVersion, "print the version and exit"),
    act("--check", "", Act::Check, "check the configuration and exit"),
    act("--dump-config", "", Act::DumpConfig, "print every option, with where it was set, and exit"),
    act("--explain", "url", Act::Explain, "tell how a URL would be answered, and exit"),
    act("--healthcheck", "[url]", Act::HealthCheck, "ask the running server for a URL; exit 0 if it answers"),

    count(&["workers"], Server, |c| &mut c.workers, (0, 1024), "threads that serve; 0 = by the number of processors"),
    option(&["landlock"], Server, Switch(|c| &mut c.landlock), "have the kernel confine the process to the files it serves")
        .off("nolandlock", ""),
    seconds(&["watchdog"], Server, |c| &mut c.watchdog, 0, "abort when nothing moves for so many seconds; 0 = never"),

    option(&["listing"], Files, Switch(|c| &mut c.listing), "list directories that have no index file")
        .off("nolisting", ""),
    option(&["hide_dotfiles"], Files, Switch(|c| &mut c.hide_dotfiles), "leave names that begin with a dot out of listings")
        .off("showdotfiles", ""),
    count(&["cache_entries"], Files, |c| &mut c.cache.entries, (0, MANY), "files kept open for the next request; 0 = none"),
    bytes(&["cache_bytes"], Files, |c| &mut c.cache.bytes, (0, GIB), "content of small files kept in memory; 0 = none"),

    option(&["urlpat"], Access, Kind::Pattern(|c| &mut c.url_pattern, Pattern::new), "files that only local pages may refer to, as a pattern")
        .value("pattern", "no referrer check"),
    option(&["localpat"], Access, Kind::Pattern(|c| &mut c.local_pattern, Pattern::new), "hosts whose pages are local, as a pattern")
        .value("pattern", "the server's own name"),
    option(&["noemptyreferrers", "noemptyreferers"], Access, Switch(|c| &mut c.no_empty_referrers), "refuse those files also without a referrer"),

    count(&["cgilimit"], Cgi, |c| &mut c.cgi_limit, (0, 100_000), "scripts that may run at once; 0 = no bound"),
    seconds(&["cgi_timeout"], Cgi, |c| &mut c.timeouts.cgi, 1, "seconds a script may run"),
    bytes(&["cgi_output_limit"], Cgi, |c| &mut c.limits.cgi_output, (0, i64::MAX), "what a script may write in one response; 0 = no bound"),

    seconds(&["stats_interval"], Logs, |c| &mut c.stats_interval, 0, "seconds between statistics in the log; 0 = only on USR2"),
    option(&["reload_on_hup"], Logs, Switch(|c| &mut c.reload_on_hup), "HUP reads the configuration again, beside opening the log anew")
        .off("noreload_on_hup", ""),

    count(&["max_connections"], Group::Limits, |c| &mut c.limits.connections, (0, MANY), "connections at once; 0 = as many as there are descriptors"),
    count(&["max_connections_per_address"], Group::Limits, |c| &mut c.limits.connections_per_address, (0, MANY), "connections at once of one address (IPv6: one /64); 0 = no bound"),
    bytes(&["head_limit"], Group::Limits, |c| &mut c.limits.head, (512, MIB), "a request's whole head; beyond it 431"),
    bytes(&["target_limit"], Group::Limits, |c| &mut c.limits.target, (16, MIB), "a request's target; beyond it 414"),
    count(&["field_limit"], Group::Limits, |c| &mut c.limits.fields, (1, Limits::MOST_FIELDS as i64), "field lines of a request; beyond it 431"),
    bytes(&["body_limit"], Group::Limits, |c| &mut c.limits.body, (0, i64::MAX), "a request's content; beyond it 413"),
    count(&["keepalive_requests"], Group::Limits, |c| &mut c.limits.keepalive_requests, (0, i64::MAX), "requests on one connection; 0 = no bound, 1 = no keep-alive"),

    seconds(&["head_timeout"], Times, |c| &mut c.timeouts.head, 1, "from a request's first byte to its complete head"),
    seconds(&["body_timeout"], Times, |c| &mut c.timeouts.body, 1, "between two arrivals of a request's content"),
    seconds(&["send_timeout"], Times, |c| &mut c.timeouts.send, 1, "without any progress in sending"),
    seconds(&["keepalive_timeout"], Times, |c| &mut c.timeouts.keepalive, 1, "idle between two requests of a connection"),
    seconds(&["keepalive_max_time"], Times, |c| &mut c.timeouts.keepalive_total, 0, "a connection's whole life; 0 = no bound"),
    seconds(&["stop_grace"], Times, |c| &mut c.timeouts.grace, 0, "left to requests in flight when told to stop"),
];
