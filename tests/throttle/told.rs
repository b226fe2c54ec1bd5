//! Messages of throttles in the system log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Download;
use crate::support::{Server, Tree};

/// Log daemon that returns the received messages.
struct Daemon(UnixDatagram);

impl Daemon {
    /// The next message that contains `part`, with its priority.
    fn hears(&self, part: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let n = self.0.recv(&mut buffer).unwrap_or_else(|_| panic!("no word of {part:?} in ten seconds"));
            let message = String::from_utf8_lossy(&buffer[..n]).into_owned();
            if message.contains(part) {
                return message;
            }
        }
    }
}

fn serve(rules: &str) -> (Tree, Daemon, Server) {
    let tree = Tree::new();
    tree.file("a.bin", vec![b'x'; 1024 * 1024]);
    let rules = tree.beside("throttles", rules);
    let path = tree.dir().join("daemon");
    let daemon = UnixDatagram::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    daemon.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let server = Server::start_with(&tree, &["-t", rules.to_str().unwrap()], |command| {
        command.env("THTTPD_SYSLOG_SOCKET", &path);
    });
    (tree, Daemon(daemon), server)
}

/// Facility daemon (3), and a level.
fn priority(level: u8) -> String {
    format!("<{}>", 3 * 8 + level)
}

const CRITICAL: u8 = 2;
const NOTICE: u8 = 5;

#[test]
fn a_rate_below_the_minimum_is_a_notice_and_usr2_names_each_rule() {
    let (_tree, daemon, server) = serve("other 5\na.bin 900-1000\n");
    let _download = Download::begin(&server, "/a.bin");
    // The average starts at zero, as thttpd's: after 2 s it is a third of what was sent.
    let message = daemon.hears("lower than minimum");
    assert!(message.starts_with(&priority(NOTICE)), "{message}");
    assert!(message.contains("throttle #1 'a.bin' rate "), "{message}");
    assert!(message.ends_with(" lower than minimum 900; 1 sending"), "{message}");

    server.signal(Signal::SIGUSR2);
    let message = daemon.hears("throttle #0");
    assert!(message.starts_with(&priority(NOTICE)), "{message}");
    assert!(message.ends_with("throttle #0 'other' - rate 0, limits 0-5; 0 sending"), "{message}");
    let message = daemon.hears("throttle #1");
    assert!(message.ends_with(", limits 900-1000; 1 sending"), "{message}");
}

#[test]
fn a_line_that_means_nothing_is_critical_and_the_rest_of_the_file_holds() {
    let (tree, daemon, server) = serve("a.bin\nprivate/** 0\n");
    tree.file("private/a.bin", "secret");
    let message = daemon.hears("unparsable line in ");
    assert!(message.starts_with(&priority(CRITICAL)), "{message}");
    assert!(message.contains("/throttles:1 - a.bin"), "{message}");
    assert_eq!(server.connect().get("/private/a.bin").status, 503);
}
