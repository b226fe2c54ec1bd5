//! Response rules: fields, caching, types, origins and lists depend on the file that is served.

use super::{RIGHT, USERS, ask, get, ruled, warmed};
use crate::support::Tree;

fn pages() -> Tree {
    let tree = Tree::new();
    tree.file("index.html", "shell");
    tree.file("assets/app-1.js", "app()");
    tree.file("open.txt", "open");
    tree.file("data.tar.gz", "not really");
    tree.dir_in("empty");
    tree
}

#[test]
fn a_fallback_shell_under_an_asset_s_name_has_the_shell_s_policy() {
    let tree = pages();
    let rules = "** fallback /index.html any\nassets/** cache immutable\nassets/** header X-Asset: yes\n\
                 index.html cache revalidate\n";
    let server = ruled(&tree, rules, &[]);
    let asset = warmed(&server, "/assets/app-1.js", "");
    assert_eq!(asset.field("Cache-Control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(asset.field("X-Asset"), Some("yes"));
    for target in ["/assets/gone-2.js", "/deep/link", "/", "/index.html"] {
        let shell = warmed(&server, target, "");
        assert_eq!(shell.text(), "shell", "{target}");
        assert_eq!(shell.field("Cache-Control"), Some("no-cache"), "{target}");
        assert_eq!(shell.field("X-Asset"), None, "{target}");
    }
}

#[test]
fn rules_add_up_and_of_one_field_the_last_counts() {
    let tree = pages();
    let rules = "** header X-A: all\n** header X-B: all\nopen.txt header X-B: own\nopen.txt header +X-B: more\n\
                 ** header X-C: no\nopen.txt header -X-C\n** header Vary: Cookie\n";
    let server = ruled(&tree, rules, &[]);
    let answer = warmed(&server, "/open.txt", "");
    assert_eq!(answer.field("X-A"), Some("all"));
    assert_eq!(answer.fields("X-B").collect::<Vec<_>>(), ["own", "more"]);
    assert_eq!((answer.field("X-C"), answer.field("Vary")), (None, Some("Cookie")));
    assert_eq!(get(&server, "/").field("X-C"), Some("no"));
}

#[test]
fn what_is_refused_or_absent_has_the_rules_of_the_name_asked_for() {
    let tree = pages();
    let users = tree.beside("users", USERS);
    let rules = format!(
        "**.png header X-Is: image\nnone/** cors https://a.example\nempty/ header X-Is: directory\n\
         / header X-Is: top\nindex.html header X-Is: index\nindex.html auth {}\n",
        users.display()
    );
    let server = ruled(&tree, &rules, &[]);
    for (target, status, is) in [
        ("/a.png", 404, Some("image")),
        ("/empty/a.png", 404, Some("image")),
        ("/empty/b", 404, None),
        ("/none/a/b.png", 404, Some("image")),
        ("/none/b", 404, None),
        ("/open.txt/a.png", 403, Some("image")),
        ("/", 401, Some("top")),
    ] {
        let answer = get(&server, target);
        assert_eq!((answer.status, answer.field("X-Is")), (status, is), "{target}");
    }
    for target in ["/none/b", "/none/a/b.png"] {
        let answer = ask(&server, "GET", target, "Origin: https://a.example\r\n");
        assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("https://a.example"), "{target}");
        assert_eq!(get(&server, target).field("Vary"), Some("Origin"), "{target}");
    }
    assert_eq!(warmed(&server, "/", RIGHT).field("X-Is"), Some("index"));
    assert_eq!(get(&server, "/").field("X-Is"), Some("top"), "when the file is remembered");
}

#[test]
fn fields_are_on_every_response() {
    let tree = pages();
    tree.file("closed.txt", "x");
    tree.mode("closed.txt", 0o600);
    let rules = "** header X-Frame-Options: DENY\nold redirect 301 /new\ngone status 410\n";
    let server = ruled(&tree, rules, &[]);
    let tag = get(&server, "/open.txt").field("ETag").unwrap().to_owned();
    for (method, target, fields, status) in [
        ("GET", "/open.txt", "", 200),
        ("HEAD", "/open.txt", "", 200),
        ("OPTIONS", "/open.txt", "", 204),
        ("POST", "/open.txt", "Content-Length: 0\r\n", 405),
        ("BREW", "/open.txt", "", 501),
        ("GET", "/open.txt", &format!("If-None-Match: {tag}\r\n"), 304),
        ("GET", "/open.txt", "Range: bytes=1-2\r\n", 206),
        ("GET", "/open.txt", "Range: bytes=9-\r\n", 416),
        ("GET", "/none", "", 404),
        ("GET", "/closed.txt", "", 403),
        ("GET", "/old", "", 301),
        ("GET", "/gone", "", 410),
        ("GET", "/empty", "", 302),
        ("GET", "/empty/", "", 200),
        ("GET", "/a%00", "", 400),
        ("GET", "//x", "", 400),
        ("OPTIONS", "*", "", 204),
    ] {
        let answer = ask(&server, method, target, fields);
        assert_eq!(answer.status, status, "{method} {target}");
        let found: Vec<&str> = answer.fields("X-Frame-Options").collect();
        assert_eq!(found, ["DENY"], "{method} {target}: {}", answer.head);
    }
}

#[test]
fn the_server_s_name_goes_from_field_and_pages() {
    let tree = pages();
    let server = ruled(&tree, "** header -Server\n** header -P3P\n", &["-P", "x"]);
    for target in ["/none", "/empty/", "/empty", "/open.txt", "/a%00"] {
        let answer = get(&server, target);
        assert_eq!((answer.field("Server"), answer.field("P3P")), (None, None), "{target}");
        assert!(!answer.text().contains("thttpd"), "{target}: {}", answer.text());
    }
    let server = ruled(&tree, "** header Server: shop\n", &[]);
    let answer = get(&server, "/none");
    assert_eq!(answer.field("Server"), Some("shop"));
    assert!(answer.text().contains("<footer>shop</footer>"), "{}", answer.text());
}

#[test]
fn cache_lines_count_before_max_age_and_for_files_alone() {
    let tree = pages();
    let rules = "open.txt cache 600\nindex.html cache -\n** header X: y\nold redirect 301 /\n** cors *\n";
    let server = ruled(&tree, rules, &["-M", "60"]);
    let file = warmed(&server, "/open.txt", "");
    assert_eq!(file.field("Cache-Control"), Some("max-age=600"));
    assert!(file.field("Expires").is_some_and(|date| date.ends_with(" GMT")));
    let silent = warmed(&server, "/", "");
    assert_eq!((silent.field("Cache-Control"), silent.field("Expires")), (None, None));
    assert_eq!(get(&server, "/data.tar.gz").field("Cache-Control"), Some("max-age=60"));
    let error = get(&server, "/none");
    assert_eq!(error.fields("Cache-Control").collect::<Vec<_>>(), ["no-cache,no-store"]);
    let range = ask(&server, "GET", "/open.txt", "Range: bytes=9-\r\n");
    assert_eq!(range.fields("Cache-Control").collect::<Vec<_>>(), ["no-cache,no-store"]);
}

#[test]
fn a_date_of_expiry_is_said_once_and_can_be_removed() {
    let tree = pages();
    let rules = "index.html header Expires: 0\nopen.txt header -Expires\nopen.txt header X-A: b\n";
    let server = ruled(&tree, rules, &["-M", "60"]);
    for (target, expires) in [("/", &["0"][..]), ("/open.txt", &[]), ("/open.txt?x", &[])] {
        let answer = warmed(&server, target, "");
        assert_eq!(answer.fields("Expires").collect::<Vec<_>>(), expires, "{target}");
        assert_eq!(answer.fields("Cache-Control").collect::<Vec<_>>(), ["max-age=60"], "{target}");
    }
}

#[test]
fn restricted_responses_are_private_to_caches() {
    let tree = pages();
    tree.file("own/.htpasswd", USERS);
    tree.file("own/a.txt", "x");
    let users = tree.beside("users", USERS);
    let rules = format!(
        "** cache 60\nassets/** cache immutable\nassets/** allow 127.0.0.1\nopen.txt auth {}\n",
        users.display()
    );
    let server = ruled(&tree, &rules, &[]);
    for (target, want) in [
        ("/assets/app-1.js", "private, max-age=31536000, immutable"),
        ("/open.txt", "private, max-age=60"),
        ("/own/a.txt", "private, max-age=60"),
        ("/", "max-age=60"),
    ] {
        assert_eq!(warmed(&server, target, RIGHT).field("Cache-Control"), Some(want), "{target}");
    }
}

#[test]
fn a_type_is_the_type_and_nothing_else() {
    let tree = pages();
    let rules = "**.gz type application/gzip\nopen.txt type text/markdown\nindex.html charset -\n";
    let server = ruled(&tree, rules, &[]);
    let archive = warmed(&server, "/data.tar.gz", "");
    assert_eq!(archive.field("Content-Type"), Some("application/gzip"));
    assert_eq!(archive.field("Content-Encoding"), None);
    assert_eq!(warmed(&server, "/open.txt", "").field("Content-Type"), Some("text/markdown; charset=UTF-8"));
    assert_eq!(warmed(&server, "/", "").field("Content-Type"), Some("text/html"));
    let server = ruled(&tree, "**.txt charset koi8-r\n", &[]);
    assert_eq!(warmed(&server, "/open.txt", "").field("Content-Type"), Some("text/plain; charset=koi8-r"));
}

#[test]
fn listed_origins_are_reflected_and_their_preflights_answered() {
    let tree = pages();
    let users = tree.beside("users", USERS);
    let rules =
        format!("** cors https://a.example https://b.example:8443\nopen.txt auth {}\n", users.display());
    let server = ruled(&tree, &rules, &["-c", "**.cgi"]);
    for (origin, want) in [
        ("https://a.example", Some("https://a.example")),
        ("https://b.example:8443", Some("https://b.example:8443")),
        ("https://evil.example", None),
        ("null", None),
    ] {
        for target in ["/", "/none", "/assets/app-1.js"] {
            let answer = warmed(&server, target, &format!("Origin: {origin}\r\n"));
            assert_eq!(answer.field("Access-Control-Allow-Origin"), want, "{origin} {target}");
            assert_eq!(answer.field("Vary"), Some("Origin"), "{origin} {target}");
            assert_eq!(answer.field("Access-Control-Allow-Credentials"), None);
        }
    }
    assert_eq!(get(&server, "/").field("Vary"), Some("Origin"));
    let asked = "Origin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n\
                 Access-Control-Request-Headers: x-one, x-two\r\n";
    for (target, methods) in [("/open.txt", "GET, HEAD"), ("/", "GET, HEAD"), ("/x.cgi", "GET, HEAD, POST")] {
        warmed(&server, target, "");
        let answer = ask(&server, "OPTIONS", target, asked);
        assert_eq!(answer.status, 204, "{target}: no password is asked for");
        assert_eq!(answer.field("Access-Control-Allow-Methods"), Some(methods), "{target}");
        assert_eq!(answer.field("Access-Control-Allow-Headers"), Some("x-one, x-two"));
        assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("https://a.example"));
    }
    let any = ruled(&tree, "** cors *\n", &[]);
    let answer = warmed(&any, "/open.txt", "");
    assert_eq!((answer.field("Access-Control-Allow-Origin"), answer.field("Vary")), (Some("*"), None));
}

