//! Files and logs beyond 2 and 4 GiB, and times after 2038: what 32 bits do not hold. The files have holes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use crate::support::{Answer, Server, Tree, eventually};

const GIB: u64 = 1 << 30;
const LENGTH: u64 = 5 * GIB + 7;

/// A tree with a file of 5 GiB in a directory, and texts at its start, at 2 and 4 GiB and at its end.
fn tree() -> Tree {
    let tree = Tree::new();
    let file = File::create(tree.file("d/large.bin", "")).unwrap();
    file.set_len(LENGTH).unwrap();
    for (at, text) in [(0, "begin"), (2 * GIB - 3, "at two"), (4 * GIB - 3, "at four"), (LENGTH - 3, "end")] {
        file.write_all_at(text.as_bytes(), at).unwrap();
    }
    tree
}

fn ask(server: &Server, method: &str, fields: &str) -> Answer {
    let mut client = server.connect();
    client.send(format!("{method} /d/large.bin HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    client.answer(method)
}

#[test]
fn ranges_of_a_file_of_five_gibibytes_are_where_they_are_asked_for() {
    let (tree, length) = (tree(), LENGTH.to_string());
    let server = Server::start(&tree, &[]);
    assert_eq!(ask(&server, "HEAD", "").field("Content-Length"), Some(length.as_str()));
    let two = format!("{}-{}", 2 * GIB - 3, 2 * GIB + 2);
    let four = format!("{}-{}", 4 * GIB - 3, 4 * GIB + 3);
    let (last, beyond) = (format!("{}-", LENGTH - 3), format!("{}-{}", LENGTH - 3, u64::MAX));
    let ranges = [("0-4", "begin"), (&two, "at two"), (&four, "at four"), ("-3", "end")];
    for (range, text) in ranges.into_iter().chain([(last.as_str(), "end"), (beyond.as_str(), "end")]) {
        let answer = ask(&server, "GET", &format!("Range: bytes={range}\r\n"));
        assert_eq!((answer.status, answer.text().as_str()), (206, text), "{range}");
        assert!(answer.field("Content-Range").unwrap().ends_with(&format!("/{length}")), "{}", answer.head);
    }
    let several = ask(&server, "GET", &format!("Range: bytes=0-4,{four},-3\r\n")).text();
    assert!(["begin\r\n", "at four\r\n", "end\r\n"].iter().all(|text| several.contains(text)), "{several}");
    for first in [LENGTH, i64::MAX as u64, 1 << 63, u64::MAX] {
        let answer = ask(&server, "GET", &format!("Range: bytes={first}-\r\n"));
        let range = format!("bytes */{length}");
        assert_eq!((answer.status, answer.field("Content-Range")), (416, Some(range.as_str())), "{first}");
    }
}

#[test]
fn a_list_shows_sizes_beyond_four_gibibytes_and_times_after_2038() {
    let tree = tree();
    let later = tree.file("d/later", "");
    // Rust's standard library sets no such time in a program of 32 bits.
    let status = Command::new("touch").arg("-d@4000000000").arg(later).status();
    assert!(status.is_ok_and(|status| status.success()), "October 2096");
    for (style, size) in [("classic", LENGTH.to_string()), ("modern", "5.0 GiB".to_owned())] {
        let server = Server::start(&tree, &["-o", &format!("listing_style={style}")]);
        let list = server.connect().get("/d/").text();
        assert!(list.contains(&size) && list.contains("2096"), "{style}: {list}");
        assert_eq!(server.connect().get("/d/later").status, 200);
    }
}

#[test]
fn a_log_goes_on_beyond_two_gibibytes() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let log = File::options().read(true).write(true).open(&server.log).unwrap();
    log.set_len(2 * GIB - 10).unwrap();
    let mut client = server.connect();
    assert_eq!(client.get("/d/none").status, 404);
    eventually("a whole line", || {
        let mut line = vec![0; usize::try_from(log.metadata().unwrap().len() - (2 * GIB - 10)).unwrap()];
        log.read_exact_at(&mut line, 2 * GIB - 10).unwrap();
        line.ends_with(b"\n") && String::from_utf8_lossy(&line).contains("\"GET /d/none HTTP/1.1\" 404")
    });
}
