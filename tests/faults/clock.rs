//! Changes of the system clock, forwards and back, while the server runs.
//!
//! libfaketime changes the time of day; deadlines use the monotonic clock, which cannot be set.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::tree;
use crate::support::{Server, Tree, eventually, run};

/// The library, where it is installed and the program takes one.
fn library() -> Option<PathBuf> {
    if cfg!(target_feature = "crt-static") {
        eprintln!("skipped: a static program takes no other library");
        return None;
    }
    run("faketime", &["--version"])?;
    let mut dirs: Vec<PathBuf> = vec!["/usr/lib/faketime".into(), "/usr/local/lib/faketime".into()];
    dirs.extend(fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime")));
    let found = dirs.into_iter().map(|dir| dir.join("libfaketimeMT.so.1")).find(|library| library.exists());
    Some(found.expect("faketime is installed, its library is not found"))
}

/// Server with a clock offset that is read from a file.
fn start(tree: &Tree, library: &PathBuf, offset: &PathBuf) -> Server {
    let clock = |command: &mut Command| {
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", offset);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command.env("NO_FAKE_STAT", "1");
    };
    Server::start_with(tree, &["-o", "nolandlock", "-o", "keepalive_timeout=2"], clock)
}

#[test]
fn a_clock_that_jumps_moves_dates_and_nothing_else() {
    let Some(library) = library() else { return };
    let tree = tree();
    let offset = tree.beside("offset", "+0d");
    let server = start(&tree, &library, &offset);
    let mut client = server.connect();
    super::rest(&server, "/a");
    let first = client.get("/a");
    let (tag, modified) = (field(&first, "ETag"), field(&first, "Last-Modified"));
    for (shift, year_changes) in
        [("+400d", true), ("-400d", true), ("+0d", false), ("-30y", true), ("+0d", false)]
    {
        fs::write(&offset, shift).unwrap();
        let date = |answer: &crate::support::Answer| field(answer, "Date")[12..16].to_owned();
        eventually(&format!("the date follows the clock by {shift}"), || {
            let answer = client.get("/a");
            assert_eq!(answer.text(), "a");
            (date(&answer) != date(&first)) == year_changes
        });
        // The file did not change, but Last-Modified must not be later than Date (RFC 9110 §8.8.2.1).
        if !shift.starts_with('-') {
            assert_eq!(field(&client.get("/a"), "Last-Modified"), modified);
        }
        client.send(format!("GET /a HTTP/1.1\r\nHost: x\r\nIf-None-Match: {tag}\r\n\r\n"));
        assert_eq!(client.answer("GET").status, 304, "{shift}");
        tree.file("new", shift);
        assert_eq!(client.get("/new").text(), shift);
        tree.file("new", "changed");
        assert_eq!(client.get("/new").text(), "changed", "{shift}");
    }
    let began = Instant::now();
    fs::write(&offset, "+1d").unwrap();
    assert!(client.is_closed(), "the idle connection ends with its limit");
    let took = began.elapsed();
    assert!((Duration::from_millis(1500)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

fn field(answer: &crate::support::Answer, name: &str) -> String {
    answer.field(name).unwrap_or_else(|| panic!("{name} in {}", answer.head)).to_owned()
}
