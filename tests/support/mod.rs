//! What every end-to-end test needs.

pub mod server;
pub mod tree;
pub mod wire;

pub use server::Server;
pub use tree::Tree;
pub use wire::{Answer, Client};

use std::time::{Duration, Instant};

/// Asks `probe` until it says yes; panics with `what` after ten seconds.
pub fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !probe() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Tests that change users or enter a chroot need root; says so where it is missing.
pub fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}
