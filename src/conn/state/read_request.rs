//! ReadRequest: bytes → requests, each answered as soon as its head is complete.

use std::mem::{replace, take};
use std::time::{Duration, Instant};

use crate::conn::answer::{self, refuse};
use crate::conn::close_reason::CloseReason;
use crate::conn::context::{Turn, WorkerContext};
use crate::conn::io::receive_buffer::ReceiveBuffer;
use crate::conn::io::socket::Progress;
use crate::conn::reply::log_undecided;
use crate::conn::session::Session;
use crate::conn::timeouts;
use crate::conn::transition::{Advance, Pause, Transition};
use crate::conn::wait::{On, Wait, Wake};
use crate::request::{Parsed, Rejection, Request, head};
use crate::resource::Retry;

/// Pause of a request that cannot be decided just now, until it is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// Longest wait of a request for a permit to make its list, or for a slot in remote storage.
const SHORT_WAIT: Duration = Duration::from_secs(5);

/// Waiting for a request, or in the middle of its head.
#[derive(Debug, Default)]
pub struct ReadRequest {
    /// Time of the first byte of the unfinished head; its deadline counts from here, so that a trickle of
    /// bytes does not move it (thttpd counts from the last byte).
    first_byte: Option<Instant>,
    /// Set if a complete request waits to be decided.
    paused: bool,
    /// Time since which that request waits.
    waits_since: Option<Instant>,
    /// Set if the socket is known to be empty: the first read is skipped.
    is_drained: bool,
}

/// Result for the bytes at hand.
enum Answered {
    /// Step after a request of so many bytes.
    Whole(Transition, usize),
    /// Step after bytes that are no request.
    Refused(Transition),
    /// Time at which the request is to be decided again.
    Later(Retry),
    /// No request yet.
    Incomplete,
}

/// Notes whether nothing is left to read behind a request of `len` bytes.
fn note_drained(turn: &mut Turn<'_>, buffer: &ReceiveBuffer, len: usize) {
    let sees_end = turn.wake != Wake::Hangup && !turn.session.take_unseen_end();
    turn.session.set_input_drained(sees_end && buffer.is_drained_after(len));
}

impl ReadRequest {
    /// State before the first byte of a request; `is_drained` tells that the socket is empty, too.
    pub fn new(is_drained: bool) -> ReadRequest {
        ReadRequest { is_drained, ..ReadRequest::default() }
    }

    /// Reads and answers until the client has nothing more to say.
    pub fn advance(mut self, turn: &mut Turn<'_>) -> Advance<ReadRequest> {
        if take(&mut self.is_drained) {
            return self.idle(turn);
        }
        if turn.wake == Wake::Expired && !self.paused {
            return Advance::Go(timeouts::end_of_head(turn, self.first_byte));
        }
        self.paused = false;
        turn.with_buffer(|turn, buffer| self.read(turn, buffer))
    }

    fn read(mut self, turn: &mut Turn<'_>, buffer: &mut ReceiveBuffer) -> Advance<ReadRequest> {
        let mut may_block = turn.wake == Wake::SpinRead;
        // The first read returns data that epoll already reported; later reads may be newer.
        let mut is_news = may_block || !buffer.is_empty();
        loop {
            if !buffer.is_empty() {
                let began = self.first_byte.or(self.waits_since);
                turn.session.set_began(began.unwrap_or(turn.worker.now.monotonic));
                match self.answer(turn, buffer) {
                    Answered::Whole(transition, len) => {
                        buffer.consume(len);
                        self.count_answered(turn);
                        match transition {
                            Transition::NextRequest => {}
                            // To close on what has come behind the last request would reset the connection.
                            Transition::Close(reason) if !buffer.is_drained() => {
                                return Advance::Go(Transition::Linger(reason));
                            }
                            other => return Advance::Go(other),
                        }
                        if turn.budget.is_spent() && !buffer.is_empty() {
                            return Advance::Stay(self, Pause::Yield);
                        }
                        if turn.session.input_drained() && !turn.worker.stopping {
                            return self.idle(turn);
                        }
                        continue;
                    }
                    Answered::Refused(transition) => return Advance::Go(transition),
                    Answered::Later(retry) => return self.pause(retry),
                    Answered::Incomplete => {}
                }
            }
            let wait = take(&mut may_block).then_some(&mut turn.worker.blocking_read);
            let progress = buffer.fill(turn.session.socket_mut(), wait);
            if replace(&mut is_news, true) {
                turn.worker.expire_readings();
            }
            if !matches!(progress, Progress::Moved(_)) {
                return self.without_input(turn, progress, buffer.bytes());
            }
        }
    }

