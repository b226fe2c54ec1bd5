//! `--explain URL`: walks the mapping of one URL, and tells each decision: the answer to "why 403?".
//!
//! The server's own look-up ([`Resolver::look_up`]) runs as the server's user in the server's root, so the
//! explanation is what would happen. Nothing is served.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::check::tree;
use crate::boot::{go_where_it_would_serve, load};
use crate::cache::watcher::Freshness;
use crate::config::Config;
use crate::config::printable::printable;
use crate::docroot::DocRoot;
use crate::request::head;
use crate::request::{Parsed, Request};
use crate::resource::{AccessDenied, ResolveRequest, Resolved, Resolver, Resource, vhost};
use crate::sys::reason;
use crate::throttle::{Each, Throttles};

/// Explains a GET for `url`: a target (`/a/b?c`), or a whole `http://host/…`.
///
/// # Errors
/// The reason why the answer cannot be found: a directory or a throttle file that cannot be read, or a new
/// root that only root can enter.
pub fn explain(config: Config, url: &str) -> Result<String, String> {
    let loaded = load(&config).map_err(|failure| failure.to_string())?;
    let shown = tree(&config).canonicalize().unwrap_or_else(|_| tree(&config));
    go_where_it_would_serve(&config).map_err(|failure| failure.to_string())?;
    let failed = |error: std::io::Error| format!("{}: {}", shown.display(), reason(&error));
    let here = std::env::current_dir().map_err(failed)?;
    let root =
        DocRoot::open(Path::new("."), here.as_os_str().as_bytes()).map_err(|errno| failed(errno.into()))?;
    let mut told = String::new();
    say(&mut told, format_args!("the tree is {}", shown.display()));
    let config = Arc::new(config);
    let resolver = Resolver::new(Arc::new(root), Arc::clone(&config), loaded.types);
    let bytes = head_for(url);
    let request = match head::parse(&bytes, &config.limits) {
        Ok(Parsed::Complete(request, _)) => request,
        Ok(Parsed::Partial) => return Err(format!("{url}: not a URL")),
        Err(rejection) => {
            say(&mut told, format_args!("no request can name this: {rejection}"));
            return Ok(told);
        }
    };
    say(&mut told, format_args!("the path is /{}", request.path.escape_ascii()));
    let host = config.vhost.then(|| vhost::directory(&request, IpAddr::V4(Ipv4Addr::LOCALHOST)));
    if let Some(host) = &host {
        say(&mut told, format_args!("virtual hosts are on: looked up in {host}/"));
    }
    let freshness = Freshness::default();
    let query = ResolveRequest {
        request: &request,
        vhost: host.as_deref(),
        freshness: &freshness,
        block_in_place: &|| {},
        may_wait: false,
    };
    match resolver.look_up(&query, &mut |step| say(&mut told, step)) {
        Ok(found) if throttle(&mut told, &loaded.throttles, &found) => conclude(&mut told, &request, &found),
        Ok(_) => say(&mut told, format_args!("503: the throttle lets nothing through")),
        Err(denied) => refuse(&mut told, url, &denied),
    }
    Ok(told)
}

/// Tells of the throttle's rules for what was found; false where one lets nothing be sent.
fn throttle(told: &mut String, throttles: &Throttles, found: &Resolved) -> bool {
    let mut is_open = true;
    for rule in throttles.rules().iter().filter(|rule| rule.pattern.matches(&found.name)) {
        let each = match rule.each {
            Each::Rule => "",
            Each::Address => " for each address",
            Each::Connection => " for each connection",
        };
        let (max, pattern) = (rule.max, &rule.pattern);
        say(told, format_args!("throttled to {max} bytes a second{each} by {pattern}"));
        is_open &= max > 0;
    }
    is_open
}

fn say(told: &mut String, line: std::fmt::Arguments<'_>) {
    // A file's name may hold a line end, which must not begin a line of ours. A String takes everything.
    let _ = writeln!(told, "{}", line.to_string().replace('\n', "\\n"));
}

/// A request for `url` as a client would send it.
fn head_for(url: &str) -> Vec<u8> {
    let target = if url.contains("://") || url.starts_with('/') { url.to_owned() } else { format!("/{url}") };
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

fn conclude(told: &mut String, request: &Request<'_>, found: &Resolved) {
    match &found.resource {
        Resource::File(file, _) => {
            say(told, format_args!("200: {} bytes of {}", file.len, printable(&file.media_type)));
        }
        Resource::Directory(_) => say(told, format_args!("200: a listing of the directory")),
        Resource::Script(script) => {
            let name = Path::new(std::ffi::OsStr::from_bytes(&script.name)).display();
            let query = request.query.unwrap_or_default().escape_ascii();
            say(told, format_args!("the script {name} answers; its query is \"{query}\""));
        }
        Resource::Moved(to) => say(told, format_args!("302: to {}", to.escape_ascii())),
        Resource::Server => say(told, format_args!("204: what the server can do")),
    }
}

fn refuse(told: &mut String, url: &str, denied: &AccessDenied) {
    let why = denied.rejection.why.replace("{url}", url);
    say(told, format_args!("{}: {why}", denied.rejection.status));
    if let Some(challenge) = &denied.challenge {
        say(told, format_args!("the client is asked for {challenge}"));
    }
}
