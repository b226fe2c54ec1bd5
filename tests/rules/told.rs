//! Rules in `--check`, `--explain` and `--dump-config`.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::{Server, Tree};

fn run(tree: &Tree, rules: &str, flags: &[&str]) -> Output {
    let option = format!("rules={}", tree.beside("rules", rules).display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_thttpd"));
    command.arg("-d").arg(tree.www()).args(["-l", "-", "-o", &option]).args(flags);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn a_check_tells_every_mistake_with_file_line_and_nearest_word() {
    let tree = Tree::new();
    let rules = "a redirct 301 /x\n\nb cache imutable\nc header Content-Type: a/b\n";
    let output = run(&tree, rules, &["-o", "rule=d dney 127.0.0.1", "--check"]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    let file = tree.dir().join("rules");
    let file = file.display();
    for line in [
        format!("{file}:1: redirct: unknown action; did you mean redirect?"),
        format!("{file}:3: imutable: did you mean immutable?"),
        format!("{file}:4: Content-Type cannot be changed: that is the job of the action type"),
        "-o: dney: unknown action; did you mean deny?".to_owned(),
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in {text}");
    }
}

#[test]
fn a_check_warns_of_what_is_probably_not_meant() {
    let tree = Tree::new();
    tree.file("index.html", "x");
    let rules = "** redirect 301 /new/$1\nold/** redirect 301 /x\n** fallback /none.html\nx/** fallback /index.html\n\
                 a auth /nonexistent/users\n//h/** deny 10.0.0.1\nhttps://*/** header X: y\n\
                 http://*/** redirect 301 https://$host$uri\n";
    let output = run(&tree, rules, &["--check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = said(&output);
    for (line, part) in [
        (1, "covers its own target"),
        (2, "has no effect below"),
        (3, "there is no such file"),
        (4, "has no effect below"),
        (5, "there is no such file"),
        (6, "other names of the host"),
        (7, "asks for https"),
    ] {
        let place = format!("rules:{line}: ");
        let told = text
            .lines()
            .any(|told| told.starts_with("warning: ") && told.contains(&place) && told.contains(part));
        assert!(told, "{line}: {part} in {text}");
    }
    assert!(text.ends_with("the configuration is sound\n"), "{text}");
}

#[test]
fn a_check_of_thousands_of_redirects_takes_seconds() {
    let tree = Tree::new();
    let line = |n: usize| match n % 2 {
        0 => format!("old/page{n}.html redirect 301 /new/{n}\n"),
        _ => format!("shop{n}/**|store{n}/* redirect 301 /goods/$1\n"),
    };
    let last = "shop4999/sale/*|store4999/sale redirect 301 /sale\n";
    let rules: String = (0..10_000).map(line).chain([last.to_owned()]).collect();
    let began = Instant::now();
    let text = said(&run(&tree, &rules, &["--check"]));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let warnings: Vec<&str> = text.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(warnings[0].contains("rules:10001: redirect 301 /sale: has no effect below"), "{text}");
    assert!(warnings[0].contains("rules:5000: "), "{text}");
}

#[test]
fn a_check_warns_of_patterns_of_another_syntax() {
    let tree = Tree::new();
    let foreign = [
        "^/old/(.*)$ redirect 301 /new/$1",
        "~*\\.php$ status 404",
        "/\\.git/** status 404",
        "[0-9]*.txt header X-A: b",
        "[^a]/** deny 10.0.0.1",
        "*.{js,css} cache 60",
        "/(old|older)/** deny 10.0.0.1",
        "blog/:slug redirect 301 /news",
        "**.(jpg|png) 10000",
    ];
    let usual = "~ada/** cache 5\na(1).txt|b[2].txt|{id}.html cache 5\n*$/x cache 5\na:b/c^d cache 5\n";
    let output = run(&tree, &format!("{}\n{usual}", foreign.join("\n")), &["--check"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let warnings: Vec<&str> = text.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), foreign.len(), "{text}");
    for (number, line) in (1..).zip(foreign) {
        let pattern = line.split(' ').next().unwrap();
        let part = format!("`{pattern}` is taken as it stands but for * ** ? and |");
        let place = format!("rules:{number}: ");
        assert!(warnings.iter().any(|told| told.contains(&place) && told.contains(&part)), "{line}: {text}");
    }
}

#[test]
fn a_check_warns_of_passwords_that_are_not_understood() {
    let tree = Tree::new();
    let users = tree.beside("users", "u:$y$j9T$salt$secret\nv:{SHA}secret\nw:ab5da3hZp5iFU\n");
    let users = users.display();
    let output = run(&tree, &format!("a/** auth {users}\nb/** auth {users} B\n"), &["--check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = said(&output);
    let warnings: Vec<&str> = text.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 2, "{text}");
    assert!(warnings[0].starts_with(&format!("warning: {users}: u: the hash $y$ (yescrypt)")), "{text}");
    assert!(warnings[1].starts_with(&format!("warning: {users}: v: the hash {{SHA}}")), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_check_warns_of_each_route_that_one_above_covers_and_of_no_other() {
    let tree = Tree::new();
    for (above, below, is_covered) in [
        ("old/*", "old/x", true),
        ("old/*", "old/*", true),
        ("**.php", "blog/wp-login.php", true),
        ("**.php", "*.php", true),
        ("*.html|*.htm", "a.htm|b.html", true),
        ("//*.example.org/**", "//www.example.org/x", true),
        ("//*/a/**", "//h/a/*/b", true),
        ("a?", "ab", true),
        ("old/*", "old/x/y", false),
        ("old/*", "old/**", false),
        ("*.php", "**.php", false),
        ("*.html", "*.html|*.htm", false),
        ("a?", "a*", false),
        ("a*", "a?", false),
        ("?*", "*", false),
        ("//*.example.org/**", "//example.org/x", false),
        ("http://*/a", "//h/a", false),
    ] {
        let text = said(&run(&tree, &format!("{above} status 404\n{below} status 410\n"), &["--check"]));
        assert_eq!(text.contains("has no effect below"), is_covered, "{above} {below}: {text}");
    }
}

#[test]
fn a_check_warns_of_pages_that_caches_would_keep_for_good() {
    let tree = Tree::new();
    tree.file("app/shell.htm", "x");
    tree.file("app/a.js", "x");
    let told = |rules: &str| {
        let text = said(&run(&tree, rules, &["--check"]));
        assert!(text.ends_with("the configuration is sound\n"), "{text}");
        text.lines().filter(|line| line.contains("whose names do not change")).count()
    };
    for rules in [
        "** cache immutable\n",
        "**.html cache immutable\n",
        "index.html cache immutable\n",
        "app/** cache immutable\n",
        "app/shell.* cache immutable\n",
        "app/shell.htm cache 60\n**.js|app/** cache immutable\n",
        "//*/** cache immutable\n",
    ] {
        assert_eq!(told(rules), 1, "{rules}");
    }
    for rules in [
        "assets/** cache immutable\n",
        "**.js cache immutable\n",
        "app/*.js cache immutable\n",
        "** cache immutable\n**.html|**.htm|**/ cache revalidate\n",
        "app/** cache immutable\napp/shell.htm cache 0\n",
        "** cache 31536000\n",
    ] {
        assert_eq!(told(rules), 0, "{rules}");
    }
    let text = said(&run(&tree, "# why\napp/** cache immutable\n", &["--check"]));
    assert!(text.contains("rules:2: cache immutable: covers pages (app/shell.htm)"), "{text}");
    let text = said(&run(&tree, "//h/shell.htm cache immutable\n", &["--check", "-v"]));
    assert!(!text.contains("covers pages"), "{text}");
    tree.file("h/shell.htm", "x");
    let text = said(&run(&tree, "//h/shell.htm cache immutable\n", &["--check", "-v"]));
    assert!(text.contains("covers pages (h/shell.htm)"), "{text}");
}

#[test]
fn a_check_looks_for_a_fallback_where_it_would_be_served_from() {
    let tree = Tree::new();
    tree.file("sub/index.html", "x");
    let told = |file: &str| said(&run(&tree, &format!("** fallback {file}\n"), &["--check", "-dd", "sub"]));
    assert_eq!(told("/index.html"), "the configuration is sound\n");
    assert!(told("/sub/index.html").contains("there is no such file"));
}

#[test]
fn hosts_and_actions_that_are_no_text_are_refused_line_by_line() {
    let tree = Tree::new();
    tree.file("a.txt", "x");
    let path = tree.dir().join("bytes");
    std::fs::write(&path, b"a cache 60\n//\xff/** cache 60\nb header X: \xe9\nc redirct 301 /\n").unwrap();
    let option = format!("rules={}", path.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_thttpd"));
    let output = command.args(["-l", "-", "--check", "-o", &option, "-d"]).arg(tree.www()).output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for (line, part) in [(2, "not valid UTF-8"), (3, "not valid UTF-8"), (4, "did you mean redirect?")] {
        assert!(text.contains(&format!("bytes:{line}: ")) && text.contains(part), "{line}: {text}");
    }
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn names_of_any_bytes_have_rules_and_comments_do_not_count() {
    let tree = Tree::new();
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"caf\xe9.txt");
    std::fs::write(tree.www().join(name), "x").unwrap();
    tree.file("a.txt", "x");
    let path = tree.dir().join("bytes");
    let rules = b"# caf\xe9\ncaf\xe9.txt|b header X: 1 # \xfc\n** header Y: 1\ncaf\xe9.txt deny 10.0.0.0/8\n";
    std::fs::write(&path, rules).unwrap();
    let option = format!("rules={}", path.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_thttpd"));
    let output = command.args(["-l", "-", "--dump-config", "-o", &option]).output().unwrap();
    assert!(said(&output).contains("caf\\xe9.txt|b header X: 1"), "{}", said(&output));
    let server = Server::start(&tree, &["-o", &option]);
    for (target, is_named) in [("/caf%e9.txt", true), ("/a.txt", false)] {
        let answer = server.connect().get(target);
        assert_eq!((answer.status, answer.field("X").is_some()), (200, is_named), "{target}");
        assert!(answer.field("Y").is_some());
    }
}

#[test]
fn a_check_warns_of_patterns_that_cover_no_name_and_of_guards_for_a_directory_alone() {
    let tree = Tree::new();
    tree.file("private/a.txt", "x");
    let warned = |rules: &str, part: &str| said(&run(&tree, rules, &["--check"])).contains(part);
    for (pattern, is_void) in [
        ("my%20files/**", true),
        ("./private/**", true),
        ("a/../b|c", true),
        ("a//b", true),
        ("//h/a/./b", true),
        ("100%|a%zz|%", false),
        ("/a/**|//h/b/|**/|...", false),
    ] {
        for action in ["status 404", "deny 10.0.0.1", "cache 60"] {
            let rules = format!("{pattern} {action}\n");
            assert_eq!(warned(&rules, "covers no name"), is_void, "{rules}");
        }
    }
    for (rules, is_alone) in [
        ("private deny 10.0.0.1\n", true),
        ("/private/ allow 10.0.0.1\n", true),
        ("/ auth /etc/users\n", true),
        ("private deny 10.0.0.1\nprivate/** deny 10.0.0.1\n", false),
        ("/ deny 10.0.0.1\n** deny 10.0.0.2\n", false),
        ("private/** deny 10.0.0.1\nprivate/a.txt deny 10.0.0.1\nnone deny 10.0.0.1\n", false),
        ("private requests 5/s\n", false),
    ] {
        assert_eq!(warned(rules, "and nothing in it"), is_alone, "{rules}");
    }
}

#[test]
fn a_check_warns_of_guards_that_no_virtual_host_has() {
    let tree = Tree::new();
    tree.file("www.example.org/private/a.txt", "x");
    for (pattern, is_void) in [
        ("private/**", true),
        ("//h/a|private", true),
        ("www.example.org/private/**", false),
        ("www.example.org", false),
        ("*/private/**|**|?/a|//*/private/**", false),
    ] {
        let rules = format!("{pattern} deny 10.0.0.1\n{pattern} cache 60\n");
        let text = said(&run(&tree, &rules, &["-v", "--check"]));
        assert_eq!(text.matches("begins with no host's directory").count(), usize::from(is_void), "{text}");
        let text = said(&run(&tree, &rules, &["--check"]));
        assert!(!text.contains("no host's directory"), "{text}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_pattern() {
    let tree = Tree::new();
    tree.file("a.txt", "x");
    let rules = "\u{feff}a.txt deny 127.0.0.1\n";
    let output = run(&tree, rules, &["--explain", "/a.txt"]);
    assert!(said(&output).ends_with("\n403: You are not allowed to see /a.txt.\n"), "{}", said(&output));
    let conf = tree.beside("conf", "\u{feff}nolisting\n");
    let throttles = tree.beside("throttles", "\u{feff}a.txt 5000\n");
    let flags = ["-C", conf.to_str().unwrap(), "-t", throttles.to_str().unwrap(), "--explain", "/a.txt"];
    let output = run(&tree, "", &flags);
    assert!(said(&output).contains("throttled to 5000"), "{}", said(&output));
}

#[test]
fn sound_rules_are_not_warned_of() {
    let tree = Tree::new();
    tree.file("index.html", "x");
    let rules = "http://*/old redirect 301 /new\nassets/** cache immutable\n** try .html\n** fallback /index.html\n\
                 old/** redirect 301 https://example.org/$1\n";
    let text = said(&run(&tree, rules, &["--check"]));
    assert_eq!(text, "the configuration is sound\n");
}

#[test]
fn a_dump_shows_the_rules_as_understood() {
    let tree = Tree::new();
    let rules = "# why\na\tcache   ${THTTPD_NO:-60} # here\n  header X: $${y\nconnections per-address 5\n";
    let text = said(&run(&tree, rules, &["-o", "rule=b 500", "--dump-config"]));
    let file = tree.dir().join("rules");
    let file = file.display();
    let want = format!(
        "\n# Rules\n# {file}:2: a cache   60\n# {file}:3: a header X: ${{y\n# -o: b 500\n# connections per-address 5\n"
    );
    assert!(text.ends_with(&want), "{text}");
}

#[test]
fn an_explanation_names_the_line_of_each_thing_that_it_says() {
    let tree = Tree::new();
    tree.file("index.html", "shell");
    tree.file("v2/a.txt", "x");
    tree.file("private/b.txt", "x");
    tree.link("private/b.txt", "link.txt");
    let rules = "old/** redirect 301 /v2/$1\napp/** rewrite /v2/$1\n** fallback /index.html\nv2/** cache immutable\n\
                 index.html cache revalidate\nprivate/** allow 10.0.0.0/8\nv2/** 5000\n\
                 https://*/new redirect 302 /s\nrun rewrite /x.cgi?page=1\nv2/** per-address 9000\n";
    tree.file("x.cgi", "#!/bin/sh\n");
    tree.mode("x.cgi", 0o755);
    let proxies = &["-o", "trusted_proxies=127.0.0.1"];
    let file = tree.dir().join("rules");
    let file = file.display().to_string();
    for (flags, url, parts, last) in [
        (&[][..], "/old/x", vec!["rules:1: redirect 301 /v2/$1"], "301: to /v2/x"),
        (
            &[],
            "/app/a.txt",
            vec![
                "rules:2: rewrite",
                "rules:4: cache immutable",
                "rules:7: 5000\n",
                "rules:10: per-address 9000\n",
                "throttled to 5000",
            ],
            "200: 1 bytes",
        ),
        (&[], "/deep/link", vec!["rules:3: fallback", "rules:5: cache revalidate"], "200: 5 bytes"),
        (&[], "/none.js", vec!["rules:3: fallback", "no fallback for this type"], "404: "),
        (
            &["-c", "*.cgi"],
            "/run?a",
            vec!["rules:9: rewrite"],
            "the script x.cgi answers; its query is \"page=1\"",
        ),
        (proxies, "https://h/new", vec!["rules:8: redirect 302 /s"], "302: to /s"),
        (proxies, "http://h/index.html", vec![], "200: "),
        (&[], "https://h/new", vec!["421"], "no request can name this"),
        (&[], "/link.txt", vec!["rules:6: allow 10.0.0.0/8"], "403: "),
        (&["--from", "10.1.2.3"], "/link.txt", vec!["rules:6: allow 10.0.0.0/8"], "200: "),
    ] {
        let output = run(&tree, rules, &[flags, &["--explain", url]].concat());
        assert!(output.status.success(), "{}", said(&output));
        let text = said(&output).replace(&file, "rules");
        for part in parts {
            assert!(text.contains(part), "{url}: no {part} in\n{text}");
        }
        assert!(text.lines().last().unwrap().starts_with(last), "{url}: {text}");
    }
    let output = run(&tree, rules, &["--from", "nowhere", "--explain", "/"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("nowhere"), "{}", said(&output));
}
