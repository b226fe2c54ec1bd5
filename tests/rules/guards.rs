//! Guards: addresses, passwords and request rates apply under every name of a file.

use std::fs;

use nix::sys::signal::Signal;

use super::{RIGHT, USERS, ask, get, reload, ruled, warmed};
use crate::support::{Server, Tree, eventually, is_root};

/// A tree with a closed part, and links that lead into it.
fn closed() -> Tree {
    let tree = Tree::new();
    tree.file("private/a.txt", "secret");
    tree.file("private/sub/index.html", "secret index");
    tree.file("private/list/b.txt", "secret list");
    tree.file("open/c.txt", "open");
    tree.link("private/a.txt", "link.txt");
    tree.link("private", "linkdir");
    tree.link("../private/list", "open/list");
    tree.link("../private/sub/index.html", "open/index.html");
    tree.link("linkdir", "twice");
    tree
}

/// Every spelling of a name below `private` that a client may think of.
const SPELLINGS: [&str; 22] = [
    "/private/a.txt",
    "/private//a.txt",
    "/private/./a.txt",
    "/private/sub/../a.txt",
    "/open/../private/a.txt",
    "/%70rivate/a.txt",
    "/private%2fa.txt",
    "/private/%2e/a.txt",
    "/open/%2e%2e/private/a.txt",
    "/private/a.txt/",
    "/private/a.txt?x",
    "/link.txt",
    "/linkdir/a.txt",
    "/twice/a.txt",
    "/linkdir/",
    "/linkdir",
    "/private",
    "/private/",
    "/open/list/",
    "/open/",
    "/twice/none",
    "/private/none",
];

#[test]
fn no_spelling_and_no_link_leads_round_a_guard() {
    let tree = closed();
    let root = is_root();
    let users = tree.beside("users", USERS);
    let auth = format!("private/** auth {} Staff only\n", users.display());
    let flags: &[&[&str]] = if root { &[&[], &["-nos"], &["-r"]] } else { &[&[], &["-nos"]] };
    for flags in flags {
        for (rules, status) in [("private/** deny 127.0.0.1\n", 403), (&auth, 401)] {
            let server = ruled(&tree, rules, flags);
            for target in SPELLINGS {
                for _ in 0..3 {
                    let answer = get(&server, target);
                    assert_eq!(answer.status, status, "{flags:?} {rules} {target}");
                    assert!(!answer.text().contains("secret"), "{target}");
                }
            }
            let open = ["http://localhost/private/a.txt", "/open/c.txt"].map(|url| get(&server, url).status);
            assert_eq!(open, [status, 200], "{flags:?} {rules}");
        }
    }
}

#[test]
fn authenticated_clients_get_the_file_and_are_logged_by_name() {
    let tree = closed();
    let users = tree.beside("users", USERS);
    let server = ruled(&tree, &format!("private/** auth {} Staff only\n", users.display()), &[]);
    for target in ["/private/a.txt", "/link.txt", "/linkdir/a.txt", "/open/list/", "/open/"] {
        let answer = warmed(&server, target, RIGHT);
        assert_eq!(answer.status, 200, "{target}");
    }
    let asked = get(&server, "/private/a.txt");
    assert_eq!(asked.field("WWW-Authenticate"), Some("Basic realm=\"Staff only\""));
    assert!(server.logged("/link.txt HTTP/1.1\" 200").contains(" user "));
}

#[test]
fn rewrites_tries_fallbacks_and_scripts_are_guarded_by_each_of_their_names() {
    let tree = closed();
    tree.file("private.html", "secret page");
    tree.file("cgi/run.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nsecret'\n");
    tree.mode("cgi/run.cgi", 0o755);
    let rules = "in/** rewrite /private/$1\nvia/** rewrite /private/$1\nprivate/* rewrite /open/c.txt\n\
                 run rewrite /cgi/run.cgi/deep/info\n** try .html\n** fallback /private/a.txt\n\
                 private/** deny 127.0.0.1\nprivate.html deny 127.0.0.1\ncgi/run.cgi/deep/** deny 127.0.0.1\n";
    let server = ruled(&tree, rules, &["-c", "cgi/*"]);
    for target in ["/in/a.txt", "/via/x", "/run", "/cgi/run.cgi/deep/x"] {
        assert_eq!(get(&server, target).status, 403, "{target}");
    }
    assert_eq!(get(&server, "/cgi/run.cgi/other").text(), "secret");
    assert_eq!(get(&server, "/nothing").status, 404, "a fallback that is refused does not stand in");
    fs::remove_dir_all(tree.www().join("private")).unwrap();
    assert_eq!(get(&server, "/private").status, 403, "the directory's name, and the page tried");
}

