//! Redirects, rewrites, tries, fallbacks, statuses and values of the environment.

use super::{ask, get, ruled, warmed};
use crate::support::{Server, Tree};

/// A single-page application with hashed assets.
fn application() -> Tree {
    let tree = Tree::new();
    tree.file("index.html", "<title>shell</title>");
    tree.file("assets/app-1234.js", "app()");
    tree.file("about.html", "about");
    tree.file("docs/index.html", "docs");
    tree.file("docs.html", "not docs");
    tree.file("plain/page.html", "page");
    tree
}

fn location(server: &Server, target: &str, fields: &str) -> (u16, String) {
    let answer = ask(server, "GET", target, fields);
    (answer.status, answer.field("Location").unwrap_or_default().to_owned())
}

#[test]
fn redirects_carry_what_the_wildcards_stand_for_and_the_query() {
    let tree = Tree::new();
    let rules = "old/** redirect 301 /new/$1\n/blog/*/*.php redirect 308 /posts/$2?y=$1\n\
                 bare/** redirect 302 /$1?\nsite/** redirect 307 https://$host$uri#top\n\
                 //*.example.org/** redirect 303 $scheme://$1.example.com/$2\nswap** redirect 302 /$1\n";
    let server = ruled(&tree, rules, &[]);
    for (target, fields, status, want) in [
        ("/old/a%20b/c?x=1&y", "", 301, "/new/a%20b/c?x=1&y"),
        ("/old/", "", 301, "/new/"),
        ("/blog/2026/a.php?q", "", 308, "/posts/a?y=2026"),
        ("/bare/x?q", "", 302, "/x"),
        ("/site/x?q", "Host: h:81\r\n", 307, "https://h/site/x?q#top"),
        ("/a/b", "Host: WWW.example.org:80\r\n", 303, "http://www.example.com/a/b"),
        ("/swap/evil.example", "", 302, "/evil.example"),
        ("/swap%2f%2fevil.example", "", 302, "/evil.example"),
        ("/swap%5cevil.example", "", 302, "/%5Cevil.example"),
        ("/old/a%0d%0aSet-Cookie:%20x", "", 301, "/new/a%0D%0ASet-Cookie:%20x"),
    ] {
        assert_eq!(location(&server, target, fields), (status, want.to_owned()), "{target}");
    }
}

#[test]
fn a_rewrite_serves_another_name_and_goes_on_below_itself() {
    let tree = Tree::new();
    tree.file("v2/a.txt", "a of v2");
    tree.file("v3/a.txt", "a of v3");
    tree.file(
        "show.cgi",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n%s %s %s %s' \
                           \"$SCRIPT_NAME\" \"$PATH_INFO\" \"$QUERY_STRING\" \"$REQUEST_URI\"\n",
    );
    tree.mode("show.cgi", 0o755);
    let rules = "app/** rewrite /v1/$1\nv1/** rewrite /v2/$1\nloop/** rewrite /loop/$1\n\
                 new/** rewrite /v3/$1\nn/*/* rewrite /show.cgi/$1?n=$2\nq/* rewrite /show.cgi\n\
                 dot** rewrite /v2/$1/a.txt\n";
    let server = ruled(&tree, rules, &["-c", "**.cgi"]);
    assert_eq!(warmed(&server, "/app/a.txt", "").text(), "a of v2");
    assert_eq!(warmed(&server, "/new/a.txt", "").text(), "a of v3");
    assert_eq!(get(&server, "/loop/a").status, 404);
    assert_eq!(get(&server, "/n/a/b%26c?x").text(), "/show.cgi /a n=b%26c /n/a/b%26c?x");
    assert_eq!(get(&server, "/q/a?x=1").text(), "/show.cgi  x=1 /q/a?x=1");
    assert_eq!(get(&server, "/dot..").status, 404, "a dot segment that arises names nothing");
    assert_eq!(get(&server, "/dot%252e%252e").status, 404, "what is put in is not decoded again");
    let line = server.logged("/new/a.txt");
    assert!(line.contains("\"GET /new/a.txt HTTP/1.1\""), "{line}");
}

#[test]
fn a_directory_that_a_rewrite_names_without_its_slash_is_served_where_the_client_has_one() {
    let tree = application();
    tree.file("new/index.html", "new");
    tree.file("list/a.txt", "a");
    let server = ruled(&tree, "old** rewrite /new\n/ rewrite /new\nto/ rewrite /list\n", &[]);
    for target in ["/old/", "/old/deep/", "/"] {
        assert_eq!(warmed(&server, target, "").text(), "new", "{target}");
    }
    assert!(get(&server, "/to/").text().contains("href=\"a.txt\""));
    assert_eq!(location(&server, "/old", ""), (302, "/old/".into()));
    assert_eq!(location(&server, "/old/deep?x=1", ""), (302, "/old/deep/?x=1".into()));
}

