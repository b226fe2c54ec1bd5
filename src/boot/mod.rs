//! Start of the server: from a configuration to a running server, one step after another.
//!
//! The order is thttpd's: names and files that need the first root directory are read before chroot, ports
//! are bound and the log is opened before dropping root, and threads are started last, so that none ever
//! runs as root. `command` calls [`start`]; `control` takes the result.

use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::syslog::Severity;
use nix::errno::Errno;
use nix::libc::rlim_t;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{AccessFlags, access, geteuid};

use crate::cgi::{Cgi, children::Children};
use crate::config::origin::Origins;
use crate::config::{Config, LogTarget};
use crate::docroot::DocRoot;
use crate::log;
use crate::log::access::AccessLog;
use crate::log::syslog::{self, Echo};
use crate::net::Server;
use crate::net::listen_socket::{Listener, ListenerAddress, ListenerSet};
use crate::rules::Rules;
use crate::site::{Loaded, Records, Site};
use crate::sys::ids::User;
use crate::sys::memory;
use crate::sys::memory_limit::memory_limit;
use crate::sys::systemd::{self, Notify};
use crate::sys::zone;

mod announce;
mod banner;
mod confine;
mod daemon;
mod failure;
pub(crate) mod listen;
mod load;
pub(crate) mod names;
pub(crate) mod pid_file;
pub(crate) mod privileges;
mod signals;
pub(crate) mod sockets;
pub(crate) mod unix_socket;

pub use failure::Failure;
pub(crate) use load::{load, load_rules, load_types, lost_password_files, warn_of_password_files};
pub use pid_file::PidFile;
pub use signals::{Commands, SignalAction, Signals};
pub use unix_socket::SocketFile;

use confine::SandboxNeeds;
use daemon::{ForkSide, StartOutcome};
use pid_file::PidFilePlace;
use privileges::{Privileges, Unprivileged};
use sockets::{Opened, Sockets};

/// Minimum number of descriptors for a working server.
const FEWEST_DESCRIPTORS: rlim_t = 64;
/// Maximum number of descriptors requested, whatever the hard limit is.
const MOST_DESCRIPTORS: rlim_t = 1 << 20;

/// Running server, with all parts that `control` needs.
#[derive(Debug)]
pub struct RunningServer {
    /// Server threads.
    pub server: Server,
    /// Site that the listeners serve.
    pub site: Arc<Site>,
    /// Running scripts, if scripts are enabled.
    pub children: Option<Arc<Children>>,
    /// Queue of the actions that signals ask for.
    pub commands: Commands,
    /// Pid file, to be removed when the ports are closed.
    pub pid_file: Option<PidFile>,
    /// Unix sockets, to be removed when they are closed.
    pub socket_files: Vec<SocketFile>,
    /// Connection to systemd, if systemd has started the server.
    pub notify: Notify,
    /// Summary line for people: directory and addresses.
    pub summary: String,
    /// Addresses that the server listens on.
    pub addresses: Vec<ListenerAddress>,
}

/// Resources opened before the process changes its root, its directory and its user.
struct Prepared {
    sockets: Sockets,
    loaded: Loaded,
    privileges: Privileges,
    log: AccessLog,
    notify: Notify,
}

/// Resources that the threads take over.
struct OpenedResources {
    listeners: ListenerSet,
    loaded: Loaded,
    log: AccessLog,
}

/// Starts the server. `None`: this is the process that was started, and the server, in the background,
/// is ready. `reread` are files that will be read again while it runs. `origins` are for failures.
///
/// # Errors
/// The first step that fails; the process must exit.
pub fn start(
    config: &Arc<Config>,
    origins: &Origins,
    reread: &[PathBuf],
) -> Result<Option<RunningServer>, Failure> {
    let located = |failure: Failure| failure.located(origins);
    zone::fix();
    // Asked before chroot and Landlock hide the answer.
    memory_limit();
    let prepared = prepare(config).map_err(located)?;
    enter_dir(config).map_err(located)?;
    let outcome = if config.foreground {
        daemon::leave_job_control();
        StartOutcome::unneeded()
    } else {
        match daemon::detach()? {
            ForkSide::Starter => return Ok(None),
            ForkSide::Server(outcome) => outcome,
        }
    };
    if !config.foreground {
        syslog::set_echo(Echo::Never);
    }
    match launch(config, prepared, reread).map_err(located) {
        Ok(running) => {
            outcome.ready();
            Ok(Some(running))
        }
        Err(failure) => {
            outcome.failed(&failure);
            Err(failure)
        }
    }
}

