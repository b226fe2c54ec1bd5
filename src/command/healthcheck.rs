//! `--healthcheck`: requests one URL of a running server.
//!
//! Container health probes use this, as an image may have no other HTTP client.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::boot::names;
use crate::config::Config;
use crate::config::listen::{Address, Listen};
use crate::sys::reason;
use crate::sys::socket::connect_unix;

/// Time limit of each step.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// Address and target of a health check.
#[derive(Debug, Default, PartialEq, Eq)]
struct HealthQuery {
    host: Option<String>,
    port: u16,
    /// Unix socket, in place of host and port.
    socket: Option<PathBuf>,
    /// Set if a PROXY protocol head comes before the request.
    proxy: bool,
    target: String,
}

/// Requests `url`, by default `/healthz` of the status listener in `config`, else `/`.
///
/// Any status below 500 counts as healthy, since a site may have no index page.
///
/// # Errors
/// One line with the reason why the server is not healthy.
pub fn probe(config: &Config, url: Option<&str>) -> Result<String, String> {
    let status = config.listen.iter().find(|listen| listen.status);
    let question = match (url, status) {
        (None, Some(listen)) => Some(HealthQuery::of_listener(config, listen, "/healthz")),
        _ => HealthQuery::from_url(config, url.unwrap_or("/")),
    };
    let question = question.ok_or_else(|| format!("unhealthy: {} is no http:// URL", url.unwrap_or("")))?;
    let shown = question.shown();
    let unwell = |why: &str| format!("unhealthy: {shown} - {why}");
    let status = question.put().map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            unwell(&format!("no answer in {} seconds", STEP_TIMEOUT.as_secs()))
        }
        _ => unwell(&reason(&error)),
    })?;
    match status {
        100..500 => Ok(format!("healthy: {shown} answers {status}\n")),
        _ => Err(unwell(&format!("answers {status}"))),
    }
}

impl HealthQuery {
    fn from_url(config: &Config, url: &str) -> Option<HealthQuery> {
        let Some(rest) = url.strip_prefix("http://") else {
            let serving = config.listen.iter().find(|listen| !listen.status);
            return url.starts_with('/').then(|| match serving {
                Some(listen) => HealthQuery::of_listener(config, listen, url),
                None => HealthQuery {
                    host: config.host.clone(),
                    port: config.port,
                    target: url.to_owned(),
                    ..HealthQuery::default()
                },
            });
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let target = if path.is_empty() { "/".into() } else { path.to_owned() };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, 80),
        };
        (!host.is_empty() && is_clean(rest)).then(|| HealthQuery {
            host: Some(host.to_owned()),
            port,
            target,
            ..HealthQuery::default()
        })
    }

    /// Query to one of the listeners of `config`; an unspecified address becomes loopback.
    fn of_listener(config: &Config, listen: &Listen, target: &str) -> HealthQuery {
        let query = HealthQuery { proxy: listen.proxy, target: target.to_owned(), ..HealthQuery::default() };
        match &listen.address {
            Address::Port(port) => HealthQuery { host: config.host.clone(), port: *port, ..query },
            Address::Name(host, port) => HealthQuery { host: Some(host.clone()), port: *port, ..query },
            Address::Unix(path) => HealthQuery { socket: Some(path.clone()), ..query },
            Address::Ip(address) => {
                let is_one = !address.ip().is_unspecified();
                let host = match address {
                    SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
                    SocketAddr::V4(v4) => v4.ip().to_string(),
                };
                HealthQuery { host: is_one.then_some(host), port: address.port(), ..query }
            }
        }
    }

    fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("localhost")
    }

    fn shown(&self) -> String {
        if let Some(path) = &self.socket {
            return format!("{} of {}", self.target, path.display());
        }
        let port = if self.port == 80 { String::new() } else { format!(":{}", self.port) };
        format!("http://{}{port}{}", self.host(), self.target)
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        match &self.host {
            Some(host) => names::addresses(Some(host), self.port).unwrap_or_default(),
            None => loopback.map(|address| SocketAddr::new(address, self.port)).to_vec(),
        }
    }

    /// Sends the request, and returns the status of the response.
    fn put(&self) -> std::io::Result<u16> {
        if let Some(path) = &self.socket {
            let stream = connect_unix(path, STEP_TIMEOUT)?;
            stream.set_read_timeout(Some(STEP_TIMEOUT))?;
            return self.converse(stream);
        }
        let mut last = std::io::Error::other("Name or service not known");
        for address in self.addresses() {
            match connect(&address).and_then(|stream| self.converse(stream)) {
                Ok(status) => return Ok(status),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn converse(&self, mut stream: impl Read + Write) -> std::io::Result<u16> {
        let before = if self.proxy { "PROXY UNKNOWN\r\n" } else { "" };
        let port = if self.port == 80 { String::new() } else { format!(":{}", self.port) };
        let (target, host) = (&self.target, self.host());
        let agent = crate::response::SERVER;
        let head = format!(
            "{before}GET {target} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: {agent} healthcheck\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut line = [0; 12];
        stream.read_exact(&mut line)?;
        let status = std::str::from_utf8(&line).ok().and_then(|line| line.strip_prefix("HTTP/1."));
        status.and_then(|rest| rest[2..].parse().ok()).ok_or_else(|| std::io::Error::other("no HTTP there"))
    }
}

fn connect(address: &SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, STEP_TIMEOUT)?;
    stream.set_read_timeout(Some(STEP_TIMEOUT))?;
    stream.set_write_timeout(Some(STEP_TIMEOUT))?;
    Ok(stream)
}

/// Tells whether `text` has no byte that would end a line or a word of the request.
fn is_clean(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(url: &str) -> Option<(String, u16, String)> {
        let config = Config { port: 8080, ..Config::default() };
        HealthQuery::from_url(&config, url).map(|it| (it.host().to_owned(), it.port, it.target))
    }

    #[test]
    fn a_path_is_asked_of_the_configured_server() {
        assert_eq!(question("/x"), Some(("localhost".into(), 8080, "/x".into())));
    }

    #[test]
    fn a_url_names_its_own() {
        assert_eq!(question("http://a"), Some(("a".into(), 80, "/".into())));
        assert_eq!(question("http://a:81/b?c"), Some(("a".into(), 81, "/b?c".into())));
        assert_eq!(question("http://[::1]/b"), Some(("[::1]".into(), 80, "/b".into())));
        assert_eq!(question("http://[::1]:81"), Some(("[::1]".into(), 81, "/".into())));
    }

    #[test]
    fn invalid_urls_are_refused() {
        for url in ["", "x", "https://a/", "http://", "http://a:b/", "http://a/ b", "http://a/\r\nX: y"] {
            assert_eq!(question(url), None, "{url:?}");
        }
    }
}
