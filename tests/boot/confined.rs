//! Landlock and no_new_privs: applied if no feature is lost, and off on request.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use nix::sys::signal::Signal;

use super::read;
use crate::support::{Server, Tree, eventually, is_root};

fn start(tree: &Tree, flags: &[&str]) -> Server {
    Server::start_with(tree, flags, |command| {
        command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
    })
}

fn has_landlock() -> bool {
    let has = read("/sys/kernel/security/lsm".as_ref()).split(',').any(|name| name == "landlock");
    // If that file is not visible, the kernel's version is a good estimate.
    let release = read("/proc/sys/kernel/osrelease".as_ref());
    let major = release.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
    if !has && major < 6 {
        eprintln!("skipped: no landlock here");
    }
    has || major >= 6
}

/// Replaces the log by a symbolic link to a file elsewhere and has it opened anew: what a server that
/// was taken over could do to write where it has no business.
fn opens_a_log_elsewhere(flags: &[&str]) -> bool {
    let tree = Tree::new();
    chown(tree.dir(), Some(65534), Some(65534)).unwrap();
    let server = start(&tree, flags);
    // A place for everybody; but not in /tmp, where a core may be written.
    let target = Path::new("/var/tmp").join(tree.dir().file_name().unwrap());
    fs::remove_file(&server.log).unwrap();
    symlink(&target, &server.log).unwrap();
    server.signal(Signal::SIGHUP);
    let refused = || read(&server.stderr).contains("re-opening");
    eventually("HUP is obeyed", refused);
    fs::remove_file(&target).is_ok()
}

#[test]
fn the_process_is_confined_to_its_files_unless_that_is_switched_off() {
    if !is_root() || !has_landlock() {
        return;
    }
    assert!(opens_a_log_elsewhere(&["-o", "nolandlock"]), "the trick works without");
    assert!(!opens_a_log_elsewhere(&[]));
}

#[test]
fn a_confined_server_gains_no_privileges_unless_scripts_may_need_them() {
    let tree = Tree::new();
    for (flags, expected) in [(&[][..], 1), (&["-o", "nolandlock"], 0), (&["-c", "cgi-bin/*"], 0)] {
        let server = start(&tree, flags);
        server.connect().get("/");
        assert_eq!(server.status_of_process("NoNewPrivs:"), expected, "{flags:?}");
    }
}

#[test]
fn a_reload_tells_of_a_password_file_that_a_confined_server_cannot_reach() {
    if !has_landlock() {
        return;
    }
    let tree = Tree::new();
    tree.file("a.txt", "secret");
    let rules = tree.beside("rules", "# none\n");
    let option = format!("rules={}", rules.display());
    let server = start(&tree, &["-o", &option, "-o", "reload_on_hup"]);
    assert_eq!(server.connect().get("/a.txt").status, 200);
    let elsewhere = Tree::new();
    let users = elsewhere.beside("users", "user:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/\n");
    tree.beside("rules", &format!("** auth {}\n", users.display()));
    server.signal(Signal::SIGHUP);
    eventually("the rules are read", || read(&server.stderr).contains("configuration read again"));
    let line = format!("{}:1: auth {}", rules.display(), users.display());
    let why =
        "the directory of the file cannot be opened - Permission denied; what it protects is answered 403";
    assert!(read(&server.stderr).contains(&format!("{line}: {why}")), "{}", read(&server.stderr));
    assert_eq!(server.connect().get("/a.txt").status, 403);
    eventually("the refusal is told with the same reason", || {
        read(&server.stderr).contains("rules:1) could not be opened - Permission denied")
    });
}