/// Changes root, directory and user as a server would, for `--check` and `--explain`.
///
/// Steps that are not permitted are left out.
///
/// # Errors
/// The first step that fails.
pub(crate) fn go_where_it_would_serve(config: &Config) -> Result<(), Failure> {
    let privileges = Privileges::of_process(&config.user)?;
    enter_dir(config)?;
    enter_root(config)?;
    privileges.give_up().map(drop)
}

/// Changes root, directory and user, and checks that the directory can be served.
///
/// # Errors
/// The first step that fails.
pub(crate) fn try_where_it_would_serve(config: &Config) -> Result<(), Failure> {
    raise_descriptor_limit()?;
    go_where_it_would_serve(config)?;
    let here = std::env::current_dir().map_err(|error| no_web_directory(config, error))?;
    let root = DocRoot::open(Path::new("."), here.as_os_str().as_bytes());
    root.map(drop).map_err(|errno| no_web_directory(config, errno.into()))
}

fn no_web_directory(config: &Config, error: std::io::Error) -> Failure {
    let is_user = User::find(&config.user).is_some_and(|user| user.uid == geteuid().as_raw());
    let name = if is_user { &config.user } else { "this user" };
    let here = std::env::current_dir().unwrap_or_default();
    let advice = match error.kind() {
        // A removed directory has no path to name.
        std::io::ErrorKind::NotFound => {
            "the current directory has been removed: start in another, or name one by its whole path with -d"
                .into()
        }
        _ => format!("{name} may not enter {}: chmod o+x it, or see -d and -u", here.display()),
    };
    let option = if config.data_dir.is_some() { "data_dir" } else { "dir" };
    Failure::from_call("web directory", error, advice).with_option(option)
}

/// Opens the resources that need the first root, directory and user.
fn prepare(config: &Config) -> Result<Prepared, Failure> {
    let handed = systemd::listeners().map_err(|error| {
        Failure::from_call(
            "LISTEN_FDS",
            error,
            "hand over stream sockets that listen (ListenStream= in the socket unit)",
        )
    })?;
    let loaded = load(config, Path::new("."))?;
    warn_of_password_files(&loaded.rules);
    let privileges = Privileges::of_process(&config.user)?;
    let log = open_log(config, &privileges)?;
    // Unix sockets are bound last, so that an earlier failure leaves no socket file behind.
    let sockets = Sockets::prepare(handed, config, &privileges)?;
    Ok(Prepared { sockets, loaded, privileges, log, notify: Notify::from_environment() })
}

fn open_log(config: &Config, privileges: &Privileges) -> Result<AccessLog, Failure> {
    if config.log == LogTarget::Syslog && !syslog::reachable() {
        log::warning!("no log daemon to be reached: access log lines are lost; name a file with -l");
    }
    let opened = AccessLog::open(&config.log, privileges.user());
    opened.map(|log| log.in_format(config.log_format)).map_err(|error| log_failure(config, error))
}

/// Tells whether the log of requests can be opened, for `--check`.
///
/// # Errors
/// The failure of a start.
pub fn try_log(config: &Config) -> Result<(), Failure> {
    let LogTarget::File(path) = &config.log else { return Ok(()) };
    log::access::try_open(path, geteuid().is_root()).map_err(|error| log_failure(config, error))
}

fn log_failure(config: &Config, error: std::io::Error) -> Failure {
    let LogTarget::File(path) = &config.log else {
        return Failure::from_call("logfile", error, "see -l").with_option("logfile");
    };
    let advice = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => "root follows no symbolic link to its log: give the file itself with -l",
        Some(Errno::EMLINK) => {
            "root writes to no file that has a second name (hard link): give another one with -l"
        }
        _ => "give a file that can be written with -l, or - for standard output",
    };
    Failure::from_call(path.display(), error, advice).with_option("logfile")
}

