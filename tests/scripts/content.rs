//! Requests with content: a script's standard input, and the time of its start.

use super::{Server, Site, lay_script};
use crate::support::{Tree, eventually};

const ECHO: &str =
    "printf 'Content-Type: text/plain\\n\\n%s|%s|' \"$REQUEST_METHOD\" \"$CONTENT_LENGTH\"; cat";

#[test]
fn content_of_known_length_reaches_the_script_with_any_method() {
    let site = Site::new("", &[("echo", ECHO)]);
    for method in ["POST", "PUT", "DELETE", "PATCH", "GET"] {
        let answer = site.ask(&format!("{method} /cgi-bin/echo HTTP/1.1"), "Content-Length: 5\r\n", "hello");
        assert_eq!(answer.text(), format!("{method}|5|hello"));
    }
}

#[test]
fn chunked_content_reaches_the_script_decoded_and_counted() {
    let site = Site::new("", &[("echo", ECHO)]);
    let chunks = "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: 1\r\n\r\n";
    let mut client = site.server.connect();
    for _ in 0..2 {
        client.send("POST /cgi-bin/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(chunks);
        assert_eq!(client.answer("POST").text(), "POST|11|hello world");
    }
    client.send("POST /cgi-bin/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello");
    assert_eq!(client.answer("POST").status, 400);
}

#[test]
fn large_content_arrives_whole_and_the_next_request_after_it() {
    let site = Site::new("", &[("sum", "printf 'A: b\\n\\n'; cksum")]);
    let content: String = (0..700_000).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
    let mut client = site.server.connect();
    client
        .send(format!("POST /cgi-bin/sum HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", content.len()));
    client.send(&content);
    client.send("GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    let sum = client.answer("POST").text();
    let path = site.tree.beside("content", &content);
    let output =
        std::process::Command::new("cksum").stdin(std::fs::File::open(path).unwrap()).output().unwrap();
    assert_eq!(sum, String::from_utf8(output.stdout).unwrap());
    assert_eq!(client.answer("GET").text(), "Hello, world!\n");
}

#[test]
fn a_client_that_waits_for_a_nod_gets_it_before_its_content() {
    let site = Site::new("body_limit=100\n", &[("echo", ECHO)]);
    let mut client = site.server.connect();
    client
        .send("POST /cgi-bin/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.answer("POST").status, 100);
    client.send("hello");
    assert_eq!(client.answer("POST").text(), "POST|5|hello");
    client.send(
        "POST /cgi-bin/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n",
    );
    assert_eq!(client.answer("POST").status, 413);
}

#[test]
fn content_over_the_limit_is_refused_and_starts_no_script() {
    let site = Site::new("body_limit=1000\n", &[("touch", "touch ../started; printf 'A: b\\n\\n'")]);
    let long = "x".repeat(1001);
    let answer = site.ask("POST /cgi-bin/touch HTTP/1.1", "Content-Length: 1001\r\n", &long);
    assert_eq!((answer.status, answer.field("Connection")), (413, Some("close")));
    let chunked = format!("3e9\r\n{long}\r\n0\r\n\r\n");
    let answer = site.ask("POST /cgi-bin/touch HTTP/1.1", "Transfer-Encoding: chunked\r\n", &chunked);
    assert_eq!(answer.status, 413);
    assert!(site.processes().is_empty() && !site.tree.www().join("started").exists());
}

/// The limit on the size of files stands for a full disk.
#[test]
fn content_that_its_disk_does_not_take_is_503_and_the_log_says_why() {
    let tree = Tree::new();
    lay_script(&tree.www().join("cgi-bin/echo"), &format!("#!/bin/sh\n{ECHO}\n"));
    let server = Server::start_after(&tree, "ulimit -f 200", &["-c", "/cgi-bin/*"]);
    let site = Site { server, tree };
    let long = "x".repeat(500_000);
    let ask = |length: usize, content| {
        site.ask("POST /cgi-bin/echo HTTP/1.1", &format!("Content-Length: {length}\r\n"), content).status
    };
    assert_eq!(ask(long.len(), &long), 503);
    site.told("no room for the content of a request (TMPDIR, request_spool) - File too large");
    assert_eq!(ask(5, "hello"), 200);
}

#[test]
fn a_slow_upload_holds_no_process() {
    let site = Site::new("", &[("echo", ECHO)]);
    let mut client = site.server.connect();
    client.send("POST /cgi-bin/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    let mut other = site.server.connect();
    assert_eq!(other.get("/hello.txt").status, 200);
    assert!(site.processes().is_empty());
    client.send("world");
    assert_eq!(client.answer("POST").text(), "POST|10|helloworld");
}

#[test]
fn content_that_never_comes_is_timed_out_and_content_cut_short_is_malformed() {
    let site = Site::new("body_timeout=1\n", &[("echo", ECHO)]);
    let mut client = site.server.connect();
    client.send("POST /cgi-bin/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(client.answer("POST").status, 408);
    let mut client = site.server.connect();
    client.send("POST /cgi-bin/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    client.finish();
    assert_eq!(client.answer("POST").status, 400);
    assert!(site.processes().is_empty());
}

#[test]
fn a_script_that_never_reads_its_content_is_answered_from_nevertheless() {
    let site = Site::new("", &[("deaf", "printf 'A: b\\n\\ndeaf'")]);
    let content = "x".repeat(300_000);
    let length = format!("Content-Length: {}\r\n", content.len());
    for _ in 0..3 {
        assert_eq!(site.ask("POST /cgi-bin/deaf HTTP/1.1", &length, &content).text(), "deaf");
    }
    eventually("no spool is left open", || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", site.server.pid())).unwrap();
        fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
            .all(|path| !path.to_string_lossy().contains("(deleted)"))
    });
}

#[test]
fn a_shell_form_works() {
    let form = r#"
printf 'Content-Type: text/html\r\n\r\n'
if [ "$REQUEST_METHOD" = POST ]; then
  read -r line
  name=${line#*name=}
  printf '<p>Hello, %s</p>\n' "$(printf '%s' "${name%%&*}" | tr + ' ')"
else
  printf '<form method="post" action="%s"><input name="name"></form>\n' "$SCRIPT_NAME"
fi"#;
    let site = Site::new("", &[("form", form)]);
    assert!(site.get("/cgi-bin/form").text().contains("action=\"/cgi-bin/form\""));
    let fields = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 25\r\n";
    let answer = site.ask("POST /cgi-bin/form HTTP/1.1", fields, "name=Ada+Lovelace&go=Send");
    assert_eq!(answer.text(), "<p>Hello, Ada Lovelace</p>\n");
}

#[test]
fn a_request_behind_content_is_answered_after_a_file_that_the_script_names() {
    let site = Site::new("", &[("away", "cat >/dev/null; printf 'Location: /big\\n\\n'")]);
    site.tree.file("big", vec![b'b'; 1 << 20]);
    // Among others no worker waits for one client alone.
    let mut others = [(); 3].map(|()| site.server.connect());
    others.iter_mut().for_each(|other| drop(other.get("/hello.txt")));
    let mut client = site.server.connect();
    // The interim response shows that the head was read, and no content with it.
    for expectation in ["", "Expect: 100-continue\r\n"] {
        client.send(format!(
            "POST /cgi-bin/away HTTP/1.1\r\nHost: x\r\n{expectation}Content-Length: 4\r\n\r\n"
        ));
        if !expectation.is_empty() {
            assert_eq!(client.answer("POST").status, 100);
        }
        client.send("abcdGET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.answer("POST").body.len(), 1 << 20);
        assert_eq!(client.answer("GET").text(), "Hello, world!\n");
    }
}

#[test]
fn a_slash_at_the_end_is_of_what_follows_the_script() {
    let site = Site::new(
        "",
        &[(
            "names",
            "echo Content-Type: text/plain; echo; echo $SCRIPT_NAME ${PATH_INFO-none} ${PATH_TRANSLATED##*/www}",
        )],
    );
    site.tree.file(
        "cgi-bin/dir/index.cgi",
        "#!/bin/sh\necho Content-Type: text/plain; echo; echo $SCRIPT_NAME ${PATH_INFO-none}\n",
    );
    site.tree.mode("cgi-bin/dir/index.cgi", 0o755);
    for (more, told) in [
        ("names", "/cgi-bin/names none\n"),
        ("names/", "/cgi-bin/names / /\n"),
        ("names/foo", "/cgi-bin/names /foo /foo\n"),
        ("names/foo/bar/", "/cgi-bin/names /foo/bar/ /foo/bar/\n"),
        ("names/foo//bar/../baz/%2e", "/cgi-bin/names /foo/baz/ /foo/baz/\n"),
    ] {
        for _ in 0..2 {
            assert_eq!(site.get(&format!("/cgi-bin/{more}")).text(), told, "{more}");
        }
    }
    let conf = site.tree.beside("loose", "cgipat=**.cgi\n");
    let server = Server::start(&site.tree, &["-C", conf.to_str().unwrap()]);
    assert_eq!(server.connect().get("/cgi-bin/dir/").text(), "/cgi-bin/dir/ none\n");
}

#[test]
fn a_redirect_goes_to_the_host_that_the_target_named() {
    let site = Site::new("", &[]);
    let script = "#!/bin/sh\nprintf 'Location: %s\\n\\n' \"$QUERY_STRING\"\n";
    for host in ["a.example", "b.example"] {
        lay_script(&site.tree.www().join(host).join("cgi-bin/go"), script);
        site.tree.file(&format!("{host}/t.txt"), host);
    }
    let server = Server::start(&site.tree, &["-v", "-c", "/*/cgi-bin/*"]);
    for head in [
        "GET http://a.example/cgi-bin/go?/t.txt HTTP/1.1\r\nHost: b.example\r\n\r\n",
        "GET http://a.example/cgi-bin/go?/t.txt HTTP/1.0\r\n\r\n",
        "GET /cgi-bin/go?/t.txt HTTP/1.1\r\nHost: A.example:80\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(head);
        let answer = client.answer("GET");
        assert_eq!((answer.status, answer.text().as_str()), (200, "a.example"), "{head}");
    }
}

#[test]
fn a_place_within_a_page_is_for_the_client_to_find() {
    let site = Site::new("", &[("go", "printf 'Location: /hello.txt#there\\n\\n'")]);
    let answer = site.get("/cgi-bin/go");
    assert_eq!((answer.status, answer.field("Location")), (302, Some("/hello.txt#there")));
}
