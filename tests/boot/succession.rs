//! A restart while requests are in flight: the old server answers them, the new one all others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Running, read, thttpd};
use crate::support::server::free_port;
use crate::support::{Client, Tree, eventually};

/// A file that no socket buffer swallows whole.
const SIZE: usize = 24 << 20;

struct Site {
    tree: Tree,
    port: u16,
}

impl Site {
    fn new() -> Site {
        let tree = Tree::new();
        tree.file("a.txt", "hello");
        tree.file("big", vec![b'x'; SIZE]);
        Site { tree, port: free_port() }
    }

    fn command(&self) -> Command {
        let mut command = thttpd();
        command.args(["-D", "-h", "127.0.0.1", "-l", "/dev/null", "-p", &self.port.to_string(), "-d"]);
        command.arg(self.tree.www()).arg("-i").arg(self.tree.dir().join("pid"));
        command.stderr(std::process::Stdio::null());
        command
    }

    fn pid(&self) -> String {
        read(&self.tree.dir().join("pid"))
    }

    /// A client in the middle of a large response.
    fn in_the_middle(&self) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET /big HTTP/1.0\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
        stream
    }
}

#[test]
fn a_start_at_the_moment_of_the_signal_serves_while_the_old_server_finishes() {
    for signal in [Signal::SIGUSR1, Signal::SIGTERM] {
        let site = Site::new();
        let mut old = Running::start(site.command().args(["-o", "stop_grace=60"]), site.port);
        let mut client = site.in_the_middle();
        old.signal(signal);
        let new = Running(site.command().spawn().unwrap());
        eventually("the new server's number is in the pid file", || site.pid() == format!("{}\n", new.pid()));
        let small = Client::connect(([127, 0, 0, 1], site.port).into()).get("/a.txt");
        assert_eq!(small.text(), "hello", "from the new one, {signal}");
        assert_eq!(old.0.try_wait().unwrap(), None, "the old one still has a client");
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert!(rest.len() > SIZE - 1000);
        assert_eq!(old.wait().code(), Some(0));
        assert_eq!(site.pid(), format!("{}\n", new.pid()), "the old one's end does not touch it");
    }
}

#[test]
fn a_socket_in_the_file_system_is_waited_for_as_ports_are() {
    for signal in [Signal::SIGUSR1, Signal::SIGTERM] {
        let site = Site::new();
        let socket = site.tree.dir().join("sock");
        let listen = format!("listen=127.0.0.1:{},{}", site.port, socket.display());
        let options = ["-o", &listen, "-o", "stop_grace=60"];
        let mut old = Running::start(site.command().args(options), site.port);
        let mut client = site.in_the_middle();
        old.signal(signal);
        let new = Running(site.command().args(options).spawn().unwrap());
        eventually("the new server's number is in the pid file", || site.pid() == format!("{}\n", new.pid()));
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(b"GET /a.txt HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{signal}: {answer}");
        client.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(old.wait().code(), Some(0));
        assert!(socket.exists(), "the old one's end does not touch it");
    }
}

#[test]
fn the_pid_file_is_given_up_with_the_ports() {
    let site = Site::new();
    let old = Running::start(&mut site.command(), site.port);
    let _client = site.in_the_middle();
    assert_eq!(site.pid(), format!("{}\n", old.pid()));
    old.signal(Signal::SIGUSR1);
    eventually("nothing names the server that leaves", || site.pid().is_empty());
}

#[test]
fn a_foreground_server_is_not_in_the_session_of_its_starter() {
    let site = Site::new();
    let server = Running::start(&mut site.command(), site.port);
    let stat = read(format!("/proc/{}/stat", server.pid()).as_ref());
    let session = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned();
    assert_eq!(session, server.pid().to_string());
}
