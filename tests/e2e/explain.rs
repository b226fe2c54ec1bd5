//! `--explain URL`: reasons for the answer to a URL.

use std::process::Command;

use crate::support::{Server, Tree, eventually, is_root};

fn explained(tree: &Tree, flags: &[&str], url: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thttpd"));
    let output = command.arg("-d").arg(tree.www()).args(flags).args(["--explain", url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn each_decision_on_the_way_is_told() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file("closed.txt", "x");
    tree.mode("closed.txt", 0o600);
    tree.file("sub/index.html", "x");
    tree.file("private/.htpasswd", "u:x\n");
    tree.file("private/s.txt", "x");
    tree.file("run.cgi", "#!/bin/sh\n");
    tree.mode("run.cgi", 0o755);
    tree.file("db.php", "<?php");
    tree.file("yes/.htpasswd", "u:$y$j9T$x$y\n");
    tree.file("yes/s.txt", "x");
    tree.link("/etc/hostname", "out");
    tree.link("sub", "link");
    tree.file("host.example/a.txt", "x");
    let throttles = tree.beside("throttles", "**.txt 1000\n");
    let throttled = ["-t", throttles.to_str().unwrap()];
    let table: &[(&[&str], &str, &[&str])] = &[
        (&throttled, "/a.txt", &["200: 5 bytes of text/plain", "throttled to 1000 bytes a second by **.txt"]),
        (&[], "/closed.txt", &["permission bits 0600", "403: "]),
        (&[], "/sub", &["302: to /sub/"]),
        (&[], "/link/", &["name link/ is sub", "index file sub/index.html", "200: "]),
        (
            &[],
            "/private/s.txt",
            &["401: ", "Basic realm=\"private\"", "the password file is private/.htpasswd"],
        ),
        (&["-v"], "http://none.example/", &["404: ", "there is no directory none.example/"]),
        (&[], "/run.cgi", &["403: ", "not a CGI script"]),
        (&["-c", "**.cgi"], "/run.cgi/x?q", &["beyond it: x (PATH_INFO)", "the script run.cgi answers"]),
        (&[], "/out", &["403: ", "outside the tree"]),
        (&[], "/none", &["404: "]),
        (&["-c", "**.php"], "/db.php", &["403: ", "matches the CGI pattern, but others may not execute it"]),
        (&[], "/yes/s.txt", &["401: ", "password file yes/.htpasswd; u: the hash $y$ (yescrypt)"]),
        (&["-v"], "http://host.example/a.txt", &["looked up in host.example/", "200: 1 bytes"]),
        (&[], "/a%00", &["400 ", "NUL"]),
    ];
    for (flags, url, parts) in table {
        let text = explained(&tree, flags, url);
        for part in *parts {
            assert!(text.contains(part), "{url}: no {part:?} in\n{text}");
        }
    }
}

#[test]
fn a_throttle_is_told_with_whom_it_is_for_and_one_that_is_shut_with_its_503() {
    let tree = Tree::new();
    tree.file("each/a.txt", "x");
    tree.file("shut/a.txt", "x");
    let throttles = tree.beside("throttles", "each/** per-address 20000\nshut/** 0\n");
    let flags = ["-t", throttles.to_str().unwrap()];
    let text = explained(&tree, &flags, "/each/a.txt");
    assert!(text.contains("throttled to 20000 bytes a second for each address by each/**\n200: "), "{text}");
    let text = explained(&tree, &flags, "/shut/a.txt");
    assert!(text.contains("throttled to 0 bytes a second by shut/**\n503: "), "{text}");
}

#[test]
fn it_looks_with_the_eyes_of_the_server() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("private/a.txt", "x");
    tree.mode("private", 0o700);
    tree.file("sub/j.txt", "x");
    tree.link("/sub/j.txt", "in");
    tree.link("/etc/hostname", "out");
    tree.link("/sub/j.txt", "sub/in");
    for (flags, url, status) in [
        (&[][..], "/private/a.txt", "403: "),
        (&["-u", "root"], "/private/a.txt", "200: "),
        (&["-r"], "/in", "200: "),
        (&["-r"], "/out", "404: "),
        (&["-r", "-dd", "sub"], "/in", "200: "),
        (&[], "/in", "403: "),
    ] {
        let text = explained(&tree, flags, url);
        let last = text.lines().last().unwrap();
        assert!(last.starts_with(status), "{flags:?} {url}: {text}");
        let server = Server::start(&tree, flags);
        assert!(last.starts_with(&server.connect().get(url).status.to_string()), "{flags:?} {url}: {text}");
    }
}

#[test]
fn a_password_file_that_cannot_be_read_is_named_with_the_reason() {
    let tree = Tree::new();
    let outside = tree.beside("passwords", "w:ab5da3hZp5iFU\n");
    tree.file("p/a.txt", "x");
    tree.link(&outside, "p/.htpasswd");
    let told = "auth file p/.htpasswd could not be opened - a symbolic link to no file of the tree";
    let text = explained(&tree, &[], "/p/a.txt");
    assert!(text.lines().any(|line| line == told), "{text}");
    assert!(text.lines().last().unwrap().starts_with("403: "), "{text}");
    let server = Server::start(&tree, &[]);
    assert_eq!(server.connect().get("/p/a.txt").status, 403);
    eventually("the log says so", || std::fs::read_to_string(&server.stderr).unwrap().contains(told));
    assert_eq!(Server::start(&tree, &["-nos"]).connect().get("/p/a.txt").status, 401);
}

#[test]
fn a_directory_on_the_way_is_named_where_it_is_the_reason() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("open/shut/deep/a.txt", "x");
    tree.mode("open/shut", 0o744);
    tree.dir_in("top");
    tree.mode("top", 0o700);
    for (url, dir) in [
        ("/open/shut/deep/a.txt", "open/shut/ (permission bits 0744)"),
        ("/open/shut/", "open/shut/ (permission bits 0744)"),
        ("/top/none", "top/ (permission bits 0700)"),
    ] {
        let text = explained(&tree, &[], url);
        assert!(text.contains(&format!("the reason is the directory {dir}")), "{text}");
    }
    assert!(!explained(&tree, &[], "/open/none").contains("the reason"), "it is just not there");
}

#[test]
fn several_urls_are_told_of_one_after_the_other() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file(".htpasswd", "u:x\n");
    tree.file("sub/b.txt", "x");
    let text = explained(&tree, &["-g", "--explain", "/a.txt", "/sub/b.txt"], "/none");
    for url in ["/a.txt", "/sub/b.txt", "/none"] {
        assert!(text.contains(&format!("\n{url}:\nthe path is {url}\n")), "{text}");
    }
    assert_eq!(text.matches("the password file is .htpasswd").count(), 2, "{text}");
}
