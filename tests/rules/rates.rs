//! Rates in the rules file: bytes are paced as with a throttle file.

use std::time::{Duration, Instant};

use super::{ask, get, reload, ruled};
use crate::support::{Client, Server, Tree};

const LENGTH: usize = 60_000;

fn tree() -> Tree {
    let tree = Tree::new();
    for name in ["big.bin", "big.txt", "sub/index.html"] {
        tree.file(name, vec![b'x'; LENGTH]);
    }
    tree
}

/// Time of `count` simultaneous downloads of `target`.
fn downloads(server: &Server, target: &str, count: usize) -> Duration {
    let begun = Instant::now();
    let begin = |_| {
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        client
    };
    let mut clients: Vec<Client> = (0..count).map(begin).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.answer("GET").body.len(), LENGTH, "{target}"));
    begun.elapsed()
}

#[test]
fn a_rate_paces_what_its_pattern_covers_and_nothing_else() {
    let tree = tree();
    let rules = "# rates\n**.bin 20000\nsub 20000\nfast/** rewrite /big.txt\nslow/** rewrite /big.bin\n";
    let server = ruled(&tree, rules, &["-o", "reload_on_hup"]);
    let free = downloads(&server, "/big.txt", 1).max(downloads(&server, "/fast/x", 1));
    // Sixty thousand bytes at twenty a millisecond are three seconds, of which the first is sent at once.
    for target in ["/big.bin", "/slow/x"] {
        let paced = downloads(&server, target, 1);
        assert!(paced >= Duration::from_millis(1500) && paced > free, "{target}: {paced:?}, {free:?}");
    }
    // thttpd's name of an index page is that of its directory.
    assert!(downloads(&server, "/sub/", 1) >= Duration::from_millis(1500));
    reload(&server, &tree, "**.txt 20000\n", "configuration read again");
    assert!(downloads(&server, "/big.txt", 1) >= Duration::from_millis(1500));
}

#[test]
fn a_rate_of_all_is_shared_and_a_rate_of_each_connection_is_not() {
    let tree = tree();
    let shared = ruled(&tree, "**.bin 60000\n", &[]);
    let each = ruled(&tree, "**.bin per-connection 60000\n", &[]);
    let (together, apart) = (downloads(&shared, "/big.bin", 4), downloads(&each, "/big.bin", 4));
    assert!(together >= Duration::from_millis(2000), "{together:?}: four share what one may have");
    assert!(apart < together, "{apart:?}, {together:?}");
}

#[test]
fn rates_of_the_rules_file_and_of_the_throttle_file_hold_together() {
    let tree = tree();
    let throttles = tree.beside("throttles", "**.bin 1000000\nshut/** 0\n");
    let flags = ["-t", throttles.to_str().unwrap()];
    let server = ruled(&tree, "**.bin 20000\n**.txt 0\n", &flags);
    assert!(downloads(&server, "/big.bin", 1) >= Duration::from_millis(1500));
    assert_eq!(get(&server, "/big.txt").status, 503);
    tree.file("shut/a", "x");
    assert_eq!(ask(&server, "GET", "/shut/a", "").status, 503);
    assert_eq!(get(&server, "/sub/").status, 200);
}
