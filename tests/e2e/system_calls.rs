//! System calls of a request, counted by strace: for a file that is asked for first, and for a cached one.

use std::collections::HashMap;
use std::fs;

use crate::support::{Server, Tree, eventually, run};

/// Files of a test, each of which is asked for three times.
const FILES: usize = 60;

/// Calls of a first look-up behind the one that received the request: the name is looked at, the file watched,
/// opened and read, the kernel asked for changes, and the response sent.
const FIRST: [&str; 10] = [
    "openat2",
    "fstat",
    "close",
    "inotify_add_watch",
    "openat2",
    "fstat",
    "pread64",
    "close",
    "read",
    "sendto",
];

/// Calls for a cached file: the kernel is asked for changes, and the response sent.
const CACHED: [&str; 2] = ["read", "sendto"];

/// Calls of the standard library's own checks in builds for tests, and of the scheduling.
const ASIDE: [&str; 3] = ["fcntl", "futex", "sched_yield"];

/// The calls between each receipt of a request for `target` and the response, in order of the requests.
fn calls_for<'t>(trace: &'t str, target: &str) -> Vec<Vec<&'t str>> {
    let (begin, lines) = (format!("\"GET {target} "), trace.lines());
    let received = lines.clone().enumerate().filter(|(_, line)| line.contains(&begin));
    let calls = |(at, line): (usize, &str)| {
        let thread = line.split(' ').next().unwrap();
        let of_thread = lines.clone().skip(at + 1).filter(move |line| line.split(' ').next() == Some(thread));
        // A call during which another thread made one has two lines, the second of which is no call.
        let names = of_thread.filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
        let mut names = names.map(|(name, _)| if name == "newfstatat" { "fstat" } else { name });
        let mut calls: Vec<&str> = names.by_ref().take_while(|name| *name != "sendto").collect();
        calls.push("sendto");
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

#[test]
fn a_first_look_up_costs_eleven_calls_and_a_cached_file_three() {
    let Some(probe) = run("strace", &["-o", "/dev/null", "true"]) else { return };
    if !probe.status.success() {
        eprintln!("skipped: no process may trace another one here");
        return;
    }
    let tree = Tree::new();
    let target = |n: usize| format!("/d/{n}.txt");
    for n in 0..FILES {
        tree.file(&target(n)[1..], "text");
    }
    tree.file("d/last", "text");
    let trace = tree.dir().join("trace");
    let strace = format!("exec strace -D -f -qq -o {} \"$0\" \"$@\"", trace.display());
    let server = Server::start_after(&tree, &strace, &[]);
    let mut client = server.connect();
    eventually("files so old that they are cached", || {
        !client.get("/d/last").field("ETag").unwrap().starts_with("W/")
    });
    for n in 0..FILES {
        for _ in 0..3 {
            assert_eq!(client.get(&target(n)).text(), "text");
        }
    }
    let all: Vec<usize> = (0..FILES).collect();
    let read = || fs::read_to_string(&trace).unwrap();
    eventually("a trace of all requests", || calls_for(&read(), &target(FILES - 1)).len() == 3);
    let trace = read();
    let calls: Vec<_> = all.iter().map(|n| calls_for(&trace, &target(*n))).collect();
    assert_eq!(usual(calls.iter().map(|calls| calls[0].clone())), FIRST);
    assert_eq!(usual(calls.iter().flat_map(|calls| calls[1..].to_vec())), CACHED);
}
