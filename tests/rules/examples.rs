//! Examples of thttpd-rules(5), read from the page: each loads without a warning, and works with curl.

use std::process::Command;

use super::USERS;
use crate::support::{Answer, Server, Tree, run};

/// Example that begins with `# rules of KIND`, with its password file replaced.
fn example(kind: &str, tree: &Tree) -> String {
    let blocks = blocks();
    let found = blocks.iter().find(|block| block.starts_with(&format!("# rules of {kind}")));
    let users = tree.beside("users", USERS);
    found
        .unwrap_or_else(|| panic!("no rules of {kind}"))
        .replace("/etc/thttpd/users", users.to_str().unwrap())
}

/// Whole files of the page: the literal blocks behind its heading EXAMPLES.
fn blocks() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/thttpd-rules.5");
    let page = std::fs::read_to_string(path).unwrap();
    let examples = page.split(".Sh EXAMPLES").nth(1).unwrap().split(".Sh ").next().unwrap();
    let blocks = examples.split(".Bd -literal -offset indent\n").skip(1);
    let plain = |block: &str| block.split(".Ed").next().unwrap().replace("\\&", "").replace("\\e", "\\");
    blocks.map(plain).collect()
}

/// Server with the rules of an example, after `--check` without warnings.
pub fn by_example(kind: &str, tree: &Tree, flags: &[&str]) -> Server {
    let rules = tree.beside("rules", &example(kind, tree));
    let option = format!("rules={}", rules.display());
    let all: Vec<&str> = ["-o", &option].into_iter().chain(flags.iter().copied()).collect();
    let mut check = Command::new(env!("CARGO_BIN_EXE_thttpd"));
    check.args(["-l", "-", "--check", "-d"]).arg(tree.www()).args(&all);
    let said = check.output().unwrap();
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert_eq!(said, "the configuration is sound\n", "{kind}");
    Server::start_with(tree, &all, |command| {
        command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log").env_remove("API_URL");
    })
}

/// Response to curl; `arguments` are words, and fields begin with `-H`.
fn curl(server: &Server, arguments: &[&str], path: &str) -> Option<Answer> {
    let url = server.url(path);
    let fixed = ["-sS", "-i", "--path-as-is", "--max-time", "60", &url];
    let output = run("curl", &[&fixed[..], arguments].concat())?;
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    let end = output.stdout.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(Answer { status, head, body: output.stdout[end + 4..].to_vec() })
}

/// A request and its answer: curl's arguments, the path, status, field lines that must be there (with no
/// value: must not be there), and what the body is or, with a mark in front, holds.
type Case = (&'static [&'static str], &'static str, u16, &'static [&'static str], &'static str);

fn see(server: &Server, kind: &str, cases: &[Case]) {
    for (arguments, path, status, fields, body) in cases {
        let Some(answer) = curl(server, arguments, path) else { return };
        let told = format!("{kind}: {} {path}\n{}", arguments.join(" "), answer.head);
        assert_eq!(answer.status, *status, "{told}");
        for field in *fields {
            let (name, value) = field.split_once(": ").unwrap_or((field, ""));
            let found: Vec<&str> = answer.fields(name).collect();
            let want: &[&str] = if value.is_empty() { &[] } else { &[value] };
            assert_eq!(found, want, "{name}; {told}");
        }
        match body.strip_prefix('~') {
            Some(part) => assert!(answer.text().contains(part), "{part}; {told}\n{}", answer.text()),
            None => assert_eq!(answer.text().trim_end(), *body, "{told}"),
        }
    }
}

const PASSWORD: &[&str] = &["-u", "user:password"];
/// Field of a trusted proxy for a client from outside.
const OUTSIDE: &[&str] = &["-H", "X-Forwarded-For: 203.0.113.9"];
const FROM_PROXY: &[&str] = &["-o", "trusted_proxies=127.0.0.1"];

#[test]
fn the_page_has_five_examples_and_each_is_tried_here() {
    let kinds: Vec<String> =
        blocks().iter().map(|block| block.lines().next().unwrap_or_default().to_owned()).collect();
    let want = [
        "# rules of an application",
        "# rules of a mirror",
        "# rules of an intranet; vhost is on",
        "# rules of a router; cgipat is cgi-bin/*",
        "# rules of a public site",
    ];
    assert_eq!(kinds, want);
}

