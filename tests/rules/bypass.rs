//! Attempts to bypass a guard.
//!
//! They use links, rewrites, dot segments, escapes, spellings of hosts and methods, redirects of scripts,
//! and other names that are not guarded.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{RIGHT, USERS, ask, ruled};
use crate::support::{Done, Server, Tree, is_root};

/// Tree with a guarded directory `private`, and ways into it.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("private/a.txt", "secret");
    tree.file("private/index.html", "secret");
    tree.file("private/sub/page.html", "secret");
    tree.file("private/README.txt", "secret");
    tree.file("open/b.txt", "open");
    tree.file("open/free.txt", "open");
    tree.link("../private/a.txt", "open/link");
    tree.link("../private", "open/dir");
    tree.link("dir/sub", "open/through");
    tree.link("./../open/./dir/../private/a.txt", "open/crooked");
    tree.link("../private/README.txt", "open/README.txt");
    tree.file("cgi-bin/go", "#!/bin/sh\nprintf 'Location: /private/a.txt\\n\\n'\n");
    tree.file("cgi-bin/link", "#!/bin/sh\nprintf 'Location: /open/link\\n\\n'\n");
    tree.file("cgi-bin/route", "#!/bin/sh\nprintf 'Location: /in/a.txt\\n\\n'\n");
    ["go", "link", "route"].iter().for_each(|name| tree.mode(&format!("cgi-bin/{name}"), 0o755));
    // As Kubernetes lays out a volume: names lead through a link to a directory that is replaced.
    tree.file("volume/..2026/conf.txt", "secret");
    tree.link("..2026", "volume/..data");
    tree.link("..data/conf.txt", "volume/conf.txt");
    tree
}

/// Targets that name something in `private` one way or another.
const WAYS: [&str; 62] = [
    "/private/a.txt",
    "/private/a.txt?x=/open/b.txt",
    "/private/a.txt/",
    "/private/a.txt/more",
    "/private/a.txt/../a.txt",
    "/private//a.txt",
    "/private///a.txt",
    "/./private/a.txt",
    "/private/./a.txt",
    "/private/././/a.txt",
    "/open/../private/a.txt",
    "/open/b.txt/../../private/a.txt",
    "/none/../private/a.txt",
    "/private/sub/../a.txt",
    "/private/sub/../../private/a.txt",
    "/../private/a.txt",
    "/../../private/a.txt",
    "/%2e%2e/private/a.txt",
    "/open/%2e%2e/private/a.txt",
    "/open/.%2e/private/a.txt",
    "/open/%2E%2E/private/a.txt",
    "/open%2f..%2fprivate%2fa.txt",
    "/open/..%2fprivate/a.txt",
    "/%70%72%69%76%61%74%65/a.txt",
    "/%50rivate/../private/a.txt",
    "/privat%65/a.txt",
    "/private%2fa.txt",
    "/private%2Fa.txt",
    "/private%2f%2fa.txt",
    "/private/%61.txt",
    "/private/a%2etxt",
    "/private/%2e/a.txt",
    "/private",
    "/private/",
    "/private//",
    "/private/.",
    "/private/..//private/",
    "/private?x",
    "/private/index.html",
    "/private/index.html/",
    "/private/sub",
    "/private/sub/",
    "/private/sub/page.html",
    "/private/none",
    "/open/link",
    "/open/link/",
    "/open/%6cink",
    "/open/crooked",
    "/open/dir",
    "/open/dir/",
    "/open/dir/a.txt",
    "/open/dir/index.html",
    "/open/dir/../dir/a.txt",
    "/open/through/",
    "/open/through/page.html",
    "/open/README.txt",
    "/in/a.txt",
    "/in/sub/page.html",
    "/in",
    "/twice/a.txt",
    "/linked/a.txt",
    "/tried/a",
];

/// Routes that lead into `private` by other names.
const ROUTES: &str = "in/** rewrite /private/$1\nin rewrite /private/\ntwice/** rewrite /in2/$1\n\
                      in2/** rewrite /private/$1\nlinked/** rewrite /open/dir/$1\n\
                      tried/** rewrite /private/$1\n** try .txt\n";

/// Flags under which names are looked up in other ways.
fn flags() -> Vec<Vec<&'static str>> {
    let mut all = vec![vec![], vec!["-nos"], vec!["-o", "listing_style=modern"], vec!["-o", "precompressed"]];
    if is_root() {
        all.extend([vec!["-r"], vec!["-r", "-nos"], vec!["-u", "nobody"]]);
    }
    all
}

/// Nothing of what is secret comes out, the first time and when more is remembered.
fn is_shut(server: &Server, target: &str, fields: &str, told: &str) {
    for method in ["GET", "HEAD", "GET", "OPTIONS", "GET"] {
        let answer = ask(server, method, target, fields);
        assert!(!answer.text().contains("secret"), "{told}: {method} {target}: {}", answer.head);
        assert!(matches!(answer.status, 400 | 401 | 403 | 404), "{told}: {method} {target}: {}", answer.head);
    }
    let range = ask(server, "GET", target, &format!("Range: bytes=0-1\r\nIf-None-Match: *\r\n{fields}"));
    assert!(matches!(range.status, 400 | 401 | 403 | 404), "{told}: {target}: {}", range.head);
}

