//! Faults of the system: service continues, or resumes as soon as possible.

use std::time::Duration;

use crate::support::alone;
use crate::support::{Server, Tree, eventually};

mod clock;
mod crash;
mod descriptors;
mod files;
mod half_closed;
mod log;
mod memory;
mod panics;
pub mod resets;
mod shortage;
mod soak;
mod storage;

/// A tree with a small file `a` and a large one, `large`.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("large", vec![b'o'; LARGE]);
    tree
}

/// More than socket buffers hold.
pub const LARGE: usize = 30 << 20;

fn assert_serves(server: &Server) {
    assert_eq!(server.connect().get("/a").text(), "a");
}

/// Waits until `target` has rested so long that it may be remembered: until its entity tag is strong.
fn rest(server: &Server, target: &str) {
    eventually("the file has rested", || {
        let answer = server.connect().get(target);
        answer.field("ETag").is_some_and(|tag| tag.starts_with('"'))
    });
}
