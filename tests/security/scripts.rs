//! Scripts get no data of the server or of other clients.

use super::{Server, Site, Tree, get_with};

const ENVIRONMENT: (&str, &str) = ("env", "printf 'Content-Type: text/plain\\n\\n'; env");

#[test]
fn cve_2016_5387_httpoxy_a_client_sets_no_proxy_and_nothing_else_that_programs_obey() {
    let site = Site::new("", &[ENVIRONMENT]);
    let fields = "Proxy: evil.example:80\r\nProxy_: x\r\nHTTP_PROXY: x\r\nLD_PRELOAD: x\r\nPATH: /evil\r\nIFS: x\r\n\
        Content_Length: 7\r\nContent-Length: 0\r\nRemote_Addr: 10.0.0.1\r\nREMOTE-USER: root\r\nX_Y: x\r\nX-Y: y\r\n\
        BASH_FUNC_ls%%: () { evil; }\r\nX-Shell: () { :;}; evil\r\n";
    let text = site.ask("GET /cgi-bin/env HTTP/1.1", fields, "").text();
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(str::to_owned)
    };
    for name in [
        "HTTP_PROXY",
        "LD_PRELOAD",
        "IFS",
        "REMOTE_USER",
        "HTTP_CONTENT_LENGTH",
        "HTTP_HTTP_PROXY",
        "HTTP_LD_PRELOAD",
    ] {
        assert_eq!(of(name), None, "{name} in {text}");
    }
    assert_eq!(of("PATH").as_deref(), Some("/usr/local/bin:/usr/ucb:/bin:/usr/bin"));
    assert_eq!(of("REMOTE_ADDR").as_deref(), Some("127.0.0.1"));
    assert_eq!(of("HTTP_X_Y").as_deref(), Some("y"), "the name with a hyphen, not its double");
    // Every variable is made by the server: others would come from a client, or from the server's start.
    let known = [
        "PATH",
        "SERVER_",
        "GATEWAY_INTERFACE",
        "REQUEST_",
        "REDIRECT_STATUS",
        "SCRIPT_",
        "REMOTE_",
        "HTTP_",
        "CGI_PATTERN",
        "TZ",
        "DOCUMENT_ROOT",
        "CONTENT_",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
        "QUERY_STRING",
        "LD_LIBRARY_PATH",
    ];
    for line in text.lines() {
        assert!(known.iter().any(|known| line.starts_with(known)), "{line}");
    }
}

#[test]
fn a_script_inherits_no_descriptor_of_ours_or_of_another_client() {
    let site = Site::new("", &[("fds", "printf 'Content-Type: text/plain\\n\\n'; ls -l /proc/$$/fd")]);
    let others: Vec<_> = (0..20).map(|_| site.server.connect()).collect();
    let text = site.get("/cgi-bin/fds").text();
    let open: Vec<&str> = text.lines().filter(|line| line.contains(" -> ")).collect();
    // Input, output, error, and the one by which the shell reads its script.
    assert_eq!(open.len(), 4, "{text}");
    assert!(!text.contains("socket:") && !text.contains("log"), "{text}");
    drop(others);
}

#[test]
fn a_query_is_not_a_scripts_option() {
    let site = Site::new("", &[("args", "printf 'Content-Type: text/plain\\n\\n'; printf '[%s]' \"$@\"")]);
    for (query, arguments) in [
        ("word", "[word]"),
        ("two+words", "[two][words]"),
        ("-s", "[]"),
        ("%2ds", "[]"),
        ("-d+allow_url_include%3d1", "[]"),
        ("x+--help", "[]"),
        ("%00", "[]"),
        ("a=b", "[]"),
    ] {
        assert_eq!(site.get(&format!("/cgi-bin/args?{query}")).text(), arguments, "{query}");
    }
}

#[test]
fn a_scripts_source_and_its_errors_are_not_for_the_client() {
    let site = Site::new("", &[("fails", "echo secret-error >&2; exit 1"), ENVIRONMENT]);
    let answer = site.get("/cgi-bin/fails");
    assert_eq!(answer.status, 502);
    assert!(!answer.text().contains("secret-error"), "{}", answer.text());
    for target in [
        "/cgi-bin/env/",
        "/cgi-bin//env",
        "/cgi-bin/./env",
        "/cgi-bin/%65nv",
        "/x/../cgi-bin/env",
        "/cgi-bin/env%20",
        "/cgi-bin/env.",
        "/CGI-BIN/env",
        "/cgi-bin/env%2f",
        "/cgi-bin/env?x",
    ] {
        let text = get_with(&site.server, target, "").text();
        assert!(!text.contains("printf"), "{target}: {text}");
    }
}

#[test]
fn a_scripts_name_and_arguments_pass_through_no_shell() {
    let site =
        Site::new("", &[("a b;touch evil", "printf 'Content-Type: text/plain\\n\\n'; printf '[%s]' \"$@\"")]);
    let answer = site.get("/cgi-bin/a%20b;touch%20evil?$(touch+evil)+%60touch%20evil%60+;touch");
    assert_eq!(answer.text(), "[$(touch][evil)][`touch evil`][;touch]");
    assert!(!site.tree.www().join("cgi-bin/evil").exists());
}

#[test]
fn a_script_that_may_not_be_executed_is_refused_and_its_source_is_not_shown() {
    let source = "<?php $password = 'secret'; ?>";
    let start = |pattern: &str| {
        let tree = Tree::new();
        tree.file("cgi-bin/index.html", "a page");
        for name in ["db.php", "cgi-bin/tool", "page.txt", "a/index.cgi"] {
            tree.file(name, source);
        }
        tree.link("db.php", "link.txt");
        let conf = tree.beside("conf", &format!("cgipat={pattern}\n"));
        let server = Server::start(&tree, &["-C", conf.to_str().unwrap()]);
        (tree, server)
    };
    let (_tree, server) = start("**.php|/cgi-bin/*|**.cgi");
    for name in ["/db.php", "/db.php/", "/db.php/info", "/cgi-bin/tool", "/link.txt", "/a/"] {
        let answer = get_with(&server, name, "");
        assert_eq!(answer.status, 403, "{name}");
        assert!(!answer.text().contains("secret"), "{name}");
    }
    assert_eq!(get_with(&server, "/page.txt", "").text(), source);
    assert_eq!(get_with(&server, "/cgi-bin/", "").text(), "a page");
    // A pattern of wildcards alone only makes executable files scripts.
    for pattern in ["**", "/**", "*/*|**"] {
        let (_tree, server) = start(pattern);
        for name in ["/db.php", "/cgi-bin/tool", "/page.txt"] {
            assert_eq!(get_with(&server, name, "").text(), source, "{pattern} {name}");
        }
    }
}