#[test]
fn auth_dash_frees_only_where_it_is_the_last_word_for_every_name() {
    let tree = closed();
    let users = tree.beside("users", USERS);
    let auth = format!("auth {}", users.display());
    for (rules, open, shut) in [
        (format!("** {auth}\nopen/** auth -\n"), vec!["/open/c.txt"], vec!["/private/a.txt", "/open/"]),
        (format!("open/** auth -\n** {auth}\n"), vec![], vec!["/open/c.txt", "/private/a.txt"]),
        (
            format!("private/** {auth}\nlinkdir/** auth -\nlink.txt auth -\n"),
            vec!["/open/c.txt"],
            vec!["/linkdir/a.txt", "/link.txt", "/linkdir/"],
        ),
        (
            format!("linkdir/** {auth}\nprivate/** auth -\n"),
            vec!["/private/a.txt", "/link.txt"],
            vec!["/linkdir/a.txt", "/linkdir"],
        ),
    ] {
        let server = ruled(&tree, &rules, &[]);
        for target in open {
            assert_eq!(warmed(&server, target, "").status, 200, "{rules} {target}");
        }
        for target in shut {
            assert_eq!(warmed(&server, target, "").status, 401, "{rules} {target}");
            assert!(matches!(warmed(&server, target, RIGHT).status, 200 | 302), "{rules} {target}");
        }
    }
}

#[test]
fn every_password_file_must_know_the_user() {
    let tree = closed();
    let users = tree.beside("users", USERS);
    let others = tree.beside("others", "other:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/\n");
    let (users, others) = (users.display(), others.display());
    let rules = format!("linkdir/** auth {users}\nprivate/** auth {others}\nopen/** auth {users}\n");
    let server = ruled(&tree, &rules, &[]);
    assert_eq!(ask(&server, "GET", "/linkdir/a.txt", RIGHT).status, 401, "only one of both knows them");
    assert_eq!(ask(&server, "GET", "/open/c.txt", RIGHT).status, 200);
    tree.file("open/.htpasswd", "other:x\n");
    assert_eq!(ask(&server, "GET", "/open/c.txt", RIGHT).status, 401);
    tree.file("open/.htpasswd", USERS);
    assert_eq!(ask(&server, "GET", "/open/c.txt", RIGHT).status, 200);
}

#[test]
fn a_password_file_that_is_gone_shuts_what_it_protects_and_one_that_changes_is_read_again() {
    let tree = closed();
    let users = tree.beside("users", USERS);
    let server = ruled(&tree, &format!("private/** auth {}\n", users.display()), &[]);
    assert_eq!(warmed(&server, "/private/a.txt", RIGHT).status, 200);
    tree.beside("users", "other:x\n");
    assert_eq!(ask(&server, "GET", "/private/a.txt", RIGHT).status, 401);
    fs::remove_file(&users).unwrap();
    assert_eq!(ask(&server, "GET", "/private/a.txt", RIGHT).status, 403);
    // As Kubernetes replaces a secret: by a link within the directory.
    fs::create_dir(tree.dir().join("data")).unwrap();
    tree.beside("data/users", USERS);
    std::os::unix::fs::symlink("data/users", &users).unwrap();
    assert_eq!(ask(&server, "GET", "/private/a.txt", RIGHT).status, 200);
}

#[test]
fn a_password_file_is_found_after_chroot_and_as_another_user() {
    if !is_root() {
        return;
    }
    let tree = closed();
    let users = tree.beside("users", USERS);
    let rules = format!("private/** auth {}\n", users.display());
    let server = ruled(&tree, &rules, &["-r", "-u", "nobody"]);
    assert_eq!(warmed(&server, "/private/a.txt", "").status, 401);
    assert_eq!(warmed(&server, "/private/a.txt", RIGHT).status, 200);
    tree.beside("users", "other:x\n");
    assert_eq!(ask(&server, "GET", "/private/a.txt", RIGHT).status, 401);
}

#[test]
fn a_password_is_never_asked_for_where_a_rule_redirects_or_forbids() {
    let tree = closed();
    let users = tree.beside("users", USERS);
    let rules = format!(
        "private/** redirect 301 https://$host$uri\nprivate/** auth {0}\nopen/** deny 127.0.0.1\n\
         open/** auth {0}\nstatus status 200\nstatus auth {0}\n",
        users.display()
    );
    let server = ruled(&tree, &rules, &[]);
    assert_eq!(get(&server, "/private/a.txt").status, 301);
    assert_eq!(get(&server, "/open/c.txt").status, 403);
    assert_eq!(get(&server, "/status").status, 401);
    assert_eq!(ask(&server, "GET", "/status", RIGHT).text(), "ok");
}

#[test]
fn requests_are_bounded_before_anything_else_is_done_and_one_costs_one_token() {
    let tree = closed();
    tree.file("d/index.html", "x");
    let rules = "d/** requests per-address 3/h\n";
    let server = ruled(&tree, rules, &["-o", "reload_on_hup"]);
    for _ in 0..3 {
        assert_eq!(get(&server, "/d/").status, 200, "a directory and its index are one request");
    }
    let refused = get(&server, "/d/");
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.field("Retry-After").unwrap().parse().unwrap();
    assert!((1190..=1200).contains(&wait), "{wait}");
    assert_eq!(refused.fields("Retry-After").count(), 1);
    assert_eq!(get(&server, "/open/c.txt").status, 200);
    reload(&server, &tree, rules, "configuration read again");
    assert_eq!(get(&server, "/d/").status, 429, "a reload forgets nobody");
}

