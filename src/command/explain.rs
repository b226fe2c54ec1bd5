//! `--explain URL`: reports each decision on the way from a URL to its response.
//!
//! The server's own look-up ([`Resolver::look_up`]) runs as the server's user in the server's root, so that
//! the explanation matches the running server. No file is sent.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::stat::SFlag;

use super::check::tree;
use crate::auth::FILE_NAME as PASSWORD_FILE;
use crate::boot::{go_where_it_would_serve, load};
use crate::cache::Freshness;
use crate::config::Config;
use crate::config::printable::printable;
use crate::docroot::blocking::BlockingAllowed;
use crate::docroot::path::{expand, join, split};
use crate::docroot::{DocRoot, Links, View};
use crate::request::client::{ClientAddress, Scheme};
use crate::request::head;
use crate::request::{Client, Parsed, Request};
use crate::resource::{AccessDenied, DenialNote, ResolveRequest, Resolved, Resolver, Resource};
use crate::response::error::sentence;
use crate::rules::{Charged, Name, Rules};
use crate::sys::reason;
use crate::throttle::{Each, Throttles};

/// Explains a GET for each of `urls`: a target (`/a/b?c`), or an absolute `http://host/…`.
///
/// # Errors
/// A directory or throttle file cannot be read, or only root could enter the new root.
pub fn explain(config: Config, urls: &[String], from: Option<&str>) -> Result<String, String> {
    let address = client_address(from)?;
    let loaded = load(&config, Path::new(".")).map_err(|failure| failure.to_string())?;
    let shown = tree(&config).canonicalize().unwrap_or_else(|_| tree(&config));
    go_where_it_would_serve(&config).map_err(|failure| failure.to_string())?;
    let failed = |error: std::io::Error| format!("{}: {}", shown.display(), reason(&error));
    let here = std::env::current_dir().map_err(failed)?;
    let root =
        DocRoot::open(Path::new("."), here.as_os_str().as_bytes()).map_err(|errno| failed(errno.into()))?;
    let config = Arc::new(config);
    let (root, rules) = (Arc::new(root), Arc::new(loaded.rules));
    let resolver = Resolver::new(root, Arc::clone(&config), Arc::clone(&rules), loaded.types);
    let scene = Scene { config, resolver, rules, throttles: loaded.throttles, address };
    let mut out = String::new();
    write_line(&mut out, format_args!("the tree is {}", shown.display()));
    for url in urls {
        if urls.len() > 1 {
            write_line(&mut out, format_args!(""));
            write_line(&mut out, format_args!("{url}:"));
        }
        scene.explain_one(&mut out, url)?;
    }
    Ok(out)
}

/// Parts of a server with this configuration.
struct Scene {
    config: Arc<Config>,
    resolver: Resolver,
    rules: Arc<Rules>,
    throttles: Throttles,
    address: ClientAddress,
}

impl Scene {
    fn explain_one(&self, out: &mut String, url: &str) -> Result<(), String> {
        // Only a trusted proxy can report that a client connected over https.
        let beyond_proxy = url.strip_prefix("https://").filter(|_| self.config.proxies.trusts_any());
        let scheme = if beyond_proxy.is_some() { Scheme::Https } else { Scheme::Http };
        let bytes = match beyond_proxy {
            Some(rest) => head_for(&format!("http://{rest}")),
            None => head_for(url),
        };
        let request = match head::parse(&bytes, &self.config.limits) {
            Ok(Parsed::Complete(request, _)) => request,
            Ok(Parsed::Partial) => return Err(format!("{url}: not a URL")),
            Err(rejection) => {
                write_line(out, format_args!("no request can name this: {rejection}"));
                return Ok(());
            }
        };
        write_line(out, format_args!("the path is /{}", request.path.escape_ascii()));
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let host = self.config.vhost.then(|| self.resolver.host_directory(&request, local, &|| {}));
        if let Some(host) = &host {
            write_line(out, format_args!("virtual hosts are on: looked up in {host}/"));
        }
        let client =
            Client { address: self.address, scheme, ..Client::of_peer((Ipv4Addr::LOCALHOST, 0).into()) };
        let freshness = Freshness::default();
        let view = View::anywhere(self.resolver.root());
        let query = ResolveRequest {
            request: &request,
            client: &client,
            vhost: host.as_deref(),
            freshness: &freshness,
            view: &view,
            blocking: &BlockingAllowed,
            charged: &Charged::default(),
            may_wait: false,
            may_list: true,
        };
        let site = self.resolver.site_key(&query);
        match self.resolver.look_up(&query, &mut |step| write_line(out, step)).outcome {
            Ok(found) if self.throttle(out, &site.name(&found.name)) => conclude(out, &request, &found),
            Ok(_) => write_line(out, format_args!("503: the throttle lets nothing through")),
            Err(denied) => {
                self.explain_cause(out, &query, &denied);
                refuse(out, url, &denied);
            }
        }
        Ok(())
    }

