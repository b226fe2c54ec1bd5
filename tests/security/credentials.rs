//! Password files that crashed the server, or granted access that they should deny.

use std::os::unix::fs::PermissionsExt;

use super::{Server, Tree, edges, get_with};

/// `user:password`.
const RIGHT: &str = "Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n";

fn protected_by(password_file: &str) -> (Tree, Server) {
    let tree = Tree::new();
    tree.file("file", "content");
    tree.file(".htpasswd", password_file);
    let server = Server::start(&tree, &[]);
    (tree, server)
}

#[test]
fn cve_2012_5640_a_hash_that_is_none_matches_nothing_and_crashes_nothing() {
    let hashes = [
        "",
        ":",
        "x",
        "xx",
        "*",
        "!",
        "!!",
        "$",
        "$$",
        "$1",
        "$1$",
        "$1$$",
        "$2",
        "$2y$",
        "$2y$99$",
        "$2y$31$",
        "$2y$04$short",
        "$5$",
        "$5$rounds=999999999999$x$y",
        "$5$rounds=$x$y",
        "$6$",
        "$6$rounds=-1$x$y",
        "$7$x",
        "$y$",
        "$gy$",
        "$apr1$",
        "$apr1$$",
        "$md5$",
        "$sha1$",
        "{SHA}",
        "{SSHA}",
        "{PLAIN}password",
        "password",
        "\u{e9}\u{e9}",
        "a\0b",
        "__________",
        "_",
        "_J9..",
        "*0",
        "*1",
        "\x7f\x7f",
        "$1$salt$",
        "$2a$10$",
        "ab",
    ];
    let tree = Tree::new();
    tree.file("file", "content");
    for hash in hashes {
        tree.file(".htpasswd", format!("user:{hash}\n"));
        let mut server = Server::start(&tree, &[]);
        assert_eq!(get_with(&server, "/file", RIGHT).status, 401, "{hash:?}");
        assert!(server.is_alive(), "{hash:?}");
    }
}

#[test]
fn lines_of_a_password_file_of_any_length_and_kind_open_nothing() {
    for n in edges().filter(|n| n % 7 == 0) {
        let long = "u".repeat(n);
        let (_tree, mut server) =
            protected_by(&format!("{long}:x\n{long}\nuser:{long}\n\n#\n:\n::\r\nuser\n"));
        assert_eq!(get_with(&server, "/file", RIGHT).status, 401, "{n}");
        assert!(server.is_alive());
    }
    for file in ["", "\n", "user", "user:", "user:\n", "\0\0\0", ":password\n", "\u{feff}user:x\n"] {
        let (_tree, server) = protected_by(file);
        for fields in ["", RIGHT, "Authorization: Basic Og==\r\n", "Authorization: Basic dXNlcjo=\r\n"] {
            assert_eq!(get_with(&server, "/file", fields).status, 401, "{file:?} {fields}");
        }
    }
}

