//! Summary of a started server for terminals and systemd: its directory and addresses.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::net::listen_socket::ListenerAddress;
use crate::response::SERVER;

/// Maximum number of addresses in a summary; a router may have hundreds.
const MOST_URLS: usize = 8;

/// Line for an operator who has started the server by hand; `place` is the directory.
pub fn summary(place: &str, listeners: &[ListenerAddress]) -> String {
    let ip = |listener: &ListenerAddress| match listener {
        ListenerAddress::Ip(address) => Some(*address),
        _ => None,
    };
    let addresses: Vec<SocketAddr> = listeners.iter().filter_map(ip).collect();
    let mut urls = urls(&addresses, &of_interfaces());
    urls.extend(listeners.iter().filter_map(path));
    let left_out = urls.len().saturating_sub(MOST_URLS);
    urls.truncate(MOST_URLS);
    if left_out > 0 {
        urls.push(format!("{left_out} more"));
    }
    let last = urls.pop().unwrap_or_default();
    let text = if urls.is_empty() { last } else { format!("{} and {last}", urls.join(", ")) };
    format!("{SERVER} serves {place} on {text}")
}

/// Path of a listener on a Unix socket.
fn path(listener: &ListenerAddress) -> Option<String> {
    match listener {
        ListenerAddress::Ip(_) => None,
        ListenerAddress::Unix(path) => Some(path.display().to_string()),
        ListenerAddress::Unnamed => Some("a socket without a name".into()),
    }
}

/// URLs of `addresses`; for an unspecified address, those of localhost and `interfaces`.
fn urls(addresses: &[SocketAddr], interfaces: &[IpAddr]) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    let mut push = |url: String| {
        if !urls.contains(&url) {
            urls.push(url);
        }
    };
    for address in addresses.iter().filter(|address| address.ip().is_unspecified()) {
        push(url("localhost", address.port()));
    }
    for address in addresses {
        match address.ip() {
            ip if ip.is_unspecified() => interfaces
                .iter()
                .filter(|interface| interface.is_ipv4() == ip.is_ipv4())
                .for_each(|interface| push(url(&host(*interface), address.port()))),
            ip => push(url(&host(ip), address.port())),
        }
    }
    urls
}

/// Addresses of this machine that other machines can reach.
fn of_interfaces() -> Vec<IpAddr> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let up = all.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP));
    let ips = up.filter_map(|one| {
        let address = one.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    ips.filter(is_reachable).collect()
}

/// Tells whether `ip` is neither loopback nor link-local, which would need an interface name.
fn is_reachable(ip: &IpAddr) -> bool {
    let is_link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !ip.is_loopback() && !is_link_local
}

fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn url(host: &str, port: u16) -> String {
    let port = if port == 80 { String::new() } else { format!(":{port}") };
    format!("http://{host}{port}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(addresses: &[&str]) -> String {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|one| one.parse().unwrap()).collect();
        let interfaces = ["192.0.2.7", "2001:db8::7"].map(|one| one.parse().unwrap());
        urls(&addresses, &interfaces).join(" ")
    }

    #[test]
    fn every_address_is_named_once() {
        assert_eq!(told(&["127.0.0.1:80"]), "http://127.0.0.1/");
        assert_eq!(told(&["[::1]:81", "127.0.0.1:81"]), "http://[::1]:81/ http://127.0.0.1:81/");
        assert_eq!(told(&["0.0.0.0:81"]), "http://localhost:81/ http://192.0.2.7:81/");
        assert_eq!(
            told(&["[::]:81", "0.0.0.0:81"]),
            "http://localhost:81/ http://[2001:db8::7]:81/ http://192.0.2.7:81/"
        );
    }

    #[test]
    fn addresses_that_nobody_else_can_use_are_left_out() {
        for (ip, reachable) in
            [("127.0.0.1", false), ("::1", false), ("fe80::1", false), ("10.0.0.1", true), ("fd00::1", true)]
        {
            assert_eq!(is_reachable(&ip.parse().unwrap()), reachable, "{ip}");
        }
    }
}