    /// Explains the cause of a refusal, which the page for clients does not tell.
    fn explain_cause(&self, out: &mut String, query: &ResolveRequest<'_>, denied: &AccessDenied) {
        let view = View::anywhere(self.resolver.root());
        if let Some(host) = query.vhost.filter(|host| view.stat(host.as_bytes(), Links::Follow).is_err()) {
            return write_line(
                out,
                format_args!("there is no directory {host}/ in the tree: no such host is served"),
            );
        }
        let name = [query.vhost.map_or(&b""[..], str::as_bytes), b"/", &query.request.path].concat();
        let name = name.strip_prefix(b"/").unwrap_or(&name);
        if denied.rejection.status == 401 {
            if let Some(file) = self.password_file(name, query.vhost) {
                write_line(out, format_args!("the password file is {}", printable(&file)));
            }
        } else if let Some((dir, mode)) = self.shut_directory(name) {
            let dir = printable(dir);
            let bits = mode & 0o7777;
            write_line(
                out,
                format_args!(
                    "the reason is the directory {dir}/ (permission bits {bits:04o}): the server's user may not enter it"
                ),
            );
        } else if let Some((_, DenialNote::Whole(cause))) = &denied.note {
            write_line(out, format_args!("{cause}"));
        }
    }

    /// Password file that applies to `name`: the global one if there is one, else the directory's.
    fn password_file(&self, name: &[u8], host: Option<&str>) -> Option<Vec<u8>> {
        let view = View::anywhere(self.resolver.root());
        let expanded = expand(&view, name, self.config.symlink_check).ok()?.name;
        let is_dir = view.stat(&expanded, Links::Follow).is_ok_and(|meta| {
            SFlag::from_bits_truncate(meta.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR
        });
        let dir = if is_dir { &expanded[..] } else { split(&expanded).0 };
        let global = self.config.global_passwd.then(|| host.unwrap_or_default().as_bytes());
        let files = global.into_iter().chain([dir]).map(|dir| join(dir, PASSWORD_FILE));
        files.into_iter().find(|file| view.stat(file, Links::Follow).is_ok())
    }

    /// Explains the throttle rules for the resource; false if a rule lets no byte be sent.
    fn throttle(&self, out: &mut String, name: &Name<'_>) -> bool {
        let mut is_open = true;
        for line in self.rules.rate_lines(name) {
            write_line(out, format_args!("{line}"));
        }
        for rule in self.throttles.rules().iter().filter(|rule| rule.pattern.matches(name)) {
            let each = match rule.each {
                Each::Rule => "",
                Each::Address => " for each address",
                Each::Connection => " for each connection",
            };
            let (max, pattern) = (rule.max, &rule.pattern);
            write_line(out, format_args!("throttled to {max} bytes a second{each} by {pattern}"));
            is_open &= max > 0;
        }
        is_open
    }

    /// First directory on the path of `name` that may not be entered, with its mode.
    fn shut_directory<'n>(&self, name: &'n [u8]) -> Option<(&'n [u8], u32)> {
        let view = View::anywhere(self.resolver.root());
        let ends = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut dirs = ends.chain([name.len()]).map(|end| &name[..end]).filter(|dir| !dir.is_empty());
        let dir = dirs.find(|dir| view.stat(&join(dir, b"."), Links::Follow) == Err(Errno::EACCES))?;
        Some((dir, view.stat(dir, Links::Follow).ok()?.st_mode))
    }
}

/// Address of the client in the explanation: an address or `unix`; by default loopback.
fn client_address(from: Option<&str>) -> Result<ClientAddress, String> {
    match from {
        None => Ok(ClientAddress::Ip(Ipv4Addr::LOCALHOST.into())),
        Some("unix") => Ok(ClientAddress::Unix),
        Some(text) => match text.parse::<IpAddr>() {
            Ok(address) => Ok(ClientAddress::Ip(address.to_canonical())),
            Err(_) => Err(format!("--from {text}: not an address; write one such as 192.0.2.7, or unix")),
        },
    }
}

fn write_line(out: &mut String, line: std::fmt::Arguments<'_>) {
    // A file name may contain a line end, which must not start a new line. Writing to a String cannot fail.
    let _ = writeln!(out, "{}", line.to_string().replace("\n", "\\n"));
}

/// Request head for `url`, as a client would send it.
fn head_for(url: &str) -> Vec<u8> {
    let target = if url.contains("://") || url.starts_with('/') { url.to_owned() } else { format!("/{url}") };
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

fn conclude(out: &mut String, request: &Request<'_>, found: &Resolved) {
    match &found.resource {
        Resource::File(file, _) => {
            write_line(out, format_args!("200: {} bytes of {}", file.len, printable(&file.media_type)));
        }
        Resource::Directory(_) => write_line(out, format_args!("200: a listing of the directory")),
        Resource::Script(script) => {
            let name = Path::new(std::ffi::OsStr::from_bytes(&script.name)).display();
            let query = script.query.as_ref().map_or(request.query, Option::as_deref);
            let query = query.unwrap_or_default().escape_ascii();
            write_line(out, format_args!("the script {name} answers; its query is \"{query}\""));
        }
        Resource::Moved(to) => write_line(out, format_args!("302: to {}", to.escape_ascii())),
        Resource::Redirect { status, location } => {
            write_line(out, format_args!("{status}: to {}", location.escape_ascii()));
        }
        Resource::Status(status) => write_line(out, format_args!("{status}: by a rule")),
        Resource::Text { media_type, content } => {
            write_line(out, format_args!("200: {} bytes of {media_type} by a rule", content.len()));
        }
        Resource::Preflight { .. } => {
            write_line(out, format_args!("204: what pages of other origins may send"))
        }
        Resource::Server => write_line(out, format_args!("204: what the server can do")),
    }
}

fn refuse(out: &mut String, url: &str, denied: &AccessDenied) {
    let why = sentence(&denied.rejection, url);
    write_line(out, format_args!("{}: {why}", denied.rejection.status));
    if let Some(challenge) = &denied.challenge {
        write_line(out, format_args!("the client is asked for {challenge}"));
    }
}
