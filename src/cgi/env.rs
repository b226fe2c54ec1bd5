//! Environment and arguments of a script (RFC 3875 §4; thttpd's list first). Pure.
//!
//! Of the server's own environment only TZ is passed on. Of the client's fields, ambiguous ones are left
//! out: a name with an underscore reads like one with a hyphen, `Proxy` becomes HTTP_PROXY, which libraries
//! use, and credentials are checked by the server.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::config::{Config, ProxyTrust};
use crate::request::client::{ClientAddress, Scheme};
use crate::request::{Client, Method, Request, target};
use crate::resource::Script;
use crate::response::SERVER;

/// thttpd's CGI_PATH.
const PATH: &str = "/usr/local/bin:/usr/ucb:/bin:/usr/bin";

/// Fields that do not become HTTP_ variables.
///
/// They have variables of their own, are secrets, are dangerous, or are not true any more after the content
/// has been read.
const NOT_HANDED_ON: [&str; 7] = [
    "Authorization",
    "Proxy-Authorization",
    "Proxy",
    "Content-Type",
    "Content-Length",
    "Transfer-Encoding",
    "Trailer",
];

/// Variables that are equal for all scripts of one configuration.
#[derive(Debug, Clone)]
pub struct CgiConstants {
    /// Server name for requests without a host.
    name: Option<String>,
    /// Document root: absolute path without a trailing slash.
    root: Vec<u8>,
    cgi_pattern: Vec<u8>,
    time_zone: Option<OsString>,
    proxies: ProxyTrust,
    /// Directory of hosts that have none; it is not a host's name.
    vhost_default: Option<String>,
}

/// Request data that a script's variables are made of.
#[derive(Debug, Clone, Copy)]
pub struct CgiContext<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// Script that the request names.
    pub script: &'a Script,
    /// Directory of the virtual host; `None` if virtual hosts are off.
    pub vhost: Option<&'a str>,
    /// Authenticated user.
    pub user: Option<&'a [u8]>,
    /// The client.
    pub client: Client,
    /// Set if a trusted proxy sent the request, so that its fields about the client are reliable.
    pub is_from_trusted_proxy: bool,
    /// Local address of the connection.
    pub local: SocketAddr,
}

/// Variables under construction. Values with a NUL are left out, as the system does not allow them.
#[derive(Default)]
struct Variables(Vec<(OsString, OsString)>);

impl Variables {
    fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        if !value.as_ref().contains(&0) {
            self.0.push((name.into(), OsStr::from_bytes(value.as_ref()).into()));
        }
    }
}

impl CgiConstants {
    /// Constants for one configuration; `root` is the document root's absolute path.
    pub fn new(config: &Config, root: &[u8]) -> CgiConstants {
        CgiConstants {
            name: config.server_name(),
            root: root.strip_suffix(b"/").unwrap_or(root).to_vec(),
            cgi_pattern: config
                .cgi_pattern
                .as_ref()
                .map(|pattern| pattern.as_bytes().to_vec())
                .unwrap_or_default(),
            time_zone: crate::sys::zone::inherited(),
            proxies: config.proxies.clone(),
            vhost_default: config.vhost_default.clone(),
        }
    }

    /// Complete environment, except for [`content_length`].
    pub fn variables(&self, call: &CgiContext<'_>) -> Vec<(OsString, OsString)> {
        let mut variables = Variables::default();
        self.server(&mut variables, call);
        self.names(&mut variables, call);
        client(&mut variables, call);
        let is_hidden = |name: &str| {
            self.proxies.trusts_any() && !call.is_from_trusted_proxy && self.proxies.is_proxy_field(name)
        };
        fields(&mut variables, call.request, &is_hidden);
        if let Some(zone) = &self.time_zone {
            variables.set("TZ", zone.as_bytes());
        }
        variables.set("CGI_PATTERN", &self.cgi_pattern);
        variables.0
    }

    fn server(&self, variables: &mut Variables, call: &CgiContext<'_>) {
        let local = call.local.ip().to_canonical().to_string();
        let vhost = call.vhost.filter(|vhost| self.vhost_default.as_deref() != Some(vhost));
        let name = vhost.or(call.request.host).or(self.name.as_deref()).unwrap_or(&local);
        // SERVER_NAME has brackets around an IPv6 address (RFC 3875 §4.1.14).
        let is_bare = name.contains(':') && !name.starts_with('[');
        let name = if is_bare { format!("[{name}]") } else { name.to_owned() };
        variables.set("PATH", PATH);
        variables.set("SERVER_SOFTWARE", SERVER);
        variables.set("SERVER_NAME", name);
        variables.set("GATEWAY_INTERFACE", "CGI/1.1");
        variables.set("SERVER_PROTOCOL", call.request.version_text);
        variables.set("SERVER_PORT", call.local.port().to_string());
        variables.set("SERVER_ADDR", local);
        variables.set("REQUEST_METHOD", call.request.method_text);
        // php-cgi requires REDIRECT_STATUS as a sign that a server has started it.
        variables.set("REDIRECT_STATUS", "200");
    }

