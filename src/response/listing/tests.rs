//! Listings of real directories, row by row.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use super::classic::{content as rows_of, seconds, time_column};
use super::*;
use crate::response::fixture::{content, now, open, policy, request};
use crate::response::{Body, ErrorPages};
use crate::testing::TempTree;
use chrono::{FixedOffset, Local, TimeZone};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

/// Time long before [`now`], so that rows show a year.
const LONG_AGO: u64 = 1_000_000_000;

fn directory(dir: &TempTree, url_path: &str) -> Directory {
    Directory::new(open(dir), url_path.into())
}

/// Page for `dir` under the path `/sub/`, or under `url_path`.
fn page_of(dir: &TempTree, url_path: &str, change: impl FnOnce(&mut Policy<'_>)) -> String {
    let pages = ErrorPages::builtin();
    let mut policy = policy(&pages);
    change(&mut policy);
    let response = page(&request("GET", "/", &[]), directory(dir, url_path), &policy).unwrap();
    assert_eq!(response.status.0, 200);
    String::from_utf8_lossy(&content(&response)).into_owned()
}

/// Targets of the links in a page, in order.
fn links(page: &str) -> Vec<&str> {
    page.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Row whose link is called `name`.
fn row<'p>(page: &'p str, name: &str) -> &'p str {
    let shown = format!(">{name}</a>");
    page.lines().find(|line| line.contains(&shown)).unwrap_or_else(|| panic!("no {name} in {page}"))
}

