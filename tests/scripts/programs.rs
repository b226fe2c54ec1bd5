//! CGI programs that are commonly run under thttpd, from Debian packages.

use std::path::Path;
use std::process::Command;

use super::{Site, lay_script};
use crate::support::{Answer, run};

/// Skips, aloud, where `path` is not installed; CI sets THTTPD_TESTS_SKIP=never.
fn is_here(path: &str) -> bool {
    let here = Path::new(path).exists();
    assert!(
        here || std::env::var_os("THTTPD_TESTS_SKIP").is_none_or(|value| value != "never"),
        "{path} is not installed; tests/run installs it"
    );
    if !here {
        eprintln!("skipped: {path} is not here");
    }
    here
}

/// Runs git in `dir`, without a user's configuration.
fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(dir).env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
    for (name, value) in [("AUTHOR", "Ada"), ("COMMITTER", "Ada")] {
        command.env(format!("GIT_{name}_NAME"), value).env(format!("GIT_{name}_EMAIL"), "ada@example.org");
    }
    let output = command.env("GIT_TERMINAL_PROMPT", "0").output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A site with a bare repository `repo.git` that takes pushes, beside the document root, and a working
/// copy with one large and one small file already in it.
fn with_repository() -> Site {
    let site = Site::new("cgi_timeout=600\n", &[]);
    let dir = site.tree.dir().to_owned();
    git(&dir, &["init", "-q", "--bare", "-b", "main", "repos/repo.git"]);
    git(&dir, &["-C", "repos/repo.git", "config", "http.receivepack", "true"]);
    std::fs::write(dir.join("repos/repo.git/description"), "A repository of ours\n").unwrap();
    git(&dir, &["init", "-q", "-b", "main", "work"]);
    std::fs::write(dir.join("work/readme"), "read me\n").unwrap();
    std::fs::write(dir.join("work/large"), noise(3_000_000)).unwrap();
    git(&dir.join("work"), &["add", "."]);
    git(&dir.join("work"), &["commit", "-q", "-m", "The first commit"]);
    git(&dir.join("work"), &["push", "-q", "../repos/repo.git", "main"]);
    give_to_server(&dir.join("repos"));
    let backend = "#!/bin/sh\n\
        GIT_PROJECT_ROOT=$DOCUMENT_ROOT/../repos GIT_HTTP_EXPORT_ALL=1 HOME=/nonexistent\n\
        export GIT_PROJECT_ROOT GIT_HTTP_EXPORT_ALL HOME\n\
        exec git http-backend\n";
    lay_script(&site.tree.www().join("cgi-bin/git"), backend);
    site
}

/// Bytes that do not compress.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(n)
    .collect()
}

/// Gives `path` to the user `nobody`, as which root's server runs; git serves only its user's files.
fn give_to_server(path: &Path) {
    if nix::unistd::geteuid().is_root() {
        let status = Command::new("chown").arg("-R").arg("nobody").arg(path).status().unwrap();
        assert!(status.success());
    }
}

#[test]
fn git_clones_and_pushes_through_http_backend() {
    if run("git", &["--version"]).is_none() {
        return;
    }
    let site = with_repository();
    let dir = site.tree.dir();
    let url = site.server.url("/cgi-bin/git/repo.git");
    git(dir, &["clone", "-q", &url, "clone"]);
    assert_eq!(std::fs::read(dir.join("clone/large")).unwrap(), noise(3_000_000));
    // Larger than git's http.postBuffer, so it comes in chunks.
    let more: Vec<u8> = noise(4_000_000).into_iter().rev().collect();
    std::fs::write(dir.join("clone/more"), &more).unwrap();
    git(&dir.join("clone"), &["add", "."]);
    git(&dir.join("clone"), &["commit", "-q", "-m", "The second commit"]);
    git(&dir.join("clone"), &["push", "-q", "origin", "main"]);
    git(dir, &["clone", "-q", &url, "again"]);
    assert_eq!(std::fs::read(dir.join("again/more")).unwrap(), more);
    assert!(git(&dir.join("again"), &["log", "--format=%s"]).starts_with("The second commit\n"));
    site.expect_no_process();
}