#[test]
fn a_scripts_redirect_to_another_resource_is_no_request_of_its_own() {
    let tree = Tree::new();
    tree.file("a.txt", "a");
    tree.file("to-a.cgi", "#!/bin/sh\nprintf 'Location: /a.txt\\n\\n'\n");
    tree.mode("to-a.cgi", 0o755);
    let server = ruled(&tree, "** requests per-address 4/h\n", &["-c", "**.cgi"]);
    let mut client = server.connect();
    let kept = [(); 2].map(|()| client.get("/to-a.cgi").status);
    let others = [(); 2].map(|()| get(&server, "/to-a.cgi").status);
    assert_eq!((kept, others), ([200; 2], [200; 2]));
    assert_eq!(client.get("/a.txt").status, 429, "what the redirect led to has been counted");
    assert_eq!(get(&server, "/to-a.cgi").status, 429);
}

#[test]
fn a_relative_password_file_is_that_of_the_start_after_a_reload_too() {
    let tree = closed();
    tree.beside("users", USERS);
    let rules = |extra: &str| tree.beside("rules", &format!("private/** auth users\n{extra}"));
    rules("");
    let flags = ["-o", "rules=rules", "-o", "rule=open/** auth ./users", "-o", "reload_on_hup"];
    let server = Server::start_with(&tree, &flags, |command| {
        command.current_dir(tree.dir()).env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
    });
    let statuses = || {
        ["/private/a.txt", "/open/c.txt"]
            .map(|target| [get(&server, target).status, ask(&server, "GET", target, RIGHT).status])
    };
    assert_eq!(statuses(), [[401, 200]; 2]);
    rules("** header X-Again: yes\n");
    server.signal(Signal::SIGHUP);
    eventually("the rules are read", || get(&server, "/").field("X-Again").is_some());
    assert_eq!(statuses(), [[401, 200]; 2]);
}

#[test]
fn a_broken_file_on_reload_leaves_the_old_guards_standing() {
    let tree = closed();
    let server = ruled(&tree, "private/** deny 127.0.0.1\n", &["-o", "reload_on_hup"]);
    assert_eq!(get(&server, "/private/a.txt").status, 403);
    reload(&server, &tree, "private/** dney 127.0.0.1\n", "did you mean deny?");
    assert_eq!(get(&server, "/private/a.txt").status, 403);
    fs::remove_file(tree.dir().join("rules")).unwrap();
    server.signal(Signal::SIGHUP);
    reload(&server, &tree, "open/** deny 127.0.0.1\n", "configuration read again");
    assert_eq!((get(&server, "/private/a.txt").status, get(&server, "/open/c.txt").status), (200, 403));
}

#[test]
fn a_host_is_guarded_in_every_spelling_of_its_name() {
    let tree = Tree::new();
    tree.file("in.example/a.txt", "secret");
    tree.file("out.example/b.txt", "b");
    tree.link("../in.example/a.txt", "out.example/link.txt");
    tree.link("in.example", "alias.example");
    tree.link("in.example", "in.example.");
    let server = ruled(&tree, "//in.example/** deny 127.0.0.1\n", &["-v"]);
    let status = |host: &str, target: &str| ask(&server, "GET", target, &format!("Host: {host}\r\n")).status;
    for host in ["in.example", "IN.example:80", "in.example.", "alias.example"] {
        assert_eq!(status(host, "/a.txt"), 403, "{host}");
        assert_eq!(status("out.example", &format!("http://{host}/a.txt")), 403, "{host}");
    }
    assert_eq!(status("out.example", "/link.txt"), 403);
    assert_eq!(status("out.example", "/b.txt"), 200);
}

#[test]
fn a_password_file_that_would_be_served_stops_the_start() {
    let tree = closed();
    tree.file("users", USERS);
    tree.file(".htusers", USERS);
    let bare = tree.www().join("users");
    let rules = tree.beside("rules", &format!("private/** auth {}\n", bare.display()));
    let option = format!("rules={}", rules.display());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_thttpd"));
    let output =
        command.args(["-D", "-l", "-", "-d"]).arg(tree.www()).args(["-o", &option]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("rules:1: ") && said.contains("lies in the served directory"), "{said}");
    let hidden = tree.www().join(".htusers");
    let server: Server = ruled(&tree, &format!("private/** auth {}\n", hidden.display()), &[]);
    assert_eq!(ask(&server, "GET", "/private/a.txt", RIGHT).status, 200);
    assert_eq!(get(&server, "/.htusers").status, 403);
}
