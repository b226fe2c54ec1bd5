//! State of the control thread, and its answers to signals and times.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::file_task::{FileTask, TaskState};
use super::periodic::Periodic;
use super::reload::{ConfigReader, Reload};
use super::unread::ReadFiles;
use super::watchdog::Watchdog;
use crate::boot::{RunningServer, SignalAction, SocketFile};
use crate::log;
use crate::log::syslog::Echo;
use crate::sys::memory;

/// Interval for averaging throttle rates (thttpd's THROTTLE_TIME).
pub(super) const THROTTLE_TIME: Duration = Duration::from_secs(2);
/// Interval for reporting lost lines of the access log.
const LOSS_TIME: Duration = Duration::from_secs(10);
/// Interval for closing deleted files in the cache.
const TIDY_TIME: Duration = Duration::from_secs(10);
/// Interval for checking whether memory can be returned to the system.
const TRIM_TIME: Duration = Duration::from_secs(5);
/// Number of connections closed in one interval that makes returning memory worthwhile.
const CROWD: usize = 1000;
/// Interval for counting open connections during shutdown.
const LAST_LOOKS: Duration = Duration::from_millis(20);
/// Time between INT and KILL for running scripts.
const SCRIPT_TIME: Duration = Duration::from_millis(500);
/// Time limit for removing the pid file and Unix sockets.
const REMOVAL_TIME: Duration = Duration::from_secs(1);
/// Time for logging aborted connections.
const CUT_TIME: Duration = Duration::from_secs(1);

/// State of the shutdown.
#[derive(Debug)]
pub(super) struct Shutdown {
    /// Signal that has started the shutdown; `None` waits for all requests without a limit.
    signal: Option<Signal>,
    /// Time at which connections are aborted.
    cut_at: Option<Instant>,
    /// Set once connections were aborted: when to exit even if some are still open.
    gone_at: Option<Instant>,
}

/// Shutdown that is announced and has not begun (`stop_delay`).
#[derive(Debug, Clone, Copy)]
struct AnnouncedStop {
    signal: Signal,
    /// Time at which the shutdown begins.
    at: Instant,
}

pub(super) struct Control {
    pub(super) running: RunningServer,
    pub(super) reader: Arc<ConfigReader>,
    pub(super) reload: Reload,
    read: Arc<ReadFiles>,
    /// Check for changes in files that are not read again.
    unread_look: Option<FileTask<()>>,
    /// Removal of the pid file and of Unix sockets.
    removal: Option<FileTask<()>>,
    announced: Option<AnnouncedStop>,
    pub(super) shutdown: Option<Shutdown>,
    watchdog: Option<Watchdog>,
    beat: Option<Periodic>,
    alive: Option<Periodic>,
    /// Heartbeat of the workers at the last keep-alive message to systemd.
    alive_at: u64,
    pub(super) throttles: Option<Periodic>,
    pub(super) stats: Option<Periodic>,
    losses: Option<Periodic>,
    tidying: Option<Periodic>,
    trimming: Option<Periodic>,
    /// Maximum number of open connections since memory was returned.
    crowd: usize,
}

impl Control {
    pub(super) fn new(running: RunningServer, reader: Arc<ConfigReader>, read: ReadFiles) -> Control {
        let config = &running.site.config;
        let watchdog = Watchdog::new(config.watchdog);
        Control {
            announced: None,
            shutdown: None,
            beat: watchdog.as_ref().and_then(|dog| Periodic::new(dog.every())),
            watchdog,
            alive: running.notify.watchdog.and_then(Periodic::new),
            alive_at: 0,
            throttles: Periodic::new(THROTTLE_TIME).filter(|_| !running.site.throttles.is_empty()),
            stats: Periodic::new(config.stats_interval),
            losses: Periodic::new(LOSS_TIME),
            tidying: Periodic::new(TIDY_TIME),
            trimming: Periodic::new(TRIM_TIME),
            crowd: 0,
            running,
            reader,
            reload: Reload::default(),
            read: Arc::new(read),
            unread_look: None,
            removal: None,
        }
    }

