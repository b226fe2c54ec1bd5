//! HUP with `reload_on_hup`: the configuration is read again without an effect on clients.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use super::read;
use crate::support::{Server, Tree, eventually};

/// Server with a config file that can be changed, and with `flags`.
fn start(tree: &Tree, config: &str, flags: &[&str]) -> Server {
    let path = tree.beside("conf", config);
    let all: Vec<&str> = ["-C", path.to_str().unwrap()].into_iter().chain(flags.iter().copied()).collect();
    Server::start_with(tree, &all, |command| {
        command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
    })
}

#[test]
fn a_changed_configuration_holds_for_the_next_request_of_the_same_connection() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let server = start(&tree, "reload_on_hup charset=utf-8", &[]);
    let mut client = server.connect();
    assert!(client.get("/a.txt").head.contains("charset=utf-8"));
    tree.beside("conf", "reload_on_hup charset=latin-9");
    server.signal(Signal::SIGHUP);
    eventually("the new charset", || client.get("/a.txt").head.contains("charset=latin-9"));
}

#[test]
fn no_connection_is_served_by_the_old_configuration_however_long_it_has_been_idle() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let server = start(&tree, "reload_on_hup workers=4 charset=utf-8", &[]);
    let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert!(client.get("/a.txt").head.contains("charset=utf-8"));
    }
    tree.beside("conf", "reload_on_hup workers=4 charset=latin-9");
    server.signal(Signal::SIGHUP);
    eventually("a word of it", || read(&server.stderr).contains("configuration read again"));
    for (n, client) in clients.iter_mut().enumerate() {
        let head = client.get("/a.txt").head;
        assert!(head.contains("charset=latin-9"), "client {n}: {head}");
    }
}

#[test]
fn a_proxy_that_is_trusted_no_more_has_named_no_client_of_the_requests_to_come() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let server = start(&tree, "reload_on_hup workers=1 trusted_proxies=127.0.0.1", &[]);
    let (mut client, mut direct) = (server.connect(), server.connect());
    let named = "GET /a.txt HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";
    client.send(named);
    assert_eq!(client.answer("GET").status, 200);
    server.logged("192.0.2.7 - - ");
    tree.beside("conf", "reload_on_hup workers=1");
    server.signal(Signal::SIGHUP);
    eventually("a word of it", || read(&server.stderr).contains("configuration read again"));
    for _ in 0..4 {
        // The second client's responses may be those that are sent again.
        for client in [&mut direct, &mut client] {
            client.send(named);
            assert_eq!(client.answer("GET").status, 200);
        }
    }
    eventually("all lines", || server.log_lines().len() == 9);
    let of_proxy = server.log_lines().iter().filter(|line| line.starts_with("192.0.2.7 - - ")).count();
    assert_eq!(of_proxy, 1);
}

#[test]
fn a_mistake_in_the_configuration_leaves_the_old_one_in_force() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let server = start(&tree, "reload_on_hup charset=utf-8", &[]);
    tree.beside("conf", "reload_on_hup charset=latin-9\nport=abc");
    server.signal(Signal::SIGHUP);
    eventually("the mistake is told, with its place", || {
        let text = read(&server.stderr);
        text.contains("configuration not read again") && text.contains("conf:2: port=abc")
    });
    assert!(server.connect().get("/a.txt").head.contains("charset=utf-8"));
}

#[test]
fn a_file_that_the_running_server_may_not_read_is_told_with_the_way_out() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let path = tree.beside("rules", "** header X-A: 1\n");
    let rules = format!("rules={}", path.display());
    let server = start(&tree, "reload_on_hup", &["-o", &rules]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    server.signal(Signal::SIGHUP);
    let text = format!(
        "configuration not read again, the old one stays - {rules}: Permission denied; mend the rules; --check \
         tells without starting; let this server read it, or restart: "
    );
    eventually("the refusal is told", || read(&server.stderr).contains(&text));
    assert_eq!(server.connect().get("/a.txt").field("X-A"), Some("1"));
}

#[test]
fn a_mistake_with_the_systems_words_in_it_is_no_file_that_cannot_be_read() {
    let tree = Tree::new();
    let path = tree.beside("rules", "** header X-A: 1\n");
    let rules = format!("rules={}", path.display());
    let server = start(&tree, "reload_on_hup", &["-o", &rules]);
    tree.beside("rules", "Permission denied\n** 5 Permission denied\n");
    server.signal(Signal::SIGHUP);
    eventually("the mistake is told", || read(&server.stderr).contains("the old one stays"));
    let text = read(&server.stderr);
    assert!(text.contains("5 Permission denied: nothing may follow the rate"), "{text}");
    assert!(!text.contains("let this server read it"), "{text}");
}

