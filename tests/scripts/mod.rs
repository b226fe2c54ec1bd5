//! Scripts (CGI) through the real server: input, output, and absence of leftovers.

mod companions;
mod content;
mod ending;
mod hanging;
mod load;
mod output;
mod programs;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Answer, Client, Server, Tree, eventually};

/// A server that runs scripts.
pub struct Site {
    pub server: Server,
    pub tree: Tree,
}

impl Site {
    /// With the given scripts (name below `cgi-bin/`, text after the first line) and lines of
    /// configuration.
    pub fn new(config: &str, scripts: &[(&str, &str)]) -> Site {
        let tree = Tree::new();
        for (name, commands) in scripts {
            lay_script(&tree.www().join("cgi-bin").join(name), &format!("#!/bin/sh\n{commands}\n"));
        }
        tree.file("hello.txt", "Hello, world!\n");
        let conf = tree.beside("conf", &format!("cgipat=/cgi-bin/*\n{config}\n"));
        let server = Server::start(&tree, &["-C", conf.to_str().unwrap()]);
        Site { server, tree }
    }

    /// Response to a request with the field lines `fields` besides Host.
    pub fn ask(&self, request_line: &str, fields: &str, content: &str) -> Answer {
        let mut client = self.server.connect();
        client.send(format!("{request_line}\r\nHost: localhost\r\n{fields}\r\n{content}"));
        client.answer(request_line.split(' ').next().unwrap())
    }

    pub fn get(&self, target: &str) -> Answer {
        self.server.connect().get(target)
    }

    /// A client that has asked for `target` and not read anything.
    pub fn asking(&self, target: &str) -> Client {
        let mut client = self.server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        client
    }

    /// Running processes of this server's scripts, recognised by their environment.
    pub fn processes(&self) -> Vec<i32> {
        let mark = format!("SERVER_PORT={}", self.server.port);
        let pids = std::fs::read_dir("/proc").unwrap();
        pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid: &i32| {
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|&b| b == 0).any(|variable| variable == mark.as_bytes())
            })
            .collect()
    }

    /// Waits until no process of any script is left.
    pub fn expect_no_process(&self) {
        eventually("no process of a script is left", || self.processes().is_empty());
    }

    /// Waits for a log line with `part` on standard error, as no log daemon listens.
    pub fn told(&self, part: &str) {
        eventually(&format!("a message with {part:?}"), || {
            std::fs::read_to_string(&self.server.stderr).is_ok_and(|text| text.contains(part))
        });
    }
}

impl Drop for Site {
    /// The server is killed on drop, and cannot look after its scripts then.
    fn drop(&mut self) {
        for pid in self.processes() {
            _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Lays an executable file. A process of its own writes it: were it open for writing here while a test
/// beside this one starts a program, that would hold it open a moment longer, and a busy file cannot
/// be executed.
pub fn lay_script(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn().unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}