    /// Time until the next periodic task.
    pub(super) fn pause(&self) -> Duration {
        let (beat, alive, trimming) = (&self.beat, &self.alive, &self.trimming);
        let chores = [beat, alive, &self.throttles, &self.stats, &self.losses, &self.tidying, trimming];
        let next = chores.into_iter().flatten().map(|periodic| periodic.next).min();
        let pause = next.map_or(LOSS_TIME, |next| next.saturating_duration_since(Instant::now()));
        let begins = self.announced.map(|stop| stop.at.saturating_duration_since(Instant::now()));
        let pause = begins.map_or(pause, |begins| pause.min(begins));
        if self.shutdown.is_some() { pause.min(LAST_LOOKS) } else { pause }
    }

    pub(super) fn obey(&mut self, command: SignalAction) {
        match command {
            SignalAction::Stop(signal) => self.stop(signal),
            SignalAction::Drain => self.drain(),
            SignalAction::Reopen => {
                self.running.site.log.reopen();
                match self.running.site.config.reload_on_hup {
                    true if self.shutdown.is_none() => self.reload(),
                    true => {}
                    false => self.report_unread(),
                }
            }
            SignalAction::Stats => self.log_stats(),
            SignalAction::Reap => self.reap(),
        }
    }

    /// Warns about changed files that a HUP does not read again, since the sender may expect that.
    fn report_unread(&mut self) {
        if self.unread_look.as_ref().is_some_and(|look| matches!(look.poll(), TaskState::Pending)) {
            return;
        }
        let read = Arc::clone(&self.read);
        let look = FileTask::start(&self.running.commands, move || {
            for path in read.changed() {
                log::warning!(
                    "{} has changed and is not read: restart, or set reload_on_hup before the next change",
                    path.display()
                );
            }
        });
        self.unread_look = look.ok();
    }

    /// Reaps ended children: scripts, and orphans that process 1 of a container inherits.
    fn reap(&self) {
        match &self.running.children {
            Some(children) => children.reap(),
            None => reap_strangers(),
        }
    }

    /// Drains the server after USR1.
    fn drain(&mut self) {
        if self.shutdown.is_none() {
            self.announced = None;
            self.running.notify.stopping();
            self.running.server.drain();
            self.give_up_files();
            self.shutdown = Some(Shutdown { signal: None, cut_at: None, gone_at: None });
        }
    }

    /// Removes the pid file and the closed Unix sockets.
    fn give_up_files(&mut self) {
        let pid_file = self.running.pid_file.take();
        let sockets = std::mem::take(&mut self.running.socket_files);
        if pid_file.is_none() && sockets.is_empty() {
            return;
        }
        let remove = move || {
            if let Some(file) = pid_file {
                file.give_up();
            }
            sockets.iter().for_each(SocketFile::remove);
        };
        // Without a thread the files stay; the next start replaces both.
        self.removal = FileTask::start(&self.running.commands, remove).ok();
    }

    /// Handles TERM or INT: shutdown begins after `stop_delay`, or at the next signal.
    fn stop(&mut self, signal: Signal) {
        let delay = self.running.site.config.timeouts.stop_delay;
        if delay.is_zero() || self.announced.is_some() || self.shutdown.is_some() {
            return self.begin_stop(signal);
        }
        self.running.notify.stopping();
        self.running.server.announce_stop();
        self.announced = Some(AnnouncedStop { signal, at: Instant::now() + delay });
    }

