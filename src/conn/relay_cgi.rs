//! RelayCgi: a script's output → the client. Waits for one of them at a time, and holds one buffer:
//! a client that does not read stops the script, not the server.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::cgi_request::CgiRequest;
use super::progress::SendWatch;
use super::send_response::After;
use super::socket::{PeerState, Progress};
use super::wait::{On, Wait};
use super::{Connection, State, Step, TurnBudget, WorkerContext, exchange, reply, send_limits};
use crate::cgi::event::KillReason;
use crate::cgi::head::ScriptHead;
use crate::cgi::output_parser::{OutputEnd, OutputFraming, OutputParser, ParseProgress};
use crate::cgi::{self, children::RunningScript};
use crate::request::Rejection;
use crate::response::Status;
use crate::response::head::{CgiHead, Frame, write_cgi_head};
use crate::throttle::Allowance;

/// Bytes read from a script at once.
const PIECE: usize = 32 * 1024;
/// While a script is silent, how often it is asked whether client and script are still there.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Output ends a moment before the script does. How often its end is looked for, and how soon.
const LOOKS: u8 = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A script's output on its way to the client.
#[derive(Debug)]
pub struct RelayCgi {
    cgi_request: CgiRequest,
    script: RunningScript,
    translation: OutputParser,
    /// Bytes the script has written.
    written: u64,
    /// The response's head promised that the connection persists.
    keeps: bool,
    /// What is pending is the last of it.
    complete: bool,
    /// Looks for the script's end, after that of its output.
    looks: u8,
    watch: SendWatch,
    /// The client has ended its side, and is asked from time to time whether it is still there.
    is_probed: bool,
}

/// What one move came to.
enum Move {
    /// Go on.
    On,
    /// Nothing to do until then.
    Wait(Wait),
    /// It is over.
    End(Ending),
}