fn settle(dir: &TempTree, name: &str, mode: u32) {
    let path = dir.path().join(name);
    File::open(&path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(LONG_AGO)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn rows_have_thttpds_columns() {
    let dir = TempTree::new();
    dir.file("plain.txt", b"12345");
    dir.file("run.cgi", [0; 12_345]);
    dir.file("closed.txt", b"");
    fs::create_dir(dir.path().join("deeper")).unwrap();
    symlink("plain.txt", dir.path().join("link")).unwrap();
    symlink("deeper", dir.path().join("way")).unwrap();
    for (name, mode) in [("plain.txt", 0o644), ("run.cgi", 0o755), ("closed.txt", 0o640), ("deeper", 0o755)] {
        settle(&dir, name, mode);
    }
    let page = page_of(&dir, "sub/", |_| {});
    let date = Local.timestamp_opt(LONG_AGO as i64, 0).unwrap().format("%b %e  %Y").to_string();
    assert_eq!(
        row(&page, "plain.txt"),
        format!(
            "<span>-r--   1  </span>         5  <span>{date}  </span><a href=\"plain.txt\">plain.txt</a>"
        )
    );
    assert_eq!(
        row(&page, "run.cgi"),
        format!("<span>-r-x   1  </span>     12345  <span>{date}  </span><a href=\"run.cgi\">run.cgi</a>*")
    );
    assert!(row(&page, "closed.txt").starts_with("<span>----   1  </span>         0  "));
    assert!(row(&page, "deeper").starts_with("<span>dr-x   2  </span>"));
    assert!(
        row(&page, "deeper").ends_with(&format!("  <span>{date}  </span><a href=\"deeper/\">deeper</a>/"))
    );
    let link = row(&page, "link");
    assert!(link.starts_with("<span>lrwx   1  </span>         9  "), "{link}");
    assert!(link.ends_with("<a href=\"link\">link</a> -&gt; plain.txt"), "{link}");
    assert!(row(&page, "way").ends_with("<a href=\"way/\">way</a> -&gt; deeper/"));
}

#[test]
fn names_are_in_byte_order_and_links_to_nothing_left_out() {
    let dir = TempTree::new();
    for name in [
        "alpha.txt",
        "Beta.txt",
        "10.txt",
        "9.txt",
        ".dotfile",
        ".htpasswd",
        ".HTpasswd",
        ".htaccess~",
        ".ht",
    ] {
        dir.file(name, b"");
    }
    symlink("nowhere", dir.path().join("broken")).unwrap();
    symlink("loop", dir.path().join("loop")).unwrap();
    let expected = ["./", "../", ".dotfile", "10.txt", "9.txt", "Beta.txt", "alpha.txt"];
    assert_eq!(links(&page_of(&dir, "s/", |_| {})), expected);
}

#[test]
fn dot_files_are_hidden_on_request_but_not_the_way_up() {
    let dir = TempTree::new();
    dir.file(".dotfile", b"");
    dir.file("file", b"");
    assert_eq!(links(&page_of(&dir, "s/", |policy| policy.hide_dotfiles = true)), ["../", "file"]);
}

#[test]
fn the_top_has_no_way_up() {
    let dir = TempTree::new();
    dir.file("file", b"");
    let page = page_of(&dir, "", |_| {});
    assert_eq!(links(&page), ["./", "file"]);
    assert!(page.contains("<title>Index of /</title>"));
}

#[test]
fn hostile_names_are_text_and_their_links_lead_to_them() {
    let dir = TempTree::new();
    for name in ["<script>alert(1)</script>".replace('/', ":"), "a&b\"c'd".into(), "two\nlines".into()] {
        dir.file(&name, b"");
    }
    symlink("a&b\"c'd", dir.path().join("to")).unwrap();
    let page = page_of(&dir, "<b>/\"/", |_| {});
    assert!(!page.contains("<script") && !page.contains("<b>/"), "{page}");
    for (shown, link) in [
        ("&lt;script&gt;alert(1)&lt;:script&gt;", "./%3cscript%3ealert%281%29%3c%3ascript%3e"),
        ("a&amp;b&quot;c&#39;d", "a%26b%22c%27d"),
        ("two&#xfffd;lines", "two%0alines"),
    ] {
        assert!(row(&page, shown).contains(&format!("<a href=\"{link}\">")), "{shown} in {page}");
    }
    assert!(row(&page, "to").ends_with(" -&gt; a&amp;b&quot;c&#39;d"));
    assert!(page.contains("<title>Index of /&lt;b&gt;/&quot;/</title>"));
}

#[test]
fn a_listing_says_its_charset_and_carries_no_validator() {
    let dir = TempTree::new();
    let pages = ErrorPages::builtin();
    let policy = Policy { charset: b"koi8-r", ..policy(&pages) };
    let response = page(&request("GET", "/", &[]), directory(&dir, "s/"), &policy).unwrap();
    assert_eq!(response.media_type.as_deref(), Some(&b"text/html; charset=koi8-r"[..]));
    assert!(response.representation.is_none());
    assert!(matches!(response.body, Body::Page(_)));
}

#[test]
fn a_listing_too_long_breaks_off_with_a_note() {
    let dir = TempTree::new();
    for name in 0..5 {
        dir.file(&name.to_string(), b"");
    }
    let rows = |most, largest_page| {
        let pages = ErrorPages::builtin();
        let mut entries = Entries::read_at_most(directory(&dir, ""), &policy(&pages), most).unwrap();
        entries.largest_page = largest_page;
        let content = String::from_utf8(rows_of(&entries, 0)).unwrap();
        (links(&content).len(), content.contains("holds more than is listed"))
    };
    assert_eq!(rows(7, LARGEST_PAGE), (6, false));
    assert_eq!(rows(6, LARGEST_PAGE), (6, false));
    assert_eq!(rows(5, LARGEST_PAGE), (5, true));
    assert_eq!(rows(6, 110), (1, true));
}

/// No other unit test makes a long list.
#[test]
fn long_lists_that_are_not_read_leave_room_for_short_ones() {
    let (short, long) = (TempTree::new(), TempTree::new());
    for name in 0..400 {
        let dir = if name < 40 { &short } else { &long };
        dir.file(&format!("{name:0200}"), b"");
    }
    let pages = ErrorPages::builtin();
    let policy = policy(&pages);
    let made = |dir| page(&request("GET", "/", &[]), directory(dir, ""), &policy);
    assert!(content(&made(&long).unwrap()).len() > LIKELY_LONG);
    let _unread = LISTING_MEMORY.reserve_used(LISTING_MEMORY.most() / 2 + 1);
    assert_eq!(made(&long).unwrap_err().status, 503);
    let listed = made(&short).unwrap();
    assert!((SMALL..LIKELY_LONG).contains(&content(&listed).len()));
}

#[test]
fn a_descriptor_for_paths_only_will_do() {
    let dir = TempTree::new();
    dir.file("file", b"");
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let only_path = File::from(nix::fcntl::open(dir.path(), flags, Mode::empty()).unwrap());
    let pages = ErrorPages::builtin();
    let response =
        page(&request("GET", "/", &[]), Directory::new(only_path, Vec::new()), &policy(&pages)).unwrap();
    assert_eq!(links(&String::from_utf8(content(&response)).unwrap()), ["./", "file"]);
}

#[test]
fn listing_a_file_is_an_error() {
    let dir = TempTree::new();
    dir.file("file", b"");
    let file = File::open(dir.path().join("file")).unwrap();
    let pages = ErrorPages::builtin();
    let rejected =
        page(&request("GET", "/", &[]), Directory::new(file, Vec::new()), &policy(&pages)).unwrap_err();
    assert_eq!(rejected.status, 500);
    assert_eq!(rejection(Errno::EMFILE).status, 503);
}

#[test]
fn times_show_the_hour_for_half_a_year_and_the_year_after() {
    let zone = FixedOffset::east_opt(3600).unwrap();
    let now = 1_600_000_000;
    for (time, expected) in [
        (now, "Sep 13 13:26"),
        (now + 60, "Sep 13 13:27"),
        (now + 61, "Sep 13  2020"),
        (now + 86_400 * 365, "Sep 13  2021"),
        (now - 182 * 86_400, "Mar 15 13:26"),
        (now - 182 * 86_400 - 1, "Mar 15  2020"),
        (1_577_923_200, "Jan  2  2020"),
        (0, "Jan  1  1970"),
        (-1_000_000_000, "Apr 24  1938"),
    ] {
        assert_eq!(time_column(&zone.timestamp_opt(time, 0).unwrap(), now), expected, "{time}");
    }
    assert_eq!(seconds(self::now()), now);
}

#[test]
fn modes_show_the_kind_and_what_everyone_may_do() {
    let dir = TempTree::new();
    nix::unistd::mkfifo(&dir.path().join("pipe"), Mode::empty()).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    fs::set_permissions(dir.path().join("pipe"), Permissions::from_mode(0o622)).unwrap();
    fs::set_permissions(dir.path().join("socket"), Permissions::from_mode(0o777)).unwrap();
    let page = page_of(&dir, "", |_| {});
    assert!(row(&page, "pipe").starts_with("<span>p-w-   1  "));
    assert!(row(&page, "socket").starts_with("<span>srwx   1  "));
    assert!(row(&page, "socket").ends_with("</a>="));
    drop(socket);
}

#[test]
fn columns_grow_with_their_numbers() {
    let dir = TempTree::new();
    dir.file("small", [0; 12345]);
    File::create(dir.path().join("large")).unwrap().set_len(123_456_789_012).unwrap();
    for name in ["small", "large"] {
        settle(&dir, name, 0o644);
    }
    let page = page_of(&dir, "s/", |_| {});
    let column = |line: &str, text: &str| line.find(text).unwrap();
    let (small, large) = (row(&page, "small"), row(&page, "large"));
    assert_eq!(column(small, "<a href"), column(large, "<a href"), "{page}");
    assert_eq!(column(small, "12345 ") + 5, column(large, "123456789012 ") + 12);
    let head = page.lines().find(|line| line.contains("last-changed")).unwrap();
    assert_eq!(column(head, "bytes ") + 5, column(small, "12345 ") + 5 + "<b>".len());
}

/// Answer for a directory with two files and a subdirectory, in the style `modern`.
fn modern(query: &'static str, accept: &'static str) -> (Response, String) {
    let dir = TempTree::new();
    dir.file("b.txt", b"1");
    dir.file("a:1.txt", [0; 2000]);
    fs::create_dir(dir.path().join("d")).unwrap();
    settle(&dir, "b.txt", 0o644);
    let pages = ErrorPages::builtin();
    let policy = Policy { listing_style: ListingStyle::Modern, ..policy(&pages) };
    let mut request = request("GET", "/s/", &[("Accept", accept)]);
    request.query = Some(query.as_bytes());
    let response = page(&request, directory(&dir, "s&/t/"), &policy).unwrap();
    let text = String::from_utf8(content(&response)).unwrap();
    (response, text)
}

#[test]
fn a_modern_list_is_sorted_by_the_query_with_directories_first() {
    const ALL: &str = "text/html,*/*;q=0.8";
    for (query, expected) in [
        ("", ["d/", "./a%3a1.txt", "b.txt"]),
        ("C=N;O=D", ["d/", "b.txt", "./a%3a1.txt"]),
        ("C=S&O=A", ["d/", "b.txt", "./a%3a1.txt"]),
        ("O=D;C=S", ["d/", "./a%3a1.txt", "b.txt"]),
        ("C=M", ["d/", "b.txt", "./a%3a1.txt"]),
        ("C=M;O=D", ["d/", "./a%3a1.txt", "b.txt"]),
        ("C=x;<script>", ["d/", "./a%3a1.txt", "b.txt"]),
    ] {
        let (_, page) = modern(query, ALL);
        let rows = page.split("<tbody>").nth(1).unwrap();
        assert_eq!(links(rows), [&["../"][..], &expected].concat(), "{query}");
        assert_eq!(page.matches("aria-sort").count(), 1 + 2, "one column, and the style: {query}");
    }
}

#[test]
fn a_modern_list_has_a_way_to_every_level_above() {
    let (response, page) = modern("", "");
    let nav = page.split("<nav").nth(1).unwrap().split("</nav>").next().unwrap();
    assert_eq!(links(nav), ["../../", "../", "./"]);
    assert!(nav.contains(">s&amp;</a>"), "{nav}");
    assert!(page.contains("title=\"2000 bytes\">2.0 KiB<"), "{page}");
    let field = |name| response.fields.iter().find(|(own, _)| *own == name).map(|(_, value)| &value[..]);
    assert_eq!(field("Vary"), Some(&b"Accept"[..]));
    assert!(field("Content-Security-Policy").is_some());
}

#[test]
fn a_modern_list_is_json_for_who_asks_for_that() {
    for (accept, is_json) in [
        ("application/json", true),
        ("application/json, */*;q=0.1", true),
        ("text/html;q=0.5, Application/JSON;q=0.6", true),
        ("text/html, application/json", false),
        ("application/json;q=0", false),
        ("*/*", false),
        ("", false),
    ] {
        let (response, text) = modern("", accept);
        let json: Result<serde_json::Value, _> = serde_json::from_str(&text);
        assert_eq!(json.is_ok(), is_json, "{accept}");
        if let Ok(json) = json {
            assert_eq!(response.media_type.as_deref(), Some(&b"application/json"[..]));
            let hrefs: Vec<_> = json.as_array().unwrap().iter().map(|entry| entry["href"].as_str()).collect();
            assert_eq!(hrefs, [Some("./a%3a1.txt"), Some("b.txt"), Some("d/")]);
            assert_eq!(json[1]["mtime"], "2001-09-09T01:46:40Z");
            assert_eq!((&json[1]["size"], &json[1]["type"]), (&1.into(), &"file".into()));
        }
    }
}

#[test]
fn a_link_has_the_size_and_the_date_of_its_file() {
    let dir = TempTree::new();
    fs::create_dir(dir.path().join("data")).unwrap();
    dir.file("data/old.txt", b"1");
    settle(&dir, "data/old.txt", 0o644);
    settle(&dir, "data", 0o755);
    symlink("data/old.txt", dir.path().join("new.txt")).unwrap();
    symlink("data", dir.path().join("way")).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&page_of(&dir, "", |policy| policy.listing_style = ListingStyle::Json)).unwrap();
    let dates = json.as_array().unwrap().iter().map(|entry| entry["mtime"].as_str().unwrap());
    assert_eq!(dates.collect::<Vec<_>>(), ["2001-09-09T01:46:40Z"; 3], "{json}");
    let table = page_of(&dir, "", |policy| policy.listing_style = ListingStyle::Modern);
    let date = Local.timestamp_opt(LONG_AGO as i64, 0).unwrap().format("%Y-%m-%d %H:%M").to_string();
    assert_eq!(table.matches(&format!("<td>{date}</td>")).count(), 3, "{table}");
    assert!(table.contains("<td title=\"1 byte\">1 B</td>"), "{table}");
}

#[test]
fn an_empty_directory_is_valid_json() {
    let dir = TempTree::new();
    let pages = ErrorPages::builtin();
    let policy = Policy { listing_style: ListingStyle::Json, ..policy(&pages) };
    let response = page(&request("GET", "/", &[]), directory(&dir, ""), &policy).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&content(&response)).unwrap();
    assert_eq!(json, serde_json::json!([]));
}
