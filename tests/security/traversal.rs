//! Paths and hosts that led out of the tree.

use super::{SECRET, Server, Tree, ask, get_with};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.beside("secret", SECRET);
    tree.file("index.html", "the front page");
    tree.file("sub/file", "a file");
    tree
}

fn assert_secret(server: &Server, target: &str) {
    let answer = get_with(server, target, "");
    assert!(!answer.text().contains(SECRET), "{target}: {}", answer.text());
    assert!(!answer.text().contains("root:x:"), "{target}: {}", answer.text());
}

#[test]
fn cve_1999_1456_doubled_slashes_read_no_file_of_the_system() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    for target in
        ["//etc/passwd", "///etc/passwd", "/%2fetc/passwd", "/%2f%2fetc%2fpasswd", "/sub//etc/passwd"]
    {
        assert_secret(&server, target);
        assert_ne!(get_with(&server, target, "").status, 200, "{target}");
    }
}

#[test]
fn cve_2000_0900_and_cve_2004_2628_encoded_and_backslashed_dots_lead_nowhere() {
    let tree = tree();
    let server = Server::start(&tree, &["-c", "**.cgi"]);
    for dots in ["..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..%5c", "..\\", "%c0%ae%c0%ae", "....", "..;"]
    {
        for slash in ["/", "%2f", "%5c", "\\", "%252f", "%c0%af"] {
            for depth in 1..6 {
                assert_secret(&server, &format!("/{}secret", format!("{dots}{slash}").repeat(depth)));
                assert_secret(&server, &format!("/sub/{}etc/passwd", format!("{dots}{slash}").repeat(depth)));
            }
        }
    }
    for target in ["/C:/boot.ini", "/C:\\boot.ini", "/%43%3a%5cboot.ini", "/sub/file::$DATA"] {
        assert_eq!(get_with(&server, target, "").status, 404, "{target}");
    }
}

#[test]
fn cve_2017_10671_a_path_of_nothing_but_dots_and_slashes_is_resolved_within_its_bounds() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let parts =
        ["/", "/.", "/..", "/../", "/./", "/a/..", "/a/../", "/..a", "/a..", "/...", "/.a", "//", "/%2e%2e"];
    for first in parts {
        for second in parts {
            for count in [1, 2, 3, 700] {
                let answer = get_with(&server, &format!("/x{first}{}", second.repeat(count)), "");
                assert!(matches!(answer.status, 200 | 302 | 400 | 404), "{first}{second} {}", answer.head);
                assert!(!answer.text().contains(SECRET));
            }
        }
    }
    // With an empty name, the old code read a byte before it.
    assert_eq!(get_with(&server, "/x/../", "").text(), "the front page");
}

#[test]
fn cve_2002_1562_and_cve_2018_18778_a_host_is_no_way_to_another_directory() {
    let tree = tree();
    tree.file("localhost/index.html", "the host's page");
    tree.beside("passwd", SECRET);
    let server = Server::start(&tree, &["-v"]);
    assert_eq!(get_with(&server, "/", "").text(), "the host's page");
    for host in [
        "",
        ".",
        "..",
        "../",
        "../..",
        "/",
        "/etc",
        "./..",
        "..:80",
        "localhost/..",
        "%2e%2e",
        "..\\",
        "x/../..",
    ] {
        for target in ["/secret", "/passwd", "/etc/passwd", "/"] {
            for version in ["1.0", "1.1"] {
                let head = format!("GET {target} HTTP/{version}\r\nHost: {host}\r\n\r\n");
                let answer = ask(&server, &head);
                assert!(!answer.text().contains(SECRET), "{head}");
                assert!(!answer.text().contains("root:x:"), "{head}");
                assert!(!answer.text().contains("the front page"), "{head} leads above the hosts");
            }
        }
    }
    let absolute = ask(&server, "GET http://../secret HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(absolute.status, 400);
}

#[test]
fn links_that_leave_the_tree_are_refused_and_their_targets_cannot_be_swapped_in_time() {
    let tree = tree();
    tree.link(tree.dir().join("secret"), "out");
    tree.link(tree.dir(), "outside");
    tree.link("/etc/passwd", "sub/index.html");
    tree.link("sub/file", "swapped");
    let server = Server::start(&tree, &[]);
    for target in ["/out", "/outside/secret", "/sub/", "/sub/index.html"] {
        assert_eq!(get_with(&server, target, "").status, 403, "{target}");
    }
    // A link that turns to and fro is never followed out, whatever the moment.
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (link, next) = (tree.www().join("swapped"), tree.www().join("next"));
            for round in 0..3000 {
                let target = if round % 2 == 0 { "/etc/passwd" } else { "sub/file" };
                std::os::unix::fs::symlink(target, &next).unwrap();
                std::fs::rename(&next, &link).unwrap();
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut client = server.connect();
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let answer = client.get("/swapped");
            assert!(matches!(answer.status, 200 | 403 | 404 | 503), "{}", answer.head);
            assert!(answer.status != 200 || answer.text() == "a file", "{}", answer.text());
        }
    });
}

#[test]
fn a_nul_in_a_name_is_refused_and_does_not_end_it() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    for target in ["/%00", "/sub/file%00", "/sub/file%00.html", "/%00/../sub/file", "/.htpasswd%00.txt"] {
        assert_eq!(get_with(&server, target, "").status, 400, "{target}");
    }
}

#[test]
fn cve_2001_0892_a_password_file_is_not_served_by_any_of_its_names() {
    let tree = tree();
    tree.file(".htpasswd", format!("user:{SECRET}\n"));
    tree.file("open/.htpasswd~", SECRET);
    tree.file("open/.htgroup", SECRET);
    tree.file("open/.htpasswd.bak", SECRET);
    tree.link("../open/.htgroup", "sub/groups");
    let server = Server::start(&tree, &[]);
    for name in [
        "/.htpasswd",
        "/.htpasswd/",
        "/.htpasswd/.",
        "/.htpasswd%2f",
        "/.htpasswd//",
        "/%2ehtpasswd",
        "/.HTPASSWD",
        "/./.htpasswd",
        "/sub/../.htpasswd",
        "/.htpasswd?x",
        "/open/.htpasswd~",
        "/open/.htpasswd.bak",
        "/open/.htgroup",
        "/sub/groups",
        "/sub/groups/",
    ] {
        let answer = get_with(&server, name, "Authorization: Basic dXNlcjp4\r\n");
        assert!(matches!(answer.status, 401 | 403 | 404), "{name}: {}", answer.head);
        assert!(!answer.text().contains(SECRET), "{name}");
    }
    let listing = get_with(&server, "/open/", "");
    assert_eq!(listing.status, 200);
    assert!(!listing.text().contains(".ht"), "{}", listing.text());
}

#[test]
fn irregular_files_are_neither_opened_nor_waited_for() {
    let tree = tree();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o644);
    nix::unistd::mkfifo(&tree.www().join("fifo"), mode).unwrap();
    nix::unistd::mkfifo(&tree.dir_in("dir").join("index.html"), mode).unwrap();
    let server = Server::start(&tree, &["-o", "workers=1"]);
    for target in ["/fifo", "/dir/", "/fifo"] {
        assert_eq!(get_with(&server, target, "").status, 403, "{target}");
        assert_eq!(get_with(&server, "/sub/file", "").status, 200, "after {target}");
    }
}
