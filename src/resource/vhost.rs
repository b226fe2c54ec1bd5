//! Host → directory of the virtual host [thttpd's `vhost_map`].

use std::net::{IpAddr, Ipv6Addr};

use crate::request::Request;

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
