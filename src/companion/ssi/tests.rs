use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;
use crate::testing::TempTree;

/// Answer for `page`, with some CGI variables.
fn answered(tree: &TempTree, page: &str) -> (String, bool) {
    let root = tree.path().join("www");
    let variables = |name: &str| {
        Some(match name {
            "PATH_TRANSLATED" => [root.as_os_str().as_encoded_bytes(), page.as_bytes()].concat(),
            "PATH_INFO" => page.into(),
            "QUERY_STRING" => "<script>&x=1".into(),
            "CGI_PATTERN" => "/cgi-bin/*".into(),
            "REMOTE_ADDR" => "127.0.0.1".into(),
            _ => return None,
        })
    };
    let mut out = Vec::new();
    let outcome = answer(&variables, &mut out);
    (String::from_utf8(out).unwrap(), outcome.is_ok())
}

/// Page with the content `text`, after processing.
fn filled(tree: &TempTree, text: &str) -> String {
    tree.file("www/dir/page.shtml", text);
    let (answer, done) = answered(tree, "/dir/page.shtml");
    assert!(done, "{answer}");
    answer.strip_prefix("Content-Type: text/html\r\n\r\n").unwrap().to_owned()
}

fn is_refused(tree: &TempTree, directive: &str) {
    let page = filled(tree, directive);
    assert!(page.contains("<H2>Not Permitted</H2>") && !page.contains("secret"), "{directive}: {page}");
}

#[test]
fn text_is_copied_and_directives_are_filled_in() {
    let tree = TempTree::new();
    tree.file("www/top.txt", "top");
    tree.file("www/dir/near.txt", "near");
    let page =
        "<p><!--#include virtual=\"/top.txt\"--> <!--#include file=\"near.txt\" virtual=\"near.txt\"-->\n";
    assert_eq!(filled(&tree, page), "<p>top near near\n");
}

#[test]
fn a_page_of_any_length_is_sent_to_its_end() {
    let tree = TempTree::new();
    let page = filled(
        &tree,
        &["<!--#echo var=\"QUERY_STRING_UNESCAPED\"-->", &"x".repeat(17 << 20), "end"].concat(),
    );
    assert!(page.len() > 17 << 20 && page.ends_with("xxend"), "{} bytes", page.len());
}

#[test]
fn an_included_page_includes_from_its_own_directory() {
    let tree = TempTree::new();
    tree.file("www/other/middle.html", "[<!--#include file=\"leaf.txt\"-->]");
    tree.file("www/other/leaf.txt", "leaf");
    assert_eq!(filled(&tree, "<!--#include virtual=\"/other/middle.html\"-->"), "[leaf]");
}

#[test]
fn variables_are_shown_as_text() {
    let tree = TempTree::new();
    let page =
        "<!--#echo var=\"QUERY_STRING_UNESCAPED\" var=\"REMOTE_ADDR\"-->|<!--#echo var=\"DOCUMENT_URI\"-->";
    assert_eq!(filled(&tree, page), "&lt;script&gt;&amp;x=1 127.0.0.1|/dir/page.shtml");
    let name = filled(&tree, "<!--#echo var=\"DOCUMENT_NAME\"-->");
    assert_eq!(name, tree.path().join("www/dir/page.shtml").display().to_string());
    assert!(
        filled(&tree, "<!--#echo var=\"<b>\"-->")
            .contains("<H2>Unknown Value</H2>\nThe variable <CODE>&lt;b&gt;")
    );
}

#[test]
fn sizes_and_dates_follow_their_formats() {
    let tree = TempTree::new();
    tree.file("www/big", vec![b'x'; 3000]);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    fs::File::options().write(true).open(tree.path().join("www/big")).unwrap().set_modified(time).unwrap();
    let page = "<!--#fsize virtual=\"/big\"--> <!--#config sizefmt=\"abbrev\" timefmt=\"%Y\"--><!--#fsize virtual=\"/big\"--> <!--#flastmod virtual=\"/big\"-->";
    assert_eq!(filled(&tree, page), "3000 2K 2017");
}

#[test]
fn a_date_before_1970_is_written_as_any_other() {
    let tree = TempTree::new();
    tree.file("www/old", "");
    let path = tree.path().join("www/old");
    let page = "<!--#config timefmt=\"%Y-%m-%d\"--><!--#flastmod virtual=\"/old\"-->";
    let time = SystemTime::UNIX_EPOCH - Duration::from_secs(315_619_200);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    assert_eq!(filled(&tree, page), "1960-01-01");
}

#[test]
fn a_format_that_no_date_has_is_refused_and_the_old_one_stays() {
    let tree = TempTree::new();
    let page = filled(&tree, "<!--#config timefmt=\"%Q\"--><!--#echo var=\"DATE_GMT\"-->");
    assert!(page.contains("Unknown Value") && page.contains(" GMT 20"), "{page}");
}