#[test]
fn a_clean_url_finds_its_page_and_a_directory_with_an_index_keeps_its_slash() {
    let tree = application();
    tree.file("run.cgi", "#!/bin/sh\n");
    tree.mode("run.cgi", 0o755);
    let server = ruled(&tree, "** try .cgi .html -x\n** try .txt\n", &["-c", "**.cgi"]);
    for (target, status, body) in [
        ("/about", 200, "about"),
        ("/about.html", 200, "about"),
        ("/docs", 302, ""),
        ("/plain/page", 200, "page"),
        ("/about/", 404, ""),
        ("/none", 404, ""),
        ("/run", 404, ""),
    ] {
        let answer = warmed(&server, target, "");
        assert_eq!(answer.status, status, "{target}");
        assert!(body.is_empty() || answer.text() == body, "{target}");
    }
    tree.file("plain.html", "beside a directory without an index");
    assert_eq!(get(&server, "/plain").text(), "beside a directory without an index");
    assert_eq!(get(&server, "/plain/").status, 200, "the directory itself is listed");
}

#[test]
fn a_rewrite_to_a_directory_without_its_slash_leads_to_that_directory() {
    let tree = Tree::new();
    tree.file("sub/index.html", "index of sub");
    tree.file("sub/deep dir?/a.txt", "deep");
    let rules = "x rewrite /sub\nq rewrite /sub?from=q\nd rewrite /sub/deep%20dir%3f\n\
                 y/** rewrite /sub/$1\nboth|both/ rewrite /sub\n";
    for redirects in ["absolute", "relative"] {
        let server = ruled(&tree, rules, &["-o", &format!("redirects={redirects}")]);
        for (target, want) in [
            ("/x", "/sub/"),
            ("/x?a=b", "/sub/?a=b"),
            ("/q?a=b", "/sub/?from=q"),
            ("/d", "/sub/deep%20dir%3F/"),
        ] {
            assert_eq!(location(&server, target, ""), (302, want.to_owned()), "{target}");
            assert_eq!(get(&server, want).status, 200, "{want}");
        }
        // The name that the client knows stays where it leads there, too.
        let known = location(&server, "/y/deep%20dir%3f", "");
        let want = if redirects == "absolute" { "/y/deep%20dir%3f/" } else { "deep%20dir%3f/" };
        assert_eq!(known, (302, want.to_owned()));
        assert_eq!(get(&server, "/y/deep%20dir%3f/").status, 200);
        assert_eq!(get(&server, "/both/").text(), "index of sub");
    }
}

#[test]
fn a_fallback_is_for_pages_and_never_instead_of_a_refusal() {
    let tree = application();
    tree.file("closed.html", "x");
    tree.mode("closed.html", 0o600);
    let server = ruled(&tree, "** fallback /index.html\n", &[]);
    for (target, status) in [
        ("/deep/link", 200),
        ("/deep/link/", 200),
        ("/john.doe", 200),
        ("/page.html", 200),
        ("/missing.js", 404),
        ("/missing.js.gz", 404),
        ("/img/missing.PNG", 404),
        ("/closed.html", 403),
    ] {
        let answer = warmed(&server, target, "");
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.text().contains("shell"), status == 200, "{target}");
    }
    assert_eq!(ask(&server, "POST", "/deep/link", "Content-Length: 0\r\n").status, 404);
    let head = ask(&server, "HEAD", "/deep/link", "");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("20")));
    let tag = get(&server, "/deep/link").field("ETag").unwrap().to_owned();
    assert_eq!(ask(&server, "GET", "/other/link", &format!("If-None-Match: {tag}\r\n")).status, 304);
}

#[test]
fn a_fallback_for_any_name_covers_assets_too_and_one_that_is_missing_is_404() {
    let tree = application();
    let server = ruled(&tree, "assets/** fallback /none.html\n** fallback index.html any\n", &[]);
    assert_eq!(get(&server, "/missing.js").status, 200);
    assert_eq!(get(&server, "/assets/missing").status, 404);
}

#[test]
fn statuses_and_pass_end_the_search() {
    let tree = Tree::new();
    tree.file("kept/a.txt", "a");
    let rules = "healthz status 200\nnothing status 204\nkept/** pass\n** status 451\n";
    let server = ruled(&tree, rules, &[]);
    assert_eq!(get(&server, "/healthz").text(), "ok");
    assert_eq!(get(&server, "/nothing").status, 204);
    assert_eq!(get(&server, "/kept/a.txt").text(), "a");
    let gone = get(&server, "/anything");
    assert_eq!(gone.status, 451);
    assert!(gone.text().contains("legal"), "{}", gone.text());
}

