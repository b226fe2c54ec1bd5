//! Bytes beyond ASCII in settings: they are used unchanged, in any encoding.

use std::fs;
use std::io::{Read, Write};
use std::time::Instant;

use super::{run, stderr, thttpd};
use crate::support::{Server, Tree};

#[test]
fn latin_1_in_a_configuration_file_means_what_it_meant() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file("page.html", "x");
    tree.dir_in("d");
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xe9.cgi");
    let script = tree.www().join("d").join(name);
    fs::write(&script, "#!/bin/sh\necho Content-Type: text/plain; echo; echo ran\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let conf = tree.dir().join("conf");
    fs::write(&conf, b"charset=\xe9t\xe9\np3p=\xfc\ncgipat=**\xe9.cgi\nurlpat=a.*|\xe9\nlocalpat=caf\xe9\n")
        .unwrap();
    let server = Server::start(&tree, &["-C", conf.to_str().unwrap()]);
    assert_eq!(server.connect().get("/d/%e9.cgi").text(), "ran\n");
    let mut stream = server.connect().into_stream();
    stream.write_all(b"GET /page.html HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    for line in [&b"\r\nContent-Type: text/html; charset=\xe9t\xe9\r\n"[..], b"\r\nP3P: \xfc\r\n"] {
        assert!(answer.windows(line.len()).any(|at| at == line), "{}", answer.escape_ascii());
    }
    let dump = run(thttpd().arg("-C").arg(&conf).arg("--dump-config"));
    assert!(dump.stdout.windows(12).any(|at| at == b"charset=\xe9t\xe9 "), "{}", dump.stdout.escape_ascii());
}

#[test]
fn a_limit_whose_pattern_is_latin_1_is_one() {
    let tree = Tree::new();
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xe9.bin");
    fs::write(tree.www().join(name), vec![b'x'; 20_000]).unwrap();
    let throttles = tree.dir().join("throttles");
    fs::write(&throttles, b"# caf\xe9\n/\xe9.bin 10000 # \xfc\n**\xff 0\n").unwrap();
    let server = Server::start(&tree, &["-t", throttles.to_str().unwrap()]);
    let begin = Instant::now();
    assert_eq!(server.connect().get("/%e9.bin").body.len(), 20_000);
    assert!(begin.elapsed().as_millis() > 1000, "{:?}", begin.elapsed());
    assert_eq!(server.connect().get("/x%ff").status, 404, "what is not there is not limited");
    let checked = run(thttpd().args(["--check", "-l", "-", "-t"]).arg(&throttles).arg("-d").arg(tree.www()));
    assert!(checked.status.success(), "{}", stderr(&checked));
}
