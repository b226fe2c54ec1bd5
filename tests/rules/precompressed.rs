//! Precompressed files and rules: guards of a form apply under every name.

use super::{RIGHT, USERS, ask, get, ruled, warmed};
use crate::support::{Server, Tree, run};

/// A page with a form in gzip, under some names; none where gzip is missing.
fn pages() -> Option<Tree> {
    let tree = Tree::new();
    let text = "line\n".repeat(2000);
    for name in ["a.txt", "shell.html", "s/index.html", "other/b.txt"] {
        let path = tree.file(name, &text);
        let output = run("gzip", &["-k", path.to_str().unwrap()])?;
        assert!(output.status.success());
    }
    Some(tree)
}

const GZIP: &str = "Accept-Encoding: gzip\r\n";

/// Status and coding of an answer before and after the file is remembered, which must be the same.
fn form(server: &Server, target: &str, fields: &str) -> (u16, String) {
    let of = |answer: crate::support::Answer| {
        (answer.status, answer.field("Content-Encoding").unwrap_or("identity").to_owned())
    };
    let fields = format!("{GZIP}{fields}");
    let first = of(ask(server, "GET", target, &fields));
    crate::support::eventually("a settled file", || {
        let answer = ask(server, "GET", target, &fields);
        answer.field("ETag").is_none_or(|tag| tag.starts_with('"'))
    });
    assert_eq!(of(warmed(server, target, &fields)), first, "{target}: when it is remembered");
    first
}

fn of(status: u16, coding: &str) -> (u16, String) {
    (status, coding.to_owned())
}

#[test]
fn a_form_that_a_client_may_not_have_is_never_sent() {
    let Some(tree) = pages() else { return };
    let users = tree.beside("users", USERS);
    let auth = format!("**.gz auth {}\n", users.display());
    let rewrite = "route fallback shell.html any\nr/* rewrite /a.txt\n";
    let all = ["/a.txt", "/s/", "/s/index.html", "/shell", "/route", "/r/x"];
    let tried = "shell try .html\n";
    for (guard, closed) in [("", false), ("**.gz deny 127.0.0.1\n", true), (&auth, true)] {
        let server = ruled(&tree, &format!("{guard}{rewrite}{tried}"), &["-o", "precompressed"]);
        for target in all {
            let coding = if closed { "identity" } else { "gzip" };
            assert_eq!(form(&server, target, ""), of(200, coding), "{target} {guard}");
        }
        if guard.contains("auth") {
            for target in all {
                assert_eq!(form(&server, target, RIGHT), of(200, "gzip"), "{target} {guard}");
                assert_eq!(form(&server, target, ""), of(200, "identity"), "{target} {guard}");
            }
        }
    }
    // The guards of the file hold for its form.
    let server = ruled(&tree, "a.txt deny 127.0.0.1\n", &["-o", "precompressed"]);
    assert_eq!(form(&server, "/a.txt", "").0, 403);
}

#[test]
fn a_form_asked_for_by_its_own_name_has_the_guards_of_the_file() {
    let Some(tree) = pages() else { return };
    tree.link("../a.txt.gz", "other/d.gz");
    for suffix in ["br", "zst"] {
        tree.file(&format!("a.txt.{suffix}"), "x");
    }
    tree.file("only.tar.gz", "x");
    let users = tree.beside("users", USERS);
    let auth = format!("auth {}", users.display());
    let targets =
        ["/a.txt.gz", "/a.txt.br", "/a.txt.zst", "/a.txt%2egz", "/a.txt.gz/", "/in/x", "/other/d.gz"];
    for (rules, refused) in [
        ("a.txt deny 127.0.0.1\n".to_owned(), 403),
        ("**.txt allow 192.0.2.1\n".to_owned(), 403),
        (format!("a.txt {auth}\n"), 401),
        (format!("**.txt {auth}\n**.gz|**.br|**.zst|in/* auth -\n"), 401),
    ] {
        let rules = format!("{rules}in/* rewrite /a.txt.gz\n");
        let server = ruled(&tree, &rules, &["-o", "precompressed"]);
        for target in targets {
            for _ in 0..3 {
                assert_eq!(get(&server, target).status, refused, "{rules}{target}");
            }
        }
        if refused == 401 {
            assert_eq!(warmed(&server, "/a.txt.gz", RIGHT).status, 200, "{rules}");
        }
        assert_eq!(get(&server, "/only.tar.gz").status, 200, "{rules}");
        let without = ruled(&tree, &rules, &[]);
        assert_eq!(get(&without, "/a.txt.gz").status, 200, "{rules}without the option a file of its own");
    }
}

#[test]
fn links_and_requests_lines_count_for_forms_too() {
    let Some(tree) = pages() else { return };
    tree.link("b.txt", "other/c.txt");
    tree.link("b.txt.gz", "other/c.txt.gz");
    for flags in [&["-o", "precompressed"][..], &["-o", "precompressed", "-nos"]] {
        let server = ruled(&tree, "other/b.txt.gz deny 127.0.0.1\n", flags);
        assert_eq!(form(&server, "/other/c.txt", ""), of(200, "identity"), "{flags:?}");
    }
    let server = ruled(&tree, "**.gz requests 1/h burst 2\n", &["-o", "precompressed"]);
    let coding = || ask(&server, "GET", "/a.txt", GZIP).field("Content-Encoding").is_some();
    assert_eq!([coding(), coding(), coding()], [true, true, false]);
    // One line that covers the file and its form takes one token.
    let server = ruled(&tree, "** requests 1/h burst 2\n", &["-o", "precompressed"]);
    let status = || ask(&server, "GET", "/a.txt", GZIP).status;
    assert_eq!([status(), status(), status()], [200, 200, 429]);
}

#[test]
fn shared_caches_do_not_keep_what_not_everybody_may_have_in_every_form() {
    let Some(tree) = pages() else { return };
    for (rules, expected) in
        [("** cache 60\n", "max-age=60"), ("** cache 60\n**.gz deny 192.0.2.1\n", "max-age=60, private")]
    {
        let server = ruled(&tree, rules, &["-o", "precompressed"]);
        for answer in [get(&server, "/a.txt"), warmed(&server, "/a.txt", GZIP)] {
            let said = answer.field("Cache-Control").unwrap();
            assert_eq!(said.contains("private"), expected.contains("private"), "{rules}: {said}");
        }
    }
}

#[test]
fn a_form_has_the_type_that_a_rule_gives_the_file() {
    let Some(tree) = pages() else { return };
    let server = ruled(&tree, "a.txt type application/x-own\n", &["-o", "precompressed"]);
    let answer = ask(&server, "GET", "/a.txt", GZIP);
    assert_eq!(answer.field("Content-Type"), Some("application/x-own"));
    assert_eq!(answer.field("Content-Encoding"), Some("gzip"));
}
