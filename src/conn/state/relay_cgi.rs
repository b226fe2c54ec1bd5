//! RelayCgi: a script's output → the client.
//!
//! The state waits for one of them at a time, and holds one buffer: a client that does not read stops the
//! script, not the server.

use std::io::ErrorKind;
use std::mem::take;
use std::time::{Duration, Instant};

use crate::cgi::event::KillReason;
use crate::cgi::head::ScriptHead;
use crate::cgi::output_parser::{OutputEnd, OutputFraming, OutputParser, ParseProgress};
use crate::cgi::{self, children::RunningScript};
use crate::conn::cgi_request::CgiRequest;
use crate::conn::close_reason::CloseReason;
use crate::conn::context::{Turn, WorkerContext};
use crate::conn::io::socket::{PeerState, Progress};
use crate::conn::progress::SendWatch;
use crate::conn::reply::log_exchange;
use crate::conn::session::Session;
use crate::conn::timeouts;
use crate::conn::transition::{Advance, Pause, Transition};
use crate::conn::wait::{On, Wait};
use crate::request::Rejection;
use crate::response::Status;
use crate::response::head::{CgiHead, Frame, write_cgi_head};
use crate::sys::memory::{MemoryReservation, RESPONSE_MEMORY};
use crate::throttle::Allowance;

/// Bytes read from a script at once.
const PIECE: usize = 32 * 1024;

/// [`PIECE`] while clients leave many responses unread; what is not read stays with the kernel.
const PIECE_WHEN_TIGHT: usize = 2048;

/// Interval of checks on client and script while the script is silent.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Maximum number of checks for a script's end, which comes a moment after the end of its output.
const LOOKS: u8 = 20;
/// Interval of the checks for a script's end.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A script's output on its way to the client.
#[derive(Debug)]
pub struct RelayCgi {
    cgi_request: Box<CgiRequest>,
    script: RunningScript,
    parser: OutputParser,
    /// Number of bytes that the script has written.
    written: u64,
    /// Bytes still to be read of what the pipe held when the script was seen to have ended.
    ///
    /// Background jobs may go on writing, and without this their output would have no end.
    rest: Option<usize>,
    /// Set if the response's head has announced that the connection persists.
    keeps: bool,
    /// Set if the pending output is the last.
    complete: bool,
    /// Number of checks for the script's end since the end of its output.
    looks: u8,
    watch: SendWatch,
    /// Set once the client has ended its side, and is probed from time to time.
    is_probed: bool,
    /// Reservation for the memory of output that the client does not take.
    counted: Option<MemoryReservation>,
}