#[test]
fn the_example_of_an_application() {
    let tree = Tree::new();
    tree.file("index.html", "<title>shell</title>");
    tree.file("assets/app-1a2b.js", "app()");
    let server = by_example("an application", &tree, &[]);
    let safe: &[&str] = &["X-Content-Type-Options: nosniff", "X-Frame-Options: DENY"];
    let shell: &[&str] =
        &["X-Content-Type-Options: nosniff", "X-Frame-Options: DENY", "Cache-Control: no-cache"];
    let cases: &[Case] = &[
        (&[], "/healthz", 200, safe, "ok"),
        (&[], "/env.js", 200, shell, "globalThis.env={\"API_URL\":\"/api\"};"),
        (&[], "/old/page?x=1", 301, &["Location: /page?x=1", "X-Frame-Options: DENY"], "~/page"),
        (&[], "/old/a/b", 200, shell, "<title>shell</title>"),
        (&[], "/", 200, shell, "<title>shell</title>"),
        (&[], "/users/7/edit", 200, shell, "<title>shell</title>"),
        (&["-I"], "/users/7/edit", 200, shell, ""),
        (&[], "/assets/app-1a2b.js", 200, &["Cache-Control: public, max-age=31536000, immutable"], "app()"),
        (&[], "/assets/app-0000.js", 404, &["X-Content-Type-Options: nosniff"], "~404"),
        (&[], "/assets/deep", 200, shell, "<title>shell</title>"),
        (&["-d", "x=1"], "/users/7/edit", 404, safe, "~404"),
    ];
    see(&server, "an application", cases);
}

#[test]
fn the_example_of_a_mirror() {
    let tree = Tree::new();
    tree.file("pool/a.deb", "deb");
    tree.file("dists/Release", "release");
    tree.file("a.tar.gz", "archive");
    tree.file("a.tar.xz", "archive");
    tree.file("incoming/part", "part");
    tree.file("big.iso", vec![0; 5_000_000]);
    let server = by_example("a mirror", &tree, &[]);
    let download: &[&str] = &["Content-Type: application/octet-stream", "Content-Encoding"];
    see(
        &server,
        "a mirror",
        &[
            (&[], "/pool/a.deb", 200, &["Cache-Control: max-age=86400"], "deb"),
            (&[], "/pool/", 200, &[], "~a.deb"),
            (&[], "/dists/Release", 200, &["Cache-Control: no-cache"], "release"),
            (&[], "/a.tar.gz", 200, download, "archive"),
            (&[], "/a.tar.xz", 200, download, "archive"),
            (&["--compressed"], "/a.tar.gz", 200, download, "archive"),
            (&[], "/incoming/", 403, &[], "~403"),
            (&[], "/incoming/part", 200, &[], "part"),
        ],
    );
    let begun = std::time::Instant::now();
    let Some(image) = curl(&server, &["-o", "/dev/null", "-D", "-"], "/big.iso") else { return };
    assert_eq!(image.status, 200);
    // Five million bytes at two a second, of which some are sent at once.
    assert!(begun.elapsed().as_secs_f64() > 0.7, "{:?}", begun.elapsed());
    let mut held: Vec<_> = (0..21).map(|_| server.connect()).collect();
    let statuses: Vec<u16> = held.iter_mut().map(|client| client.get("/pool/a.deb").status).collect();
    assert!(statuses[..19].iter().all(|status| *status == 200), "{}", join(&statuses));
    assert_eq!(statuses[20], 503, "{}", join(&statuses));
}

