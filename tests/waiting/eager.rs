//! A client with endless requests delays no other client.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Done, Server, Tree};

/// Requests of others, one after the other.
const OTHERS: usize = 40;

/// Number of responses of `size` bytes to a client that is always `ahead` requests ahead of its reading.
///
/// Others are served by the single worker at that time.
fn served_meanwhile(ahead: usize, size: usize) -> usize {
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("wanted", vec![b'w'; size]);
    let server = Server::start(&tree, &["-o", "workers=1"]);
    let done = AtomicBool::new(false);
    let request = "GET /wanted HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut eager = server.connect();
    std::thread::scope(|scope| {
        let eager = scope.spawn(|| {
            eager.send(request.repeat(ahead));
            let mut served = 0;
            while !done.load(Ordering::Relaxed) {
                eager.send(request);
                assert_eq!(eager.answer("GET").body.len(), size);
                served += 1;
            }
            served
        });
        let end = Done(&done);
        let mut persistent = server.connect();
        for _ in 0..OTHERS / 2 {
            assert_eq!(persistent.get("/a").text(), "a");
            assert_eq!(server.connect().get("/a").text(), "a");
        }
        drop(end);
        eager.join().unwrap()
    })
}

#[test]
fn others_are_served_beside_one_who_asks_before_it_has_its_answer() {
    for (ahead, size) in [(1, 10), (1000, 10), (1, 100_000), (1, 1 << 20), (10, 1 << 20)] {
        // A turn is 64 requests; the machine may keep the others from asking for many turns.
        let are_fair = || served_meanwhile(ahead, size) < OTHERS * 1000;
        assert!((0..3).any(|_| are_fair()), "{ahead} ahead, {size} bytes");
    }
}
