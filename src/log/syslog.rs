//! System log, by the syslog crate: facility daemon, the server's name and process id, thttpd's texts.
//!
//! `boot/` opens the log first and, once threads exist, starts the one thread that talks to the log daemon.
//! Other threads call the macros of [`log`](super), which never wait: a message beyond the queue's capacity
//! is counted and dropped. After a restart of the daemon, the connection is made again, also from inside a
//! chroot. Without a daemon, important messages of a foreground server go to standard error.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::io::{self, BufWriter};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::{Datelike, Local, Timelike};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use syslog::{Facility, LogFormat, Logger, LoggerBackend, Severity};

use super::line::MONTHS;
use crate::sys::atomic::AtomicU64;
use crate::sys::socket::connect_unix;
use crate::sys::{stdio, thread};

/// Maximum number of messages in the queue.
const QUEUE: u64 = 1024;
/// Maximum length of a message in bytes, to fit into a datagram.
const LONGEST: usize = 1024;
/// Maximum time that an unresponsive daemon blocks the log thread.
const DAEMON_TIMEOUT: Duration = Duration::from_millis(500);
/// Minimum interval between attempts to connect.
const RECONNECT: Duration = Duration::from_secs(1);
/// Paths of log daemons' sockets.
const SOCKETS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

static LINK: OnceLock<DaemonLink> = OnceLock::new();

/// Settings of the system log.
#[derive(Debug, Clone, Default)]
pub struct SyslogOptions {
    /// Program name in each message: the last component of argv\[0\], as in thttpd.
    pub ident: String,
    /// Path of the daemon's socket, if not one of the usual ones.
    pub socket: Option<PathBuf>,
    /// Messages that go to standard error during the start.
    pub echo: Echo,
}

/// Selection of messages that go to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Echo {
    /// Warnings and worse, in addition to the log, since an administrator watches the start.
    #[default]
    Warnings,
    /// Notices and worse, if no daemon accepts them: in the foreground, or with the journal as both.
    WithoutDaemon,
    /// Notices if no daemon accepts them, and errors of scripts always: a terminal is watched.
    Foreground,
    /// No messages: standard error is closed, or carries other output.
    Never,
}

struct DaemonLink {
    line: Mutex<SyslogLine>,
    queue: Mutex<MessageQueue>,
    /// Signals a message in an empty queue, and deliveries that are waited for.
    changed: Condvar,
    dropped: AtomicU64,
}

/// Messages for the log thread.
#[derive(Default)]
struct MessageQueue {
    /// Set when the log thread has been started; before, messages are delivered at once.
    has_thread: bool,
    waiting: Vec<QueuedMessage>,
    /// Number of messages queued so far.
    handed_over: u64,
    /// Number of messages delivered or dropped so far.
    delivered: u64,
    /// Number of threads that wait for deliveries.
    waiters: usize,
}

struct QueuedMessage {
    level: u8,
    text: String,
    /// The message goes to standard error too, in the foreground.
    is_shown: bool,
}

impl MessageQueue {
    fn is_full(&self) -> bool {
        self.handed_over - self.delivered >= QUEUE
    }
}

/// Connection to the daemon, with all data for making it again.
struct SyslogLine {
    options: SyslogOptions,
    logger: Option<Logger<LoggerBackend, Ident>>,
    tried: Option<Instant>,
    /// Directory of the socket and its name there, set before chroot.
    outside: Option<(OwnedFd, OsString)>,
}

/// Message format: RFC 3164 as the C library writes it.
///
/// The crate's own format pads the day with a zero and gives the time in UTC.
#[derive(Debug, Clone)]
struct Ident(String);

