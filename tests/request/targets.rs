//! Request targets (RFC 9112 §3.2): none leads outside the tree, to a password file, or to an irregular
//! file.

use std::os::unix::net::UnixListener;

use super::{Case, Closes, Stays, case, run, tree};
use crate::support::Tree;

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

fn refused(target: &str) -> Case {
    case(400, Closes, get(target))
}

/// The good page, and beside it all that must not be served.
fn hostile_tree() -> Tree {
    let tree = tree();
    tree.beside("secret", "root: secret");
    tree.file(".htpasswd-not", "root: secret");
    tree.file("dir/.htaccess", "root: secret");
    tree.file("dir/.HTPASSWD", "root: secret");
    tree.file("private", "root: secret");
    tree.mode("private", 0o600);
    tree.file("program", "root: secret");
    tree.mode("program", 0o755);
    tree.file("closed/b.txt", "root: secret");
    tree.mode("closed", 0o600);
    tree.link("/etc/passwd", "passwd");
    tree.link("/dev/zero", "zero");
    tree.link("../secret", "up");
    tree.link("/", "everything");
    tree.link("loop", "loop");
    tree.link("gone", "dangling");
    nix::unistd::mkfifo(&tree.www().join("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    drop(UnixListener::bind(tree.www().join("socket")).unwrap());
    tree
}

#[test]
fn climbing_stays_at_the_top() {
    let targets = [
        "/../secret",
        "/../../../../../../secret",
        "/%2e%2e/secret",
        "/%2E%2E%2Fsecret",
        "/..%2fsecret",
        "/.%2e/secret",
        "/%2e./secret",
        "/dir/../../secret",
        "/dir/%2e%2e/%2e%2e/secret",
        "/./../secret",
        "/dir/..%2f..%2fsecret",
        "/..;/secret",
        "/..\\secret",
        "/..%5csecret",
        "/%5c..%5csecret",
        "/....//secret",
        "/..../secret",
        "/.../secret",
        "/%252e%252e/secret",
        "/%c0%ae%c0%ae/secret",
        "/%e0%80%ae%e0%80%ae/secret",
        "/%u002e%u002e/secret",
        "/%%32%65%%32%65/secret",
        "/dir/.../../secret",
        "/../../../../etc/passwd",
        "/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/etc/passwd",
        "/proc/self/environ",
        "/dir/%2e%2e%2f%2e%2e%2f%2e%2e%2fproc/self/environ",
        "/file:///etc/passwd",
        "/C:/windows/win.ini",
        "/~root/.profile",
        "/~/secret",
        "http://x/../secret",
        "http://x/%2e%2e/secret",
        "/up",
        "/dir/../up",
    ];
    run(&hostile_tree(), &targets.map(|target| case(404, Stays, get(target))));
}

#[test]
fn malformed_targets_are_400() {
    let targets = [
        "a.txt",
        "?x",
        "#x",
        "*",
        "x:80",
        "%2f",
        "\\",
        "../a.txt",
        "./a.txt",
        "http:",
        "http:/",
        "http://",
        "http:///a.txt",
        "http://?x",
        "http://:80/",
        "http://u@x/",
        "http://u:p@x/",
        "http://x:y/",
        "http://[::1/",
        "http://[x]/",
        "http://../a.txt",
        "http://.x/a.txt",
        "http://x%2fy@z/",
        "ftp://x/a.txt",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "gopher://x:70/_",
        "//a.txt",
        "//etc/passwd",
        "//x/%2f..",
        "/%2fetc/passwd",
        "/%2f%2fetc/passwd",
        "/%00",
        "/a.txt%00",
        "/a.txt%00.html",
        "/..%00/",
        "/%00/../a.txt",
        "http://x//etc/passwd",
    ];
    let mut cases: Vec<Case> = targets.map(refused).into();
    cases.push(case(421, Closes, get("https://x/a.txt")));
    run(&hostile_tree(), &cases);
}

#[test]
fn protected_files_are_403() {
    let targets = [
        "/.htpasswd-not",
        "/.htpasswd-not/",
        "/.htpasswd-not/x",
        "/%2ehtpasswd-not",
        "/.%68tpasswd-not",
        "/./.htpasswd-not",
        "/dir/../.htpasswd-not",
        "/.htpasswd-not?x",
        "/.htpasswd-not%2f",
        "/dir/.htaccess",
        "/dir/.HTPASSWD",
        "/private",
        "/private/",
        "/program",
        "/program/x",
        "/closed/",
        "/passwd",
        "/passwd/",
        "/passwd?x",
        "/passwd/x",
        "/zero",
        "/everything/etc/passwd",
        "/everything/",
        "/fifo",
        "/fifo/",
        "/socket",
        "/a.txt/x",
        "/a.txt//x",
    ];
    run(&hostile_tree(), &targets.map(|target| case(403, Stays, get(target))));
}

#[test]
fn odd_names_are_just_names() {
    let long = format!("/{}", "n".repeat(256));
    let deep = "/d".repeat(3999);
    let found = [
        "/a.txt?",
        "/a.txt?%00",
        "/a.txt?<script>",
        "/dir/../a.txt",
        "/./a.txt",
        "/%61.txt",
        "/dir%2f..%2fa.txt",
    ];
    let missing = [
        "/%",
        "/%f",
        "/%zz",
        "/%0a",
        "/%0d%0aSet-Cookie:%20x=y",
        "/%ff%fe",
        "/é",
        "/<script>alert(1)</script>",
        "/%3cscript%3e",
        "/a.txt%20",
        "/a.txt.",
        "/a.txt::$DATA",
        "/a.txt%5c",
        "/A.TXT",
        "/a.txt;x",
        "/*",
        "/dangling",
        "/$(reboot)",
        "/`reboot`",
        "/{{7*7}}",
        "/%n%n%n%s%s%s",
        "/a.txt%23",
        "/a.txt#x",
        &long,
        &deep,
    ];
    let mut cases: Vec<Case> = found.map(|target| case(200, Stays, get(target))).into();
    cases.extend(missing.map(|target| case(404, Stays, get(target))));
    cases.push(case(500, Stays, get("/loop")));
    run(&hostile_tree(), &cases);
}

#[test]
fn a_redirect_stays_on_this_host_and_in_its_field() {
    let tree = hostile_tree();
    let server = crate::support::Server::start(&tree, &[]);
    for (target, location) in [
        ("/dir", "/dir/"),
        ("/dir?a=b", "/dir/?a=b"),
        ("/dir?%0d%0aSet-Cookie:x", "/dir/?%0d%0aSet-Cookie:x"),
        ("/dir?\"><script>", "/dir/?%22%3e%3cscript%3e"),
        ("/./dir", "/./dir/"),
        ("/x/..%2fdir", "/x/..%2fdir/"),
        ("http://evil.example/dir", "/dir/"),
        ("http://evil.example/dir?//x", "/dir/?//x"),
    ] {
        let answer = server.connect().get(target);
        assert_eq!((answer.status, answer.field("Location")), (302, Some(location)), "{target}");
        assert!(!answer.text().contains("<script"), "{target}: {}", answer.text());
    }
}
