//! Minimums and caps: who is turned away, and how.

use super::{Download, serve};
use crate::support::eventually;

#[test]
fn a_minimum_refuses_with_503_and_retry_after_until_a_share_comes_free() {
    let (tree, server) = serve("**.bin 4000-10000\n", &["a.bin"]);
    tree.file("a.txt", "free");
    let downloads = [Download::begin(&server, "/a.bin"), Download::begin(&server, "/a.bin")];
    // The third asks when the two are known to be under way.
    for download in &downloads {
        download.stream.peek(&mut [0]).unwrap();
    }
    let mut third = server.connect();
    let refused = third.get("/a.bin");
    assert_eq!(refused.status, 503);
    assert!(refused.field("Retry-After").is_some_and(|after| after.parse::<u32>().is_ok()));
    assert_eq!(third.get("/a.txt").status, 200, "other names are served, on the same connection");
    drop(downloads);
    eventually("a share that came free is given away", || {
        let mut client = server.connect();
        client.send("GET /a.bin HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-0\r\n\r\n");
        client.answer("GET").status == 206
    });
}

#[test]
fn a_maximum_of_zero_refuses_everything_it_covers() {
    let (_tree, server) = serve("private/** 0\n", &["private/a.bin"]);
    assert_eq!(server.connect().get("/private/a.bin").status, 503);
}
