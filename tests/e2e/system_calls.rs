//! System calls of a request, counted by strace: for a file that is asked for first, and for a cached one.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Server, Tree, can_trace, eventually};

/// Files of a test, each of which is asked for three times.
const FILES: usize = 60;

/// Calls of a first look-up between those that receive the request and send the response: the name is looked at,
/// the file watched, opened and read, and the kernel asked for changes.
const FIRST: [&str; 9] =
    ["openat2", "fstat", "close", "inotify_add_watch", "openat2", "fstat", "pread64", "close", "read"];

/// Calls for a cached file: the kernel is asked for changes.
const CACHED: [&str; 1] = ["read"];

/// Calls of the standard library's own checks in builds for tests, and of the scheduling.
const ASIDE: [&str; 4] = ["fcntl", "fcntl64", "futex", "sched_yield"];

/// Other names of fstat(2): those of programs with another C library, and of programs of 32 bits.
const FSTAT: [&str; 2] = ["newfstatat", "statx"];

/// The calls between those that receive a request for `target` and send the response, in order of the requests.
fn calls_for<'t>(trace: &'t str, target: &str) -> Vec<Vec<&'t str>> {
    let (begin, lines) = (format!("\"GET {target} "), trace.lines());
    let received = lines.clone().enumerate().filter(|(_, line)| line.contains(&begin));
    let calls = |(at, line): (usize, &str)| {
        let thread = line.split(' ').next().unwrap();
        let of_thread = lines.clone().skip(at + 1).filter(move |line| line.split(' ').next() == Some(thread));
        // A call during which another thread made one has two lines, the second of which is no call.
        let names = of_thread.filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
        let mut names = names.map(|(name, _)| if FSTAT.contains(&name) { "fstat" } else { name });
        let mut calls: Vec<&str> = names.by_ref().take_while(|name| !name.starts_with("send")).collect();
        calls.retain(|name| !ASIDE.contains(name));
        calls
    };
    received.map(calls).collect()
}

/// The most frequent of `all`: now and then a directory is looked at anew, or another thread's work is done.
fn usual<'t>(all: impl Iterator<Item = Vec<&'t str>>) -> Vec<&'t str> {
    let mut counts: HashMap<Vec<&str>, usize> = HashMap::new();
    all.for_each(|calls| *counts.entry(calls).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0
}

/// Starts a server whose calls `strace` writes to a file; none where no process may trace another one.
fn traced(tree: &Tree) -> Option<(Server, PathBuf)> {
    if !can_trace() {
        return None;
    }
    let trace = tree.dir().join("trace");
    let strace = format!("exec strace -D -f -qq -o {} \"$0\" \"$@\"", trace.display());
    Some((Server::start_after(tree, &strace, &[]), trace))
}

/// Trace with all of `count` requests for `target`.
fn read(trace: &Path, target: &str, count: usize) -> String {
    let mut text = String::new();
    eventually("a trace of all requests", || {
        text = fs::read_to_string(trace).unwrap();
        calls_for(&text, target).len() == count
    });
    text
}

#[test]
fn a_first_look_up_costs_eleven_calls_and_a_cached_file_three() {
    let tree = Tree::new();
    let target = |n: usize| format!("/d/{n}.txt");
    for n in 0..FILES {
        tree.file(&target(n)[1..], "text");
    }
    tree.file("d/last", "text");
    let Some((server, trace)) = traced(&tree) else { return };
    let mut client = server.connect();
    eventually("files so old that they are cached", || {
        !client.get("/d/last").field("ETag").unwrap().starts_with("W/")
    });
    for n in 0..FILES {
        for _ in 0..3 {
            assert_eq!(client.get(&target(n)).text(), "text");
        }
    }
    let trace = read(&trace, &target(FILES - 1), 3);
    let calls: Vec<_> = (0..FILES).map(|n| calls_for(&trace, &target(n))).collect();
    assert_eq!(usual(calls.iter().map(|calls| calls[0].clone())), FIRST);
    assert_eq!(usual(calls.iter().flat_map(|calls| calls[1..].to_vec())), CACHED);
}

#[test]
fn the_first_index_file_of_a_directory_costs_twenty_six_calls() {
    let tree = Tree::new();
    let target = |n: usize| format!("/{n}/");
    for n in 0..FILES {
        tree.file(&format!("{n}/index.html"), "text");
    }
    let Some((server, trace)) = traced(&tree) else { return };
    let mut client = server.connect();
    eventually("files so old that they are cached", || {
        !client.get("/0/").field("ETag").unwrap().starts_with("W/")
    });
    for n in 1..FILES {
        assert_eq!(client.get(&target(n)).text(), "text");
    }
    let trace = read(&trace, &target(FILES - 1), 1);
    let calls = usual((1..FILES).flat_map(|n| calls_for(&trace, &target(n))));
    // The name; the directory, watched and looked at; the index file; the directory of the password file; that file;
    // and the index file, for reading.
    let opened = calls.iter().filter(|name| **name == "openat2").count();
    assert_eq!((opened, calls.len()), (1 + 2 + 1 + 1 + 1 + 1, 24), "{calls:?}");
}

#[test]
fn a_kept_list_costs_thirty_three_calls() {
    let tree = Tree::new();
    for n in 0..300 {
        tree.file(&format!("many/{}-{n}", "x".repeat(200)), "");
    }
    let Some((server, trace)) = traced(&tree) else { return };
    let mut client = server.connect();
    for _ in 0..30 {
        assert_eq!(client.get("/many/").status, 200);
    }
    let trace = read(&trace, "/many/", 30);
    let calls = usual(calls_for(&trace, "/many/").into_iter());
    // The name; 6 index files, and the directory that they are not in; its password file; the directory for
    // reading; the names "." and "..", which a list shows.
    let opened = calls.iter().filter(|name| **name == "openat2").count();
    assert_eq!((opened, calls.len()), (1 + 6 + 1 + 2 + 1 + 2, 31), "{calls:?}");
}