#[test]
fn a_confined_server_reads_its_configuration_again_where_links_lead_to_it() {
    let (tree, elsewhere) = (Tree::new(), Tree::new());
    tree.file("a.txt", "hello");
    let linked = |name: &str, text: &str| {
        elsewhere.beside(name, text);
        let link = tree.dir().join(name);
        symlink(elsewhere.dir().join(name), &link).unwrap();
        link.display().to_string()
    };
    let (conf, throttles) = (linked("conf", "charset=latin-1"), linked("throttles", "none 1000000\n"));
    let (rules, types) = (linked("rules", "** header X-A: 1\n"), linked("types", "text/x-own own\n"));
    let (rules, types) = (format!("rules={rules}"), format!("mime_types={types}"));
    let flags = ["-C", &conf, "-t", &throttles, "-o", &rules, "-o", &types, "-o", "reload_on_hup"];
    let server = start(&tree, &flags);
    let said = || {
        let answer = server.connect().get("/a.txt");
        format!("{:?} {:?}", answer.field("Content-Type"), answer.field("X-A"))
    };
    assert!(said().contains("latin-1"), "{}", said());
    elsewhere.beside("conf", "charset=latin-9");
    elsewhere.beside("rules", "** header X-A: 2\n");
    server.signal(Signal::SIGHUP);
    eventually("both are read again", || said().contains("latin-9") && said().contains('2'));
}

#[test]
fn a_confined_server_opens_its_log_anew_where_a_link_leads_to_it() {
    let (tree, elsewhere) = (Tree::new(), Tree::new());
    let log = elsewhere.beside("log", "");
    let link = tree.dir().join("link");
    symlink(&log, &link).unwrap();
    // Root follows no link to a log.
    let script = match is_root() {
        true => "exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" \"$@\"; true",
        false => "true",
    };
    for path in [tree.dir(), elsewhere.dir(), &log] {
        let _ = chown(path, Some(65534), Some(65534));
    }
    let server = Server::start_after(&tree, script, &["-l", link.to_str().unwrap()]);
    fs::rename(&log, elsewhere.dir().join("old")).unwrap();
    server.signal(Signal::SIGHUP);
    eventually("the new file is there", || log.exists());
}

#[test]
fn a_confined_server_reads_a_password_file_that_a_link_leads_to() {
    let (tree, elsewhere) = (Tree::new(), Tree::new());
    tree.file("a.txt", "secret");
    let users = elsewhere.beside("users", "user:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/\n");
    let link = tree.dir().join("link");
    symlink(&users, &link).unwrap();
    let server = start(&tree, &["-o", &format!("rule=** auth {}", link.display())]);
    let status = |user: &str| {
        let mut client = server.connect();
        client.send(format!("GET /a.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {user}\r\n\r\n"));
        client.answer("GET").status
    };
    assert_eq!([status("dXNlcjpwYXNzd29yZA=="), status("dXNlcjp3cm9uZw==")], [200, 401]);
    fs::remove_file(&users).unwrap();
    assert_eq!(status("dXNlcjpwYXNzd29yZA=="), 403);
}

#[test]
fn a_confined_server_still_serves_what_a_config_map_looks_like() {
    let tree = Tree::new();
    tree.file("..2026_11_24/index.html", "<p>first");
    tree.file("errors/err404.html", "mine");
    tree.link("..2026_11_24", "..data");
    tree.link("..data/index.html", "index.html");
    let server = start(&tree, &[]);
    assert_eq!(server.connect().get("/").text(), "<p>first");
    assert!(server.connect().get("/nosuch").text().starts_with("mine"));
    // Kubernetes swaps the link for a new directory.
    tree.file("..2026_11_25/index.html", "<p>second!");
    tree.link("..2026_11_25", "..data_tmp");
    fs::rename(tree.www().join("..data_tmp"), tree.www().join("..data")).unwrap();
    eventually("the new content", || server.connect().get("/").text() == "<p>second!");
}

#[test]
fn without_the_symlink_check_links_out_of_the_tree_are_still_followed() {
    let tree = Tree::new();
    let outside = tree.beside("outside.txt", "outside");
    tree.link(&outside, "link.txt");
    let server = start(&tree, &["-nos"]);
    assert_eq!(server.connect().get("/link.txt").text(), "outside");
}
