//! Line of the access log for an exchange that is not over yet.

use crate::log::access::AccessEntry;
use crate::request::Request;
use crate::request::outline::Outline;

/// Entry for a request, before its response. The path stands alone, also where the target names a host
/// (thttpd).
pub fn entry<'a>(request: &'a Request<'a>, peer: &'a [u8], vhost: Option<&'a str>) -> AccessEntry<'a> {
    let referer = request.fields.last("Referer").or_else(|| request.fields.last("Referrer"));
    AccessEntry {
        peer,
        user: None,
        method: request.method.as_str(),
        vhost: vhost.filter(|_| !request.asterisk).map(str::as_bytes),
        target: request.path_and_query(),
        version: request.version_text,
        status: 0,
        bytes: 0,
        referer: referer.unwrap_or_default(),
        agent: request.fields.last("User-Agent").unwrap_or_default(),
    }
}

/// Entry for a head that was refused. `host` is the server's name where the log has hosts, as the host of
/// the request is not known (thttpd).
pub fn entry_of_refused<'a>(
    refused: &'a Outline<'a>,
    host: Option<&'a str>,
    peer: &'a [u8],
    status: u16,
) -> AccessEntry<'a> {
    let target = refused.path_and_query();
    AccessEntry {
        peer,
        user: None,
        method: refused.method.as_str(),
        vhost: host.filter(|_| target.starts_with(b"/")).map(str::as_bytes),
        target,
        version: refused.version_text,
        status,
        bytes: 0,
        referer: refused.referer,
        agent: refused.agent,
    }
}

/// Facts of an entry, owned: for a response that takes more than one call to send, or that is sent again.
#[derive(Debug)]
pub struct LogRecord {
    user: Option<Box<[u8]>>,
    method: &'static str,
    vhost: Option<Box<[u8]>>,
    target: Box<[u8]>,
    version: Box<str>,
    status: u16,
    referer: Box<[u8]>,
    agent: Box<[u8]>,
}

impl LogRecord {
    /// Copies what `entry` borrows.
    pub fn from_entry(entry: &AccessEntry<'_>) -> LogRecord {
        LogRecord {
            user: entry.user.map(Into::into),
            method: entry.method,
            vhost: entry.vhost.map(Into::into),
            target: entry.target.into(),
            version: entry.version.into(),
            status: entry.status,
            referer: entry.referer.into(),
            agent: entry.agent.into(),
        }
    }

    /// The finished entry: `bytes` of content were sent to `peer`.
    pub fn entry<'a>(&'a self, peer: &'a [u8], bytes: u64) -> AccessEntry<'a> {
        AccessEntry {
            peer,
            user: self.user.as_deref(),
            method: self.method,
            vhost: self.vhost.as_deref(),
            target: &self.target,
            version: &self.version,
            status: self.status,
            bytes,
            referer: &self.referer,
            agent: &self.agent,
        }
    }
}
