//! Other servers of the distribution: proxies in front of ours, and those that README compares ours with.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::{Client, Tree, eventually};

/// Another server that runs; ended with the test.
pub struct Peer {
    child: Child,
    /// The port that it listens on.
    pub port: u16,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Starts `command` and waits until it listens on `port`; `None`, with a message, if it is not installed.
    pub fn start(command: &mut Command, port: u16) -> Option<Peer> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) if std::env::var_os("THTTPD_TESTS_SKIP").is_none_or(|v| v != "never") => {
                eprintln!("skipped: {program} - {error}");
                return None;
            }
            Err(error) => panic!("{program} - {error}"),
        };
        let mut peer = Peer { child, port };
        eventually("the other server listens", || {
            assert_eq!(peer.child.try_wait().unwrap(), None, "{program} has ended");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(peer)
    }

    /// nginx with the lines `text` in its `http` block.
    pub fn nginx(tree: &Tree, text: &str, port: u16) -> Option<Peer> {
        let dir = tree.dir().join("nginx");
        fs::create_dir_all(&dir).unwrap();
        let at = |name: &str| dir.join(name).display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {};\n", at(name)))
            .collect();
        let conf = format!(
            "daemon off; master_process off; pid {}; error_log {};\nevents {{}}\nhttp {{ access_log off;\n{temporary}{text}\n}}\n",
            at("pid"),
            at("error.log")
        );
        let conf = tree.beside("nginx.conf", &conf);
        Peer::start(Command::new("nginx").arg("-p").arg(&dir).arg("-c").arg(conf), port)
    }

    /// HAProxy with the configuration `text`.
    pub fn haproxy(tree: &Tree, text: &str, port: u16) -> Option<Peer> {
        let conf = tree.beside("haproxy.cfg", text);
        Peer::start(Command::new("haproxy").arg("-db").arg("-f").arg(conf), port)
    }

    /// Caddy with the configuration `text`.
    pub fn caddy(tree: &Tree, text: &str, port: u16) -> Option<Peer> {
        let conf = tree.beside("Caddyfile", text);
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(conf);
        command.env("HOME", tree.dir()).env("XDG_DATA_HOME", tree.dir()).env("XDG_CONFIG_HOME", tree.dir());
        Peer::start(&mut command, port)
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::of(TcpStream::connect(("127.0.0.1", self.port)).unwrap())
    }
}
