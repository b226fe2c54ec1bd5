//! ReadRequest: bytes → requests, each answered as soon as its head is complete.

use std::mem::{replace, take};
use std::time::{Duration, Instant};

use super::exchange::{self, Outcome};
use super::linger::Linger;
use super::socket::Progress;
use super::wait::{On, Wait, Wake};
use super::{Connection, State, Step, TurnBudget, WorkerContext, readable_within};
use crate::request::{Parsed, Rejection, Request, head};
use crate::resource::Retry;

/// Waiting for a request, or in the middle of its head.
#[derive(Debug)]
pub struct ReadRequest {
    /// When the first byte of the unfinished head came; its deadline counts from here, so that a
    /// trickle of bytes does not move it (thttpd counts from the last byte).
    first_byte: Option<Instant>,
    /// The request at hand is whole and waits for its turn to be answered.
    paused: bool,
    /// Since when it does.
    waits_since: Option<Instant>,
}

/// How long a request waits until it is tried again that cannot be decided just now.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a request waits for its list to be made, or for a worker that may look at storage which does
/// not answer others.
const SHORT_WAIT: Duration = Duration::from_secs(5);

impl ReadRequest {
    /// Nothing has arrived yet.
    pub fn first() -> ReadRequest {
        ReadRequest { first_byte: None, paused: false, waits_since: None }
    }

    /// Reads and answers until the client has nothing more to say.
    pub fn advance(
        mut self,
        conn: &mut Connection,
        wake: Wake,
        context: &mut WorkerContext,
        budget: &mut TurnBudget,
    ) -> Step {
        if wake == Wake::Expired && !self.paused {
            return self.expired(conn, context);
        }
        self.paused = false;
        let mut buffer = take(&mut context.receive_buffer);
        buffer.begin(&mut conn.pending);
        let mut may_block = wake == Wake::SpinRead;
        // What is read first was there when the worker woke; what is read behind it may be news.
        let mut is_news = wake == Wake::SpinRead || !buffer.is_empty();
        let step = loop {
            if !buffer.is_empty() {
                conn.began = self.first_byte.or(self.waits_since).unwrap_or(context.now.monotonic);
                match head::parse(buffer.bytes(), &context.site.config.limits) {
                    Ok(Parsed::Partial) => {}
                    Ok(Parsed::Complete(request, len)) => {
                        conn.input_drained = wake != Wake::Hangup && buffer.is_drained_after(len);
                        let outcome = self.answer(conn, &request, context);
                        if let Outcome::Later(retry) = outcome {
                            break self.pause(retry);
                        }
                        buffer.consume(len);
                        self.answered(conn, budget);
                        match outcome {
                            // To close on what has come behind the last request would reset the connection.
                            Outcome::Go(Step::Close) if !buffer.is_drained() => break Linger::enter(conn),
                            Outcome::Go(step) => break step,
                            Outcome::NextRequest if budget.is_spent() && !buffer.is_empty() => {
                                break Step::Yield(State::ReadRequest(self));
                            }
                            Outcome::NextRequest | Outcome::Later(_) => {}
                        }
                        // To ask again would nearly always be in vain.
                        if conn.input_drained && !context.stopping {
                            break self.idle(conn, context);
                        }
                        continue;
                    }
                    Err(rejection) => break exchange::refuse(conn, buffer.bytes(), &rejection, context),
                }
            }
            let wait = take(&mut may_block).then_some(&mut context.blocking_read);
            let progress = buffer.fill(&mut conn.socket, wait);
            if replace(&mut is_news, true) {
                context.expire_readings();
            }
            if !matches!(progress, Progress::Moved(_)) {
                break self.without_input(&progress, buffer.bytes(), conn, context);
            }
        };
        conn.pending = buffer.finish();
        context.receive_buffer = buffer;
        step
    }

    /// Counts an answered request and forgets its times.
    fn answered(&mut self, conn: &mut Connection, budget: &mut TurnBudget) {
        (self.first_byte, self.waits_since) = (None, None);
        conn.charged.clear();
        conn.served += 1;
        budget.spend_request();
    }

