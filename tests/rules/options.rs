//! `${NAME}`, `mime_types`, `default_type` and `index`.

use std::process::Command;

use crate::support::{Server, Tree, eventually};

fn configured(tree: &Tree, conf: &str) -> Server {
    let conf = tree.beside("conf", conf);
    Server::start(tree, &["-C", conf.to_str().unwrap()])
}

#[test]
fn a_value_takes_what_the_environment_has() {
    let tree = Tree::new();
    tree.file("a.txt", "a");
    let conf = tree.beside("conf", "charset=${SET} max_age=${UNSET:-60} # ${NONE}\n");
    let server = Server::start_with(&tree, &["-C", conf.to_str().unwrap()], |command| {
        command.env("SET", "x y").env_remove("UNSET");
    });
    let answer = server.connect().get("/a.txt");
    assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=x y"));
    assert_eq!(answer.field("Cache-Control"), Some("max-age=60"));
}

#[test]
fn missing_variables_stop_the_start_with_their_place() {
    let tree = Tree::new();
    let conf = tree.beside("conf", "port=80\ncharset=${THTTPD_TEST_NONE}\n");
    for flags in [&["--check"][..], &["-D"], &["--dump-config"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thttpd"));
        let output = command.arg("-C").arg(&conf).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("conf:2: charset=${THTTPD_TEST_NONE}: the environment has no"), "{said}");
    }
}

#[test]
fn a_dump_gives_back_a_value_with_a_dollar_and_a_brace() {
    let tree = Tree::new();
    let run = |flags: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_thttpd")).args(flags).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let dump = run(&["-o", "charset=$${A}", "--dump-config"]);
    let line = |text: &str| text.lines().find(|line| line.starts_with("charset=")).unwrap().to_owned();
    assert!(line(&dump).starts_with("charset=$${A} "), "{dump}");
    let conf = tree.beside("conf", &dump);
    let again = run(&["-C", conf.to_str().unwrap(), "--dump-config"]);
    assert!(line(&again).starts_with("charset=$${A} "), "{again}");
}

#[test]
fn own_types_and_the_default_type_are_sent() {
    let tree = Tree::new();
    for name in ["a.own", "b.md", "README", "c.unknown"] {
        tree.file(name, "x");
    }
    let types = tree.beside("types", "application/x-own own # ours\ntext/markdown md markdown\n");
    let conf = format!("mime_types={} default_type=application/octet-stream", types.display());
    let server = configured(&tree, &conf);
    let mut client = server.connect();
    for (target, want) in [
        ("/a.own", "application/x-own"),
        ("/b.md", "text/markdown; charset=UTF-8"),
        ("/README", "application/octet-stream"),
        ("/c.unknown", "application/octet-stream"),
    ] {
        assert_eq!(client.get(target).field("Content-Type"), Some(want), "{target}");
    }
}

#[test]
fn a_reload_reads_the_types_again_and_keeps_the_old_ones_when_they_are_broken() {
    let tree = Tree::new();
    tree.file("a.own", "x");
    let types = tree.beside("types", "a/one own\n");
    let mut server = configured(&tree, &format!("mime_types={} reload_on_hup", types.display()));
    let media = |server: &Server| server.connect().get("/a.own").field("Content-Type").unwrap().to_owned();
    assert_eq!(media(&server), "a/one");
    for (text, want) in [("b/two own\n", "b/two"), ("broken own\n", "b/two"), ("c/three own\n", "c/three")] {
        tree.beside("types", text);
        server.signal(nix::sys::signal::Signal::SIGHUP);
        eventually(want, || media(&server) == want);
    }
    assert!(server.is_alive());
}

#[test]
fn a_broken_file_of_types_is_told_with_its_line() {
    let tree = Tree::new();
    let types = tree.beside("types", "text/plain txt\nhtml\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_thttpd"));
    let option = format!("mime_types={}", types.display());
    let output = command.args(["-l", "-", "-d"]).arg(tree.www()).args(["-o", &option, "--check"]).output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(said.contains("types:2: html: not a media type"), "{said}");
}

#[test]
fn the_first_index_name_that_is_there_is_served() {
    let tree = Tree::new();
    tree.file("home.html", "home");
    tree.file("index.html", "index");
    tree.file("sub/main.txt", "main");
    tree.file("sub/index.html", "index");
    tree.file("none/index.html", "index");
    let server = configured(&tree, "index=home.html,main.txt nolisting");
    let mut client = server.connect();
    assert_eq!(client.get("/").text(), "home");
    assert_eq!(client.get("/sub/").text(), "main");
    assert_eq!(client.get("/none/").status, 403, "index.html is none of the names");
}
