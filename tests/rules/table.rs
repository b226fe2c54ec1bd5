//! Each action of thttpd-rules(5) in each case, compared with the response without the action.
//!
//! `table.txt` has a row for each action and for some combinations, and a cell for each case.

use std::collections::BTreeSet;
use std::fs;

use super::{RIGHT, USERS, ask, reload, ruled};
use crate::support::{Answer, Server, Tree, is_root};

/// Cases, in the order of a row's cells.
const CASES: [&str; 16] = [
    "GET",
    "HEAD",
    "OPTIONS",
    "preflight",
    "304",
    "206",
    "416",
    "404",
    "405",
    "list",
    "slash",
    "script",
    "vhost",
    "chroot",
    "-g",
    "reload",
];

fn tree() -> Tree {
    let tree = Tree::new();
    for top in ["", "h.example/"] {
        tree.file(&format!("{top}a.txt"), "plain a");
        tree.file(&format!("{top}b.txt"), "plain b");
        tree.file(&format!("{top}none.txt.html"), "tried");
        tree.file(&format!("{top}d/c.txt"), "plain c");
        tree.file(&format!("{top}x.cgi"), "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nran'\n");
        tree.mode(&format!("{top}x.cgi"), 0o755);
    }
    tree
}

/// Answers of a server with `rules` in each case, three times each where more than one differs.
fn answers(tree: &Tree, rules: &str) -> Vec<Vec<Answer>> {
    let common = ["-c", "**.cgi", "-o", "trusted_proxies=127.0.0.1", "-o", "reload_on_hup"];
    let server = |flags: &[&str]| ruled(tree, rules, &[&common[..], flags].concat());
    let plain = server(&[]);
    let rows = CASES.iter().zip(1..).map(|(case, number)| {
        let fields = format!("X-Forwarded-For: 10.0.0.{number}\r\nOrigin: https://o.example\r\n");
        let with = |server: &Server, method: &str, target: &str, more: &str| -> Vec<Answer> {
            (0..3).map(|_| ask(server, method, target, &format!("{fields}{more}"))).collect()
        };
        match *case {
            "GET" => with(&plain, "GET", "/a.txt", ""),
            "HEAD" => with(&plain, "HEAD", "/a.txt", ""),
            "OPTIONS" => with(&plain, "OPTIONS", "/a.txt", ""),
            "preflight" => with(&plain, "OPTIONS", "/a.txt", "Access-Control-Request-Method: GET\r\n"),
            "304" => with(&plain, "GET", "/a.txt", "If-None-Match: *\r\n"),
            "206" => with(&plain, "GET", "/a.txt", "Range: bytes=1-3\r\n"),
            "416" => with(&plain, "GET", "/a.txt", "Range: bytes=99-\r\n"),
            "404" => with(&plain, "GET", "/none.txt", ""),
            "405" => with(&plain, "POST", "/a.txt", "Content-Length: 0\r\n"),
            "list" => with(&plain, "GET", "/d/", ""),
            "slash" => with(&plain, "GET", "/d", ""),
            "script" => with(&plain, "GET", "/x.cgi", ""),
            "vhost" => with(&server(&["-v"]), "GET", "/a.txt", "Host: h.example\r\n"),
            "chroot" if !is_root() => Vec::new(),
            "chroot" => with(&server(&["-r"]), "GET", "/a.txt", ""),
            "-g" => {
                let path = tree.www().join(".htpasswd");
                fs::write(&path, USERS).unwrap();
                let server = server(&["-g"]);
                let both =
                    [with(&server, "GET", "/a.txt", ""), with(&server, "GET", "/a.txt", RIGHT)].concat();
                fs::remove_file(path).unwrap();
                both
            }
            "reload" => {
                let server = ruled(tree, "# nothing\n", &common);
                let before = with(&server, "GET", "/a.txt", "");
                assert!(before.iter().all(|answer| answer.text() == "plain a"));
                reload(&server, tree, rules, "configuration read again");
                with(&server, "GET", "/a.txt", "")
            }
            case => unreachable!("{case}"),
        }
    });
    rows.collect()
}

/// Fields that an action may change.
const FIELDS: [&str; 12] = [
    "Location",
    "WWW-Authenticate",
    "Allow",
    "Server",
    "X-A",
    "Cache-Control",
    "Expires",
    "Content-Type",
    "Content-Encoding",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Methods",
    "Vary",
];

/// Status, content if it is no page, and fields that differ from those without rules.
fn shown(answer: &Answer, bare: &Answer) -> String {
    let mut text = answer.status.to_string();
    let body = answer.text();
    match body.chars().next() {
        None | Some('<') => {}
        Some('[') => text += " [JSON]",
        Some(_) => text += &format!(" [{}]", body.trim_end()),
    }
    for name in FIELDS {
        let found: Vec<&str> = answer.fields(name).collect();
        let is_page = name == "Content-Type" && answer.status != bare.status;
        if is_page || found == bare.fields(name).collect::<Vec<_>>() {
            continue;
        }
        // Of a date, only its presence is compared.
        let value = if name == "Expires" && !found.is_empty() { "date".to_owned() } else { found.join("+") };
        text += &format!(" {name}={value}");
    }
    text
}

