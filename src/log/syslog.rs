//! The system log, by the syslog crate: facility daemon, our name and process id, thttpd's texts.
//!
//! `boot/` opens it before anything can fail and, once threads exist, starts the one thread that
//! talks to the log daemon; everyone else calls the macros of [`log`](super), which never wait: a
//! message that finds the queue full is counted and dropped. A restarted daemon is reconnected to,
//! also from inside a chroot. Where there is no daemon and we run in the foreground, messages of
//! weight go to standard error instead.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::{Datelike, Local, Timelike};
use crossbeam_channel::{Receiver, Sender, bounded};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use syslog::{Facility, LogFormat, Logger, LoggerBackend, Severity};

use super::line::MONTHS;
use crate::sys::stdio;

/// Messages that may wait for the log daemon.
const QUEUE: usize = 1024;
/// Bytes of one message; URLs are long, and a datagram is not.
const LONGEST: usize = 1024;
/// How long a daemon that takes nothing holds up the one thread that talks to it.
const PATIENCE: Duration = Duration::from_millis(500);
/// Pause between two tries to connect.
const RECONNECT: Duration = Duration::from_secs(1);
/// Where log daemons listen.
const SOCKETS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

static LINK: OnceLock<DaemonLink> = OnceLock::new();

/// How to reach the system log.
#[derive(Debug, Clone, Default)]
pub struct SyslogOptions {
    /// Our name in each message: the last part of argv\[0\], as thttpd's.
    pub ident: String,
    /// The daemon's socket, where it is not one of the usual ones.
    pub socket: Option<PathBuf>,
    /// Messages that go to standard error at first.
    pub echo: Echo,
}

/// Which messages go to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Echo {
    /// Warnings and worse, in addition to the log: an administrator watches the start.
    #[default]
    Warnings,
    /// Notices and worse, when no daemon takes them: we run in the foreground, or the journal has both.
    WithoutDaemon,
    /// Notices when no daemon takes them, and what scripts complain of in any case: a terminal is watched.
    Foreground,
    /// None: standard error is closed, or carries other output.
    Never,
}

struct DaemonLink {
    line: Mutex<SyslogLine>,
    queue: OnceLock<Sender<QueuedMessage>>,
    dropped: AtomicU64,
}

enum QueuedMessage {
    Message(u8, String),
    /// A message that is for standard error too, where somebody watches that.
    Shown(u8, String),
    /// Answer when everything before is delivered.
    Flush(Sender<()>),
}

/// The connection to the daemon, with all that is needed to make it again.
struct SyslogLine {
    options: SyslogOptions,
    logger: Option<Logger<LoggerBackend, Ident>>,
    tried: Option<Instant>,
    /// Set before chroot: the directory of the socket, and its name there.
    outside: Option<(OwnedFd, OsString)>,
}

/// Our message format: RFC 3164 as the C library writes it. The crate's own pads the day with a zero
/// and gives the time in UTC.
#[derive(Debug, Clone)]
struct Ident(String);

impl LogFormat<&str> for Ident {
    fn format<W: std::io::Write>(&self, to: &mut W, severity: Severity, message: &str) -> syslog::Result<()> {
        let now = Local::now();
        write!(
            to,
            "<{}>{} {:2} {:02}:{:02}:{:02} {}[{}]: {message}",
            Facility::LOG_DAEMON as u8 | severity as u8,
            MONTHS[now.month0() as usize],
            now.day(),
            now.hour(),
            now.minute(),
            now.second(),
            self.0,
            std::process::id(),
        )
        .map_err(syslog::Error::Write)
    }
}

/// Opens the system log, once in the life of the process; a missing daemon is no error.
pub fn open_log(options: SyslogOptions) {
    let line = SyslogLine { options, logger: None, tried: None, outside: None };
    let link = DaemonLink { line: Mutex::new(line), queue: OnceLock::new(), dropped: AtomicU64::new(0) };
    if LINK.set(link).is_ok()
        && let Some(link) = LINK.get()
    {
        link.line().connect();
    }
}

/// Whether a log daemon took our connection.
pub fn reachable() -> bool {
    LINK.get().is_some_and(|link| link.line().logger.is_some())
}