impl LogFormat<&str> for Ident {
    fn format<W: io::Write>(&self, to: &mut W, severity: Severity, message: &str) -> syslog::Result<()> {
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

/// Opens the system log, once per process; a missing daemon is no error.
pub fn open_log(options: SyslogOptions) {
    let line = SyslogLine { options, logger: None, tried: None, outside: None };
    let (queue, changed) = (Mutex::default(), Condvar::new());
    let link = DaemonLink { line: Mutex::new(line), queue, changed, dropped: AtomicU64::new(0) };
    if LINK.set(link).is_ok()
        && let Some(link) = LINK.get()
    {
        link.line().connect();
    }
}

/// Tells whether a log daemon has accepted a connection.
pub fn reachable() -> bool {
    LINK.get().is_some_and(|link| link.line().logger.is_some())
}

/// Sets the selection of messages that go to standard error.
pub fn set_echo(echo: Echo) {
    if let Some(link) = LINK.get() {
        link.line().options.echo = echo;
    }
}

/// Opens the directory of the daemon's socket, to reach it after chroot.
pub fn hold_socket_through_chroot() {
    if let Some(link) = LINK.get() {
        link.line().hold_socket();
    }
}

/// Starts the log thread; call this after the last fork and the change of user.
///
/// # Errors
/// The thread cannot be started.
pub fn start_thread() -> io::Result<()> {
    let Some(link) = LINK.get() else { return Ok(()) };
    thread::start("syslog", 256 * 1024, Box::new(|| link.serve()))?;
    link.queue().has_thread = true;
    Ok(())
}

/// Queues one message; called by the macros of [`log`](super).
///
/// Control characters are escaped, so that a message is one line whatever a client has put into it.
pub fn send(severity: Severity, text: fmt::Arguments<'_>) {
    hand_over(severity, text, false);
}

/// Queues a message that a foreground server also shows on standard error: errors of scripts.
pub fn send_shown(severity: Severity, text: fmt::Arguments<'_>) {
    hand_over(severity, text, true);
}

fn hand_over(severity: Severity, text: fmt::Arguments<'_>, is_shown: bool) {
    let Some(link) = LINK.get() else { return };
    let text = one_line(text);
    let queue = link.queue();
    if !queue.has_thread {
        drop(queue);
        link.line().deliver(severity, &text);
    } else if queue.is_full() {
        link.dropped.fetch_add(1, Ordering::Relaxed);
    } else {
        link.push(queue, QueuedMessage { level: severity as u8, text, is_shown });
    }
}

/// Sends one message to the daemon only, at once, for the start before threads exist.
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

/// Queues an access-log line at INFO, and waits for space; only the access log's writer may call this.
///
/// False if no log daemon accepts it.
pub(super) fn deliver_access(line: &[u8]) -> bool {
    let (Some(link), Ok(line)) = (LINK.get(), std::str::from_utf8(line)) else { return false };
    let queue = link.queue();
    if !queue.has_thread {
        drop(queue);
        return link.line().deliver(Severity::LOG_INFO, line);
    }
    let queue = link.wait_while(queue, DAEMON_TIMEOUT, &MessageQueue::is_full);
    let has_room = !queue.is_full();
    if has_room {
        let level = Severity::LOG_INFO as u8;
        link.push(queue, QueuedMessage { level, text: line.into(), is_shown: false });
    }
    has_room
}

/// Waits until all messages queued so far are delivered, or for `limit`.
pub fn flush(limit: Duration) {
    let Some(link) = LINK.get() else { return };
    let queue = link.queue();
    let last = queue.handed_over;
    drop(link.wait_while(queue, limit, &|queue| queue.delivered < last));
}

impl DaemonLink {
    fn line(&self) -> MutexGuard<'_, SyslogLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, MessageQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, mut queue: MutexGuard<'_, MessageQueue>, message: QueuedMessage) {
        queue.waiting.push(message);
        queue.handed_over += 1;
        // Otherwise the thread is awake, and will see the message.
        if queue.waiting.len() == 1 {
            self.changed.notify_all();
        }
    }

    /// Waits for deliveries while `holds` is true, at most for `limit`.
    fn wait_while<'q>(
        &self,
        mut queue: MutexGuard<'q, MessageQueue>,
        limit: Duration,
        holds: &dyn Fn(&MessageQueue) -> bool,
    ) -> MutexGuard<'q, MessageQueue> {
        queue.waiters += 1;
        let waited = self.changed.wait_timeout_while(queue, limit, |queue| holds(queue));
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.waiters -= 1;
        queue
    }

    /// Delivers messages for the life of the process.
    fn serve(&self) {
        self.line().step_outside();
        loop {
            let queue = self.changed.wait_while(self.queue(), |queue| queue.waiting.is_empty());
            let messages = std::mem::take(&mut queue.unwrap_or_else(PoisonError::into_inner).waiting);
            for message in messages {
                self.deliver(&message);
                let mut queue = self.queue();
                queue.delivered += 1;
                if queue.waiters > 0 {
                    self.changed.notify_all();
                }
            }
        }
    }

    fn deliver(&self, message: &QueuedMessage) {
        let severity = severity_of(message.level);
        match message.is_shown {
            true => self.line().deliver_shown(severity, &message.text),
            false => drop(self.line().deliver(severity, &message.text)),
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("{dropped} messages dropped: the log daemon is slow");
            self.line().deliver(Severity::LOG_WARNING, &text);
        }
    }
}

