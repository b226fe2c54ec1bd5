//! Every page that the server makes is valid HTML: lists in each style, errors, redirects, and those of the
//! companions.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Server, Tree, run};

/// Faults that an HTML validator finds in a page.
fn faults(page: &[u8]) -> Option<String> {
    run("tidy", &["-v"])?;
    // The attribute is newer than the validator.
    let arguments = ["-e", "-q", "--warn-proprietary-attributes", "no"];
    Some(said_of(page, Command::new("tidy").args(arguments)))
}

/// Output of the validator of the W3C, where `VNU_JAR` names it (npm: vnu-jar).
fn faults_by_vnu(folder: &Path) -> Option<String> {
    let jar = std::env::var_os("VNU_JAR")?;
    let output = Command::new("java").arg("-jar").arg(jar).args(["--skip-non-html"]).arg(folder).output();
    Some(String::from_utf8_lossy(&output.unwrap().stderr).into_owned())
}

fn said_of(page: &[u8], validator: &mut Command) -> String {
    validator.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = validator.spawn().unwrap();
    child.stdin.take().unwrap().write_all(page).unwrap();
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned()
}

/// Pages with the requests that they answer.
struct Pages(Vec<(String, Vec<u8>)>);

impl Pages {
    fn ask(&mut self, server: &Server, method: &str, target: &str, fields: &str) {
        let mut client = server.connect();
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n"));
        let answer = client.answer(method);
        let media_type = answer.field("Content-Type").unwrap_or_default();
        assert!(media_type.starts_with("text/html"), "{target}: {}", answer.head);
        self.0.push((format!("{} {method} {target}", answer.status), answer.body));
    }
}

fn tree() -> Tree {
    let tree = Tree::new();
    for name in ["s/a&b <i>.txt", "s/d/x", "s/README.txt", "s/x:y", "s/\u{fc}\u{1f600}\"'.html", "s/ blank "]
    {
        tree.file(name, "text <b> & more\n");
    }
    let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"bytes \xff\xfe.txt");
    std::fs::write(tree.www().join("s").join(odd), "x").unwrap();
    tree.file("s/line\nbreak\u{1}\u{85}\u{fffe}\u{fdd0}\u{10ffff}.txt", "x");
    tree.link("a&b <i>.txt", "s/link \"quoted\"");
    tree.link("nowhere", "s/broken");
    tree.dir_in("empty");
    tree.file("closed.txt", "x");
    tree.mode("closed.txt", 0o600);
    tree.file("a.txt", "x");
    tree
}

/// Everything but the successes of files.
fn pages() -> Pages {
    let mut pages = Pages(Vec::new());
    for options in [
        &["listing_style=classic"][..],
        &["listing_style=modern"],
        &["listing_style=modern", "rule=** header -Server"],
        &["listing_style=classic", "rule=** header -Server", "redirects=relative"],
    ] {
        let tree = tree();
        let flags: Vec<&str> = options.iter().flat_map(|option| ["-o", option]).collect();
        let server = Server::start(&tree, &flags);
        for target in [
            "/",
            "/s/",
            "/empty/",
            "/s/?C=S;O=D",
            "/s/?C=M;O=A",
            "/s/none?<b>&\"",
            "/s",
            "/s?<i>",
            "/s/d/none/",
            "/closed.txt",
            "/a%00",
            "//x",
            "/%3Cb%3E%26%22",
        ] {
            pages.ask(&server, "GET", target, "");
        }
        pages.ask(&server, "POST", "/a.txt", "Content-Length: 0\r\n");
        pages.ask(&server, "BREW", "/a.txt?<b>", "");
        pages.ask(&server, "GET", "/a.txt", "Range: bytes=99-\r\n");
        pages.ask(&server, "GET", "/a.txt", "If-Match: \"none\"\r\n");
        pages.ask(&server, "GET", "/a.txt", "Expect: a miracle\r\n");
        pages.ask(&server, "GET", "/a.txt", &format!("X: {}\r\n", "y".repeat(20_000)));
    }
    ask_for_statuses(&mut pages);
    pages
}

/// Pages of each status that rules can ask for, of redirects, and of guards.
fn ask_for_statuses(pages: &mut Pages) {
    let tree = tree();
    let mut rules = String::new();
    for status in (400..600).filter(|status| ![401, 405, 407, 416, 426].contains(status)) {
        rules += &format!("status/{status} status {status}\n");
    }
    for status in [301, 302, 303, 307, 308] {
        rules += &format!("to/{status}/** redirect {status} https://example.org/$1?a&b\n");
    }
    rules += "asked auth /nonexistent/users\nbusy requests 1/h\n";
    let rules = tree.beside("rules", &rules);
    tree.file("secret/.htpasswd", "user:x\n");
    tree.file("secret/a.txt", "x");
    tree.file("busy", "x");
    let option = format!("rules={}", rules.display());
    let server = Server::start(&tree, &["-o", &option]);
    (400..600)
        .filter(|status| ![401, 405, 407, 416, 426].contains(status))
        .for_each(|status| pages.ask(&server, "GET", &format!("/status/{status}"), ""));
    for status in [301, 302, 303, 307, 308] {
        pages.ask(&server, "GET", &format!("/to/{status}/%3Ci%3E%22&%27"), "");
    }
    pages.ask(&server, "GET", "/asked", "");
    pages.ask(&server, "GET", "/secret/a.txt", "");
    let _ = server.connect().get("/busy");
    pages.ask(&server, "GET", "/busy", "");
}

#[test]
fn every_page_is_valid_html() {
    let pages = pages();
    let statuses =
        ["200", "301", "302", "308", "400", "401", "403", "404", "405", "412", "416", "417", "429", "431"];
    for status in statuses.iter().chain(&["451", "500", "501", "503", "599"]) {
        assert!(pages.0.iter().any(|(name, _)| name.starts_with(status)), "no page of {status}");
    }
    let tree = Tree::new();
    for (number, (name, page)) in pages.0.iter().enumerate() {
        let Some(found) = faults(page) else { return };
        assert_eq!(found, "", "{name}: {}", String::from_utf8_lossy(page));
        std::fs::write(tree.dir().join(format!("{number}.html")), page).unwrap();
    }
    if let Some(found) = faults_by_vnu(tree.dir()) {
        assert_eq!(found, "", "{found}");
    }
}

/// thttpd looked at no link of an error page.
#[test]
fn an_error_page_outside_the_tree_is_sent_where_links_may_lead_there() {
    let tree = Tree::new();
    std::fs::create_dir(tree.dir().join("shared")).unwrap();
    tree.beside("shared/err404.html", "our page");
    tree.link("../shared", "errors");
    for (flag, is_ours) in [("-s", false), ("-nos", true)] {
        let server = Server::start(&tree, &[flag]);
        let answer = server.connect().get("/missing");
        assert_eq!((answer.status, answer.text() == "our page"), (404, is_ours), "{flag}");
    }
}
