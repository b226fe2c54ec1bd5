//! The server's front door.
fn main() {}
