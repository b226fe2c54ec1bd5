//! The rules file and its options.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::support::{Answer, Server, Tree, eventually};

mod application;
mod bypass;
mod examples;
mod guards;
mod migration;
mod options;
mod precompressed;
mod rates;
mod responses;
mod routes;
mod table;
mod told;

/// `user:password`, and the line of a password file for it.
const RIGHT: &str = "Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n";
const USERS: &str = "user:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/\n";

/// A server of `tree` with `rules` and `flags`.
fn ruled(tree: &Tree, rules: &str, flags: &[&str]) -> Server {
    let option = format!("rules={}", tree.beside("rules", rules).display());
    let all: Vec<&str> = ["-o", &option].into_iter().chain(flags.iter().copied()).collect();
    Server::start_with(tree, &all, |command| {
        command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log").env("THTTPD_TEST_API", "https://api.example");
    })
}

/// A request on a connection of its own, with field lines.
fn ask(server: &Server, method: &str, target: &str, fields: &str) -> Answer {
    let mut client = server.connect();
    let host = if fields.contains("Host: ") { "" } else { "Host: localhost\r\n" };
    client.send(format!("{method} {target} HTTP/1.1\r\n{host}{fields}Connection: close\r\n\r\n"));
    client.answer(method)
}

fn get(server: &Server, target: &str) -> Answer {
    ask(server, "GET", target, "")
}

/// Asks until the file is old enough to be remembered, and then once more.
fn warmed(server: &Server, target: &str, fields: &str) -> Answer {
    for _ in 0..3 {
        ask(server, "GET", target, fields);
    }
    ask(server, "GET", target, fields)
}

/// The file of rules that [`ruled`] wrote, written anew and read again.
fn reload(server: &Server, tree: &Tree, rules: &str, word: &str) {
    let path: PathBuf = tree.beside("rules", rules);
    assert!(path.exists());
    let told = || fs::read_to_string(&server.stderr).unwrap().matches(word).count();
    let before = told();
    server.signal(Signal::SIGHUP);
    eventually(word, || told() > before);
}
