//! Ranges (RFC 9110 §14): malformed ones are ignored, and no response is longer than the file.

use super::{CONTENT, Case, Stays, case, run, tree, with_fields};
use crate::support::Server;

fn asks(status: u16, range: &str) -> Case {
    case(status, Stays, with_fields(&format!("Range: {range}\r\n")))
}

#[test]
fn ranges_that_are_none_are_passed_over() {
    let many = format!("bytes={}", "0-0,".repeat(3000));
    let ranges = [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=--5",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=0-b",
        "bytes=0x0-5",
        "bytes=1-2-3",
        "bytes=+1-5",
        "bytes=0 - 5",
        "bytes= ",
        "bytes=0-1;2-3",
        "bytes 0-5",
        "0-5",
        "chars=0-5",
        "bytes=0-5,x",
        "bytes=0-5,-",
        "bytes=5-2,0-1",
        "bytes==0-5",
        "bytes=0-5\u{e9}",
        "none",
        &many,
    ];
    run(&tree(), &ranges.map(|range| asks(200, range)));
}

#[test]
fn ranges_beyond_the_end_are_416_and_huge_numbers_are_no_trap() {
    let length = CONTENT.len();
    let beyond = [
        &format!("bytes={length}-"),
        "bytes=-0",
        "bytes=1000-2000",
        "bytes=18446744073709551615-",
        "bytes=99999999999999999999-",
        "bytes=99999999999999999999-99999999999999999999",
        "bytes=1000-,-0",
    ];
    let within = [
        "bytes=0-0",
        "bytes=0-",
        "bytes=-1",
        "bytes=-99999999999999999999",
        "bytes=0-99999999999999999999",
        "bytes=0-18446744073709551615",
        "BYTES=0-1",
        "bytes=0-1, ,",
        "bytes=0-0,2-2",
        "bytes=1000-,0-0",
    ];
    let mut cases: Vec<Case> = beyond.map(|range| asks(416, range)).into();
    cases.extend(within.map(|range| asks(206, range)));
    run(&tree(), &cases);
}

#[test]
fn however_many_ranges_are_asked_no_byte_is_sent_twice() {
    let tree = tree();
    tree.file("big", vec![b'b'; 1_000_000]);
    let server = Server::start(&tree, &[]);
    for range in [
        format!("bytes={}", vec!["0-"; 1000].join(",")),
        format!("bytes={}", vec!["0-"; 16].join(",")),
        format!("bytes={}", (0..16).map(|n| format!("{n}-")).collect::<Vec<_>>().join(",")),
        "bytes=0-,-1000000,5-999999,0-999998".to_owned(),
    ] {
        let mut client = server.connect();
        client.send(format!("GET /big HTTP/1.1\r\nHost: x\r\nRange: {range}\r\n\r\n"));
        let answer = client.answer("GET");
        assert_eq!(answer.body.len(), 1_000_000, "{range}");
    }
}
