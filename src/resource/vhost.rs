//! Host → directory of the virtual host [thttpd's `vhost_map`].

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::SFlag;

use crate::docroot::{Links, View};
use crate::request::Request;
use crate::rules::SortedMap;

/// Time for which the answer is kept whether a host has a directory.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Hosts of which the answer is kept.
const MOST_KEPT: usize = 1024;

/// Where hosts without a directory of their own are served from (`vhost_default`).
#[derive(Debug)]
pub struct DefaultHost {
    directory: String,
    /// Whether a host has a directory, and when that was looked up.
    known: Mutex<SortedMap<Box<str>, (Instant, bool)>>,
}

impl DefaultHost {
    /// `directory` is relative to that of all hosts.
    pub fn new(directory: &str) -> DefaultHost {
        DefaultHost { directory: directory.to_owned(), known: Mutex::default() }
    }

    /// `host` itself if it has a directory, else the default; `look` asks the disk.
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

/// Tells whether `host` has a directory in the tree. One that cannot be looked at, or that is a mount point,
/// is taken to be there: then the ordinary look-up says what is wrong, and waits where that is allowed.
pub fn has_directory(view: &View<'_>, links: Links, host: &str) -> bool {
    match view.stat_beneath(host.as_bytes(), links) {
        Ok(meta) => SFlag::from_bits_truncate(meta.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR,
        Err(errno) => !matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG),
    }
}

/// The directory that serves `request` when vhosting is on: its host in lower case, else the
/// address the connection came in on. `request::head` has made sure that a host is a plain name.
/// An IPv6 address has one directory, without brackets, however the client writes it.
pub fn directory(request: &Request<'_>, local: IpAddr) -> String {
    match request.host {
        Some(host) => match literal(host) {
            Some(address) => IpAddr::V6(address).to_canonical().to_string(),
            None => host.to_ascii_lowercase(),
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
            ("Host: [::1]\r\n", "::1"),
            ("Host: [0:0::0001]:80\r\n", "::1"),
            ("Host: [::ffff:192.0.2.1]\r\n", "192.0.2.1"),
            ("", "192.0.2.1"),
        ] {
            assert_eq!(directory_of(host), want, "{host}");
        }
    }
}