    /// Ends the turn of a read that brought no bytes behind `bytes`.
    fn without_input(
        self,
        progress: &Progress,
        bytes: &[u8],
        conn: &mut Connection,
        context: &mut WorkerContext,
    ) -> Step {
        let is_blank = head::is_blank(bytes);
        match progress {
            Progress::Moved(_) | Progress::WouldBlock => self.wait(conn, is_blank, context),
            Progress::Ended if !is_blank => incomplete(conn, bytes, context),
            Progress::Ended | Progress::Broken(_) => Step::Close,
        }
    }

    /// Answers the request at hand, or puts it off.
    fn answer(&self, conn: &mut Connection, request: &Request<'_>, context: &mut WorkerContext) -> Outcome {
        let (since, longest) = (self.waits_since, context.site.config.timeouts.head);
        let may_wait = |retry| {
            let longest = match retry {
                Retry::Soon => longest,
                Retry::AfterLists | Retry::WhenRemoteIsFree => longest.min(SHORT_WAIT),
            };
            since.is_none_or(|since| since.elapsed() < longest)
        };
        exchange::answer(conn, request, &may_wait, context)
    }

    fn pause(mut self, retry: Retry) -> Step {
        let now = Instant::now();
        self.paused = true;
        let since = *self.waits_since.get_or_insert(now);
        let wait = match retry {
            Retry::Soon => Wait { on: On::Time, until: now + PAUSE },
            Retry::AfterLists => Wait { on: On::Time, until: now + 10 * PAUSE },
            Retry::WhenRemoteIsFree => Wait { on: On::RemoteStorage, until: since + SHORT_WAIT },
        };
        Step::Wait(State::ReadRequest(self), wait)
    }

    /// Nothing more to read for now.
    fn wait(mut self, conn: &Connection, nothing_begun: bool, context: &WorkerContext) -> Step {
        if nothing_begun && conn.served > 0 {
            // Whoever has just asked in vain need not be patient once more.
            return match self.idle(conn, context) {
                Step::Idle(state, wait) => Step::Wait(state, wait),
                step => step,
            };
        }
        if nothing_begun && context.stopping {
            return Step::Close;
        }
        let limit = context.site.config.timeouts.head;
        let left = if nothing_begun {
            limit.saturating_sub(context.now.since(conn.accepted))
        } else {
            limit.saturating_sub(context.now.since(*self.first_byte.get_or_insert(context.now.monotonic)))
        };
        Step::Wait(State::ReadRequest(self), readable_within(left, context))
    }

    /// Waits between two requests of a persistent connection.
    pub(super) fn idle(self, conn: &Connection, context: &WorkerContext) -> Step {
        if context.stopping {
            return Step::Close;
        }
        let timeouts = &context.site.config.timeouts;
        let mut limit = timeouts.keepalive;
        if !timeouts.keepalive_total.is_zero() {
            limit = limit.min(timeouts.keepalive_total.saturating_sub(context.now.since(conn.accepted)));
        }
        Step::Idle(State::ReadRequest(self), readable_within(limit.max(Duration::from_millis(1)), context))
    }

    /// An idle connection is closed without a word; half a head is told that it came too slowly.
    fn expired(self, conn: &mut Connection, context: &mut WorkerContext) -> Step {
        if head::is_blank(&conn.pending) {
            return Step::Close;
        }
        conn.set_client(conn.sender);
        conn.began = self.first_byte.unwrap_or(conn.accepted);
        crate::log::info!("{} connection timed out reading", conn.client_text);
        let rejection = Rejection::fatal(408, "No complete request arrived in time.");
        let bytes = take(&mut conn.pending);
        exchange::refuse(conn, &bytes, &rejection, context)
    }
}

/// The client ended in the middle of a head.
fn incomplete(conn: &mut Connection, bytes: &[u8], context: &mut WorkerContext) -> Step {
    let rejection = Rejection::malformed("The request ended before its head was complete.");
    exchange::refuse(conn, bytes, &rejection, context)
}
