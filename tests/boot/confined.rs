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
