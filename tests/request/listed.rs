//! Requests that thttpd accepts and this server refuses, reads or logs differently, listed in
//! thttpd-differences(7).

use super::{Closes, Stays, case, run, tree, with_fields};
use crate::support::{Server, Tree};

#[test]
fn blanks_control_bytes_names_and_expectations_are_judged_as_listed() {
    let mut cases = Vec::new();
    // D-BLANKS, D-LINE-ENDS
    for line in
        ["GET  /a.txt HTTP/1.1", "GET\t/a.txt HTTP/1.1", "GET /a.txt\tHTTP/1.1", "GET /a.txt HTTP/1.1 "]
    {
        cases.push(case(400, Closes, format!("{line}\r\nHost: x\r\n\r\n")));
    }
    cases.push(case(400, Closes, "GET /\x01a.txt HTTP/1.1\r\nHost: x\r\n\r\n"));
    cases.push(case(400, Closes, with_fields("X: a\x01b\r\n")));
    cases.push(case(400, Closes, with_fields("X: a\rY: b\r\n")));
    cases.push(case(200, Stays, [b"\r\n\r\n", &with_fields("")[..]].concat()));
    // D-FIELD-NAMES
    for name in ["X y", "X(y)", "X\u{e9}", ""] {
        cases.push(case(400, Closes, with_fields(&format!("{name}: z\r\n"))));
    }
    // D-LIMITS
    cases.push(case(200, Stays, with_fields(&"X: y\r\n".repeat(99))));
    cases.push(case(431, Closes, with_fields(&"X: y\r\n".repeat(100))));
    // D-EXPECT
    cases.push(case(417, Closes, with_fields("Expect: 200-maybe\r\n")));
    run(&tree(), &cases);
}

#[test]
fn dots_marks_and_ranges_are_read_as_listed() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file("sub/index.html", "sub");
    tree.file("index.html", "top");
    tree.file("odd?name", "odd");
    let server = Server::start(&tree, &[]);
    // D-DOTS, D-QUERY
    for (target, content) in [
        ("/sub/.", "sub"),
        ("/sub/x/..", "sub"),
        ("/..", "top"),
        ("/sub/..", "top"),
        ("/odd%3fname", "odd"),
        ("/odd%3fname?query", "odd"),
    ] {
        let answer = server.connect().get(target);
        assert_eq!((answer.status, answer.text().as_str()), (200, content), "{target}");
    }
    assert_eq!(server.connect().get("/odd?name").status, 404);
    // D-RANGE-HEAD
    let mut client = server.connect();
    client.send("HEAD /a.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n");
    let answer = client.answer("HEAD");
    assert_eq!((answer.status, answer.field("Content-Length")), (200, Some("5")));
    // D-ACCEPT-RANGES
    for (target, says) in [("/a.txt", true), ("/none", false), ("/sub", false)] {
        let answer = client.get(target);
        assert_eq!(answer.field("Accept-Ranges").is_some(), says, "{target}");
        assert_eq!(answer.field("Last-Modified").is_some(), says, "{target}");
    }
}

#[test]
fn links_and_directories_are_served_as_listed() {
    let tree = Tree::new();
    tree.file("sub/a.txt", "hello");
    let www = tree.www();
    // D-SYMLINK-WAY
    tree.link(www.to_str().unwrap(), "root");
    std::os::unix::fs::symlink(www.join("sub"), tree.dir().join("current")).unwrap();
    tree.link(tree.dir().join("current").to_str().unwrap(), "alternative");
    std::os::unix::fs::symlink(&www, tree.dir().join("name")).unwrap();
    tree.link(tree.dir().join("name/sub").to_str().unwrap(), "by-name");
    tree.link("../current", "relative");
    tree.link(tree.dir().to_str().unwrap(), "out");
    let name = tree.dir().join("name");
    for flags in [&[][..], &["-d", name.to_str().unwrap()]] {
        let server = Server::start(&tree, flags);
        for target in ["/root/sub/a.txt", "/alternative/a.txt", "/by-name/a.txt", "/relative/a.txt"] {
            // Twice: what is remembered of the first must hold.
            for _ in 0..2 {
                assert_eq!(server.connect().get(target).text(), "hello", "{flags:?} {target}");
            }
        }
        assert_eq!(server.connect().get("/out/current/a.txt").text(), "hello", "{flags:?}");
        assert_eq!(server.connect().get("/out/").status, 403);
        assert_eq!(server.connect().get("/out/log").status, 403);
    }
    // D-LISTING-ENTER
    if crate::support::is_root() {
        tree.mode("sub", 0o744);
        assert_eq!(Server::start(&tree, &[]).connect().get("/sub/").status, 403);
    }
}

#[test]
fn credentials_with_stray_characters_are_wrong() {
    let tree = Tree::new();
    // joe:secret
    tree.file("p/.htpasswd", "joe:$1$abcdefgh$ZALCVaG7/hnRx9O0o37bE1\n");
    tree.file("p/a.txt", "hello");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    client.send("GET /p/a.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Basic am9l!OnNlY3JldA==\r\n\r\n");
    assert_eq!(client.answer("GET").status, 401);
}

#[test]
fn log_lines_are_written_as_listed() {
    let tree = Tree::new();
    tree.file("sub/a.txt", "hello");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    // D-LOG-BYTES, D-LOG-QUERY, D-LOG-UNKNOWN
    for (method, target, status) in [("GET", "/none", 404), ("GET", "/sub?a=b", 302), ("BREW", "/pot", 501)] {
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let answer = client.answer("GET");
        assert_eq!(answer.status, status);
        let shown = if method == "BREW" { "UNKNOWN" } else { method };
        let length = answer.body.len();
        assert!(length > 0);
        server.logged(&format!("\"{shown} {target} HTTP/1.1\" {status} {length} "));
    }
}

#[test]
fn the_servers_name_is_said_as_listed() {
    let tree = Tree::new();
    tree.file("cgi-bin/name", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n%s' \"$SERVER_SOFTWARE\"");
    tree.mode("cgi-bin/name", 0o755);
    let server = Server::start(&tree, &["-c", "/cgi-bin/*"]);
    let mut client = server.connect();
    let name = concat!("thttpd/", env!("CARGO_PKG_VERSION"));
    let page = client.get("/none");
    assert_eq!(page.field("Server"), Some(name));
    assert!(page.text().contains(name), "{}", page.text());
    assert_eq!(client.get("/cgi-bin/name").text(), name);
}

#[test]
fn files_that_the_server_itself_may_not_read_are_403() {
    if !crate::support::is_root() {
        return;
    }
    let tree = Tree::new();
    let file = tree.file("a.txt", "hello");
    tree.file("b.txt", "hello");
    // Group and mode of a file that everybody may read but the server's group.
    std::os::unix::fs::chown(&file, Some(0), Some(65534)).unwrap();
    tree.mode("a.txt", 0o604);
    let server = Server::start(&tree, &["-u", "65534:65534"]);
    assert_eq!(server.connect().get("/a.txt").status, 403);
    assert_eq!(server.connect().get("/b.txt").status, 200);
}

#[test]
fn links_below_a_data_directory_lead_where_they_say() {
    let tree = Tree::new();
    tree.file("data/a.txt", "hello");
    tree.file("secret.txt", "secret");
    let www = tree.www();
    tree.link(www.join("data/a.txt"), "data/inside");
    tree.link(www.join("secret.txt"), "data/outside");
    let server = Server::start(&tree, &["-dd", "data"]);
    assert_eq!(server.connect().get("/inside").text(), "hello");
    assert_eq!(server.connect().get("/outside").status, 403);
}
