//! The real binary: start and end.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};
use nix::unistd::Pid;

use super::{Client, Tree};

/// A running server; killed on drop if a test has not ended it.
pub struct Server {
    child: Child,
    pub port: u16,
    pub log: PathBuf,
    pub stderr: PathBuf,
}

impl Server {
    /// Serves `tree` with the access log in a file, and further flags.
    pub fn start(tree: &Tree, flags: &[&str]) -> Server {
        Server::start_with(tree, flags, |_| {})
    }

    /// Starts a server; `prepare` may set the environment of the command.
    pub fn start_with(tree: &Tree, flags: &[&str], prepare: impl Fn(&mut Command)) -> Server {
        let bare = || Command::new(env!("CARGO_BIN_EXE_thttpd"));
        Server::start_command(tree, flags, &bare, &prepare)
    }

    /// Starts a server in a process prepared by the shell code `script` (`ulimit -n 128`).
    pub fn start_after(tree: &Tree, script: &str, flags: &[&str]) -> Server {
        let wrapped = || {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{script} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_thttpd")]);
            shell
        };
        Server::start_command(tree, flags, &wrapped, &|_| {})
    }

    fn start_command(
        tree: &Tree,
        flags: &[&str],
        command: &dyn Fn() -> Command,
        prepare: &dyn Fn(&mut Command),
    ) -> Server {
        // Another process may take the port before the server binds it; then the start is repeated.
        for _ in 0..5 {
            if let Some(server) = Server::try_start(tree, flags, (command(), prepare), free_port()) {
                return server;
            }
        }
        panic!(
            "the server did not start: {}",
            fs::read_to_string(tree.dir().join("stderr")).unwrap_or_default()
        );
    }

    /// Starts a server on a port that another server has just left.
    pub fn start_on(port: u16, tree: &Tree, flags: &[&str]) -> Server {
        Server::start_on_with(port, tree, flags, |_| {})
    }

    /// Starts a server on `port`; `prepare` may set the environment of the command.
    pub fn start_on_with(port: u16, tree: &Tree, flags: &[&str], prepare: impl Fn(&mut Command)) -> Server {
        let bare = Command::new(env!("CARGO_BIN_EXE_thttpd"));
        Server::try_start(tree, flags, (bare, &prepare), port).expect("the port is free again")
    }

    fn try_start(
        tree: &Tree,
        flags: &[&str],
        (mut command, prepare): (Command, &dyn Fn(&mut Command)),
        port: u16,
    ) -> Option<Server> {
        let (log, stderr) = (tree.dir().join("log"), tree.dir().join("stderr"));
        fs::write(&log, "").unwrap();
        command.args(["-D", "-p", &port.to_string(), "-d"]).arg(tree.www()).arg("-l").arg(&log);
        command.args(["-h", "127.0.0.1"]).args(flags).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(&stderr).unwrap());
        prepare(&mut command);
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Server { child, port, log, stderr });
            }
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A fresh connection.
    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address());
        Client::of(stream.unwrap_or_else(|error| {
            panic!("{error}; the server said: {}", fs::read_to_string(&self.stderr).unwrap_or_default())
        }))
    }

    /// A response for `target` under way: its head and a little more are read.
    pub fn download(&self, target: &str) -> Client {
        let mut client = self.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        client.stream().read_exact(&mut [0; 1000]).unwrap();
        client
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Tells whether the server still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends `signal` and waits for the end.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    /// Waits for the end, which must come within fifteen seconds.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lines of the access log so far.
    pub fn log_lines(&self) -> Vec<String> {
        let bytes = fs::read(&self.log).unwrap();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    /// Waits until the log holds a line that contains `part`, and returns it.
    pub fn logged(&self, part: &str) -> String {
        let mut found = None;
        super::eventually(&format!("a log line with {part:?}"), || {
            found = self.log_lines().into_iter().find(|line| line.contains(part));
            found.is_some()
        });
        found.unwrap()
    }

    /// A number of `/proc/PID/status`, in its own unit.
    pub fn status_of_process(&self, field: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Number of times that the server's threads have gone to sleep so far.
    pub fn sleeps(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let sleeps = tasks.filter_map(|task| {
            let status = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
        sleeps.sum()
    }

    /// Open descriptors of the process.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports outside the range that Linux gives to clients by default.
const PORTS: Range<u32> = 12_000..32_000;

/// Port that is free, and not given to any other test of this run.
///
/// A port chosen by the system could be a client's, or be that of a test whose server has not bound it yet;
/// the test would then reach another server.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Test runs side by side begin at different places.
    let begin = std::process::id().wrapping_mul(997);
    let next =
        || PORTS.start + begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % PORTS.len() as u32;
    let ports = std::iter::repeat_with(next).map(|port| u16::try_from(port).unwrap());
    ports.take(PORTS.len()).find(|port| is_free(*port)).expect("a free port")
}

/// Tells whether no process listens on the port.
///
/// The check does not bind the port: a process that another test forks at that moment would hold the socket
/// until exec, and accept a client's connection.
fn is_free(port: u16) -> bool {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).is_ok()
}
