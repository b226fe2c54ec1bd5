//! Log notice of a start, in thttpd's words.

use std::net::SocketAddr;

use crate::config::Config;
use crate::net::listen_socket::ListenerAddress;
use crate::response::SERVER;

/// Text of thttpd's notice that the server has started.
pub fn notice(config: &Config, addresses: &[ListenerAddress]) -> String {
    let ip: Vec<&SocketAddr> = addresses.iter().filter_map(ip).collect();
    let address = ip.iter().find(|address| address.is_ipv4()).or(ip.first());
    match (&config.host, address, addresses.first()) {
        (Some(_), Some(address), _) => {
            format!("{SERVER} starting on {}, port {}", address.ip(), address.port())
        }
        (None, Some(_), _) => format!("{SERVER} starting on port {}", ip[0].port()),
        (_, None, Some(ListenerAddress::Unix(path))) => format!("{SERVER} starting on {}", path.display()),
        _ => format!("{SERVER} starting"),
    }
}

fn ip(address: &ListenerAddress) -> Option<&SocketAddr> {
    if let ListenerAddress::Ip(address) = address { Some(address) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(texts: &[&str]) -> Vec<ListenerAddress> {
        let address = |text: &&str| match text.parse() {
            Ok(address) => ListenerAddress::Ip(address),
            Err(_) => ListenerAddress::Unix(text.into()),
        };
        texts.iter().map(address).collect()
    }

    #[test]
    fn the_notice_has_thttpds_words() {
        let named = Config { host: Some("a".into()), ..Config::default() };
        let any = Config::default();
        for (config, addresses, want) in [
            (&any, &["[::]:80", "0.0.0.0:80"][..], "starting on port 80"),
            (&named, &["[::1]:81", "127.0.0.1:81"], "starting on 127.0.0.1, port 81"),
            (&any, &["/run/t"], "starting on /run/t"),
        ] {
            assert_eq!(notice(config, &at(addresses)), format!("{SERVER} {want}"));
        }
    }
}