    /// Sets the variables for the script's file and URL.
    fn names(&self, variables: &mut Variables, call: &CgiContext<'_>) {
        let CgiContext { request, script, .. } = call;
        let mut root = self.root.clone();
        let script_file = [&root[..], b"/", &script.name].concat();
        if let Some(vhost) = call.vhost {
            root.extend_from_slice(b"/");
            root.extend_from_slice(vhost.as_bytes());
        }
        if !script.path_info.is_empty() {
            variables.set("PATH_INFO", &script.path_info);
            variables.set("PATH_TRANSLATED", [&root[..], &script.path_info].concat());
        }
        variables.set("SCRIPT_NAME", &script.url_path);
        variables.set("SCRIPT_FILENAME", script_file);
        variables.set("DOCUMENT_ROOT", if root.is_empty() { b"/" } else { &root[..] });
        variables.set("QUERY_STRING", request.query.unwrap_or_default());
        variables.set("REQUEST_URI", request.path_and_query());
    }
}

/// CONTENT_LENGTH as counted by the server, since chunked content declares none.
pub fn content_length(bytes: u64) -> (OsString, OsString) {
    ("CONTENT_LENGTH".into(), bytes.to_string().into())
}

/// Command-line arguments: the words of a query without `=`, separated by `+` (RFC 3875 §4.4).
///
/// Empty if a word is not valid as an argument or looks like an option, as PHP once took options from
/// there.
pub fn arguments(request: &Request<'_>) -> Vec<OsString> {
    let query = request.query.unwrap_or_default();
    if !matches!(request.method, Method::Get | Method::Head) || query.is_empty() || query.contains(&b'=') {
        return Vec::new();
    }
    let words: Vec<Vec<u8>> = query.split(|&b| b == b'+').map(target::decode).collect();
    if words.iter().any(|word| word.contains(&0) || word.starts_with(b"-")) {
        return Vec::new();
    }
    words.into_iter().map(OsString::from_vec).collect()
}

fn client(variables: &mut Variables, call: &CgiContext<'_>) {
    let Client { address, scheme, peer } = call.client;
    // An unknown client has an empty address: a script must not mistake the proxy for the client.
    let known = if let ClientAddress::Ip(address) = address { address.to_string() } else { String::new() };
    variables.set("REMOTE_ADDR", known);
    if let Some(peer) = peer.filter(|peer| address == ClientAddress::Ip(peer.ip().to_canonical())) {
        variables.set("REMOTE_PORT", peer.port().to_string());
    }
    if scheme == Scheme::Https {
        variables.set("HTTPS", "on");
    }
    if let Some(user) = call.user {
        variables.set("REMOTE_USER", user);
        variables.set("AUTH_TYPE", "Basic");
    }
}

fn fields(variables: &mut Variables, request: &Request<'_>, is_hidden: &dyn Fn(&str) -> bool) {
    let fields = &request.fields;
    if let Some(media_type) = fields.last("Content-Type") {
        variables.set("CONTENT_TYPE", media_type);
    }
    if let Some(referrer) = fields.last("Referer").or_else(|| fields.last("Referrer")) {
        // thttpd accepts and sets both spellings.
        variables.set("HTTP_REFERER", referrer);
        variables.set("HTTP_REFERRER", referrer);
    }
    if let Some(authority) = request.authority() {
        variables.set("HTTP_HOST", authority);
    }
    let mut named: Vec<&str> = vec!["Host", "Referer", "Referrer"];
    for (name, _) in fields.iter() {
        let is_named = named.iter().any(|seen| seen.eq_ignore_ascii_case(name));
        if is_named || !may_be_handed_on(name) || is_hidden(name) {
            continue;
        }
        named.push(name);
        // RFC 6265 §5.4 separates cookies differently from lists (RFC 9110 §5.3).
        let separator: &[u8] = if name.eq_ignore_ascii_case("Cookie") { b"; " } else { b", " };
        let values: Vec<&[u8]> = fields.all(name).collect();
        let variable = format!("HTTP_{}", name.to_ascii_uppercase().replace("-", "_"));
        variables.set(&variable, values.join(separator));
    }
}

fn may_be_handed_on(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !NOT_HANDED_ON.iter().any(|not| not.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests;