/// The cells of a row; `=` where the rules change nothing.
fn cells(answers: &[Vec<Answer>], bare: &[Vec<Answer>]) -> Vec<String> {
    let cells = answers.iter().zip(bare).map(|(answers, bare)| {
        let all = |answers: &[Answer]| {
            let mut all: Vec<String> =
                answers.iter().zip(bare).map(|(answer, bare)| shown(answer, bare)).collect();
            all.dedup();
            all.join("; ")
        };
        let cell = all(answers);
        if cell == all(bare) { "=".to_owned() } else { cell }
    });
    cells.collect()
}

/// A row of the table: its rules, and the cells by their cases.
type Row = (&'static str, Vec<(&'static str, &'static str)>);

fn rows() -> Vec<Row> {
    let row = |text: &'static str| {
        let mut lines = text.lines();
        let rules = lines.next().unwrap();
        let cells = lines.filter(|line| !line.is_empty());
        (
            rules,
            cells
                .map(|line| line.split_once(' ').expect(line))
                .map(|(case, cell)| (case, cell.trim()))
                .collect(),
        )
    };
    include_str!("table.txt").split("## ").skip(1).map(row).collect()
}

/// The lines of a row.
fn lines(tree: &Tree, rules: &str) -> String {
    rules.replace("USERS", tree.dir().join("users").to_str().unwrap()).replace("; ", "\n")
}

/// With `THTTPD_TABLE=write` the table is written anew with what is found, for a reader to judge.
#[test]
fn each_action_does_its_work_in_each_case() {
    let tree = tree();
    tree.beside("users", USERS);
    let bare = answers(&tree, "# nothing\n");
    let is_written = std::env::var("THTTPD_TABLE").is_ok_and(|value| value == "write");
    let mut text = String::new();
    for (rules, expected) in rows() {
        let answers = answers(&tree, &lines(&tree, rules));
        let found = cells(&answers, &bare);
        if is_written {
            let cells = CASES.iter().zip(found).map(|(case, cell)| format!("{case:10}{cell}\n"));
            text += &format!("## {rules}\n{}\n", cells.collect::<String>());
            continue;
        }
        let cases: Vec<&str> = expected.iter().map(|(case, _)| *case).collect();
        assert_eq!(cases, CASES, "{rules}: a cell is missing");
        for (((case, want), cell), answers) in expected.into_iter().zip(found).zip(answers) {
            // No answers: what cannot be tried here.
            assert!(answers.is_empty() || cell == want, "{rules}\n{case}: {cell}\nbut: {want}");
        }
    }
    if is_written {
        fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules/table.txt"), text).unwrap();
    }
}

#[test]
fn each_action_of_the_page_has_a_row() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/thttpd-rules.5");
    let page = fs::read_to_string(path).unwrap();
    let actions: BTreeSet<&str> = [".Sh ROUTES", ".Sh GUARDS", ".Sh DRESS"]
        .iter()
        .flat_map(|section| page.split(section).nth(1).unwrap().split("\n.Sh ").next().unwrap().lines())
        .filter_map(|line| line.strip_prefix(".It Cm ")?.split(' ').next())
        .collect();
    assert!(actions.len() > 15, "{}", actions.len());
    let tried: BTreeSet<&str> = rows()
        .iter()
        .flat_map(|(rules, _)| rules.split("; "))
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    for action in actions.into_iter().chain(["per-address", "per-connection", "0"]) {
        assert!(tried.contains(action), "{action}");
    }
}

#[test]
fn fields_are_on_every_response_whatever_another_action_makes_of_it() {
    let tree = tree();
    tree.beside("users", USERS);
    let others = rows();
    let others = others.iter().filter(|(rules, _)| {
        let words = ["header", "cache", "type", "charset", "cors", "listing", "connections"];
        !rules.contains("; ") && !words.iter().any(|word| rules.contains(word))
    });
    for (rules, _) in others {
        let alone = answers(&tree, &lines(&tree, rules));
        let both = format!("** header X-A: b\n** header -Server\n** cors *\n{}", lines(&tree, rules));
        for ((case, alone), both) in CASES.iter().zip(alone).zip(answers(&tree, &both)) {
            for (alone, both) in alone.iter().zip(both) {
                let fields = ["X-A", "Server", "Access-Control-Allow-Origin"].map(|name| both.field(name));
                assert_eq!(fields, [Some("b"), None, Some("*")], "{rules}: {case}: {}", both.head);
                // A preflight goes before redirects and passwords, and after addresses and numbers.
                let is_before = *case == "preflight" && !matches!(alone.status, 403 | 429);
                assert!(is_before || both.status == alone.status, "{rules}: {case}: {}", both.head);
                assert!(!is_before || both.status == 204 || rules.ends_with(" 0"), "{rules}: {}", both.head);
            }
        }
    }
}
