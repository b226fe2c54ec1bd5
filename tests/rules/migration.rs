//! Rules on the migration page: each line behaves as the line of the other server beside it.

use super::{USERS, ask, ruled};
use crate::support::Tree;

/// A rule of the page, and what is asked and answered: the target, more field lines, the status, and a field
/// line or content that must be there.
type Case = (&'static str, &'static [(&'static str, &'static str, u16, &'static str)]);

const OLD_SITE: &str = "Host: a.example\r\n";
const WWW: &str = "Host: www.e.org\r\n";
const TWO: &str = "Host: b.example\r\n";
/// The server trusts this test as a proxy.
const OUTSIDE: &str = "X-Forwarded-For: 203.0.113.9\r\n";
const BAD: &str = "X-Forwarded-For: 192.0.2.1\r\n";
const HOME: &str = "X-Forwarded-For: 192.168.7.7\r\n";
const TEN: &str = "X-Forwarded-For: 10.1.1.1\r\n";
const ORIGIN: &str = "Origin: https://a.example\r\n";

const CASES: &[Case] = &[
    ("a redirect 301 /b", &[("/a", "", 301, "Location: /b"), ("/a/", "", 200, "")]),
    (
        "~*/** rewrite /users/$1/$2",
        &[
            ("/~joe/a.txt", "", 200, "home of joe"),
            ("/%7ejoe/a.txt", "", 200, "home"),
            ("/~ann/a.txt", "", 404, ""),
        ],
    ),
    ("x/** rewrite /y/$1", &[("/x/page.txt", "", 200, "page of y"), ("/y/page.txt", "", 200, "page of y")]),
    (
        "//a.example/** redirect 301 http://b.example$uri",
        &[("/p?q", OLD_SITE, 301, "Location: http://b.example/p?q"), ("/a.html", "", 200, "about")],
    ),
    ("** redirect 301 http://b.example$uri", &[("/p?q", "", 301, "Location: http://b.example/p?q")]),
    (
        "http://*/** redirect 301 https://$host$uri",
        &[
            ("/p?q", "Host: h:81\r\n", 301, "Location: https://h/p?q"),
            ("/a.html", "X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\n", 200, "about"),
        ],
    ),
    ("** header -Server", &[("/a.html", "", 200, "Server:-"), ("/none", "", 404, "Server:-")]),
    ("** header X-A: b", &[("/a.html", "", 200, "X-A: b"), ("/none", "", 404, "X-A: b")]),
    (
        "** fallback /index.html any",
        &[("/deep/link", "", 200, "shell"), ("/gone.js", "", 200, "shell"), ("/a.html", "", 200, "about")],
    ),
    ("** allow 192.168.0.0/16", &[("/a.html", HOME, 200, "about"), ("/a.html", OUTSIDE, 403, "")]),
    ("** deny 192.0.2.1", &[("/a.html", OUTSIDE, 200, "about"), ("/a.html", BAD, 403, "")]),
    (
        "private/** auth /etc/users",
        &[("/private/a.txt", "", 401, ""), ("/private/a.txt", super::RIGHT, 200, "hidden")],
    ),
    ("old/** redirect 301 /new/", &[("/old/a", "", 301, "Location: /new/")]),
    ("old/** redirect 301 /new/$1", &[("/old/a/b?q", "", 301, "Location: /new/a/b?q")]),
    ("old status 410", &[("/old", "", 410, ""), ("/old/a", "", 404, "")]),
    ("private/** status 403", &[("/private/a.txt", "", 403, ""), ("/a.html", "", 200, "about")]),
    ("**.css cache 86400", &[("/s.css", "", 200, "Cache-Control: max-age=86400")]),
    ("old/** redirect 301 /b/$1", &[("/old/a/b?q", "", 301, "Location: /b/a/b?q")]),
    ("old/** redirect 302 /b/$1", &[("/old/a", "", 302, "Location: /b/a")]),
    ("p/* rewrite /cgi-bin/p?id=$1", &[("/p/7&x=1", "", 200, "id=7%26x%3D1"), ("/p/a/b", "", 404, "")]),
    (
        "//www.e.org/** redirect 301 http://e.org$uri",
        &[("/a?b", WWW, 301, "Location: http://e.org/a?b"), ("/a.html", "Host: e.org\r\n", 200, "about")],
    ),
    ("//www.e.org/** redirect 301 https://e.org$uri", &[("/a?b", WWW, 301, "Location: https://e.org/a?b")]),
    ("** try .html", &[("/a", "", 200, "about"), ("/none", "", 404, "")]),
    ("healthz status 200", &[("/healthz", "", 200, "ok")]),
    ("health status 200", &[("/health", "", 200, "ok")]),
    ("gone status 410", &[("/gone", "", 410, "")]),
    ("gone/** status 404", &[("/gone/a", "", 404, ""), ("/a.html", "", 200, "about")]),
    (
        "**.git|**.git/** status 404",
        &[("/.git/config", "", 404, ""), ("/.git", "", 404, ""), ("/x/.git/a", "", 404, "")],
    ),
    ("**.inc status 403", &[("/x.inc", "", 403, ""), ("/d/x.inc", "", 403, "")]),
    ("** status 503", &[("/a.html", "", 503, "")]),
    ("** allow 10.0.0.0/8", &[("/a.html", TEN, 200, "about"), ("/a.html", OUTSIDE, 403, "")]),
    (
        "private/** auth /etc/users Staff",
        &[("/private/a.txt", "", 401, "WWW-Authenticate: Basic realm=\"Staff\"")],
    ),
    ("** requests per-address 5/s burst 20", &[("/a.html", "", 200, "about")]),
    ("connections per-address 20", &[("/a.html", "", 200, "about")]),
    ("**.iso per-connection 51200", &[("/cd.iso", "", 200, "image")]),
    ("** per-connection 51200", &[("/a.html", "", 200, "about")]),
    ("**.css cache 2592000", &[("/s.css", "", 200, "Cache-Control: max-age=2592000")]),
    ("**.html cache revalidate", &[("/", "", 200, "Cache-Control: no-cache")]),
    ("a/** cache 86400", &[("/a/s.css", "", 200, "Cache-Control: max-age=86400")]),
    (
        "assets/** cache immutable",
        &[("/assets/app-1.js", "", 200, "Cache-Control: public, max-age=31536000, immutable")],
    ),
    ("assets/** cache 600", &[("/assets/app-1.js", "", 200, "Cache-Control: max-age=600")]),
    ("**.woff type font/x", &[("/f.woff", "", 200, "Content-Type: font/x")]),
    ("pub/** listing modern", &[("/pub/", "", 200, "<table"), ("/assets/", "", 403, "")]),
    (
        "** cors https://a.example",
        &[("/a.html", ORIGIN, 200, "Access-Control-Allow-Origin: https://a.example")],
    ),
    ("** header X-Frame-Options: DENY", &[("/a.html", "", 200, "X-Frame-Options: DENY")]),
    ("**.js header X-A: b", &[("/assets/app-1.js", "", 200, "X-A: b"), ("/a.html", "", 200, "X-A:-")]),
    ("//b.example/** rewrite /b$uri", &[("/in.txt", TWO, 200, "in b"), ("/", TWO, 200, "index of b")]),
    ("old redirect 301 /new", &[("/old?q", "", 301, "Location: /new?q")]),
    ("old redirect 302 /new", &[("/old", "", 302, "Location: /new")]),
    ("news/** redirect 301 /b/$1", &[("/news/a/b", "", 301, "Location: /b/a/b")]),
    ("n/*/* redirect 301 /b/$2", &[("/n/2026/a", "", 301, "Location: /b/a")]),
    ("a/** redirect 301 /b/$1", &[("/a/x", "", 301, "Location: /b/x")]),
];

fn tree() -> Tree {
    let tree = Tree::new();
    for (name, content) in [
        ("index.html", "shell"),
        ("a.html", "about"),
        ("y/page.txt", "page of y"),
        ("b/in.txt", "in b"),
        ("b/index.html", "index of b"),
        ("users/joe/a.txt", "home of joe"),
        ("private/a.txt", "hidden"),
        ("s.css", "css"),
        ("a/s.css", "css"),
        ("assets/app-1.js", "app"),
        ("f.woff", "font"),
        ("cd.iso", "image"),
        ("pub/a.txt", "listed"),
        ("x.inc", "include"),
        (".git/config", "git"),
        ("cgi-bin/p", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n%s' \"$QUERY_STRING\"\n"),
    ] {
        tree.file(name, content);
    }
    tree.mode("cgi-bin/p", 0o755);
    tree
}

/// The lines of rules on the page, without those that have none.
fn lines() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/thttpd-migration.7");
    let page = std::fs::read_to_string(path).unwrap();
    let tables =
        page.split(".Bd -literal -offset indent\n").skip(1).map(|rest| rest.split(".Ed").next().unwrap());
    let of_rules = tables.filter(|table| table.lines().next().unwrap().ends_with("  RULES"));
    let cell = |row: &str| row.rsplit_once("  ").expect(row).1.trim().to_owned();
    let cells = of_rules.flat_map(|table| table.lines().skip(1).map(cell).collect::<Vec<_>>());
    cells.filter(|cell| !cell.starts_with("none")).collect()
}

#[test]
fn each_line_does_what_it_replaces() {
    let tree = tree();
    let users = tree.beside("users", USERS);
    let mut tried = Vec::new();
    for line in lines() {
        let found = CASES.iter().find(|(rule, _)| *rule == line);
        let (_, asked) = found.unwrap_or_else(|| panic!("{line}: nothing here tries it"));
        if tried.contains(&line) {
            continue;
        }
        let rules = line.replace("/etc/users", users.to_str().unwrap());
        let mut flags = vec!["-c", "cgi-bin/*", "-o", "trusted_proxies=127.0.0.1"];
        if line.contains("listing") {
            flags.extend(["-o", "nolisting"]);
        }
        let server = ruled(&tree, &rules, &flags);
        for (target, fields, status, part) in *asked {
            let answer = ask(&server, "GET", target, fields);
            assert_eq!(answer.status, *status, "{line}: {target}: {}", answer.head);
            let is_there = match part.strip_suffix(":-") {
                Some(name) => answer.field(name).is_none(),
                None => answer.head.lines().any(|line| line == *part) || answer.text().contains(part),
            };
            assert!(is_there, "{line}: {target}: no {part} in {}\n{}", answer.head, answer.text());
        }
        tried.push(line);
    }
    assert_eq!(tried.len(), CASES.len(), "a case is of no line of the page");
}
