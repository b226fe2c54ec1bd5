//! systemd's side played by the test: sockets handed over, states told.

use std::io::IoSliceMut;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, getsockname, recvmsg};

use super::{Running, thttpd};
use crate::support::server::free_port;
use crate::support::{Client, Done, Tree};

/// A server that is handed `listener` as systemd does it: as descriptor 3, and by name.
fn activated(tree: &Tree, listener: &TcpListener) -> Running {
    activated_with(tree, listener, &[])
}

fn activated_with(tree: &Tree, listener: &TcpListener, flags: &[&str]) -> Running {
    let port = listener.local_addr().unwrap().port();
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_thttpd"), "-D", "-l", "/dev/null", "-d"]).arg(tree.www());
    command.args(flags).stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    Running::start(command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log"), port)
}

#[test]
fn a_socket_that_is_handed_over_is_served() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = activated(&tree, &listener);
    assert_eq!(Client::connect(listener.local_addr().unwrap()).get("/a.txt").text(), "hello");
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn without_any_name_given_the_machines_own_is_local_to_the_referrer_filter() {
    let tree = Tree::new();
    tree.file("a.jpg", "picture");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _server = activated_with(&tree, &listener, &["-o", "urlpat=**.jpg"]);
    let machine = nix::unistd::gethostname().unwrap().into_string().unwrap();
    for (referrer, status) in [(machine.as_str(), 200), ("evil.example", 403)] {
        let mut client = Client::connect(listener.local_addr().unwrap());
        client.send(format!("GET /a.jpg HTTP/1.1\r\nHost: x\r\nReferer: http://{referrer}/page\r\n\r\n"));
        assert_eq!(client.answer("GET").status, status, "{referrer}");
    }
}

#[test]
fn a_restart_over_a_handed_socket_refuses_nobody() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    activated(&tree, &listener).end(Signal::SIGTERM);
    let mut waiting = Client::connect(listener.local_addr().unwrap());
    waiting.send("GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    let _server = activated(&tree, &listener);
    assert_eq!(waiting.answer("GET").text(), "hello");
}

#[test]
fn sockets_for_another_process_are_not_taken() {
    let tree = Tree::new();
    let (listener, port) = (TcpListener::bind("127.0.0.1:0").unwrap(), free_port());
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=1 exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_thttpd"), "-D", "-l", "/dev/null", "-h", "127.0.0.1"]);
    command.args(["-p", &port.to_string(), "-d"]).arg(tree.www());
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    Running::start(&mut command, port);
}

struct Systemd {
    socket: UnixDatagram,
}

impl Systemd {
    fn bind(tree: &Tree) -> Systemd {
        let socket = UnixDatagram::bind(tree.dir().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Systemd { socket }
    }

    fn next(&self) -> String {
        self.next_with_descriptors().0
    }

    /// The next message, and the numbers of the descriptors that came with it, which the caller closes.
    fn next_with_descriptors(&self) -> (String, Vec<i32>) {
        let mut buffer = [0; 1024];
        let mut rights = nix::cmsg_space!([i32; 16]);
        let mut text = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut text, Some(&mut rights), flags)
            .expect("a message within ten seconds");
        let descriptors = message.cmsgs().unwrap().flat_map(|control| match control {
            ControlMessageOwned::ScmRights(fds) => fds,
            other => panic!("{other:?}"),
        });
        let (descriptors, length) = (descriptors.collect(), message.bytes);
        (String::from_utf8_lossy(&buffer[..length]).into_owned(), descriptors)
    }
}

fn notifying(tree: &Tree, flags: &[&str], watchdog: Option<&str>) -> (Running, u16) {
    let port = free_port();
    let mut command = thttpd();
    command.args(["-D", "-l", "/dev/null", "-h", "127.0.0.1", "-p", &port.to_string(), "-d"]).arg(tree.www());
    command.args(flags).env("NOTIFY_SOCKET", tree.dir().join("notify"));
    if let Some(micros) = watchdog {
        command.env("WATCHDOG_USEC", micros);
    }
    (Running::start(&mut command, port), port)
}

#[test]
fn systemd_hears_when_the_server_is_ready_and_when_it_stops() {
    let tree = Tree::new();
    let systemd = Systemd::bind(&tree);
    let (mut server, port) = notifying(&tree, &[], None);
    let ready = systemd.next();
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(ready.contains(&format!("\nMAINPID={}", server.pid())), "{ready}");
    assert!(ready.contains(&format!("http://127.0.0.1:{port}/")), "{ready}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "ready is true");
    server.end(Signal::SIGTERM);
    assert_eq!(systemd.next(), "STOPPING=1");
}

#[test]
fn systemd_hears_of_a_reload_and_of_its_end() {
    let tree = Tree::new();
    let systemd = Systemd::bind(&tree);
    let (server, _) = notifying(&tree, &["-o", "reload_on_hup"], None);
    systemd.next();
    server.signal(Signal::SIGHUP);
    let reloading = systemd.next();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(systemd.next().starts_with("READY=1\n"));
}

#[test]
fn systemds_watchdog_gets_its_signs_of_life() {
    let tree = Tree::new();
    let systemd = Systemd::bind(&tree);
    let _server = notifying(&tree, &[], Some("100000"));
    systemd.next();
    for _ in 0..3 {
        assert_eq!(systemd.next(), "WATCHDOG=1");
    }
}

#[test]
fn systemd_is_given_the_listening_sockets_to_keep() {
    let tree = Tree::new();
    let systemd = Systemd::bind(&tree);
    let (_server, port) = notifying(&tree, &[], None);
    let (ready, descriptors) = systemd.next_with_descriptors();
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(ready.ends_with("\nFDSTORE=1\nFDNAME=thttpd-listener"), "{ready}");
    let address = |&fd: &i32| getsockname::<SockaddrIn>(fd).unwrap().to_string();
    assert_eq!(descriptors.iter().map(address).collect::<Vec<_>>(), [format!("127.0.0.1:{port}")]);
    descriptors.into_iter().for_each(|fd| nix::unistd::close(fd).unwrap());
}

/// Server on `port` that gets `stored` sockets from systemd, whose notification socket is in `tree`.
fn restarted(tree: &Tree, stored: &TcpListener, port: u16) -> Running {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_thttpd"), "-D", "-l", "/dev/null", "-h", "127.0.0.1"]);
    command.args(["-p", &port.to_string(), "-d"]).arg(tree.www());
    command.stdin(Stdio::from(OwnedFd::from(stored.try_clone().unwrap())));
    command.env("LISTEN_FDNAMES", "thttpd-listener").env("NOTIFY_SOCKET", tree.dir().join("notify"));
    Running::start(command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log"), port)
}

#[test]
fn a_restart_takes_the_stored_sockets_and_those_that_wait_there() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let systemd = Systemd::bind(&tree);
    let stored = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stored.local_addr().unwrap();
    let mut waiting = Client::connect(address);
    waiting.send("GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    let _server = restarted(&tree, &stored, address.port());
    assert_eq!(waiting.answer("GET").text(), "hello");
    assert!(systemd.next().starts_with("READY=1\n"), "nothing was to be closed");
}

#[test]
fn a_stored_socket_that_is_no_longer_configured_is_closed_before_others_are_opened() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let systemd = Systemd::bind(&tree);
    let stored = TcpListener::bind("127.0.0.1:0").unwrap();
    let (before, port) = (stored.local_addr().unwrap(), free_port());
    std::thread::scope(|scope| {
        let server = scope.spawn(|| restarted(&tree, &stored, port));
        assert_eq!(systemd.next(), "FDSTOREREMOVE=1\nFDNAME=thttpd-listener");
        let (barrier, descriptors) = systemd.next_with_descriptors();
        assert_eq!((barrier.as_str(), descriptors.len()), ("BARRIER=1", 1));
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "systemd has not answered yet");
        descriptors.into_iter().for_each(|fd| nix::unistd::close(fd).unwrap());
        let _server = server.join().unwrap();
        assert!(systemd.next().starts_with("READY=1\n"));
        assert_eq!(Client::connect(([127, 0, 0, 1], port).into()).get("/a.txt").text(), "hello");
    });
    drop(stored);
    assert!(TcpStream::connect(before).is_err(), "the server has let go of the old one");
}

/// Sends a request, slowly, and reads the answer; again and again until `enough`.
fn come_back(address: SocketAddr, enough: &AtomicBool) {
    while !enough.load(Relaxed) {
        let Ok(stream) = TcpStream::connect(address) else { continue };
        let mut client = Client::of(stream);
        client.send("GET /a.txt HTTP/1.0\r\n");
        std::thread::sleep(Duration::from_millis(20));
        client.send("\r\n");
        client.rest();
    }
}

#[test]
fn a_crowd_at_one_socket_leaves_room_for_those_at_the_other() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    let [first, second] = sockets.map(|socket| Stdio::from(OwnedFd::from(socket)));
    let mut command = Command::new("sh");
    let script = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_thttpd"), "-D", "-l", "/dev/null", "-d"]).arg(tree.www());
    command.args(["-o", "max_connections=4"]).stdin(first).stdout(second);
    command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
    let _server = Running::start(&mut command, addresses[0].port());
    for [crowded, other] in [addresses, [addresses[1], addresses[0]]] {
        let enough = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| come_back(crowded, &enough));
            }
            let _end = Done(&enough);
            std::thread::sleep(Duration::from_millis(100));
            let asked = || {
                let mut client = Client::connect(other);
                client.stream().set_read_timeout(Some(Duration::from_secs(8))).unwrap();
                client.send("GET /a.txt HTTP/1.0\r\n\r\n");
                client.try_answer("GET")
            };
            let served = (0..5).map_while(|_| asked()).count();
            assert_eq!(served, 5, "beside a crowd at {crowded} of {addresses:?}");
        });
    }
}