#[test]
fn a_password_file_that_cannot_be_read_shuts_its_directory() {
    let (tree, server) = protected_by("user:x\n");
    let path = tree.www().join(".htpasswd");
    // Unreadable for the server's user; a directory; a link to nothing; a link out of the tree; a loop.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
    if nix::unistd::geteuid().is_root() {
        assert_eq!(get_with(&server, "/file", RIGHT).status, 403);
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(get_with(&server, "/file", RIGHT).status, 403);
    std::fs::remove_dir(&path).unwrap();
    for target in ["/etc/passwd", ".htpasswd"] {
        tree.link(target, ".htpasswd");
        assert_eq!(get_with(&server, "/file", RIGHT).status, 403, "{target}");
        std::fs::remove_file(&path).unwrap();
    }
    assert_eq!(get_with(&server, "/file", "").status, 200);
}

#[test]
fn a_protected_directory_is_so_by_every_name_and_method() {
    let tree = Tree::new();
    tree.file("private/file", "content");
    tree.file("private/.htpasswd", "user:x\n");
    tree.link("private", "alias");
    tree.link("private/file", "link");
    let server = Server::start(&tree, &["-c", "**.cgi"]);
    for target in [
        "/private/file",
        "/private/",
        "/private/file/",
        "/private//file",
        "/x/../private/file",
        "/%70rivate/file",
        "/alias/file",
        "/alias/",
        "/link",
        "/private/file?x",
    ] {
        assert_eq!(get_with(&server, target, "").status, 401, "{target}");
        for method in ["HEAD", "POST", "OPTIONS", "DELETE"] {
            let mut client = server.connect();
            client.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
            let answer = client.answer(method);
            assert!(matches!(answer.status, 401 | 405), "{method} {target}: {}", answer.head);
        }
        // Neither conditions nor ranges reveal protected content.
        for fields in ["If-None-Match: *\r\n", "Range: bytes=0-0\r\n", "If-Match: \"x\"\r\n"] {
            assert_eq!(get_with(&server, target, fields).status, 401, "{target} {fields}");
        }
    }
}

/// A link whose target is missing for a moment (renamed, not mounted yet) must not open its directory.
#[test]
fn a_password_file_that_cannot_be_looked_up_shuts_its_directory_and_with_g_the_tree() {
    let tree = Tree::new();
    for name in ["file", "open/file", "private/file", "private/deeper/file"] {
        tree.file(name, "content");
    }
    let (local, global) = (Server::start(&tree, &[]), Server::start(&tree, &["-g"]));
    let statuses = |server: &Server| {
        let names = ["/open/file", "/private/file", "/private/", "/file"];
        names.map(|name| get_with(server, name, RIGHT).status)
    };
    assert_eq!((statuses(&local), statuses(&global)), ([200; 4], [200; 4]), "nothing is protected yet");
    for target in ["nowhere", "/nowhere/passwords", "file/below", ".htpasswd"] {
        tree.link(target, "private/.htpasswd");
        assert_eq!(statuses(&local), [200, 403, 403, 200], "{target}");
        assert_eq!(statuses(&global), [200, 403, 403, 200], "{target}");
        std::fs::remove_file(tree.www().join("private/.htpasswd")).unwrap();
        tree.link(target, ".htpasswd");
        assert_eq!(statuses(&local), [200, 200, 200, 403], "{target} at the top");
        assert_eq!(statuses(&global), [403; 4], "{target} at the top");
        std::fs::remove_file(tree.www().join(".htpasswd")).unwrap();
    }
    assert_eq!((statuses(&local), statuses(&global)), ([200; 4], [200; 4]), "the links are gone");
}

#[test]
fn a_target_that_goes_away_while_the_server_runs_leaves_the_file_protected() {
    let tree = Tree::new();
    tree.file("private/file", "content");
    tree.file("passwords/list", "user:abSGtLG/Bk6M.\n");
    tree.link("../passwords/list", "private/.htpasswd");
    let server = Server::start(&tree, &[]);
    for _ in 0..3 {
        assert_eq!(get_with(&server, "/private/file", "").status, 401);
    }
    std::fs::rename(tree.www().join("passwords"), tree.www().join("away")).unwrap();
    assert_eq!(get_with(&server, "/private/file", "").status, 403);
    std::fs::rename(tree.www().join("away"), tree.www().join("passwords")).unwrap();
    assert_eq!(get_with(&server, "/private/file", "").status, 401);
}

#[test]
fn an_index_file_that_cannot_be_looked_up_does_not_open_the_list() {
    let tree = Tree::new();
    tree.file("a/secret-name", "content");
    let server = Server::start(&tree, &[]);
    for target in ["nowhere", "secret-name/below", "index.html"] {
        tree.link(target, "a/index.html");
        let answer = get_with(&server, "/a/", "");
        assert!(
            answer.status >= 400 && !answer.text().contains("secret-name"),
            "{target}: {}",
            answer.status
        );
        std::fs::remove_file(tree.www().join("a/index.html")).unwrap();
    }
    assert!(get_with(&server, "/a/", "").text().contains("secret-name"));
}

#[test]
fn a_hash_that_is_not_understood_is_named_in_the_log_without_its_secret() {
    let (_tree, server) = protected_by("user:$y$j9T$salt$secret\n");
    for _ in 0..2 {
        assert_eq!(get_with(&server, "/file", RIGHT).status, 401);
    }
    let told = || std::fs::read_to_string(&server.stderr).unwrap();
    let line = "auth file .htpasswd: user: the hash $y$ (yescrypt) is not understood";
    crate::support::eventually("two messages", || told().matches(line).count() == 2);
    assert!(!told().contains("secret"));
}
