//! Old kernels: calls that they lack are answered ENOSYS by `strace`, in the server and its scripts.

use std::fs;

use nix::sys::signal::Signal;

use crate::scripts::lay_script;
use crate::support::{Server, Tree, can_trace, eventually};

/// Calls that are newer than Linux 3.11; a question mark is for those that strace does not know.
const NEWER: &str = "?memfd_create,?getrandom,?renameat2,?execveat,?sched_setattr,?sched_getattr,?copy_file_range,\
    ?preadv2,?statx,?clone3,?close_range,?openat2,?pidfd_open,?pidfd_send_signal,?faccessat2,?fchmodat2,?rseq,\
    ?landlock_create_ruleset,?landlock_add_rule,?landlock_restrict_self";

/// Calls that a small system's kernel may be built without.
const LEFT_OUT: &str = "?inotify_init1,?inotify_add_watch,?fanotify_init";

/// Starts a server for which each of `calls` fails with `errno`.
fn server_without(calls: &str, errno: &str, tree: &Tree) -> Server {
    let strace = format!(
        "exec strace -D -f -qq -o /dev/null -e trace={calls} -e inject={calls}:error={errno} \"$0\" \"$@\""
    );
    Server::start_after(tree, &strace, &["-c", "/cgi-bin/*"])
}

/// A tree with a script that counts the bytes of its content.
fn tree_with_counter() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", "one");
    tree.dir_in("cgi-bin");
    lay_script(&tree.www().join("cgi-bin/count"), "#!/bin/sh\nprintf 'A: b\\n\\n'; wc -c | tr -d ' \\n'");
    tree
}

#[test]
fn files_lists_and_scripts_need_no_call_newer_than_linux_3_11() {
    for calls in [NEWER.to_owned(), LEFT_OUT.to_owned(), format!("{NEWER},{LEFT_OUT}")] {
        if !can_trace() {
            return;
        }
        let tree = tree_with_counter();
        let mut server = server_without(&calls, "ENOSYS", &tree);
        let mut client = server.connect();
        assert_eq!(client.get("/a.txt").text(), "one");
        assert!(client.get("/").text().contains("a.txt"));
        let counted = |length: usize| {
            let mut client = server.connect();
            client.send(format!(
                "POST /cgi-bin/count HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{}",
                "x".repeat(length)
            ));
            // A refusal that comes before all content is read may be lost with the connection.
            client.try_answer("POST").map(|answer| answer.text())
        };
        for length in [0, 1, 64 * 1024] {
            assert_eq!(counted(length), Some(length.to_string()));
        }
        // Until the disk's file system has said that it is this machine's, which the first upload does not
        // wait for without end, only memory files would do.
        eventually("room on the disk", || counted(64 * 1024 + 1).as_deref() == Some("65537"));
        assert_eq!(counted(300_000).as_deref(), Some("300000"));
        fs::write(tree.www().join("a.txt"), "another").unwrap();
        eventually("the change of a file", || server.connect().get("/a.txt").text() == "another");
        assert!(server.end(Signal::SIGTERM).success());
    }
}

/// A sandbox, or `vm.memfd_noexec`, may refuse memory files.
#[test]
fn scripts_start_where_memory_files_are_refused() {
    for errno in ["EPERM", "EACCES"] {
        if !can_trace() {
            return;
        }
        let tree = tree_with_counter();
        let server = server_without("memfd_create", errno, &tree);
        assert_eq!(server.connect().get("/cgi-bin/count").text(), "0", "{errno}");
    }
}
