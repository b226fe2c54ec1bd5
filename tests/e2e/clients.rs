//! Download programs of a distribution, with their ways of requesting parts of files.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Server, Tree, run};

/// Bytes that no part of which equals another.
fn content(length: u32) -> Vec<u8> {
    (0..length / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a client that must end by itself within `SECONDS`; none where it is not installed.
fn run_timed(program: &str, arguments: &[&str], dir: &Path) -> Option<Output> {
    const SECONDS: &str = "60";
    const NOT_FOUND: i32 = 127;
    let mut command = Command::new("timeout");
    command.args([SECONDS, program]).args(arguments).current_dir(dir);
    let output = command.output().unwrap();
    if output.status.code() == Some(NOT_FOUND) {
        // Says that the program is missing. No flag asks for a version of all: zsyncmake writes a file.
        return run(program, &[]);
    }
    Some(output)
}

fn assert_success(output: &Output) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{} {}{}", output.status, said(&output.stdout), said(&output.stderr));
}

#[test]
fn zsync_fetches_the_parts_that_changed_and_ends() {
    let tree = Tree::new();
    let (old, mut new) = (content(1 << 20), content(1 << 20));
    // Five stretches apart, so that several ranges are asked for at once.
    for at in [10_000, 200_000, 400_000, 600_000, 900_000] {
        new[at..at + 5000].fill(b'x');
    }
    tree.file("new.bin", &new);
    let dir = tree.dir();
    fs::write(dir.join("old.bin"), &old).unwrap();
    let server = Server::start(&tree, &[]);
    let (url, made) = (server.url("/new.bin"), tree.www().join("new.bin.zsync"));
    let make = ["-u", &url, "-o", path(&made), "new.bin"];
    let Some(output) = run_timed("zsyncmake", &make, &tree.www()) else { return };
    assert_success(&output);
    let output = run_timed("zsync", &["-i", "old.bin", &server.url("/new.bin.zsync")], dir);
    let Some(output) = output else { return };
    assert_success(&output);
    assert!(fs::read(dir.join("new.bin")).unwrap() == new);
    server.logged("\" 206 ");
    let requests = server.log_lines().len();
    assert!(requests < 20, "{requests} requests");
}

#[test]
fn aria2_fetches_one_file_over_several_connections() {
    let tree = Tree::new();
    let bytes = content(5 << 20);
    tree.file("big.bin", &bytes);
    let server = Server::start(&tree, &[]);
    let arguments = ["-x4", "-s4", "-k1M", "--no-conf", "--file-allocation=none", &server.url("/big.bin")];
    let Some(output) = run_timed("aria2c", &arguments, tree.dir()) else { return };
    assert_success(&output);
    assert!(fs::read(tree.dir().join("big.bin")).unwrap() == bytes);
    server.logged("\" 206 ");
}

#[test]
fn downloads_that_were_cut_off_are_resumed() {
    let tree = Tree::new();
    let bytes = content(1 << 20);
    tree.file("big.bin", &bytes);
    let server = Server::start(&tree, &[]);
    let url = server.url("/big.bin");
    let clients: [(&str, &[&str]); 3] = [
        ("wget", &["-q", "-c", &url]),
        ("curl", &["-s", "-f", "-C", "-", "-O", &url]),
        ("aria2c", &["-c", "--no-conf", "--allow-overwrite=false", "--file-allocation=none", &url]),
    ];
    for (program, arguments) in clients {
        let dir = tree.dir().join(program);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("big.bin"), &bytes[..300_000]).unwrap();
        let Some(output) = run_timed(program, arguments, &dir) else { continue };
        assert_success(&output);
        assert!(fs::read(dir.join("big.bin")).unwrap() == bytes, "{program}");
    }
}

#[test]
fn busybox_wget_fetches_and_resumes() {
    if run("busybox", &["true"]).is_none() {
        return;
    }
    let tree = Tree::new();
    let bytes = content(1 << 20);
    tree.file("big.bin", &bytes);
    let server = Server::start(&tree, &[]);
    let (url, dir) = (server.url("/big.bin"), tree.dir());
    for begin in [None, Some(1000)] {
        let _ = fs::remove_file(dir.join("big.bin"));
        if let Some(length) = begin {
            fs::write(dir.join("big.bin"), &bytes[..length]).unwrap();
        }
        let mut command = Command::new("timeout");
        let output = command.args(["60", "busybox", "wget", "-q", "-c", &url]).current_dir(dir).output();
        assert_success(&output.unwrap());
        assert!(fs::read(dir.join("big.bin")).unwrap() == bytes, "from {begin:?}");
    }
}

/// A server that keeps a 1.0 connection open without a word would have these wait for its end.
#[test]
fn clients_of_http_1_0_see_the_end_at_once() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let server = Server::start(&tree, &[]);
    for (fields, connection) in [("", "close"), ("Connection: keep-alive\r\n", "keep-alive")] {
        let mut client = server.connect();
        client.send(format!("GET /a.txt HTTP/1.0\r\n{fields}\r\n"));
        assert_eq!(client.answer("GET").field("Connection"), Some(connection));
        if connection == "close" {
            assert!(client.is_closed());
        }
    }
    let Some(output) = run_timed("curl", &["-s", "-0", &server.url("/a.txt")], tree.dir()) else { return };
    assert_eq!(output.stdout, b"hello");
}