#[test]
fn no_way_leads_round_a_guard() {
    let tree = tree();
    let users = tree.beside("users", USERS);
    let guards = [
        "private/** deny 0.0.0.0/0\n".to_owned(),
        "private/** allow 192.0.2.1\n".to_owned(),
        format!("private/** auth {}\n", users.display()),
        "//*/private/** deny 127.0.0.1\n".to_owned(),
        "http://*/private/** deny 127.0.0.1\n".to_owned(),
        format!("private/** auth {}\nopen/** auth -\nin/** auth -\n", users.display()),
    ];
    for guard in guards {
        for flags in flags() {
            let rules = format!("{guard}{ROUTES}");
            let server = ruled(&tree, &rules, &[&["-c", "cgi-bin/*"][..], &flags].concat());
            let told = format!("{guard}{}", flags.join(" "));
            for target in WAYS {
                is_shut(&server, target, "", &told);
            }
            assert_eq!(ask(&server, "GET", "/open/b.txt", "").text(), "open", "{told}");
            let list = ask(&server, "GET", "/open/", "");
            assert!(list.status == 200 && !list.text().contains("secret"), "{told}: {}", list.text());
        }
    }
}

#[test]
fn a_script_that_sends_elsewhere_on_this_server_does_not_lead_round_a_guard() {
    let tree = tree();
    let users = tree.beside("users", USERS);
    for guard in ["private/** deny 127.0.0.1\n".to_owned(), format!("private/** auth {}\n", users.display())]
    {
        let server = ruled(&tree, &format!("{guard}{ROUTES}"), &["-c", "cgi-bin/*"]);
        for target in ["/cgi-bin/go", "/cgi-bin/link", "/cgi-bin/route"] {
            let answer = ask(&server, "GET", target, "");
            assert!(matches!(answer.status, 401 | 403), "{guard}{target}: {}", answer.head);
            assert!(!answer.text().contains("secret"), "{guard}{target}");
        }
        if guard.contains("auth") {
            assert_eq!(ask(&server, "GET", "/cgi-bin/go", RIGHT).text(), "secret");
        }
    }
}

#[test]
fn a_file_of_a_volume_is_guarded_by_each_of_its_names() {
    let tree = tree();
    for (guard, targets) in [
        ("volume/conf.txt", vec!["/volume/conf.txt"]),
        ("volume/..2026/**", vec!["/volume/conf.txt", "/volume/..2026/conf.txt", "/volume/..data/conf.txt"]),
        ("**/conf.txt", vec!["/volume/conf.txt", "/volume/..2026/conf.txt", "/volume/..data/conf.txt"]),
        ("volume/..data/**", vec!["/volume/..data/conf.txt"]),
    ] {
        for flags in [&[][..], &["-nos"]] {
            let server = ruled(&tree, &format!("{guard} deny 127.0.0.1\n"), flags);
            targets.iter().for_each(|target| is_shut(&server, target, "", guard));
        }
    }
    // A new version of the volume has the guards of the name asked for, too.
    let server = ruled(&tree, "volume/conf.txt deny 127.0.0.1\n", &[]);
    is_shut(&server, "/volume/conf.txt", "", "before");
    tree.file("volume/..2027/conf.txt", "secret");
    symlink("..2027", tree.www().join("volume/..next")).unwrap();
    std::fs::rename(tree.www().join("volume/..next"), tree.www().join("volume/..data")).unwrap();
    is_shut(&server, "/volume/conf.txt", "", "after");
}

#[test]
fn a_link_that_changes_during_the_look_up_leads_round_no_guard() {
    for flags in [&[][..], &["-nos"], &["-r"]].into_iter().filter(|flags| *flags != ["-r"] || is_root()) {
        let tree = Tree::new();
        tree.file("v/new/f.txt", "secret");
        tree.file("v/old/f.txt", "open");
        tree.link("old", "v/now");
        let server = ruled(&tree, "v/new/** deny 127.0.0.1\n", flags);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let dir = tree.www().join("v");
                for target in ["new", "old"].iter().cycle() {
                    symlink(target, dir.join("next")).unwrap();
                    std::fs::rename(dir.join("next"), dir.join("now")).unwrap();
                    if is_over.load(Relaxed) {
                        break;
                    }
                }
            });
            let _done = Done(&is_over);
            let mut client = server.connect();
            for _ in 0..3000 {
                let answer = client.get("/v/now/f.txt");
                assert!(!answer.text().contains("secret"), "{}", flags.join(" "));
                if answer.field("Connection") == Some("close") {
                    client = server.connect();
                }
            }
        });
    }
}

