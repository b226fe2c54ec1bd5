//! Lines of files that are far too long: what a message shows of them is bounded.

use super::{run, stderr, stdout, thttpd};
use crate::support::Tree;
use crate::support::server::free_port;

/// Bytes of a message with a place, the two ends of a line and a reason, and of the lines around it.
const MOST: usize = 4000;

/// Runs the server with the file called `name`, and answers what it says of it.
fn said(tree: &Tree, name: &str, content: &str, flags: &[&str]) -> String {
    let file = tree.beside(name, content);
    let (www, port) = (tree.www(), free_port().to_string());
    let file = match name {
        "mime" => format!("mime_types={}", file.display()),
        "rules" => format!("rules={}", file.display()),
        "throttles" => format!("throttles={}", file.display()),
        _ => String::new(),
    };
    let mut command = thttpd();
    match name {
        "conf" => command.arg("-C").arg(tree.dir().join(name)),
        "htpasswd" => &mut command,
        _ => command.args(["-o", &file]),
    };
    command.arg("-d").arg(www).args(["-l", "/dev/null", "-h", "127.0.0.1", "-p", &port]).args(flags);
    let output = run(&mut command);
    stderr(&output) + &stdout(&output)
}

#[test]
fn a_line_that_is_refused_is_told_by_its_ends() {
    let long = "x\u{1b}\u{e9}\u{1f980}".repeat(2_000);
    let plain = "y".repeat(20_000);
    for (name, content, why) in [
        ("mime", format!("text/plain txt\n{long} a\n"), "mime:2: x"),
        ("mime", format!("text/plain a/{long}\n"), "not an extension"),
        ("conf", format!("{long}\n"), "unknown option"),
        ("conf", format!("port={long}\n"), "not a number"),
        ("conf", format!("connlimit={plain}\n"), "conf:1: connlimit=yyy"),
        ("conf", format!("trusted_proxies={plain}\n"), "is no address, network or unix"),
        ("conf", format!("listen={plain}\n"), "is none of PORT"),
        ("conf", format!("default_type=a/${{{plain}\n"), "is no variable"),
        ("conf", format!("default_type=a/${{{plain}}}\n"), "the environment has no y"),
        ("conf", format!("user={plain}\n"), "y"),
        ("conf", format!("throttles={plain}\n"), "name too long"),
        ("rules", format!("/a {plain}\n"), "unknown action"),
        ("rules", format!("/a redirect 301 {plain}\n"), "a target begins with"),
        ("rules", format!("/a status 299{plain}\n"), "a status is"),
        ("rules", format!("/${{{plain} status 404\n"), "rules:1: "),
        ("rules", format!("/a header {plain}\n"), "rules:1: "),
        ("rules", format!("/a auth {plain}/\n"), "rules:1: "),
        ("rules", format!("/a try {plain}\n"), "a suffix begins with"),
        ("rules", "/a x\n".repeat(10_000), "and 9950 more"),
        ("mime", "x\n".repeat(10_000), "and 9950 more"),
    ] {
        for flags in [&["-D"][..], &["--check"]] {
            let tree = Tree::new();
            let text = said(&tree, name, &content, flags);
            let most = if why.ends_with("more") { 2 * MOST } else { MOST };
            let start = content.chars().take(30).collect::<String>();
            assert!(text.len() < most, "{start:?} {flags:?}: {} bytes", text.len());
            assert!(text.contains(why), "{start:?} {flags:?}: {text}");
            assert!(!text.contains('\x1b'), "{start:?}: {text}");
        }
    }
}

#[test]
fn a_long_line_that_is_skipped_or_doubted_is_told_by_its_ends() {
    let plain = "y".repeat(20_000);
    for (name, content, flags, why) in [
        ("throttles", format!("{plain} fast\n"), &["--check"][..], "throttles:1 - yyy"),
        ("rules", format!("/a//b header X-A: {plain}\n"), &["--check"], "covers no name"),
        ("rules", format!("/a//{plain} cache 10\n"), &["--check"], "covers no name"),
        (
            "rules",
            format!("/a redirect 301 /{plain}\n/a redirect 301 /b\n"),
            &["--check"],
            "has no effect below",
        ),
        ("htpasswd", String::new(), &["--check"], "perhaps the password itself"),
        ("htpasswd", String::new(), &["--explain", "/"], "perhaps the password itself"),
    ] {
        let tree = Tree::new();
        tree.file("a.txt", "x");
        if name == "htpasswd" {
            tree.file(".htpasswd", format!("{}:secret\n", "y".repeat(50_000)));
        }
        let text = said(&tree, name, &content, flags);
        let start = content.chars().take(30).collect::<String>();
        assert!(text.len() < MOST, "{start:?} {flags:?}: {} bytes", text.len());
        assert!(text.contains(why), "{name} {start:?}: {text}");
    }
}