fn join(statuses: &[u16]) -> String {
    statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_example_of_an_intranet() {
    let tree = Tree::new();
    tree.file("wiki.example/index.html", "wiki");
    tree.file("wiki.example/public/a.txt", "public");
    tree.file("www.wiki.example/index.html", "never seen");
    tree.file("other.example/index.html", "other");
    let server = by_example("an intranet", &tree, &[&["-v"][..], FROM_PROXY].concat());
    let wiki: &[&str] = &["-H", "Host: wiki.example"];
    let with = |more: &[&'static str]| [wiki, more].concat();
    let (right, outside) = (with(PASSWORD), with(OUTSIDE));
    let wrong = with(&["-u", "user:wrong"]);
    for (arguments, path, status, part) in [
        (wiki, "/", 401, "401"),
        (&wrong, "/", 401, "401"),
        (&right, "/", 200, "wiki"),
        (wiki, "/public/a.txt", 200, "public"),
        (&outside, "/public/a.txt", 403, "403"),
        (&[&outside[..], PASSWORD].concat(), "/", 403, "403"),
        (&["-H", "Host: other.example"], "/", 200, "other"),
        (&["-H", "Host: other.example", "-H", "X-Forwarded-For: unknown"], "/", 403, "403"),
        (&["-H", "Host: other.example", "-H", "X-Forwarded-For: 10.1.2.3"], "/", 200, "other"),
        (&["-H", "Host: other.example", "-H", "X-Forwarded-For: fd12::1"], "/", 200, "other"),
    ] {
        let Some(answer) = curl(&server, arguments, path) else { return };
        assert_eq!(answer.status, status, "{} {path}", arguments.join(" "));
        assert!(answer.text().contains(part), "{} {path}: {}", arguments.join(" "), answer.text());
    }
    let moved = curl(&server, &["-H", "Host: www.wiki.example"], "/a/b?c").unwrap();
    assert_eq!((moved.status, moved.field("Location")), (301, Some("http://wiki.example/a/b?c")));
    let asked = curl(&server, wiki, "/").unwrap();
    assert_eq!(asked.field("WWW-Authenticate"), Some("Basic realm=\"The wiki\""));
    // Another address has twenty requests of its own, and the next one has to wait.
    let busy = with(&["-H", "X-Forwarded-For: 10.9.9.9"]);
    let mut statuses: Vec<u16> =
        (0..21).map(|_| curl(&server, &busy, "/public/a.txt").unwrap().status).collect();
    let last = statuses.pop();
    assert_eq!(statuses, [200; 20]);
    // A slow machine may have earned one more in the meantime.
    assert!(last == Some(429) || curl(&server, &busy, "/public/a.txt").unwrap().status == 429);
}

#[test]
fn the_example_of_a_router() {
    let tree = Tree::new();
    let script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n%s' \"$SCRIPT_NAME?$QUERY_STRING\"\n";
    tree.file("cgi-bin/status", script);
    tree.mode("cgi-bin/status", 0o755);
    tree.file("style.css", "css");
    let server = by_example("a router", &tree, &[&["-c", "cgi-bin/*"][..], FROM_PROXY].concat());
    let quiet: &[&str] = &["Server", "Cache-Control: no-store"];
    let home = &["-H", "X-Forwarded-For: 192.168.7.7"];
    see(
        &server,
        "a router",
        &[
            (&[], "/", 200, quiet, "/cgi-bin/status?page=home"),
            (home, "/page/net", 200, quiet, "/cgi-bin/status?page=net"),
            (&[], "/page/a%26b", 200, quiet, "/cgi-bin/status?page=a%26b"),
            (home, "/cgi-bin/status?x=1", 200, quiet, "/cgi-bin/status?x=1"),
            (OUTSIDE, "/", 403, &["Server"], "~403"),
            (OUTSIDE, "/page/net", 403, &["Server"], "~403"),
            (OUTSIDE, "/cgi-bin/status", 403, &["Server"], "~403"),
            (OUTSIDE, "/style.css", 200, &["Server", "Cache-Control"], "css"),
        ],
    );
    let busy = &["-H", "X-Forwarded-For: 192.168.8.8"];
    let statuses: Option<Vec<u16>> =
        (0..40).map(|_| curl(&server, busy, "/cgi-bin/status").map(|answer| answer.status)).collect();
    let Some(statuses) = statuses else { return };
    assert_eq!(statuses[..5], [200; 5]);
    assert!(statuses.contains(&429) && statuses.iter().all(|status| [200, 429].contains(status)));
}

#[test]
fn the_example_of_a_public_site() {
    let tree = Tree::new();
    tree.file("index.html", "home");
    tree.file("about.html", "about");
    tree.file("blog/2026/first.html", "first");
    tree.file("errors/err404.html", "our own page");
    tree.file("fonts/a.woff2", "font");
    tree.file("list/a.txt", "text");
    let server = by_example("a public site", &tree, &[]);
    let fresh: &[&str] = &["Cache-Control: no-cache", "Referrer-Policy: same-origin"];
    let shop: &[&str] = &["-H", "Origin: https://shop.example.org"];
    let other: &[&str] = &["-H", "Origin: https://other.example.org"];
    see(
        &server,
        "a public site",
        &[
            (
                &["-H", "Host: www.example.org"],
                "/a%20b?c=d",
                301,
                &["Location: http://example.org/a%20b?c=d"],
                "~301",
            ),
            (&["-H", "Host: example.org"], "/", 200, fresh, "home"),
            (&[], "/blog/2026/first.php", 301, &["Location: /blog/2026/first"], "~301"),
            (&[], "/blog/2026/first", 200, fresh, "first"),
            (&[], "/wp-login.php", 410, &["Referrer-Policy: same-origin"], "~410"),
            (&[], "/about", 200, fresh, "about"),
            (&[], "/about.html", 200, fresh, "about"),
            (&[], "/list/", 200, fresh, "~a.txt"),
            (&[], "/list/a.txt", 200, &["Cache-Control", "Referrer-Policy: same-origin"], "text"),
            (&[], "/errors/err404.html", 404, &["Referrer-Policy: same-origin"], "~our own page"),
            (&[], "/nothing", 404, &["Referrer-Policy: same-origin"], "~our own page"),
            (
                shop,
                "/fonts/a.woff2",
                200,
                &[
                    "Access-Control-Allow-Origin: https://shop.example.org",
                    "Vary: Origin",
                    "Cache-Control: max-age=2592000",
                ],
                "font",
            ),
            (other, "/fonts/a.woff2", 200, &["Access-Control-Allow-Origin", "Vary: Origin"], "font"),
        ],
    );
}
