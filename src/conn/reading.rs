//! Reading: bytes → requests, each answered as soon as its head is complete.

use std::mem::{replace, take};
use std::time::{Duration, Instant};

use super::lingering::Lingering;
use super::socket::Progress;
use super::wait::{On, Wait, Wake};
use super::{Connection, Desk, Phase, Share, Step, exchange, readable_within};
use crate::request::{Parsed, Rejection, head};

/// Waiting for a request, or in the middle of its head.
#[derive(Debug)]
pub struct Reading {
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

impl Reading {
    /// Nothing has arrived yet.
    pub fn first() -> Reading {
        Reading { first_byte: None, paused: false, waits_since: None }
    }

    /// Reads and answers until the client has nothing more to say.
    pub fn go_on(mut self, conn: &mut Connection, wake: Wake, desk: &mut Desk, share: &mut Share) -> Step {
        if wake == Wake::Expired && !take(&mut self.paused) {
            return self.expired(conn, desk);
        }
        let mut input = take(&mut desk.input);
        input.begin(&mut conn.pending);
        let mut is_patient = wake == Wake::Patient;
        // What is read first was there when the worker woke; what is read behind it may be news.
        let mut is_news = wake == Wake::Patient || !input.is_empty();
        let step = loop {
            if !input.is_empty() {
                match head::parse(input.bytes(), &desk.site.config.limits) {
                    Ok(Parsed::Partial) => {}
                    Ok(Parsed::Complete(request, len)) => {
                        conn.is_heard = wake != Wake::Hangup && input.is_drained_behind(len);
                        let outcome = exchange::answer(conn, &request, self.may_wait(desk), desk);
                        if matches!(outcome, exchange::Outcome::Later) {
                            break self.pause();
                        }
                        input.consume(len);
                        (self.first_byte, self.waits_since) = (None, None);
                        conn.served += 1;
                        share.spend_request();
                        match outcome {
                            // To close on what has come behind the last request would reset the connection.
                            exchange::Outcome::Go(Step::Close) if !input.is_drained() => {
                                break Lingering::enter(conn);
                            }
                            exchange::Outcome::Go(step) => break step,
                            exchange::Outcome::NextRequest if share.is_spent() && !input.is_empty() => {
                                break Step::Yield(Phase::Reading(self));
                            }
                            exchange::Outcome::NextRequest | exchange::Outcome::Later => {}
                        }
                        // To ask again would nearly always be in vain.
                        if conn.is_heard && !desk.draining {
                            break self.idle(conn, desk);
                        }
                        continue;
                    }
                    Err(refused) => break exchange::refuse(conn, &refused, desk),
                }
            }
            let progress = input.fill(&mut conn.socket, take(&mut is_patient).then_some(&mut desk.patience));
            if replace(&mut is_news, true) {
                desk.inquiry.expire();
                desk.look_at_clock();
            }
            match progress {
                Progress::Moved(_) => {}
                Progress::WouldBlock => break self.wait(conn, head::is_blank(input.bytes()), desk),
                Progress::Ended if head::is_blank(input.bytes()) => break Step::Close,
                Progress::Ended => break incomplete(conn, desk),
                Progress::Broken(_) => break Step::Close,
            }
        };
        conn.pending = input.finish();
        desk.input = input;
        step
    }

    /// May the request at hand be put off?
    fn may_wait(&self, desk: &Desk) -> bool {
        self.waits_since.is_none_or(|since| since.elapsed() < desk.site.config.timeouts.head)
    }

    fn pause(mut self) -> Step {
        let now = Instant::now();
        self.paused = true;
        self.waits_since.get_or_insert(now);
        Step::Wait(Phase::Reading(self), Wait { on: On::Time, until: now + PAUSE })
    }

    /// Nothing more to read for now.
    fn wait(mut self, conn: &Connection, nothing_begun: bool, desk: &Desk) -> Step {
        if nothing_begun && conn.served > 0 {
            // Whoever has just asked in vain need not be patient once more.
            return match self.idle(conn, desk) {
                Step::Idle(phase, wait) => Step::Wait(phase, wait),
                step => step,
            };
        }
        if nothing_begun && desk.draining {
            return Step::Close;
        }
        let limit = desk.site.config.timeouts.head;
        let left = if nothing_begun {
            limit.saturating_sub(desk.now.since(conn.accepted))
        } else {
            limit.saturating_sub(desk.now.since(*self.first_byte.get_or_insert(desk.now.instant)))
        };
        Step::Wait(Phase::Reading(self), readable_within(left, desk))
    }

    /// Waits between two requests of a persistent connection.
    pub(super) fn idle(self, conn: &Connection, desk: &Desk) -> Step {
        if desk.draining {
            return Step::Close;
        }
        let timeouts = &desk.site.config.timeouts;
        let mut limit = timeouts.keepalive;
        if !timeouts.keepalive_total.is_zero() {
            limit = limit.min(timeouts.keepalive_total.saturating_sub(desk.now.since(conn.accepted)));
        }
        Step::Idle(Phase::Reading(self), readable_within(limit.max(Duration::from_millis(1)), desk))
    }

    /// An idle connection is closed without a word; half a head is told that it came too slowly.
    fn expired(self, conn: &mut Connection, desk: &mut Desk) -> Step {
        if head::is_blank(&conn.pending) {
            return Step::Close;
        }
        crate::log::info!("{} connection timed out reading", conn.peer_text);
        let rejection = Rejection::fatal(408, "No complete request arrived in time.");
        exchange::refuse(conn, &head::Refused { rejection, line: None }, desk)
    }
}

/// The client ended in the middle of a head.
fn incomplete(conn: &mut Connection, desk: &mut Desk) -> Step {
    let rejection = Rejection::malformed("The request ended before its head was complete.");
    exchange::refuse(conn, &head::Refused { rejection, line: None }, desk)
}