/// Changes what goes to standard error.
pub fn set_echo(echo: Echo) {
    if let Some(link) = LINK.get() {
        link.line().options.echo = echo;
    }
}

/// Keeps the way to the daemon's socket open through the chroot that follows.
pub fn hold_socket_through_chroot() {
    if let Some(link) = LINK.get() {
        link.line().hold_socket();
    }
}

/// Starts the thread that talks to the daemon; call it after the last fork and the change of user.
///
/// # Errors
///
/// The system has no thread for us.
pub fn start_thread() -> std::io::Result<()> {
    let Some(link) = LINK.get() else { return Ok(()) };
    let (sender, receiver) = bounded(QUEUE);
    std::thread::Builder::new()
        .name("syslog".into())
        .stack_size(256 * 1024)
        .spawn(move || link.serve(&receiver))?;
    let _ = link.queue.set(sender);
    Ok(())
}

/// Hands one message over; the macros of [`log`](super) call this. Control characters are escaped, so
/// a message is one line whatever a client put into it.
pub fn send(severity: Severity, text: fmt::Arguments<'_>) {
    hand_over(severity, text, QueuedMessage::Message);
}

/// Hands over a message that is told on standard error as well where the server runs in the foreground,
/// whether or not a daemon takes it: what scripts complain of.
pub fn send_shown(severity: Severity, text: fmt::Arguments<'_>) {
    hand_over(severity, text, QueuedMessage::Shown);
}

fn hand_over(severity: Severity, text: fmt::Arguments<'_>, item: fn(u8, String) -> QueuedMessage) {
    let Some(link) = LINK.get() else { return };
    let message = one_line(text);
    match link.queue.get() {
        Some(queue) => {
            if queue.try_send(item(severity as u8, message)).is_err() {
                link.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        None => {
            link.line().deliver(severity, &message);
        }
    }
}

/// Hands one message to the daemon at once, and to nothing else. For the start, before there are threads.
pub fn send_to_daemon(severity: Severity, text: fmt::Arguments<'_>) {
    if let Some(link) = LINK.get() {
        link.line().hand_to_daemon(severity, &one_line(text));
    }
}

fn one_line(text: fmt::Arguments<'_>) -> String {
    let mut message = OneLine(String::new());
    let _ = message.write_fmt(text);
    message.0
}

/// One access-log line at INFO, waiting for the queue; only the access log's writer may call it.
/// `false`: no log daemon takes it.
pub(super) fn deliver_access(line: &[u8]) -> bool {
    let (Some(link), Ok(line)) = (LINK.get(), std::str::from_utf8(line)) else { return false };
    match link.queue.get() {
        Some(queue) => queue
            .send_timeout(QueuedMessage::Message(Severity::LOG_INFO as u8, line.into()), PATIENCE)
            .is_ok(),
        None => link.line().deliver(Severity::LOG_INFO, line),
    }
}

/// Returns when every message handed over so far has been delivered, or after `limit`.
pub fn flush(limit: Duration) {
    let Some(queue) = LINK.get().and_then(|link| link.queue.get()) else { return };
    let (done, wait) = bounded(1);
    if queue.send_timeout(QueuedMessage::Flush(done), limit).is_ok() {
        let _ = wait.recv_timeout(limit);
    }
}

impl DaemonLink {
    fn line(&self) -> std::sync::MutexGuard<'_, SyslogLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, items: &Receiver<QueuedMessage>) {
        self.line().step_outside();
        for item in items {
            match item {
                QueuedMessage::Message(severity, text) => {
                    self.line().deliver(severity_of(severity), &text);
                }
                QueuedMessage::Shown(severity, text) => {
                    self.line().deliver_shown(severity_of(severity), &text);
                }
                QueuedMessage::Flush(done) => {
                    let _ = done.send(());
                }
            }
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let text = format!("{dropped} messages dropped: the log daemon is slow");
                self.line().deliver(Severity::LOG_WARNING, &text);
            }
        }
    }
}