impl SyslogLine {
    /// Connects, unless an attempt has failed within the minimum interval.
    fn connect(&mut self) {
        if self.tried.is_some_and(|at| at.elapsed() < RECONNECT) {
            return;
        }
        self.tried = Some(Instant::now());
        let sockets = match (&self.outside, &self.options.socket) {
            (Some((_, name)), _) => &[Path::new(name)][..],
            (None, Some(path)) => &[path.as_path()],
            (None, None) => &SOCKETS.map(Path::new),
        };
        let ident = Ident(self.options.ident.clone());
        let backend = sockets.iter().find_map(|path| connect(path).ok());
        self.logger = backend.map(|backend| Logger::new(backend, ident));
    }

    /// Delivers a message; true if the daemon or standard error has it.
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

    /// Delivers a message, which the foreground shows in any case.
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

    /// Writes one line to standard error; true on success.
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
                Err(syslog::Error::Write(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The daemon of this socket is gone; a new one may be there.
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
        // The name may be a symbolic link out of its directory, as with systemd.
        let path = path.canonicalize().unwrap_or(path);
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        self.outside = open(dir, flags, Mode::empty()).ok().map(|dir| (dir, name.to_owned()));
    }

    /// Changes the calling thread's own working directory to the socket's.
    ///
    /// A socket can only be reached by path, and after chroot no absolute path leads there.
    fn step_outside(&mut self) {
        let Some((dir, _)) = &self.outside else { return };
        let stepped =
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).and_then(|()| nix::unistd::fchdir(dir));
        if stepped.is_err() {
            self.outside = None;
        }
    }
}

/// Connects to a log daemon's socket, by datagrams or else by a stream.
///
/// Both have a time limit for sending, and a stream one for connecting: the daemon may accept no connection.
fn connect(path: &Path) -> io::Result<LoggerBackend> {
    let datagrams = UnixDatagram::unbound()?;
    match datagrams.connect(path) {
        Ok(()) => {
            datagrams.set_write_timeout(Some(DAEMON_TIMEOUT))?;
            Ok(LoggerBackend::Unix(datagrams))
        }
        Err(error) if error.raw_os_error() == Some(Errno::EPROTOTYPE as i32) => {
            Ok(LoggerBackend::UnixStream(BufWriter::new(connect_unix(path, DAEMON_TIMEOUT)?)))
        }
        Err(error) => Err(error),
    }
}

/// Converts a level; [`Severity`] implements neither comparison nor Send.
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

/// Buffer for formatted text, with control characters escaped, up to [`LONGEST`] bytes.
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