    /// Logs what is cut off. A head that is not complete names no client, as where it is refused.
    pub fn abandon(self, session: &mut Session, worker: &WorkerContext) {
        if !self.paused {
            session.set_client_to_sender();
            session.begin_details(worker.site.log.has_details());
        }
        log_undecided(session, worker);
    }

    /// Counts an answered request, and clears its times.
    fn count_answered(&mut self, turn: &mut Turn<'_>) {
        (self.first_byte, self.waits_since) = (None, None);
        turn.session.count_served();
        turn.budget.spend_request();
    }

    /// Ends the turn of a read that brought no bytes behind `bytes`.
    fn without_input(self, turn: &mut Turn<'_>, progress: Progress, bytes: &[u8]) -> Advance<ReadRequest> {
        let is_blank = head::is_blank(bytes);
        match progress {
            Progress::Moved(_) | Progress::WouldBlock => self.wait(turn, is_blank),
            Progress::Ended if !is_blank => {
                let rejection = Rejection::malformed("The request ended before its head was complete.");
                Advance::Go(refuse(turn, bytes, &rejection, CloseReason::ProtocolError))
            }
            ended => Advance::close(ended.close_reason()),
        }
    }

    /// Answers the request at the start of `buffer`.
    fn answer(&self, turn: &mut Turn<'_>, buffer: &ReceiveBuffer) -> Answered {
        let bytes = buffer.bytes();
        if let Some(cached) = answer::cached(turn, bytes) {
            note_drained(turn, buffer, bytes.len());
            return Answered::Whole(answer::repeat(turn, &cached), bytes.len());
        }
        match head::parse(bytes, &turn.worker.site.config.limits) {
            Ok(Parsed::Partial) => Answered::Incomplete,
            Ok(Parsed::Complete(request, len)) => {
                note_drained(turn, buffer, len);
                match self.decide(turn, &request) {
                    Ok(transition) => Answered::Whole(transition, len),
                    Err(retry) => Answered::Later(retry),
                }
            }
            Err(rejection) => Answered::Refused(refuse(turn, bytes, &rejection, CloseReason::ProtocolError)),
        }
    }

    /// Answers the request at hand, or puts it off.
    fn decide(&self, turn: &mut Turn<'_>, request: &Request<'_>) -> Result<Transition, Retry> {
        let (since, longest) = (self.waits_since, turn.worker.site.config.timeouts.head);
        let may_wait = |retry| {
            let longest = match retry {
                Retry::Soon => longest,
                Retry::AfterLists | Retry::WhenRemoteIsFree => longest.min(SHORT_WAIT),
            };
            since.is_none_or(|since| since.elapsed() < longest)
        };
        if since.is_none() {
            turn.session.begin_request();
        }
        answer::answer(turn, request, &may_wait)
    }

    fn pause(mut self, retry: Retry) -> Advance<ReadRequest> {
        let now = Instant::now();
        self.paused = true;
        let since = *self.waits_since.get_or_insert(now);
        let wait = match retry {
            Retry::Soon => Wait { on: On::Time, until: now + PAUSE },
            Retry::AfterLists => Wait { on: On::Time, until: now + 10 * PAUSE },
            Retry::WhenRemoteIsFree => Wait { on: On::RemoteStorage, until: since + SHORT_WAIT },
        };
        Advance::Stay(self, Pause::Wait(wait))
    }

    /// Nothing more to read for now.
    fn wait(mut self, turn: &Turn<'_>, nothing_begun: bool) -> Advance<ReadRequest> {
        if nothing_begun && turn.session.served() > 0 {
            // The last read returned EAGAIN: park instead of spinning again.
            return match self.idle(turn) {
                Advance::Stay(state, Pause::Idle(wait)) => Advance::Stay(state, Pause::Wait(wait)),
                other => other,
            };
        }
        if nothing_begun && turn.worker.stopping {
            return Advance::close(CloseReason::Shutdown);
        }
        let since = if nothing_begun {
            turn.session.accepted()
        } else {
            *self.first_byte.get_or_insert(turn.worker.now.monotonic)
        };
        Advance::Stay(self, Pause::Wait(timeouts::head_since(turn, since)))
    }

    /// Waits between two requests of a persistent connection.
    fn idle(self, turn: &Turn<'_>) -> Advance<ReadRequest> {
        if turn.worker.stopping {
            return Advance::close(CloseReason::Shutdown);
        }
        Advance::Stay(self, Pause::Idle(timeouts::next_request(turn)))
    }
}
