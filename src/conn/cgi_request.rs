//! An errand: a request that a script answers, with all that is needed of it once the bytes it was
//! read from are gone.

use std::ffi::OsString;

use super::log_record::LogRecord;
use super::relay_cgi::RelayCgi;
use super::{Connection, State, Step, WorkerContext, exchange};
use crate::cgi::Cgi;
use crate::cgi::children::RunningScript;
use crate::cgi::env::{CgiContext, arguments, content_length};
use crate::cgi::job::Job;
use crate::cgi::output_parser::ResponsePlan;
use crate::request::spool::{Space, Spool};
use crate::request::{BodyLength, Method, Rejection, Request, Version};
use crate::rules::Dressed;
use crate::sys::memory::{MemoryReservation, REQUEST_MEMORY};
use crate::throttle::Pacer;

/// Redirects within the server on behalf of one request; a circle has no end.
const MOST_REDIRECTS: u8 = 10;

/// Memory of an errand that does not depend on its request.
const FIXED_MEMORY: usize = 4096;

/// Memory of one field beside its bytes: two names, two values, and what the allocator adds to each.
const FIELD_OVERHEAD: usize = 160;

/// Fields of a request that do not go with it to where a script redirects it: its content has been
/// read (RFC 3875 §6.2.2 is silent; the redirected request is a GET), and its host is written anew.
const NOT_REDIRECTED: [&str; 5] = ["Content-Length", "Content-Type", "Expect", "Host", "Transfer-Encoding"];

/// See the module.
#[derive(Debug)]
pub struct CgiRequest {
    /// For the access log.
    pub record: LogRecord,
    /// How the response is made.
    pub response_plan: ResponsePlan,
    /// The request's method.
    pub method: Method,
    /// The request lets the connection persist.
    pub keep_alive: bool,
    /// The request has content, be it empty, and with it perhaps stray bytes after it.
    pub has_content: bool,
    /// Sets the response's pace.
    pub pacer: Option<Pacer>,
    /// What rules say of the response.
    pub dressed: Option<Dressed>,
    /// Field lines for a redirect.
    fields: Box<[u8]>,
    /// Redirects that led here.
    redirects: u8,
    name: Vec<u8>,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    /// What this holds of the memory for all requests.
    _memory: Option<MemoryReservation>,
    /// The same of its content.
    _space: Space,
}

impl CgiRequest {
    /// An errand for `call`.
    pub fn new(
        cgi: &Cgi,
        cgi_context: &CgiContext<'_>,
        record: LogRecord,
        pacer: Option<Pacer>,
    ) -> CgiRequest {
        let request = cgi_context.request;
        CgiRequest {
            _memory: None,
            _space: Space::default(),
            record,
            response_plan: ResponsePlan::new(request, &cgi_context.script.name),
            method: request.method,
            keep_alive: request.keep_alive,
            has_content: request.body != BodyLength::None || request.fields.last("Content-Length").is_some(),
            pacer,
            fields: redirected_fields(request).into(),
            redirects: 0,
            dressed: None,
            name: cgi_context.script.name.clone(),
            arguments: arguments(request),
            variables: cgi.constants.variables(cgi_context),
        }
    }

    /// The same, at the end of `redirects` redirects.
    pub fn redirected(self, redirects: u8) -> CgiRequest {
        CgiRequest { redirects, ..self }
    }

    /// The same, with its part of the memory for all requests: see [`memory_for`].
    pub fn holding(self, memory: MemoryReservation) -> CgiRequest {
        CgiRequest { _memory: Some(memory), ..self }
    }

    /// The same with what rules say of the response.
    pub fn dressed(self, dressed: Option<Dressed>) -> CgiRequest {
        CgiRequest { dressed, ..self }
    }

    /// Starts the script with `input`; its content is whole.
    pub fn start(mut self, input: Spool, conn: &mut Connection, context: &mut WorkerContext) -> Step {
        match self.try_start(input, context) {
            Ok(running) => Step::Enter(State::RelayCgi(Box::new(RelayCgi::new(self, running)))),
            Err(rejection) => exchange::fail(conn, &mut self, &rejection, context),
        }
    }

    fn try_start(&mut self, mut input: Spool, context: &WorkerContext) -> Result<RunningScript, Rejection> {
        self._space = input.take_space();
        let Some(cgi) = &context.site.cgi else { return Err(Rejection::new(503, "")) };
        let mut variables = std::mem::take(&mut self.variables);
        if self.has_content {
            variables.push(content_length(input.bytes()));
        }
        let input = input.into_file().map_err(|_| Rejection::new(503, ""))?;
        let arguments = std::mem::take(&mut self.arguments);
        cgi.start(Job { name: self.name.clone(), arguments, variables, input })
    }

    /// The head of the request that this one becomes when its script redirects it to `target`, and
    /// how many redirects that makes; none if they are too many.
    pub fn head_of_redirect(&self, target: &[u8]) -> Option<(Vec<u8>, u8)> {
        let redirects = self.redirects + 1;
        if redirects > MOST_REDIRECTS {
            return None;
        }
        let method: &[u8] = if self.method == Method::Head { b"HEAD " } else { b"GET " };
        let version: &[u8] =
            if self.response_plan.version == Version::Http11 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" };
        Some(([method, target, version, &self.fields].concat(), redirects))
    }
}

/// Takes the memory of an errand for `request`: its fields as variables and as lines for a redirect, and the
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
