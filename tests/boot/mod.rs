//! Start, signals, logs and end, as an administrator sees them.
//!
//! Tests that change users, roots or limits need root, and report if they cannot run.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Tree, eventually, program_for_every_user};

mod access_log;
mod background;
mod check;
mod confined;
mod directory;
mod failures;
mod families;
mod identity;
mod latin1;
mod log_texts;
mod long_lines;
mod old_kernels;
mod reload;
mod signals;
mod succession;
mod syslog;
pub mod syslogd;
mod systemd;
mod watchdog;

/// The server's binary, with nothing inherited that would change what it does.
pub fn thttpd() -> Command {
    cleaned(Command::new(env!("CARGO_BIN_EXE_thttpd")))
}

/// The server's binary, for a command that changes its user.
fn thttpd_for_every_user() -> Command {
    cleaned(Command::new(program_for_every_user()))
}

fn cleaned(mut command: Command) -> Command {
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "TZ"] {
        command.env_remove(name);
    }
    // No test writes to the system's own log.
    command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
    command.stdin(Stdio::null());
    command
}

/// Runs a command that ends by itself. Output goes to files, as a background server would keep a pipe open.
fn run(command: &mut Command) -> Output {
    let tree = Tree::new();
    let file = |name| tree.beside(name, "");
    let (out, err) = (file("out"), file("err"));
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    let status = Running(command.spawn().unwrap()).wait();
    Output { status, stdout: fs::read(out).unwrap(), stderr: fs::read(err).unwrap() }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server in the foreground that was started by a command of the test's own; killed on drop.
pub struct Running(Child);

impl Running {
    /// Starts `command` and waits until the port answers.
    pub fn start(command: &mut Command, port: u16) -> Running {
        let mut running = Running(command.spawn().unwrap());
        eventually("the server listens", || {
            assert_eq!(running.0.try_wait().unwrap(), None, "the server has ended");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        running
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    /// Sends `signal` and waits for the end.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tells whether process `pid` exists and is not a zombie.
fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which stands in parentheses.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