#[test]
fn no_spelling_of_a_host_leads_round_its_guard() {
    let tree = Tree::new();
    for host in ["in.example", "out.example", "::1", "127.0.0.1"] {
        tree.file(&format!("{host}/a.txt"), if host == "out.example" { "open" } else { "secret" });
    }
    tree.link("../in.example", "out.example/dir");
    tree.link("in.example", "alias.example");
    let guard = "//in.example/** deny 127.0.0.1\n//[::1]/** deny 127.0.0.1\n//127.0.0.1/** deny 127.0.0.1\n";
    let routes = "//out.example/r/** rewrite /dir/$1\n";
    for flags in [&["-v"][..], &["-v", "-nos"], &["-v", "-o", "vhost_default=in.example"]] {
        let server = ruled(&tree, &format!("{guard}{routes}"), flags);
        let told = flags.join(" ");
        for host in [
            "in.example",
            "In.Example",
            "IN.EXAMPLE:80",
            "in.example.",
            "in.example.:8080",
            "alias.example",
            "[::1]",
            "[0:0:0:0:0:0:0:1]:80",
            "[::0001]",
            "127.0.0.1",
            "127.0.0.1:80",
        ] {
            for target in ["/a.txt", "/./a.txt", "/%61.txt", "/x/../a.txt"] {
                is_shut(&server, target, &format!("Host: {host}\r\n"), &format!("{told} {host}"));
            }
            let absolute = format!("http://{host}/a.txt");
            is_shut(&server, &absolute, "Host: out.example\r\n", &told);
        }
        for target in ["/dir/a.txt", "/dir/", "/r/a.txt", "/dir/../dir/a.txt"] {
            is_shut(&server, target, "Host: out.example\r\n", &told);
        }
        // Without a host the address of the server is the host.
        let mut old = server.connect();
        old.send("GET /a.txt HTTP/1.0\r\n\r\n");
        assert_eq!(old.answer("GET").status, 403, "{told}");
        assert_eq!(ask(&server, "GET", "/a.txt", "Host: out.example\r\n").text(), "open", "{told}");
        if told.contains("vhost_default") {
            is_shut(&server, "/a.txt", "Host: unknown.example\r\n", &told);
        }
    }
    // Without virtual hosts the guard is of the host asked for, in every spelling.
    tree.file("a.txt", "secret");
    let server = ruled(&tree, "//in.example/** deny 127.0.0.1\n", &[]);
    for host in ["in.example", "In.Example:80", "in.example.", "in.example.:1"] {
        is_shut(&server, "/a.txt", &format!("Host: {host}\r\n"), host);
    }
}

#[test]
fn auth_dash_on_one_name_frees_no_other() {
    let tree = tree();
    let users = tree.beside("users", USERS);
    let auth = format!("auth {}", users.display());
    for (rules, targets) in [
        // The file is protected, a link to it is freed.
        (
            format!("private/** {auth}\nopen/** auth -\n"),
            vec!["/open/link", "/open/dir/a.txt", "/open/crooked"],
        ),
        (format!("open/** auth -\nprivate/** {auth}\n"), vec!["/open/link", "/open/dir/a.txt"]),
        // The link is protected, the file is freed.
        (format!("open/link {auth}\nprivate/** auth -\n"), vec!["/open/link", "/open/link/"]),
        (format!("private/** auth -\nopen/link {auth}\n"), vec!["/open/link"]),
        // A rewritten name is freed, the name asked for is protected, and the other way round.
        (format!("in/** {auth}\nprivate/** auth -\nin/** rewrite /private/$1\n"), vec!["/in/a.txt"]),
        (format!("private/** {auth}\nin/** auth -\nin/** rewrite /private/$1\n"), vec!["/in/a.txt"]),
        // Of two rewrites the one in the middle.
        (
            format!("mid/** {auth}\nprivate/** auth -\nin/** rewrite /mid/$1\nmid/** rewrite /private/$1\n"),
            vec!["/in/a.txt"],
        ),
        // The directory is freed, its index file is protected, and the other way round.
        (format!("private/index.html {auth}\nprivate/ auth -\n"), vec!["/private/"]),
        (format!("private/ {auth}\nprivate/index.html auth -\n"), vec!["/private/", "/private"]),
        // A page that is tried, and a fallback.
        (format!("private/a.txt {auth}\nprivate/a auth -\n** try .txt\n"), vec!["/private/a"]),
        (format!("private/** {auth}\nnone auth -\n** fallback /private/a.txt\n"), vec!["/none"]),
        // Everything is protected, and one name is freed.
        (format!("** {auth}\nopen/link auth -\n"), vec!["/open/link", "/private/a.txt", "/open/b.txt"]),
    ] {
        for flags in [&[][..], &["-nos"]] {
            let server = ruled(&tree, &rules, flags);
            for target in &targets {
                is_shut(&server, target, "", &rules);
                let right = ask(&server, "GET", target, RIGHT);
                assert!(matches!(right.status, 200 | 302), "{rules}{target}: {}", right.head);
            }
        }
    }
    // Free is what is free by each of its names.
    let server = ruled(&tree, &format!("** {auth}\nopen/** auth -\n"), &[]);
    for _ in 0..3 {
        assert_eq!(ask(&server, "GET", "/open/free.txt", "").status, 200);
    }
}