#[test]
fn changes_that_need_a_restart_are_named() {
    let tree = Tree::new();
    let server = start(&tree, "reload_on_hup", &[]);
    tree.beside("conf", "reload_on_hup workers=7");
    server.signal(Signal::SIGHUP);
    eventually("the option is named", || {
        read(&server.stderr).contains("a restart is needed to change workers")
    });
}

#[test]
fn without_the_option_hup_reads_nothing_again() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let mut server = start(&tree, "charset=utf-8", &[]);
    fs::rename(&server.log, tree.dir().join("old")).unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(tree.dir(), Some(65534), Some(65534)).unwrap();
    }
    tree.beside("conf", "charset=latin-9");
    server.signal(Signal::SIGHUP);
    let log = server.log.clone();
    eventually("HUP is obeyed", || log.exists());
    assert!(server.connect().get("/a.txt").head.contains("charset=utf-8"));
    assert!(server.is_alive());
}

/// Starts a server in the directory of `tree`, with names of files relative to it.
fn start_relative(tree: &Tree, flags: &[&str]) -> Server {
    let all: Vec<&str> = ["-C", "conf"].into_iter().chain(flags.iter().copied()).collect();
    Server::start_with(tree, &all, |command| {
        command.current_dir(tree.dir()).env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
    })
}

#[test]
fn relative_names_mean_the_files_of_the_start_and_never_those_that_clients_see() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file("conf", "charset=wrong cgipat=**");
    tree.file("throttle", "** 1\n");
    tree.beside("throttle", "** 100-1000000\n");
    let config = "reload_on_hup throttles=throttle charset=";
    tree.beside("conf", &format!("{config}utf-8"));
    let server = start_relative(&tree, &[]);
    assert!(server.connect().get("/a.txt").head.contains("charset=utf-8"));
    tree.beside("conf", &format!("{config}latin-9"));
    server.signal(Signal::SIGHUP);
    eventually("the new charset", || server.connect().get("/a.txt").head.contains("charset=latin-9"));
    assert!(!read(&server.stderr).contains("not read again"), "{}", read(&server.stderr));
}

#[test]
fn after_chroot_nothing_below_the_new_root_is_taken_for_the_configuration() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file("conf", "charset=wrong");
    tree.beside("conf", "chroot reload_on_hup charset=utf-8");
    let server = start_relative(&tree, &[]);
    eventually("a warning", || read(&server.stderr).contains("reload_on_hup has no effect with chroot"));
    server.signal(Signal::SIGHUP);
    eventually("a word about it", || read(&server.stderr).contains("after chroot only a restart"));
    assert!(server.connect().get("/a.txt").head.contains("charset=utf-8"));
}

#[test]
fn without_the_option_hup_tells_which_files_have_changed() {
    let tree = Tree::new();
    let throttles = tree.beside("throttles", "**.jpg 5000\n");
    let server = start(&tree, "charset=utf-8", &["-t", throttles.to_str().unwrap()]);
    server.signal(Signal::SIGHUP);
    eventually("the log is opened anew", || read(&server.stderr).contains("re-opening logfile"));
    assert!(!read(&server.stderr).contains("has changed"), "nothing has");
    tree.beside("throttles", "**.jpg 50000\n");
    server.signal(Signal::SIGHUP);
    eventually("the throttle file is named", || {
        read(&server.stderr).contains(&format!("{} has changed and is not read", throttles.display()))
    });
    assert!(!read(&server.stderr).contains("conf has changed"), "{}", read(&server.stderr));
    tree.beside("conf", "charset=latin-9 vhost");
    server.signal(Signal::SIGHUP);
    eventually("the configuration is named", || {
        read(&server.stderr).contains("conf has changed and is not read")
    });
}

#[test]
fn in_a_new_root_hup_still_knows_the_files_that_were_read() {
    if !crate::support::is_root() {
        return;
    }
    let tree = Tree::new();
    let server = start(&tree, "charset=utf-8", &["-r"]);
    tree.beside("conf", "charset=latin-9 vhost");
    server.signal(Signal::SIGHUP);
    eventually("the configuration is named", || {
        read(&server.stderr).contains("conf has changed and is not read")
    });
}
