//! Host → directory of the virtual host [thttpd's `vhost_map`].

use std::net::IpAddr;

use crate::request::Request;

/// The directory that serves `request` when vhosting is on: its host in lower case, else the
/// address the connection came in on. `request::head` has made sure that a host is a plain name.
pub fn directory(request: &Request<'_>, local: IpAddr) -> String {
    match request.host {
        Some(host) => host.to_ascii_lowercase(),
        None => local.to_canonical().to_string(),
    }
}