/// How a response ends.
enum Ending {
    Complete,
    /// Something of it is sent, and no more will be.
    Cut(KillReason, &'static str),
    /// Nothing of it is sent: the client gets this status instead.
    Failed(KillReason, u16, &'static str),
    /// It was not started.
    Refused(Rejection),
    /// Another resource of ours answers.
    Redirect(Vec<u8>),
    /// Nobody is there to be answered.
    ClientGone,
}

impl RelayCgi {
    /// Nothing is read yet.
    pub fn new(cgi_request: CgiRequest, script: RunningScript) -> RelayCgi {
        let translation = OutputParser::new(cgi_request.response_plan);
        RelayCgi {
            cgi_request,
            script,
            translation,
            written: 0,
            keeps: false,
            complete: false,
            looks: 0,
            watch: SendWatch::default(),
            is_probed: false,
        }
    }

    /// Reads and sends until one of both has to be waited for.
    pub fn advance(
        mut self: Box<Self>,
        conn: &mut Connection,
        context: &mut WorkerContext,
        budget: &mut TurnBudget,
    ) -> Step {
        self.watch.resume(Instant::now());
        loop {
            let next = match self.translation.pending() {
                [] if self.complete => Move::End(Ending::Complete),
                [] => self.read(conn, context, budget),
                _ => self.send(conn, context, budget),
            };
            match next {
                Move::On if budget.is_spent() => return Step::Yield(State::RelayCgi(self)),
                Move::On => {}
                Move::Wait(wait) => return Step::Wait(State::RelayCgi(self), wait),
                Move::End(ending) => return self.end(ending, conn, context),
            }
        }
    }

    /// The server ends: so does the script.
    pub fn abandon(self, conn: &Connection, context: &WorkerContext) {
        self.record(conn, context);
        self.script.finish_off(KillReason::ServerStop);
    }

    fn send(&mut self, conn: &Connection, context: &WorkerContext, budget: &mut TurnBudget) -> Move {
        let waiting = self.translation.pending().len() as u64;
        let allowance = self.cgi_request.pacer.as_mut().map(|pacer| {
            pacer.set_remaining(waiting);
            pacer.allowance(Instant::now())
        });
        let most = match allowance {
            Some(Allowance::Until(until)) => {
                self.watch.pause();
                return Move::Wait(Wait { on: On::Time, until });
            }
            Some(Allowance::Bytes(n)) => n.min(budget.bytes),
            None => budget.bytes,
        };
        let pending = self.translation.pending();
        let n = usize::try_from(most).map_or(pending.len(), |most| most.min(pending.len()));
        let progress = conn.socket.write(&pending[..n], false);
        let moved = if let Progress::Moved(n) = progress { n } else { 0 };
        if let Some(pacer) = &mut self.cgi_request.pacer {
            pacer.sent(moved as u64, Instant::now());
        }
        match progress {
            Progress::Moved(n) => {
                self.translation.sent(n);
                budget.spend_bytes(n as u64);
                self.watch.sent(n as u64);
                Move::On
            }
            Progress::WouldBlock => {
                let unacknowledged = conn.socket.unacknowledged();
                match self.watch.wait(unacknowledged, send_limits(&context.site, false), Instant::now()) {
                    Some(until) => Move::Wait(Wait { on: On::Writable, until }),
                    None => {
                        crate::log::info!("{} connection timed out sending", conn.client_text);
                        Move::End(Ending::ClientGone)
                    }
                }
            }
            Progress::Ended | Progress::Broken(_) => Move::End(Ending::ClientGone),
        }
    }

    fn read(&mut self, conn: &Connection, context: &mut WorkerContext, budget: &mut TurnBudget) -> Move {
        // Asked before reading: what it wrote before its end is there to be read.
        let ended = self.script.is_over();
        let mut piece = std::mem::take(&mut context.output);
        piece.clear();
        piece.resize(PIECE, 0);
        let read = self.script.read(&mut piece);
        let next = match read {
            Ok(n) if n > 0 => {
                // Output that nobody gets takes its time too.
                budget.spend_bytes(n as u64);
                self.take(&piece[..n], context)
            }
            // Background jobs may still hold the pipe, but the script has ended.
            Err(error) if error.kind() == ErrorKind::WouldBlock && !ended => self.wait_for_output(conn),
            Err(error) if error.kind() == ErrorKind::Interrupted => Move::On,
            Ok(_) | Err(_) => self.output_ended(),
        };
        context.output = piece;
        next
    }

    fn take(&mut self, output: &[u8], context: &WorkerContext) -> Move {
        self.written += output.len() as u64;
        let limit = context.site.cgi.as_ref().map_or(0, |cgi| cgi.output_limit);
        if limit > 0 && self.written > limit {
            return Move::End(self.failure(KillReason::OutputLimit, 502, "it wrote too much"));
        }
        let may_keep = self.cgi_request.keep_alive && !context.ends();
        let (version, head_only) =
            (self.cgi_request.response_plan.version, self.cgi_request.response_plan.head_only);
        let mut keeps = self.keeps;
        let dressed = self.cgi_request.dressed.take();
        let mut write_head = |out: &mut Vec<u8>, head: &ScriptHead, framing: OutputFraming| {
            keeps = may_keep && framing != OutputFraming::UntilClose;
            let frame = Frame {
                version,
                keep_alive: keeps,
                chunked: framing == OutputFraming::Chunked,
                clock: &context.clock,
                policy: &context.site.head_policy,
            };
            let foreign = CgiHead {
                status: Status(head.status),
                reason: head.reason.as_deref(),
                length: said_length(head, framing, head_only),
                fields: &head.fields,
                dressed: dressed.as_ref(),
            };
            write_cgi_head(out, &foreign, &frame);
        };
        let taken = self.translation.take(output, &mut write_head);
        self.keeps = keeps;
        self.cgi_request.dressed = dressed;
        match taken {
            Ok(ParseProgress::More) => Move::On,
            Ok(ParseProgress::Enough) => {
                self.complete = true;
                Move::On
            }
            Ok(ParseProgress::Redirect(to)) => Move::End(Ending::Redirect(to)),
            Err(reason) => Move::End(self.failure(KillReason::Unwanted, 502, reason)),
        }
    }

    /// The script is silent. While it is, see to it that somebody still listens.
    fn wait_for_output(&mut self, conn: &Connection) -> Move {
        match conn.socket.peer_state() {
            PeerState::Open => {}
            PeerState::Gone => return Move::End(Ending::ClientGone),
            // It may still read: only its own system can tell.
            PeerState::HalfClosed if !self.is_probed => {
                conn.socket.probe_peer();
                self.is_probed = true;
            }
            PeerState::HalfClosed => {}
        }
        self.watch.pause();
        Move::Wait(Wait { on: On::Pipe(self.script.news()), until: Instant::now() + HEARTBEAT })
    }

    /// No more output will come. How the script ended tells whether it is whole; a script that goes
    /// on without its output is believed.
    fn output_ended(&mut self) -> Move {
        let end = self.script.end();
        if end.is_none() && (self.looks < LOOKS || !self.script.is_decided()) {
            self.looks = self.looks.saturating_add(1);
            return Move::Wait(Wait { on: On::Time, until: Instant::now() + LOOK_AGAIN });
        }
        let end = match end.transpose() {
            Ok(end) => end,
            Err(not_started) => return Move::End(Ending::Refused(cgi::rejection(not_started))),
        };
        let whole = end.is_none_or(|end| end.by.is_none() && end.status.code().is_some());
        match self.translation.finish(whole) {
            OutputEnd::Complete => {
                self.complete = true;
                Move::On
            }
            OutputEnd::Cut(reason) => Move::End(Ending::Cut(KillReason::Unwanted, reason)),
            OutputEnd::Nothing(reason) => {
                let in_time = end.is_none_or(|end| end.by != Some(KillReason::TimeLimit));
                let status = if in_time { 502 } else { 504 };
                Move::End(Ending::Failed(KillReason::Unwanted, status, reason))
            }
        }
    }

    fn failure(&self, why: KillReason, status: u16, reason: &'static str) -> Ending {
        match self.translation.status() {
            None => Ending::Failed(why, status, reason),
            Some(_) => Ending::Cut(why, reason),
        }
    }

    fn end(mut self, ending: Ending, conn: &mut Connection, context: &mut WorkerContext) -> Step {
        match ending {
            Ending::Complete => {
                self.record(conn, context);
                let after = self.after(context);
                self.script.release();
                after.step(conn)
            }
            Ending::Cut(why, reason) => {
                self.record(conn, context);
                self.script.log_failure(reason);
                self.script.finish_off(why);
                Step::Close
            }
            Ending::Failed(why, status, reason) => {
                self.script.log_failure(reason);
                self.script.finish_off(why);
                let rejection = Rejection::new(status, sentence(status));
                exchange::fail(conn, &mut self.cgi_request, &rejection, context)
            }
            Ending::Refused(rejection) => exchange::fail(conn, &mut self.cgi_request, &rejection, context),
            Ending::ClientGone => {
                self.record(conn, context);
                self.script.finish_off(KillReason::Unwanted);
                Step::Close
            }
            Ending::Redirect(to) => {
                let Some((head, redirects)) = self.cgi_request.head_of_redirect(&to) else {
                    self.script.log_failure("it redirects in a circle");
                    return exchange::fail(
                        conn,
                        &mut self.cgi_request,
                        &Rejection::new(502, sentence(502)),
                        context,
                    );
                };
                self.script.release();
                exchange::redirect(conn, &head, (self.cgi_request, redirects), context)
            }
        }
    }

    fn after(&self, context: &WorkerContext) -> After {
        match () {
            () if self.keeps && self.translation.keeps_connection() && !context.stopping => {
                After::NextRequest
            }
            () if self.cgi_request.has_content => After::Linger,
            () => After::Close,
        }
    }

    fn record(&self, conn: &Connection, context: &WorkerContext) {
        let status = self.translation.status().unwrap_or(0);
        let mut entry = self.cgi_request.record.entry(&conn.client_text, self.translation.content_sent());
        entry.status = status;
        reply::record_now(conn, context, &entry);
    }
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