#[test]
fn values_of_the_environment_are_served_and_asked_for_anew() {
    let tree = Tree::new();
    let rules = "env.js env API=${THTTPD_TEST_API} THTTPD_TEST_API NONE:-no\n/c.json env A=1\n\
                 c.json cache 60\n";
    let server = ruled(&tree, rules, &[]);
    let script = get(&server, "/env.js");
    let want = r#"globalThis.env={"API":"https://api.example","THTTPD_TEST_API":"https://api.example","NONE":"no"};"#;
    assert_eq!(script.text().trim_end(), want);
    assert_eq!(script.field("Content-Type"), Some("text/javascript; charset=UTF-8"));
    assert_eq!(script.field("Cache-Control"), Some("no-cache"));
    let json = get(&server, "/c.json");
    assert_eq!((json.text().trim_end(), json.field("Cache-Control")), (r#"{"A":"1"}"#, Some("max-age=60")));
    assert_eq!(ask(&server, "POST", "/env.js", "Content-Length: 0\r\n").status, 405);
    assert_eq!(ask(&server, "HEAD", "/env.js", "").status, 200);
}

#[test]
fn hosts_have_routes_of_their_own_with_and_without_virtual_hosts() {
    let tree = Tree::new();
    tree.file("a.example/x.txt", "x of a");
    tree.file("b.example/x.txt", "x of b");
    tree.file("x.txt", "x of all");
    let rules = "//a.example/old redirect 301 /x.txt\n//b.example/*.txt cache 5\n//*/r rewrite /x.txt\n";
    for (flags, body) in [(&["-v"][..], "x of b"), (&[], "x of all")] {
        let server = ruled(&tree, rules, flags);
        assert_eq!(location(&server, "/old", "Host: A.example.:80\r\n").0, 301);
        assert_eq!(location(&server, "/old", "Host: A.example:80\r\n").0, 301);
        assert_eq!(location(&server, "/old", "Host: b.example\r\n").0, 404);
        let answer = warmed(&server, "/x.txt", "Host: b.example\r\n");
        assert_eq!((answer.text().as_str(), answer.field("Cache-Control")), (body, Some("max-age=5")));
        let answer = warmed(&server, "/x.txt", "Host: a.example\r\n");
        assert_eq!(answer.field("Cache-Control"), None);
        assert_eq!(warmed(&server, "/r", "Host: b.example\r\n").text(), body);
    }
}

#[test]
fn a_rule_says_which_host_was_asked_for_also_where_the_default_directory_serves_it() {
    let tree = Tree::new();
    tree.file("example.org/x.txt", "x of the host");
    tree.file("fallback/x.txt", "x of the default");
    let rules = "//www.example.org/** redirect 301 http://example.org$uri\n//api.example/x.txt header X-Api: yes\n\
                 //api.example/r rewrite /x.txt\n//shut.example/** deny 127.0.0.1\n//fallback/x.txt header X-Dir: yes\n\
                 fallback/x.txt header X-Full: yes\n";
    let server = ruled(&tree, rules, &["-v", "-o", "vhost_default=fallback"]);
    let www = location(&server, "/x.txt", "Host: www.example.org\r\n");
    assert_eq!(www, (301, "http://example.org/x.txt".to_owned()));
    for _ in 0..2 {
        let api = warmed(&server, "/x.txt", "Host: api.example\r\n");
        assert_eq!(api.text(), "x of the default");
        let fields = ["X-Api", "X-Dir", "X-Full"].map(|name| api.field(name).is_some());
        assert_eq!(fields, [true, true, true]);
        let other = warmed(&server, "/x.txt", "Host: other.example\r\n");
        assert_eq!(["X-Api", "X-Dir"].map(|name| other.field(name).is_some()), [false, true]);
        assert_eq!(warmed(&server, "/r", "Host: api.example\r\n").text(), "x of the default");
        assert_eq!(warmed(&server, "/r", "Host: other.example\r\n").status, 404);
        assert_eq!(warmed(&server, "/x.txt", "Host: shut.example\r\n").status, 403);
        assert_eq!(warmed(&server, "/x.txt", "Host: example.org\r\n").field("X-Dir"), None);
    }
}

#[test]
fn the_host_of_a_request_that_names_none_is_the_servers_own() {
    let tree = Tree::new();
    tree.file("127.0.0.1/x.txt", "x");
    let rules = "old redirect 301 https://$host/new\n*/old redirect 301 https://$host/new\n";
    for flags in [&[][..], &["-v"], &["-v", "-o", "vhost_default=fallback"]] {
        let server = ruled(&tree, rules, &[flags, &["-h", "localhost"]].concat());
        let mut client = server.connect();
        client.send("GET /old HTTP/1.0\r\n\r\n");
        let answer = client.answer("GET");
        let found = (answer.status, answer.field("Location"));
        assert_eq!(found, (301, Some("https://localhost/new")), "{}", flags.join(" "));
    }
}
