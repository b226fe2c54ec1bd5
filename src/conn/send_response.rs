//! SendResponse: the rest of a response that one call could not take, or that a throttle paces.

use std::time::Instant;

use super::log_record::LogRecord;
use super::progress::SendWatch;
use super::read_request::ReadRequest;
use super::send_queue::{SendQueue, UNPACED};
use super::socket::Progress;
use super::wait::{On, Wait};
use super::{Connection, State, Step, TurnBudget, WorkerContext, reply, send_limits};
use crate::request::BodyLength;
use crate::throttle::{Allowance, Pacer};

/// What follows a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The connection takes another request.
    NextRequest,
    /// It does, once this request's content, which nobody wanted, is read past.
    Drain(BodyLength),
    /// It ends, but the client may still be sending: read on a moment, so that the response is not
    /// destroyed by a reset (RFC 9112 §9.6).
    Linger,
    /// It ends.
    Close,
}

impl After {
    /// Will there be another request?
    pub fn keeps_alive(self) -> bool {
        matches!(self, After::NextRequest | After::Drain(_))
    }
}

/// A response on its way.
#[derive(Debug)]
pub struct SendResponse {
    send_queue: SendQueue,
    record: LogRecord,
    pacer: Option<Pacer>,
    after: After,
    /// Bytes of head not yet sent: they do not count as content.
    head_left: u64,
    /// Bytes of content sent.
    content: u64,
    watch: SendWatch,
    /// Since when it waits for storage.
    waits_since: Option<Instant>,
}

impl SendResponse {
    /// A response of which nothing is sent.
    pub fn new(
        send_queue: SendQueue,
        record: LogRecord,
        mut pacer: Option<Pacer>,
        after: After,
    ) -> SendResponse {
        if let Some(pacer) = &mut pacer {
            pacer.set_remaining(send_queue.len());
        }
        SendResponse {
            send_queue,
            record,
            pacer,
            after,
            head_left: 0,
            content: 0,
            watch: SendWatch::default(),
            waits_since: None,
        }
    }

    /// The same, `head_left` bytes of head and everything after `content` bytes of content to go.
    pub fn part_sent(self, head_left: u64, content: u64) -> SendResponse {
        SendResponse { head_left, content, ..self }
    }

    /// Sends until it is done, the socket is full, the throttle says pause or the share is spent: a piece
    /// begun within the share is sent whole.
    pub fn advance(
        mut self: Box<Self>,
        conn: &mut Connection,
        context: &mut WorkerContext,
        budget: &mut TurnBudget,
    ) -> Step {
        self.watch.resume(context.now.monotonic);
        loop {
            let most = match self.pacer.as_mut().map(|pacer| pacer.allowance(Instant::now())) {
                Some(Allowance::Until(at)) => {
                    self.watch.pause();
                    return Step::Wait(State::SendResponse(self), Wait { on: On::Time, until: at });
                }
                Some(Allowance::Bytes(n)) => n,
                None => UNPACED,
            };
            if !self.may_read(context) {
                return self.wait_for_storage(conn, context);
            }
            self.waits_since = None;
            let progress = self.send_queue.send(&mut conn.socket, most);
            self.account(progress, budget);
            match progress {
                Progress::Moved(_) => {}
                Progress::WouldBlock => {
                    if let Some(pacer) = &mut self.pacer {
                        pacer.sent(0, Instant::now());
                    }
                    return self.wait_for_room(conn, context);
                }
                Progress::Ended => {
                    crate::log::error!("{} a file became shorter while it was sent", conn.client_text);
                    self.record(conn, context);
                    return Step::Close;
                }
                Progress::Broken(_) => {
                    self.record(conn, context);
                    return Step::Close;
                }
            }
            if self.send_queue.is_empty() {
                self.record(conn, context);
                return self.end(conn, context);
            }
            if budget.is_spent() {
                return Step::Yield(State::SendResponse(self));
            }
        }
    }

    /// The kernel's buffer is full; a client that takes too little is given up.
    fn wait_for_room(mut self: Box<Self>, conn: &Connection, context: &WorkerContext) -> Step {
        let limits = send_limits(&context.site, self.send_queue.held.is_some());
        match self.watch.wait(conn.socket.unacknowledged(), limits, Instant::now()) {
            Some(until) => Step::Wait(State::SendResponse(self), Wait { on: On::Writable, until }),
            None => {
                crate::log::info!("{} connection timed out sending", conn.client_text);
                self.record(conn, context);
                Step::Close
            }
        }
    }

    /// Prepares for the next bytes' disk, if they come from one. False: it may not answer, and as many
    /// workers as may be wait for such disks.
    fn may_read(&self, context: &WorkerContext) -> bool {
        if self.send_queue.reads_remote() && !context.blocking.enter_remote() {
            return false;
        }
        if self.send_queue.reads_disk() {
            context.blocking.block_in_place();
            // A client on this very machine may need this very processor to read what it has been sent
            // before more follows; bytes that pile up unread leave the processors' caches.
            std::thread::yield_now();
        }
        true
    }

    /// Waits until a worker has come back from storage that may not answer, for as long as a client may
    /// keep us waiting.
    fn wait_for_storage(mut self: Box<Self>, conn: &Connection, context: &WorkerContext) -> Step {
        self.watch.pause();
        let until = *self.waits_since.get_or_insert_with(Instant::now) + context.site.config.timeouts.send;
        if Instant::now() < until {
            return Step::Wait(State::SendResponse(self), Wait { on: On::RemoteStorage, until });
        }
        crate::log::error!("{} a file's storage did not answer in time", conn.client_text);
        self.record(conn, context);
        Step::Close
    }

    /// What follows the last byte.
    fn end(&self, conn: &Connection, context: &WorkerContext) -> Step {
        match self.after {
            // A request that has come meanwhile was noted, and the lot will say so.
            After::NextRequest if conn.input_drained => ReadRequest::first().idle(conn, context),
            after => after.step(conn),
        }
    }

    fn account(&mut self, progress: Progress, budget: &mut TurnBudget) {
        let n = match progress {
            Progress::Moved(n) => n as u64,
            _ => 0,
        };
        self.watch.sent(n);
        budget.spend_bytes(n);
        let head = n.min(self.head_left);
        self.head_left -= head;
        self.content += n - head;
        if let Some(pacer) = &mut self.pacer {
            pacer.sent(n, Instant::now());
        }
    }

    /// Writes the access log's line, with what was really sent.
    pub fn record(&self, conn: &Connection, context: &WorkerContext) {
        let entry = self.record.entry(&conn.client_text, self.content);
        reply::record_now(conn, context, &entry);
    }
}