impl SyslogLine {
    /// Connects, unless that failed a moment ago.
    fn connect(&mut self) {
        if self.tried.is_some_and(|at| at.elapsed() < RECONNECT) {
            return;
        }
        self.tried = Some(Instant::now());
        let ident = Ident(self.options.ident.clone());
        self.logger = match (&self.outside, &self.options.socket) {
            (Some((_, name)), _) => syslog::unix_custom(ident, name).ok(),
            (None, Some(path)) => syslog::unix_custom(ident, path).ok(),
            (None, None) => SOCKETS.iter().find_map(|path| syslog::unix_custom(ident.clone(), path).ok()),
        };
        match self.logger.as_ref().map(|logger| &logger.backend) {
            Some(LoggerBackend::Unix(socket)) => drop(socket.set_write_timeout(Some(PATIENCE))),
            Some(LoggerBackend::UnixStream(socket)) => {
                drop(socket.get_ref().set_write_timeout(Some(PATIENCE)));
            }
            _ => {}
        }
    }

    /// `true`: the daemon, or standard error, has the message.
    fn deliver(&mut self, severity: Severity, text: &str) -> bool {
        let level = severity as u8;
        let taken = self.hand_to_daemon(severity, text);
        let echo = match self.options.echo {
            Echo::Warnings => level <= Severity::LOG_WARNING as u8,
            Echo::WithoutDaemon | Echo::Foreground => !taken && level <= Severity::LOG_NOTICE as u8,
            Echo::Never => false,
        };
        taken | (echo && self.echo(text))
    }

    /// The same, for what somebody who watches the foreground wants to see in any case.
    fn deliver_shown(&mut self, severity: Severity, text: &str) {
        let is_watched =
            self.options.echo == Echo::Foreground && severity as u8 <= Severity::LOG_NOTICE as u8;
        if !is_watched {
            self.deliver(severity, text);
            return;
        }
        self.hand_to_daemon(severity, text);
        self.echo(text);
    }

    /// One line on standard error; `true`: it is there.
    fn echo(&self, text: &str) -> bool {
        stdio::error_line(&format!("{}: {text}", self.options.ident)).is_ok()
    }

    fn hand_to_daemon(&mut self, severity: Severity, text: &str) -> bool {
        for fresh in [false, true] {
            if self.logger.is_none() {
                self.connect();
            }
            let Some(logger) = &mut self.logger else { break };
            match logger.formatter.format(&mut logger.backend, severity, text) {
                Ok(()) => return true,
                Err(syslog::Error::Write(error)) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // The daemon that had this socket is gone; perhaps a new one is there.
                Err(_) => {
                    self.logger = None;
                    if !fresh {
                        self.tried = None;
                    }
                }
            }
        }
        false
    }

    fn hold_socket(&mut self) {
        let path = self.options.socket.clone().unwrap_or_else(|| {
            let found = SOCKETS.iter().map(Path::new).find(|path| path.exists());
            found.unwrap_or(Path::new(SOCKETS[0])).to_owned()
        });
        // The name may be a symbolic link out of its directory, as systemd's is.
        let path = path.canonicalize().unwrap_or(path);
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        self.outside = open(dir, flags, Mode::empty()).ok().map(|dir| (dir, name.to_owned()));
    }

    /// Gives the calling thread a working directory of its own, the socket's: a socket is found by
    /// path only, and after chroot no path of ours leads there.
    fn step_outside(&mut self) {
        let Some((dir, _)) = &self.outside else { return };
        let stepped =
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).and_then(|()| nix::unistd::fchdir(dir));
        if stepped.is_err() {
            self.outside = None;
        }
    }
}

/// [`Severity`] neither compares nor crosses threads by itself.
fn severity_of(level: u8) -> Severity {
    match level {
        0 => Severity::LOG_EMERG,
        1 => Severity::LOG_ALERT,
        2 => Severity::LOG_CRIT,
        3 => Severity::LOG_ERR,
        4 => Severity::LOG_WARNING,
        5 => Severity::LOG_NOTICE,
        6 => Severity::LOG_INFO,
        _ => Severity::LOG_DEBUG,
    }
}

/// Collects formatted text, control characters escaped, up to [`LONGEST`] bytes.
struct OneLine(String);

impl fmt::Write for OneLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() >= LONGEST {
                return Ok(());
            }
            if character.is_control() {
                write!(self.0, "\\x{:02x}", u32::from(character))?;
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}
