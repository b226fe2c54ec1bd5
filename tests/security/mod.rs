//! One test for each class of vulnerability found in thttpd and its relatives.
//!
//! The relatives are sthttpd, mini_httpd and merecat. Tests are named after the fault; numbers are those of
//! the CVE list.

use crate::scripts::Site;
use crate::support::{Answer, Server, Tree, is_root};

mod companions;
mod credentials;
// nix has renameat2(2) for glibc alone.
#[cfg(target_env = "gnu")]
mod exchanged;
mod hosts;
mod injection;
mod logs;
mod overflows;
mod scripts;
mod traversal;

/// Text that no response may contain.
const SECRET: &str = "the secret text";

/// A request as it stands, on a connection of its own.
fn ask(server: &Server, head: &str) -> Answer {
    let mut client = server.connect();
    client.send(head);
    client.answer("GET")
}

fn get_with(server: &Server, target: &str, fields: &str) -> Answer {
    ask(server, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"))
}

/// Lengths at which fixed buffers end, and their neighbours.
fn edges() -> impl Iterator<Item = usize> {
    let ends = [16, 32, 64, 100, 128, 200, 256, 499, 500, 512, 999, 1000, 1024, 2048, 4096, 5000, 7990];
    ends.into_iter().flat_map(|end| end - 3..=end + 3)
}