#[test]
fn gitweb_shows_a_repository_to_a_browser() {
    if !is_here("/usr/lib/cgi-bin/gitweb.cgi") {
        return;
    }
    let site = with_repository();
    let gitweb = std::fs::read_to_string("/usr/lib/cgi-bin/gitweb.cgi").unwrap();
    lay_script(&site.tree.www().join("cgi-bin/gitweb.cgi"), &gitweb);
    let config = format!("$projectroot = '{}';\n", site.tree.dir().join("repos").display());
    let wrapper = format!(
        "#!/bin/sh\nGITWEB_CONFIG={} exec ./gitweb.cgi\n",
        site.tree.beside("gitweb.conf", &config).display()
    );
    lay_script(&site.tree.www().join("cgi-bin/web"), &wrapper);
    assert!(page(site.get("/cgi-bin/web")).contains("repo.git"));
    assert!(page(site.get("/cgi-bin/web?p=repo.git;a=summary")).contains("The first commit"));
    let link = format!("http://127.0.0.1:{}/cgi-bin/web", site.server.port);
    let mut client = site.server.connect();
    client.send(format!(
        "GET /cgi-bin/web?p=repo.git;a=rss HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
        site.server.port
    ));
    assert!(page(client.answer("GET")).contains(&link), "links lead back to this port");
}

#[test]
fn cgit_shows_a_repository_and_lets_it_be_cloned() {
    if !is_here("/usr/lib/cgit/cgit.cgi") {
        return;
    }
    let site = with_repository();
    let repository = site.tree.dir().join("repos/repo.git");
    let config = format!(
        "cache-size=0\nvirtual-root=/cgi-bin/cgit\nrepo.url=repo\nrepo.path={}\nrepo.desc=Shown by cgit\n",
        repository.display()
    );
    let wrapper = format!(
        "#!/bin/sh\nCGIT_CONFIG={} exec /usr/lib/cgit/cgit.cgi\n",
        site.tree.beside("cgitrc", &config).display()
    );
    lay_script(&site.tree.www().join("cgi-bin/cgit"), &wrapper);
    assert!(page(site.get("/cgi-bin/cgit/")).contains("Shown by cgit"));
    assert!(page(site.get("/cgi-bin/cgit/repo/log/")).contains("The first commit"));
    // cgit itself serves the dumb protocol.
    git(site.tree.dir(), &["clone", "-q", &site.server.url("/cgi-bin/cgit/repo"), "clone"]);
    assert_eq!(std::fs::read_to_string(site.tree.dir().join("clone/readme")).unwrap(), "read me\n");
}

fn page(answer: Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[test]
fn a_php_page_works_by_php_cgi() {
    if !is_here("/usr/bin/php-cgi") {
        return;
    }
    let site = Site::new("", &[]);
    let code = "#!/usr/bin/php-cgi\n<?php\n\
        setcookie('seen', 'yes');\n\
        echo $_GET['a'] ?? '-', '|', $_POST['b'] ?? '-', '|', $_SERVER['PATH_INFO'] ?? '-', '|';\n\
        echo basename(__FILE__), '|', file_get_contents('beside.txt');\n";
    lay_script(&site.tree.www().join("cgi-bin/page.php"), code);
    site.tree.file("cgi-bin/beside.txt", "beside");
    let get = site.get("/cgi-bin/page.php/more?a=1");
    assert_eq!(page(get.clone()), "1|-|/more|page.php|beside");
    assert!(get.field("Set-Cookie").is_some_and(|cookie| cookie.starts_with("seen=yes")));
    let fields = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n";
    let post = site.ask("POST /cgi-bin/page.php?a=2 HTTP/1.1", fields, "b=three");
    assert_eq!(page(post), "2|three|-|page.php|beside");
    // A query without `=` must not become options of the interpreter.
    assert!(!page(site.get("/cgi-bin/page.php?-s")).contains("&lt;?php"));
}

#[test]
fn a_program_that_others_may_execute_but_not_read_is_run() {
    let site = Site::new("", &[]);
    let www = site.tree.www();
    std::fs::create_dir_all(www.join("cgi-bin")).unwrap();
    for program in ["cgi-bin/printf", "printf"] {
        let copied =
            Command::new("install").args(["-m", "111", "/usr/bin/printf"]).arg(www.join(program)).status();
        assert!(copied.unwrap().success());
    }
    assert_eq!(page(site.get("/cgi-bin/printf?Content-Type:%20text/plain%5Cn%5Cnrun")), "run");
    let elsewhere = site.get("/printf");
    assert_eq!(elsewhere.status, 403);
    assert!(
        elsewhere.text().contains("is marked executable but is not a CGI script"),
        "{}",
        elsewhere.text()
    );
}
