//! The CGI programs that come with the server, run by the server.

use std::path::Path;
use std::process::Command;

use super::Site;
use crate::support::{Server, Tree};

/// Installs a program of the server, executable; `cp` writes it, for the reason in [`super::lay_script`].
fn install(program: &str, at: &Path) {
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("--preserve=mode").arg(program).arg(at).status().unwrap();
    assert!(copied.success());
}

fn with_redirect(list: &str) -> Site {
    let site = Site::new("", &[]);
    install(env!("CARGO_BIN_EXE_redirect"), &site.tree.www().join("cgi-bin/old"));
    site.tree.file("cgi-bin/.redirects", list);
    site
}

fn with_ssi(config: &str) -> Site {
    let site = Site::new(config, &[("secret", "echo; echo # TOPSECRET")]);
    install(env!("CARGO_BIN_EXE_ssi"), &site.tree.www().join("cgi-bin/ssi"));
    site.tree.file("near/part.html", "<i>part of <!--#echo var=\"DOCUMENT_URI\"--></i>");
    site
}

#[test]
fn redirect_sends_an_old_page_to_its_new_place() {
    let site = with_redirect("# moved\n/cgi-bin/old /new.html\n/cgi-bin/old/* https://manual.example.org/\n");
    let answer = site.get("/cgi-bin/old");
    assert_eq!((answer.status, answer.field("Location")), (302, Some("/new.html")));
    assert!(answer.text().contains("<a href=\"/new.html\">"));
    let answer = site.get("/cgi-bin/old/a/b%20c");
    assert_eq!((answer.status, answer.field("Location")), (302, Some("https://manual.example.org/a/b%20c")));
}

#[test]
fn redirect_lets_no_client_choose_the_host_or_add_a_field() {
    let site = with_redirect("/cgi-bin/old* https://good.example\n");
    for target in ["/cgi-bin/old/%0d%0aSet-Cookie:%20x", "/cgi-bin/old/@evil.example", "/cgi-bin/old//evil"] {
        let answer = site.get(target);
        assert_eq!(answer.field("Set-Cookie"), None, "{target}");
        if answer.status == 302 {
            assert!(answer.field("Location").unwrap().starts_with("https://good.example/"), "{target}");
        } else {
            assert_eq!(answer.status, 400, "{target}");
        }
    }
}

#[test]
fn redirect_says_what_it_does_not_find_as_text_and_in_the_log() {
    let site = with_redirect("/elsewhere /new\n");
    let answer = site.get("/cgi-bin/old/%3Cscript%3E");
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("/cgi-bin/old/&lt;script&gt;"), "{}", answer.text());
    site.told("redirect: nothing for /cgi-bin/old/<script>");
    std::fs::remove_file(site.tree.www().join("cgi-bin/.redirects")).unwrap();
    assert_eq!(site.get("/cgi-bin/old").status, 500);
}

/// The literal blocks of the manual's examples.
fn examples(page: &str) -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(page)).unwrap();
    let examples = page.split(".Sh EXAMPLES").nth(1).unwrap().split(".Sh ").next().unwrap();
    let blocks = examples.split(".Bd -literal -offset indent\n").skip(1);
    blocks.map(|block| block.split(".Ed").next().unwrap().to_owned()).collect()
}

#[test]
fn redirect_works_exactly_as_its_manual_shows() {
    let blocks = examples("redirect.8");
    let [list, copies, pattern] = &blocks[..] else { panic!("{blocks:?}") };
    let tree = Tree::new();
    tree.file(".redirects", list);
    for copy in copies.lines() {
        let to = copy.strip_prefix("cp /usr/lib/thttpd/cgi-bin/redirect /srv/www/").expect(copy);
        install(env!("CARGO_BIN_EXE_redirect"), &tree.www().join(to));
    }
    let conf = tree.beside("conf", pattern);
    let server = Server::start(&tree, &["-C", conf.to_str().unwrap()]);
    for (old, new) in [
        ("/manual", "https://manual.example.org/"),
        ("/manual/", "https://manual.example.org/"),
        ("/manual/a/intro.html", "https://manual.example.org/a/intro.html"),
        ("/cv.html", "/people/jef.html"),
    ] {
        let answer = server.connect().get(old);
        assert_eq!((answer.status, answer.field("Location")), (302, Some(new)), "{old}");
    }
}

#[test]
fn ssi_fills_in_a_page() {
    let site = with_ssi("");
    site.tree.file(
        "near/page.shtml",
        "<p><!--#include file=\"part.html\"-->|<!--#fsize virtual=\"/hello.txt\"-->|\
         <!--#echo var=\"QUERY_STRING_UNESCAPED\"-->|<!--#echo var=\"REMOTE_ADDR\"-->",
    );
    let answer = site.get("/cgi-bin/ssi/near/page.shtml?<b>");
    assert_eq!((answer.status, answer.field("Content-Type")), (200, Some("text/html")));
    assert_eq!(
        answer.text(),
        "<p><i>part of /near/page.shtml</i>|14|&lt;b&gt;|127.0.0.1",
        "a value that the client chose is text"
    );
}

#[test]
fn ssi_shows_nothing_that_the_server_would_not_show_to_anybody() {
    let site = with_ssi("");
    site.tree.file("locked/.htpasswd", "TOPSECRET:x\n");
    site.tree.file("locked/file.txt", "TOPSECRET");
    site.tree.link(site.tree.beside("outside.txt", "TOPSECRET"), "link.txt");
    site.tree.file("mine.txt", "TOPSECRET");
    site.tree.mode("mine.txt", 0o600);
    for name in [
        "/locked/file.txt",
        "/locked/.htpasswd",
        "/../outside.txt",
        "/link.txt",
        "/mine.txt",
        "/cgi-bin/secret",
    ] {
        site.tree.file("page.shtml", format!("<!--#include virtual=\"{name}\"-->"));
        let text = site.get("/cgi-bin/ssi/page.shtml").text();
        assert!(text.contains("Not Permitted") && !text.contains("TOPSECRET"), "{name}: {text}");
        let direct = site.get(&format!("/cgi-bin/ssi{name}"));
        assert!(direct.status >= 400 && !direct.text().contains("TOPSECRET"), "{name}: {}", direct.text());
    }
}

#[test]
fn ssi_ends_a_page_that_includes_itself() {
    let site = with_ssi("");
    site.tree.file(
        "loop.shtml",
        "x<!--#include virtual=\"/loop.shtml\"--><!--#include virtual=\"/loop.shtml\"-->",
    );
    let answer = site.get("/cgi-bin/ssi/loop.shtml");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("Not Permitted") && answer.body.len() < 200_000);
    assert_eq!(site.get("/cgi-bin/ssi/none.shtml").status, 404);
    assert_eq!(site.get("/cgi-bin/ssi").status, 500);
}
