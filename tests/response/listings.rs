//! Directory lists: valid pages, README.txt for permitted clients, and limits.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Server, Tree};

#[test]
fn a_readme_is_shown_to_who_would_get_it() {
    let tree = Tree::new();
    let server = Server::start(&tree, &["-o", "listing_style=modern"]);
    let shown = |target: &str| server.connect().get(target).text().contains("<h2>README.txt</h2>");
    tree.file("s/README.txt", "hello <b>\n");
    assert!(shown("/s/"));
    assert!(server.connect().get("/s/").text().contains("hello &lt;b&gt;"));
    tree.mode("s/README.txt", 0o600);
    assert!(!shown("/s/"), "not readable by the world");
    tree.mode("s/README.txt", 0o755);
    assert!(!shown("/s/"), "executable: a GET of it is 403");
    tree.file("s/README.txt", vec![b'x'; 64 * 1024 + 1]);
    assert!(!shown("/s/"), "too large");
    fs::remove_file(tree.www().join("s/README.txt")).unwrap();
    tree.beside("secret", "secret");
    tree.link(tree.dir().join("secret"), "s/README.txt");
    assert!(!shown("/s/"), "leads out of the tree");
    assert!(!shown("/"), "there is none");
}

#[test]
fn a_readme_behind_the_referrer_filter_is_shown_to_local_pages_alone() {
    let tree = Tree::new();
    tree.file("s/README.txt", "hello\n");
    let flags = ["-o", "listing_style=modern", "-o", "urlpat=**.txt", "-o", "noemptyreferrers"];
    let server = Server::start(&tree, &flags);
    let mut client = server.connect();
    assert!(!client.get("/s/").text().contains("<h2>"));
    client.send("GET /s/ HTTP/1.1\r\nHost: x\r\nReferer: http://127.0.0.1/\r\n\r\n");
    assert!(client.answer("GET").text().contains("<h2>"));
}

#[test]
fn shared_caches_must_not_keep_a_list_whose_readme_not_everyone_may_get() {
    let tree = Tree::new();
    tree.file("s/README.txt", "for some\n");
    tree.file("t/README.txt", "for all\n");
    let users = tree.beside("users", "user:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/\n");
    let auth = format!("auth {}", users.display());
    for guard in ["allow 127.0.0.1", "deny 10.0.0.1", "deny 127.0.0.1", &auth] {
        let rules = tree.beside("rules", &format!("s/README.txt {guard}\n** cache 60\n"));
        let rules = format!("rules={}", rules.display());
        let server = Server::start(&tree, &["-o", "listing_style=modern", "-o", &rules]);
        for _ in 0..3 {
            let private = server.connect().get("/s/");
            assert_eq!(private.fields("Cache-Control").next(), Some("private, max-age=60"), "{guard}");
            let public = server.connect().get("/t/");
            assert_eq!(public.fields("Cache-Control").next(), Some("max-age=60"), "{guard}");
        }
    }
    // A link to a file that a password file protects.
    tree.file("closed/README.txt", "for some\n");
    tree.file("closed/.htpasswd", "user:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/\n");
    tree.file("u/a.txt", "a");
    tree.link("../closed/README.txt", "u/README.txt");
    let server = Server::start(&tree, &["-o", "listing_style=modern", "-o", "rule=** cache 60"]);
    for _ in 0..3 {
        let mut client = server.connect();
        client.send("GET /u/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcjpwYXNzd29yZA==\r\n\r\n");
        let answer = client.answer("GET");
        assert!(answer.text().contains("for some"));
        assert_eq!(answer.fields("Cache-Control").next(), Some("private, max-age=60"));
    }
}

#[test]
fn a_readme_that_a_rewrite_leads_to_a_list_is_none() {
    let tree = Tree::new();
    tree.file("d/a.txt", "x");
    tree.file("e/README.txt/b.txt", "x");
    for rules in ["rule=** rewrite /d/", "rule=**README.txt rewrite /d/", "rule=d/README.txt rewrite /e/"] {
        let server = Server::start(&tree, &["-o", "listing_style=modern", "-o", rules]);
        for target in ["/d/", "/e/", "/e/README.txt/"] {
            let answer = server.connect().get(target);
            assert_eq!(answer.status, 200, "{rules} {target}");
            assert!(!answer.text().contains("<h2>"), "{rules} {target}");
        }
    }
}

#[test]
fn lists_of_a_hundred_thousand_names_take_bounded_memory_and_time() {
    let tree = Tree::new();
    let dir = tree.dir_in("many");
    for n in 0..100_001 {
        fs::File::create(dir.join(format!("file-{n:06}.txt"))).unwrap();
    }
    for style in ["classic", "modern", "json"] {
        let server = Server::start(&tree, &["-o", &format!("listing_style={style}")]);
        let began = Instant::now();
        let answer = server.connect().get("/many/");
        assert_eq!(answer.status, 200, "{style}");
        assert!(answer.body.len() <= 17 << 20, "{style}: {}", answer.body.len());
        let names = answer.text().matches("file-").count();
        assert!(names >= 90_000, "{style}: {names}");
        // Seconds on a machine that does nothing else.
        assert!(began.elapsed() < Duration::from_secs(60), "{style}: {:?}", began.elapsed());
        let peak = server.status_of_process("VmHWM:");
        assert!(peak < 150_000, "{style}: {peak} kB");
    }
}