    /// Begins the shutdown. Requests in progress get the grace time, at the second signal none.
    fn begin_stop(&mut self, signal: Signal) {
        self.drain();
        let grace = self.running.site.config.timeouts.grace;
        if let Some(shutdown) = &mut self.shutdown {
            let grace = if shutdown.signal.is_some() { Duration::ZERO } else { grace };
            shutdown.signal = Some(signal);
            shutdown.cut_at = Some(Instant::now() + grace);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        let Some(shutdown) = &self.shutdown else { return false };
        self.running.server.connections() == 0 || shutdown.gone_at.is_some_and(|at| Instant::now() >= at)
    }

    /// Runs the periodic tasks that are due.
    pub(super) fn look_round(&mut self) {
        let now = Instant::now();
        if let Some(stop) = self.announced.filter(|stop| now >= stop.at) {
            self.begin_stop(stop.signal);
        }
        self.cut_when_due(now);
        self.finish_reload();
        if Periodic::is_due(&mut self.throttles, now) {
            self.tick_throttles();
        }
        if Periodic::is_due(&mut self.stats, now) {
            self.log_stats();
        }
        if Periodic::is_due(&mut self.losses, now) {
            self.running.site.log.report_lost();
        }
        if Periodic::is_due(&mut self.tidying, now) {
            self.running.server.tidy();
        }
        if Periodic::is_due(&mut self.trimming, now) {
            self.trim();
        }
        if Periodic::is_due(&mut self.alive, now) {
            self.notify_watchdog();
        }
        if Periodic::is_due(&mut self.beat, now) {
            let count = self.running.server.heartbeat();
            if let Some(dog) = &mut self.watchdog
                && dog.look(count)
            {
                dog.end();
            }
        }
    }

    fn cut_when_due(&mut self, now: Instant) {
        let Some(shutdown) = &mut self.shutdown else { return };
        if shutdown.gone_at.is_none() && shutdown.cut_at.is_some_and(|at| now >= at) {
            self.running.server.cut();
            shutdown.gone_at = Some(now + CUT_TIME);
        }
    }

    /// Sends a keep-alive message to systemd if the workers make progress.
    fn notify_watchdog(&mut self) {
        let count = self.running.server.heartbeat();
        if count != self.alive_at {
            self.alive_at = count;
            self.running.notify.alive();
        }
    }

    /// Returns memory to the system that the allocator holds after many connections were closed.
    fn trim(&mut self) {
        let open = self.running.server.connections();
        let has_thinned = self.crowd >= open + CROWD;
        self.crowd = if has_thinned { open } else { self.crowd.max(open) };
        memory::release_free_pages(has_thinned);
    }

    fn tick_throttles(&self) {
        for message in self.running.site.throttles.tick() {
            log::send(message.level, format_args!("{}", message.text));
        }
    }

    fn log_stats(&self) {
        let site = &self.running.site;
        site.stats.log(site.log.lost());
        for line in site.throttles.report() {
            log::notice!("  {line}");
        }
    }

    /// Logs the final messages in thttpd's order.
    pub(super) fn finish(mut self) {
        if let Some(removal) = self.removal.take() {
            removal.wait(REMOVAL_TIME);
        }
        if let Some(children) = &self.running.children {
            children.stop(SCRIPT_TIME);
        }
        let signal = self.shutdown.as_ref().and_then(|shutdown| shutdown.signal);
        if signal == Some(Signal::SIGINT) && std::io::stderr().is_terminal() {
            // After ^C only the log daemon gets the statistics.
            log::syslog::flush(Duration::from_secs(2));
            log::syslog::set_echo(Echo::Never);
        }
        // The lines of requests come first, and the statistics count those that were lost.
        self.running.site.log.close();
        self.log_stats();
        match signal {
            Some(signal) => log::notice!("exiting due to signal {}", signal as i32),
            None => log::notice!("exiting"),
        }
        log::syslog::flush(Duration::from_secs(2));
        // The threads end with the process: joining a thread that waits for a hung disk would block the
        // exit.
        std::mem::forget(self.running.server);
    }
}

/// Reaps all ended children; without scripts, none needs further handling.
fn reap_strangers() {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}