#[test]
fn unknown_directives_and_tags_are_named_as_text() {
    let tree = TempTree::new();
    let page = filled(&tree, "<!--#exec cmd=\"id\"--><!--#echo <x>=\"y\"-->");
    assert!(page.contains("<H2>Unknown Directive</H2>\nThe directive <CODE>exec</CODE>"), "{page}");
    assert!(page.contains("<H2>Unknown Tag</H2>\nThe tag <CODE>&lt;x&gt;</CODE>"), "{page}");
}

#[test]
fn nothing_is_shown_that_the_server_would_not_show() {
    let tree = TempTree::new();
    tree.file("outside.txt", "secret");
    tree.file("www/private/.htpasswd", "secret:x");
    tree.file("www/private/a.txt", "secret");
    tree.file("www/.htpasswd.bak", "secret");
    tree.file("www/.htdocs/a.txt", "secret");
    tree.file("www/cgi-bin/script", "secret");
    tree.file("www/program", "secret");
    tree.file("www/unreadable", "secret");
    let mode = |name: &str, mode| {
        fs::set_permissions(tree.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("www/program", 0o755);
    mode("www/unreadable", 0o640);
    symlink("../outside.txt", tree.path().join("www/out")).unwrap();
    symlink("/etc/passwd", tree.path().join("www/etc")).unwrap();
    symlink("private/a.txt", tree.path().join("www/way")).unwrap();
    symlink("loop", tree.path().join("www/loop")).unwrap();
    for name in [
        "/../outside.txt",
        "/private/a.txt",
        "/private/.htpasswd",
        "/.htpasswd.bak",
        "/.htdocs/a.txt",
        "/cgi-bin/script",
        "/program",
        "/unreadable",
        "/etc",
        "/way",
        "/loop",
        "/dir",
        "../top",
    ] {
        is_refused(&tree, &format!("<!--#include virtual=\"{name}\"-->"));
        is_refused(&tree, &format!("<!--#fsize virtual=\"{name}\"-->"));
    }
    // A relative link ends at the top, as in thttpd, where no such file exists.
    assert!(filled(&tree, "<!--#include virtual=\"/out\"-->").contains("<H2>Not Found</H2>"));
    is_refused(&tree, "<!--#include file=\"/top.txt\"-->");
    is_refused(&tree, "<!--#include file=\"../out\"-->");
}

#[test]
fn a_missing_include_says_so_in_the_page() {
    let tree = TempTree::new();
    let page = filled(&tree, "before <!--#include file=\"<none>\"--> after");
    assert!(page.starts_with("before <HR><H2>Not Found</H2>\nThe file <CODE>&lt;none&gt;</CODE>"), "{page}");
    assert!(page.ends_with(" after"));
}

#[test]
fn a_page_that_includes_itself_comes_to_an_end() {
    let tree = TempTree::new();
    let page = filled(&tree, "x<!--#include file=\"page.shtml\"--><!--#include file=\"page.shtml\"-->");
    assert!(page.matches('x').count() <= 257 && page.contains("further include"), "{}", page.len());
}

#[test]
fn a_page_that_cannot_be_shown_has_its_status() {
    let tree = TempTree::new();
    tree.file("www/private/.htpasswd", "");
    tree.file("www/private/a.txt", "secret");
    for (page, status) in [
        ("/<none>", "404 Not Found"),
        ("/private/a.txt", "403 Forbidden"),
        ("/../x", "403 Forbidden"),
        ("/a\0b", "404 Not Found"),
    ] {
        let (answer, done) = answered(&tree, page);
        assert!(!done && answer.starts_with(&format!("Status: {status}\r\n")), "{page}: {answer}");
        assert!(!answer.contains("secret") && !answer.contains("<none>"));
    }
}

#[test]
fn without_its_variables_there_is_no_page() {
    let tree = TempTree::new();
    tree.file("www/page", "");
    let root = tree.path().join("www").into_os_string().into_encoded_bytes();
    let variables: [(Option<&[u8]>, Option<&str>); 4] = [
        (None, Some("/page")),
        (Some(b"/page"), None),
        (Some(b"/other"), Some("/page")),
        (Some(b"page"), Some("page")),
    ];
    for (translated, info) in variables {
        let lookup = |name: &str| match name {
            "PATH_TRANSLATED" => translated.map(|end| [&root[..], end].concat()),
            "PATH_INFO" => info.map(Into::into),
            _ => None,
        };
        let mut out = Vec::new();
        assert!(answer(&lookup, &mut out).is_err());
        assert!(out.starts_with(b"Status: 500 Internal Error\r\n"), "{}", out.escape_ascii());
    }
}