/// Changes to the directory of `-d`.
fn enter_dir(config: &Config) -> Result<(), Failure> {
    match &config.dir {
        Some(dir) => enter("chdir", dir, "-d").map_err(|failure| failure.with_option("dir")),
        None => Ok(()),
    }
}

fn enter(call: &str, dir: &Path, flag: &str) -> Result<(), Failure> {
    std::env::set_current_dir(dir).map_err(|error| {
        let is_closed = error.kind() == std::io::ErrorKind::PermissionDenied;
        let advice = match is_closed.then(|| closed_directory(dir)).flatten() {
            Some(closed) => format!("this user may not enter {}: see chmod", closed.display()),
            None if dir.is_file() => format!("{} is a file: -C reads one, -d is a directory", dir.display()),
            None => format!("give an existing directory with {flag}, not {}", dir.display()),
        };
        Failure::from_call(call, error, advice)
    })
}

/// First directory on the path of `dir` that this process may not enter.
fn closed_directory(dir: &Path) -> Option<PathBuf> {
    let way = std::path::absolute(dir).ok()?;
    let mut way: Vec<&Path> = way.ancestors().collect();
    way.reverse();
    let is_closed = |dir: &&Path| access(*dir, AccessFlags::X_OK) == Err(Errno::EACCES);
    way.into_iter().find(is_closed).map(Path::to_owned)
}

/// Files that the process reads while it serves: those of the tree, of `rules`, and `reread`.
fn sandbox_needs(config: &Config, rules: &Rules, reread: &[PathBuf]) -> SandboxNeeds {
    let mut needs = SandboxNeeds::from_config(config);
    for (_, file) in rules.all_auth_files() {
        needs.dirs.extend(file.dirs());
    }
    let mut read = |file: &Path| needs.read.extend(file.parent().map(Path::to_owned));
    for file in reread {
        read(file);
        // A name that is a link is read in the directory of its target.
        if let Ok(target) = file.canonicalize() {
            read(&target);
        }
    }
    needs
}

/// Runs the start's steps in the process that will serve.
fn launch(config: &Arc<Config>, prepared: Prepared, reread: &[PathBuf]) -> Result<RunningServer, Failure> {
    let Prepared { sockets, loaded, privileges, log, notify } = prepared;
    let pid_file = config.pid_file.as_deref().map(PidFilePlace::find).transpose()?.flatten();
    raise_descriptor_limit()?;
    enter_root(config)?;
    lost_password_files(&loaded.rules).iter().for_each(|text| log::warning!("{text}"));
    // Signals are blocked before the first connection, so that each has its final meaning from then on.
    let signals = Signals::block();
    let is_leaving = || pid_file.as_ref().is_some_and(PidFilePlace::names_another);
    let Opened { listeners, files: socket_files, to_store } = sockets.open(&notify, &is_leaving)?;
    let pid_directory = pid_file.as_ref().and_then(PidFilePlace::directory);
    let pid_file = pid_file.map(PidFilePlace::write).transpose()?;
    let addresses: Vec<_> = listeners.serving.iter().map(Listener::address).collect();
    let is_every = config.listen.is_empty() && names::is_every_address(config.host.as_deref());
    if is_every && addresses.iter().all(ListenerAddress::is_ipv4) {
        log::warning!("IPv6 is switched off on this machine: only IPv4 is served");
    }
    if privileges.user().is_some() && !config.chroot {
        // The warning goes to the log alone, as in thttpd: at a terminal, or in a container, it cannot be
        // acted on.
        let text = format_args!("started as root without requesting chroot(), warning only");
        syslog::send_to_daemon(Severity::LOG_WARNING, text);
    }
    let unprivileged = privileges.give_up()?;
    let mut needs = sandbox_needs(config, &loaded.rules, reread);
    needs.log = log.directories();
    needs.removal.extend(pid_directory);
    needs.removal.extend(socket_files.iter().filter_map(SocketFile::directory));
    confine::confine(config, &needs);
    let (server, site) = start_threads(unprivileged, config, OpenedResources { listeners, loaded, log })?;
    let commands = signals.listen().map_err(no_thread)?;
    if config.foreground {
        // With standard error in the journal, the log daemon has the message already.
        let is_watched = !systemd::has_standard_error();
        syslog::set_echo(if is_watched { Echo::Foreground } else { Echo::WithoutDaemon });
    }
    let notice = announce::notice(config, &addresses);
    if config.foreground && std::io::stderr().is_terminal() {
        // A terminal gets the summary line instead.
        syslog::send_to_daemon(Severity::LOG_NOTICE, format_args!("{notice}"));
    } else {
        log::notice!("{notice}");
    }
    let summary = banner::summary(&place(config), &addresses);
    notify.ready_and_store(&summary, &to_store);
    let children = site.cgi.as_ref().map(Cgi::children);
    let server = RunningServer {
        server,
        site,
        children,
        commands,
        pid_file,
        socket_files,
        notify,
        summary,
        addresses,
    };
    Ok(server)
}