#[test]
fn lists_are_switched_by_directory() {
    let tree = pages();
    tree.dir_in("shown");
    for flags in [&[][..], &["-o", "nolisting"]] {
        let server = ruled(&tree, "empty/ listing off\nshown/ listing classic\n", flags);
        assert_eq!((get(&server, "/empty/").status, get(&server, "/shown/").status), (403, 200));
        let others = get(&server, "/assets/").status;
        assert_eq!(others, if flags.is_empty() { 200 } else { 403 });
    }
}

#[test]
fn lists_have_the_style_that_a_rule_says() {
    let tree = pages();
    tree.file("new/README.txt", "About this <folder>");
    tree.dir_in("json");
    let server = ruled(&tree, "new/ listing modern\njson/ listing json\n", &["-o", "nolisting"]);
    let modern = get(&server, "/new/");
    assert!(modern.text().contains("<table") && modern.text().contains("About this &lt;folder&gt;"));
    assert_eq!(modern.field("Vary"), Some("Accept"));
    let json = get(&server, "/json/");
    assert!(json.field("Content-Type").unwrap().starts_with("application/json"), "{}", json.head);
    assert_eq!(get(&server, "/assets/").status, 403);
}

#[test]
fn a_script_s_own_field_stays_but_for_a_removal() {
    let tree = pages();
    tree.file(
        "x.cgi",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\nX-A: own\\nX-B: own\\nCache-Control: own\\n\\nx'\n",
    );
    tree.mode("x.cgi", 0o755);
    tree.file("bad.cgi", "#!/bin/sh\nexit 1\n");
    tree.mode("bad.cgi", 0o755);
    let rules = "** header X-A: ours\n** header -X-B\n** header X-C: ours\n** cache 5\n** header -Server\n\
                 ** cors https://a.example\n";
    let server = ruled(&tree, rules, &["-c", "**.cgi"]);
    let answer = get(&server, "/x.cgi");
    for (name, want) in [
        ("X-A", vec!["own"]),
        ("X-B", vec![]),
        ("X-C", vec!["ours"]),
        ("Cache-Control", vec!["own"]),
        ("Server", vec![]),
        ("Vary", vec!["Origin"]),
    ] {
        assert_eq!(answer.fields(name).collect::<Vec<_>>(), want, "{name}");
    }
    let failed = get(&server, "/bad.cgi");
    assert_eq!((failed.status, failed.field("X-C"), failed.field("Server")), (502, Some("ours"), None));
}