/// End of a script's response.
enum ResponseEnd {
    /// All of it is sent.
    Complete,
    /// Something of it is sent, and no more will be.
    Cut(KillReason, &'static str),
    /// Nothing of it is sent: the client gets this status instead.
    Failed(KillReason, u16, &'static str),
    /// The script was not started.
    NotStarted(Rejection),
    /// Another resource of ours answers.
    Redirect(Vec<u8>),
    /// The client does not take it.
    ClientGone(CloseReason),
}

/// Result of one step: a wait where there is one.
type Relayed = Result<Option<Wait>, ResponseEnd>;

impl RelayCgi {
    /// State of a relay that has read nothing.
    pub fn new(cgi_request: Box<CgiRequest>, script: RunningScript) -> RelayCgi {
        let parser = OutputParser::new(cgi_request.response_plan);
        RelayCgi {
            cgi_request,
            script,
            parser,
            written: 0,
            rest: None,
            keeps: false,
            complete: false,
            looks: 0,
            watch: SendWatch::default(),
            is_probed: false,
            counted: None,
        }
    }

    /// Reads and sends until one of both has to be waited for.
    pub fn advance(mut self: Box<Self>, turn: &mut Turn<'_>) -> Advance<Box<RelayCgi>> {
        self.watch.resume(Instant::now());
        loop {
            let relayed = match self.parser.pending() {
                [] if self.complete => Err(ResponseEnd::Complete),
                [] => self.read(turn),
                _ => self.send(turn),
            };
            match relayed {
                Ok(None) if turn.budget.is_spent() => return Advance::Stay(self, Pause::Yield),
                Ok(None) => {}
                Ok(Some(wait)) => return Advance::Stay(self, Pause::Wait(wait)),
                Err(end) => return Advance::Go(self.end(end, turn)),
            }
        }
    }

    /// Ends the script with the server.
    pub fn abandon(self, session: &Session, worker: &WorkerContext) {
        self.log(session, worker);
        self.script.finish_off(KillReason::ServerStop);
    }

    fn send(&mut self, turn: &mut Turn<'_>) -> Relayed {
        let waiting = self.parser.pending().len() as u64;
        let allowance = self.cgi_request.pacer.as_mut().map(|pacer| {
            pacer.set_remaining(waiting);
            pacer.allowance(Instant::now())
        });
        let most = match allowance {
            Some(Allowance::Until(_)) if turn.client_is_gone() => {
                return Err(ResponseEnd::ClientGone(CloseReason::Reset));
            }
            Some(Allowance::Until(until)) => {
                self.watch.pause();
                return Ok(Some(Wait { on: On::Time, until }));
            }
            Some(Allowance::Bytes(n)) => n.min(turn.budget.bytes()),
            None => turn.budget.bytes(),
        };
        let pending = self.parser.pending();
        let n = usize::try_from(most).map_or(pending.len(), |most| most.min(pending.len()));
        let progress = turn.session.socket().write(&pending[..n], false);
        let moved = if let Progress::Moved(n) = progress { n } else { 0 };
        if let Some(pacer) = &mut self.cgi_request.pacer {
            pacer.sent(moved as u64, Instant::now());
        }
        match progress {
            Progress::Moved(n) => {
                self.parser.sent(n);
                turn.budget.spend_bytes(n as u64);
                self.watch.sent(n as u64);
                Ok(None)
            }
            Progress::WouldBlock => {
                let parser = &mut self.parser;
                self.counted.get_or_insert_with(|| RESPONSE_MEMORY.reserve_used(parser.release_sent()));
                let waited = timeouts::room_to_send(turn, &mut self.watch, false);
                waited.map(Some).map_err(ResponseEnd::ClientGone)
            }
            ended => Err(ResponseEnd::ClientGone(ended.close_reason())),
        }
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Relayed {
        // Asked before reading: what it wrote before its end is there to be read.
        let ended = self.script.is_over();
        if ended && self.rest.is_none() {
            self.rest = Some(self.script.unread());
        }
        self.counted = None;
        let mut piece = take(&mut turn.worker.output);
        piece.clear();
        let most = if RESPONSE_MEMORY.is_tight() { PIECE_WHEN_TIGHT } else { PIECE };
        piece.resize(self.rest.map_or(most, |rest| most.min(rest)), 0);
        // A read of no bytes is the end of the output.
        let read = self.script.read(&mut piece);
        let next = match read {
            Ok(n) if n > 0 => {
                // Output that no client gets takes its time too.
                turn.budget.spend_bytes(n as u64);
                self.rest = self.rest.map(|rest| rest - n);
                self.take(&piece[..n], turn.worker)
            }
            // Background jobs may still hold the pipe, but the script has ended.
            Err(error) if error.kind() == ErrorKind::WouldBlock && !ended => {
                self.wait_for_output(turn.session)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Ok(_) | Err(_) => self.output_ended(),
        };
        turn.worker.output = piece;
        next
    }

    fn take(&mut self, output: &[u8], worker: &WorkerContext) -> Relayed {
        self.written += output.len() as u64;
        let limit = worker.site.cgi.as_ref().map_or(0, |cgi| cgi.output_limit);
        if limit > 0 && self.written > limit {
            return Err(self.failure(KillReason::OutputLimit, 502, "it wrote too much"));
        }
        let may_keep = self.cgi_request.keep_alive && !worker.ends();
        let (version, head_only) =
            (self.cgi_request.response_plan.version, self.cgi_request.response_plan.head_only);
        let mut keeps = self.keeps;
        let applied_rules = self.cgi_request.applied_rules.take();
        let mut write_head = |out: &mut Vec<u8>, head: &ScriptHead, framing: OutputFraming| {
            keeps = may_keep && framing != OutputFraming::UntilClose;
            let frame = Frame {
                version,
                keep_alive: keeps,
                chunked: framing == OutputFraming::Chunked,
                clock: &worker.clock,
                policy: &worker.site.head_policy,
            };
            let foreign = CgiHead {
                status: Status(head.status),
                reason: head.reason.as_deref(),
                length: said_length(head, framing, head_only),
                fields: &head.fields,
                applied_rules: applied_rules.as_ref(),
            };
            write_cgi_head(out, &foreign, &frame);
        };
        let taken = self.parser.take(output, &mut write_head);
        self.keeps = keeps;
        self.cgi_request.applied_rules = applied_rules;
        match taken {
            Ok(ParseProgress::More) => Ok(None),
            Ok(ParseProgress::Enough) => {
                self.complete = true;
                Ok(None)
            }
            Ok(ParseProgress::Redirect(to)) => Err(ResponseEnd::Redirect(to)),
            Err(reason) => Err(self.failure(KillReason::Unwanted, 502, reason)),
        }
    }

    /// Waits for a silent script, while its client is still there.
    fn wait_for_output(&mut self, session: &Session) -> Relayed {
        match session.socket().peer_state() {
            PeerState::Open => {}
            PeerState::Gone => return Err(ResponseEnd::ClientGone(CloseReason::Reset)),
            // The client may still read: only its own system can tell.
            PeerState::HalfClosed if !self.is_probed => {
                session.socket().probe_peer();
                self.is_probed = true;
            }
            PeerState::HalfClosed => {}
        }
        self.watch.pause();
        Ok(Some(Wait { on: On::Pipe(self.script.poll_fd()), until: Instant::now() + HEARTBEAT }))
    }

    /// Ends the output. The script's exit tells whether it is complete; that of a script that goes on without
    /// its output counts as complete.
    fn output_ended(&mut self) -> Relayed {
        let end = self.script.end();
        if end.is_none() && (self.looks < LOOKS || !self.script.is_decided()) {
            self.looks = self.looks.saturating_add(1);
            return Ok(Some(Wait { on: On::Time, until: Instant::now() + LOOK_AGAIN }));
        }
        let end = match end.transpose() {
            Ok(end) => end,
            Err(not_started) => return Err(ResponseEnd::NotStarted(cgi::rejection(not_started))),
        };
        let whole = end.is_none_or(|end| end.by.is_none() && end.status.code().is_some());
        match self.parser.finish(whole) {
            OutputEnd::Complete => {
                self.complete = true;
                Ok(None)
            }
            OutputEnd::Cut(reason) => Err(ResponseEnd::Cut(KillReason::Unwanted, reason)),
            OutputEnd::Nothing(reason) => {
                let in_time = end.is_none_or(|end| end.by != Some(KillReason::TimeLimit));
                let status = if in_time { 502 } else { 504 };
                Err(ResponseEnd::Failed(KillReason::Unwanted, status, reason))
            }
        }
    }

    fn failure(&self, why: KillReason, status: u16, reason: &'static str) -> ResponseEnd {
        match self.parser.status() {
            None => ResponseEnd::Failed(why, status, reason),
            Some(_) => ResponseEnd::Cut(why, reason),
        }
    }

    fn end(mut self, end: ResponseEnd, turn: &Turn<'_>) -> Transition {
        match end {
            ResponseEnd::Complete => {
                self.log(turn.session, turn.worker);
                let transition = self.after(turn.worker);
                self.script.release();
                transition.unless_unread(turn.session.socket())
            }
            ResponseEnd::Cut(why, reason) => {
                self.log(turn.session, turn.worker);
                self.script.log_failure(reason);
                self.script.finish_off(why);
                Transition::Close(CloseReason::ScriptFailed)
            }
            ResponseEnd::Failed(why, status, reason) => {
                self.script.log_failure(reason);
                self.script.finish_off(why);
                fail(self.cgi_request, Rejection::new(status, sentence(status)))
            }
            ResponseEnd::NotStarted(rejection) => fail(self.cgi_request, rejection),
            ResponseEnd::ClientGone(reason) => {
                self.log(turn.session, turn.worker);
                self.script.finish_off(KillReason::Unwanted);
                Transition::Close(reason)
            }
            ResponseEnd::Redirect(to) => match self.cgi_request.head_of_redirect(&to) {
                Some(head) => {
                    self.script.release();
                    Transition::Redirect(self.cgi_request, head)
                }
                None => {
                    self.script.log_failure("it redirects in a circle");
                    fail(self.cgi_request, Rejection::new(502, sentence(502)))
                }
            },
        }
    }

    /// Step after the whole response.
    fn after(&self, worker: &WorkerContext) -> Transition {
        let keeps = self.keeps && self.parser.keeps_connection();
        let reason = if worker.stopping { CloseReason::Shutdown } else { CloseReason::NotKeptAlive };
        match () {
            () if keeps && !worker.stopping => Transition::NextRequest,
            () if self.cgi_request.has_content => Transition::Linger(reason),
            () => Transition::Close(reason),
        }
    }

    fn log(&self, session: &Session, worker: &WorkerContext) {
        let status = self.parser.status().unwrap_or(0);
        let mut entry =
            self.cgi_request.record.entry(session.client_text().as_bytes(), self.parser.content_sent());
        entry.status = status;
        log_exchange(session, worker, &entry);
    }
}

/// Answers in place of the script.
fn fail(cgi_request: Box<CgiRequest>, rejection: Rejection) -> Transition {
    Transition::Fail(cgi_request, rejection, CloseReason::ScriptFailed)
}

/// The length that the head says. Without content it is that of what GET would have sent, which
/// only HEAD's response may say (RFC 9110 §8.6).
fn said_length(head: &ScriptHead, framing: OutputFraming, head_only: bool) -> Option<u64> {
    match framing {
        OutputFraming::Length(length) => Some(length),
        OutputFraming::NoContent if head_only && !matches!(head.status, 204 | 304) => head.length,
        _ => None,
    }
}

fn sentence(status: u16) -> &'static str {
    match status {
        504 => "The program of {url} took too long.",
        _ => "The program of {url} gave no valid response.",
    }
}