/// Changes from the directory of `-d` to the directory of served files.
fn enter_root(config: &Config) -> Result<(), Failure> {
    if config.chroot {
        change_root()?;
    }
    match &config.data_dir {
        Some(dir) => enter("data_dir chdir", dir, "-dd").map_err(|failure| failure.with_option("data_dir")),
        None => Ok(()),
    }
}

fn change_root() -> Result<(), Failure> {
    syslog::hold_socket_through_chroot();
    nix::unistd::chroot(".")
        .map_err(|errno| Failure::from_call("chroot", errno, "-r needs root").with_option("chroot"))?;
    std::env::set_current_dir("/").map_err(|error| Failure::from_call("chroot chdir", error, ""))
}

/// Raises the soft limit on descriptors to the hard limit; it bounds the number of connections.
fn raise_descriptor_limit() -> Result<(), Failure> {
    let failed = |errno| Failure::from_call("fdwatch initialization failure", errno, "see ulimit -n");
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    let wanted = hard.min(MOST_DESCRIPTORS).max(soft);
    if wanted < FEWEST_DESCRIPTORS {
        let message = format!("fdwatch initialization failure - only {wanted} descriptors");
        return Err(Failure::new(message, format!("allow at least {FEWEST_DESCRIPTORS} (ulimit -n)")));
    }
    if wanted > soft {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_err(failed)?;
    }
    Ok(())
}

/// Starts all threads. The first argument is the proof that root was dropped.
fn start_threads(
    _: Unprivileged,
    config: &Arc<Config>,
    opened: OpenedResources,
) -> Result<(Server, Arc<Site>), Failure> {
    let OpenedResources { listeners, loaded, log } = opened;
    syslog::start_thread().map_err(no_thread)?;
    log::report_panics();
    log.start().map_err(no_thread)?;
    let children = config.cgi_pattern.as_ref().map(|_| crate::cgi::children().map(Arc::new));
    let children = children.transpose().map_err(no_thread)?;
    let records = Records { log: Arc::new(log), stats: Arc::default() };
    let site = build_site(config, loaded, records, children)?;
    let server = Server::start(listeners, Arc::clone(&site)).map_err(no_thread)?;
    Ok((server, site))
}

/// Failure of starting a thread.
pub(crate) fn no_thread(error: std::io::Error) -> Failure {
    Failure::from_call("starting threads", error, "the system has no room for more: see ulimit -u and -v")
}

/// Builds the site for the current directory, also after reading the configuration again.
///
/// `records` and `children` (the running scripts) outlive the site.
pub(crate) fn build_site(
    config: &Arc<Config>,
    loaded: Loaded,
    records: Records,
    children: Option<Arc<Children>>,
) -> Result<Arc<Site>, Failure> {
    memory::set_budgets(config.limits.request_memory, config.limits.request_spool, memory_limit());
    let failed = |error| no_web_directory(config, error);
    let here = std::env::current_dir().map_err(failed)?;
    let site = Site::new(Arc::clone(config), here.as_os_str().as_bytes(), loaded, records);
    site.map(|site| Arc::new(site.with_scripts(children))).map_err(failed)
}

/// Served directory, as text for people.
fn place(config: &Config) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match (config.chroot, &config.dir) {
        (true, Some(dir)) => format!("{} (chroot)", dir.display()),
        _ => here.display().to_string(),
    }
}
