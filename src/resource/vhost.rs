//! Virtual hosts: maps a host to its directory (thttpd's `vhost_map`).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::SFlag;

use crate::docroot::{Links, View};
use crate::request::Request;
use crate::rules::SortedMap;

/// Time for which a host's entry is used before the disk is asked again.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Maximum number of hosts in memory.
const MOST_KEPT: usize = 1024;

/// Directory for hosts that have none (`vhost_default`).
#[derive(Debug)]
pub struct DefaultHost {
    directory: String,
    /// Whether a host has a directory, and when that was looked up.
    known: Mutex<SortedMap<Box<str>, (Instant, bool)>>,
}

impl DefaultHost {
    /// Default host; `directory` is relative to the directory of all hosts.
    pub fn new(directory: &str) -> DefaultHost {
        DefaultHost { directory: directory.to_owned(), known: Mutex::default() }
    }

    /// Returns `host` if it has a directory, else the default; `look` reads the disk.
    pub fn or_default(&self, host: String, look: &dyn Fn(&str) -> bool) -> String {
        let now = Instant::now();
        let has = match self.recent(&host, now) {
            Some(has) => has,
            None => {
                let has = look(&host);
                self.note(&host, now, has);
                has
            }
        };
        if has { host } else { self.directory.clone() }
    }

    fn recent(&self, host: &str, now: Instant) -> Option<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(host).filter(|(at, _)| now.saturating_duration_since(*at) < KEPT_FOR).map(|(_, has)| *has)
    }

    fn note(&self, host: &str, now: Instant, has: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert_within(MOST_KEPT, host.into(), (now, has));
    }
}

/// Tells whether `host` has a directory in the tree.
///
/// A directory that cannot be read, or that is a mount point, counts as existing: the ordinary look-up then
/// reports the error, and may wait for remote storage.
pub fn has_directory(view: &View<'_>, links: Links, host: &str) -> bool {
    match view.stat_beneath(host.as_bytes(), links) {
        Ok(meta) => SFlag::from_bits_truncate(meta.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR,
        Err(errno) => !matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG),
    }
}

/// Directory for `request` with virtual hosts: the host in lower case, else the local address.
///
/// A dot at the end of a name says only that the name is complete (RFC 1034 §3.1).
///
/// `request::head` has verified that the host is a plain name. An IPv6 address has one directory without
/// brackets, however the client writes the address.
pub fn directory(request: &Request<'_>, local: IpAddr) -> String {
    match request.host {
        Some(host) => match literal(host) {
            Some(address) => IpAddr::V6(address).to_canonical().to_string(),
            None => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
        },
        None => local.to_canonical().to_string(),
    }
}

fn literal(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::request::{Parsed, head};

    fn directory_of(host: &str) -> String {
        let bytes = format!("GET / HTTP/1.0\r\n{host}\r\n");
        match head::parse(bytes.as_bytes(), &Limits::default()) {
            Ok(Parsed::Complete(request, _)) => directory(&request, "::ffff:192.0.2.1".parse().unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_host_has_one_directory() {
        for (host, want) in [
            ("Host: WWW.Example.org:8080\r\n", "www.example.org"),
            ("Host: www.example.org.\r\n", "www.example.org"),
            ("Host: www.example.org.:80\r\n", "www.example.org"),
            ("Host: [::1]\r\n", "::1"),
            ("Host: [0:0::0001]:80\r\n", "::1"),
            ("Host: [::ffff:192.0.2.1]\r\n", "192.0.2.1"),
            ("", "192.0.2.1"),
        ] {
            assert_eq!(directory_of(host), want, "{host}");
        }
    }
}
