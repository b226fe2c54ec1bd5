//! Request that a script answers: owned, since the bytes that it was read from are gone by then.

use std::ffi::OsString;
use std::sync::Arc;

use super::log_record::LogRecord;
use crate::cgi::Cgi;
use crate::cgi::children::RunningScript;
use crate::cgi::env::{CgiContext, arguments, content_length};
use crate::cgi::job::Job;
use crate::cgi::output_parser::ResponsePlan;
use crate::request::spool::{Space, Spool};
use crate::request::{BodyLength, Method, Rejection, Request, Version};
use crate::rules::AppliedRules;
use crate::sys::fd::OpenFile;
use crate::sys::memory::{MemoryReservation, REQUEST_MEMORY};
use crate::throttle::Pacer;

/// Redirects within the server on behalf of one request; a circle has no end.
const MOST_REDIRECTS: u8 = 10;

/// Memory of a script's request that does not depend on it.
const FIXED_MEMORY: usize = 4096;

/// Memory of one field beside its bytes: two names, two values, and what the allocator adds to each.
const FIELD_OVERHEAD: usize = 160;

/// Fields of a request that do not go with it to where a script redirects it: its content has been
/// read (RFC 3875 §6.2.2 is silent; the redirected request is a GET), and its host is written anew.
const NOT_REDIRECTED: [&str; 5] = ["Content-Length", "Content-Type", "Expect", "Host", "Transfer-Encoding"];

/// Client's request behind a script's run: the line for the log, and redirects so far.
#[derive(Debug)]
pub struct RedirectOrigin {
    /// Line for the access log.
    pub record: LogRecord,
    /// Number of internal redirects that led here.
    pub redirects: u8,
}

/// A request that a script answers.
#[derive(Debug)]
pub struct CgiRequest {
    /// Line for the access log.
    pub record: LogRecord,
    /// Properties of the request that the response depends on.
    pub response_plan: ResponsePlan,
    /// The request's method.
    pub method: Method,
    /// Set if the request lets the connection persist.
    pub keep_alive: bool,
    /// The request has content, be it empty, and with it perhaps stray bytes after it.
    pub has_content: bool,
    /// Pace of the response, if throttles cover it.
    pub pacer: Option<Box<Pacer>>,
    /// Rules for the response.
    pub applied_rules: Option<AppliedRules>,
    /// Field lines for a redirect.
    fields: Box<[u8]>,
    /// Number of internal redirects that led here.
    redirects: u8,
    /// The script's directory.
    dir: Arc<OpenFile>,
    name: Vec<u8>,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    /// Reservation in the memory for all requests.
    _memory: Option<MemoryReservation>,
    /// Reservations for its content.
    space: Space,
}

impl CgiRequest {
    /// A request of `cgi_context`, on behalf of `origin`.
    pub fn new(
        cgi: &Cgi,
        cgi_context: &CgiContext<'_>,
        origin: RedirectOrigin,
        pacer: Option<Box<Pacer>>,
    ) -> CgiRequest {
        let (request, RedirectOrigin { record, redirects }) = (cgi_context.request, origin);
        CgiRequest {
            _memory: None,
            space: Space::default(),
            record,
            response_plan: ResponsePlan::new(request, &cgi_context.script.name),
            method: request.method,
            keep_alive: request.keep_alive,
            has_content: request.body != BodyLength::None || request.fields.last("Content-Length").is_some(),
            pacer,
            fields: redirected_fields(request).into(),
            redirects,
            applied_rules: None,
            dir: Arc::clone(&cgi_context.script.dir),
            name: cgi_context.script.name.clone(),
            arguments: arguments(request),
            variables: cgi.constants.variables(cgi_context),
        }
    }

    /// Adds its part of the memory for all requests: see [`memory_for`].
    pub fn holding(self, memory: MemoryReservation) -> CgiRequest {
        CgiRequest { _memory: Some(memory), ..self }
    }

    /// Adds what rules say of the response.
    pub fn applied_rules(self, applied_rules: Option<AppliedRules>) -> CgiRequest {
        CgiRequest { applied_rules, ..self }
    }

    /// Starts the script with `input`; its content is whole.
    ///
    /// # Errors
    /// The response to send instead. After one that [may pass](Rejection::may_pass) nothing is lost, and the
    /// start can be tried again.
    pub fn start(&mut self, input: &mut Spool, cgi: &Cgi) -> Result<RunningScript, Rejection> {
        let reservation = cgi.reserve()?;
        let length = input.bytes();
        let file = input.take_file()?;
        self.space = input.take_space();
        let mut variables = std::mem::take(&mut self.variables);
        if self.has_content {
            variables.push(content_length(length));
        }
        let arguments = std::mem::take(&mut self.arguments);
        let (dir, name) = (Arc::clone(&self.dir), self.name.clone());
        Ok(cgi.start(Job { dir, name, arguments, variables, input: file }, reservation))
    }

    /// The client's request, for another one in its place.
    pub fn into_origin(self) -> RedirectOrigin {
        RedirectOrigin { record: self.record, redirects: self.redirects }
    }

    /// The head of the request that this one becomes when its script redirects it to `target`; none after
    /// too many redirects.
    pub fn head_of_redirect(&mut self, target: &[u8]) -> Option<Vec<u8>> {
        self.redirects += 1;
        if self.redirects > MOST_REDIRECTS {
            return None;
        }
        let method: &[u8] = if self.method == Method::Head { b"HEAD " } else { b"GET " };
        let version: &[u8] =
            if self.response_plan.version == Version::Http11 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" };
        Some([method, target, version, &self.fields].concat())
    }
}

/// Takes the memory of a script's request: its fields as variables and as lines for a redirect, and the
/// variables that every script gets. None where requests hold all that they may.
pub fn memory_for(request: &Request<'_>) -> Option<MemoryReservation> {
    let field = |(name, value): (&str, &[u8])| 2 * (name.len() + value.len()) + FIELD_OVERHEAD;
    let fields: usize = request.fields.iter().map(field).sum();
    REQUEST_MEMORY.reserve(fields + 3 * request.target.len() + FIXED_MEMORY)
}

/// The request's field lines, its host as Host, and the empty line.
fn redirected_fields(request: &Request<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    if let Some(authority) = request.authority() {
        lines.extend_from_slice(&[b"Host: ", authority, b"\r\n"].concat());
    }
    for (name, value) in request.fields.iter() {
        if !NOT_REDIRECTED.iter().any(|not| not.eq_ignore_ascii_case(name)) {
            lines.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
    }
    lines.extend_from_slice(b"\r\n");
    lines
}