#[test]
fn a_closed_site_says_when_it_opens() {
    let tree = pages();
    let rules = "errors/** pass\n** status 503\n   header Retry-After: 3600\nbusy requests 1/h\nbusy header -Retry-After\n";
    let server = ruled(&tree, rules, &[]);
    for method in ["GET", "HEAD", "POST"] {
        let answer = ask(&server, method, "/any/page", "Content-Length: 0\r\n");
        assert_eq!(
            (answer.status, answer.fields("Retry-After").collect::<Vec<_>>()),
            (503, vec!["3600"]),
            "{method}"
        );
    }
    let statuses = [(); 2].map(|()| get(&server, "/busy")).map(|answer| {
        assert_eq!(answer.field("Retry-After"), None);
        answer.status
    });
    assert_eq!(statuses, [503, 429]);
}

#[test]
fn max_age_is_for_the_client_alone_where_a_rule_keeps_others_away() {
    let tree = pages();
    let users = tree.beside("users", USERS);
    tree.file("in/a.txt", "a");
    tree.file("out/a.txt", "a");
    tree.file("closed/a.txt", "a");
    tree.file("list/a.txt", "a");
    tree.file("list/README.txt", "for some");
    let rules = format!(
        "in/** allow 127.0.0.1\nout/** deny 10.0.0.1\nclosed/** auth {}\nlist/README.txt deny 10.0.0.1\n\
         in/b.txt requests 100/s\n",
        users.display()
    );
    let server = ruled(&tree, &rules, &["-M", "60", "-o", "listing_style=modern"]);
    let tag = get(&server, "/in/a.txt").field("ETag").unwrap().to_owned();
    for (target, fields, want) in [
        ("/in/a.txt", "", "private, max-age=60"),
        ("/in/a.txt", "Range: bytes=0-0\r\n", "private, max-age=60"),
        ("/in/a.txt", &format!("If-None-Match: {tag}\r\n"), "private, max-age=60"),
        ("/in/", "", "private, max-age=60"),
        ("/out/a.txt", "", "private, max-age=60"),
        ("/closed/a.txt", RIGHT, "private, max-age=60"),
        ("/list/", "", "private, max-age=60"),
        ("/list/a.txt", "", "max-age=60"),
    ] {
        for _ in 0..2 {
            let answer = warmed(&server, target, fields);
            assert_eq!(answer.fields("Cache-Control").collect::<Vec<_>>(), [want], "{target} {fields}");
        }
    }
}
