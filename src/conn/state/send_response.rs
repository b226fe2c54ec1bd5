//! SendResponse: the rest of a response that one call could not take, or that a throttle paces.

use std::time::Instant;

use crate::conn::close_reason::CloseReason;
use crate::conn::context::{Turn, WorkerContext};
use crate::conn::io::socket::Progress;
use crate::conn::outgoing::{AfterResponse, Outgoing};
use crate::conn::reply::log_exchange;
use crate::conn::session::Session;
use crate::conn::timeouts;
use crate::conn::transition::{Advance, Pause, Transition};
use crate::conn::wait::{On, Wait};

/// A response on its way.
#[derive(Debug)]
pub struct SendResponse(Box<Outgoing>);

impl SendResponse {
    /// The state of a connection that sends `outgoing`.
    pub fn new(outgoing: Box<Outgoing>) -> SendResponse {
        SendResponse(outgoing)
    }

    /// Sends until it is done, the socket is full, the throttle says pause or the budget is spent: a piece
    /// begun within the budget is sent whole.
    pub fn advance(mut self, turn: &mut Turn<'_>) -> Advance<SendResponse> {
        self.0.resume(turn.worker.now.monotonic);
        loop {
            let most = match self.0.allowance() {
                Ok(most) => most,
                Err(until) => return self.wait_for_throttle(until, turn),
            };
            if !self.may_read(turn.worker) {
                return self.wait_for_storage(turn);
            }
            let progress = self.0.send(turn.session.socket_mut(), most);
            match progress {
                Progress::Moved(n) => turn.budget.spend_bytes(n as u64),
                Progress::WouldBlock => return self.wait_for_room(turn),
                Progress::Ended => {
                    let client = turn.session.client_text();
                    crate::log::error!(
                        "{client} URL \"{}\": its file became shorter while it was sent",
                        self.0.entry(client.as_bytes()).target.escape_ascii()
                    );
                    return self.close(turn, CloseReason::FileTruncated);
                }
                Progress::Broken(_) => return self.close(turn, progress.close_reason()),
            }
            if self.0.is_sent() {
                self.log(turn.session, turn.worker);
                return Advance::Go(match self.0.after() {
                    AfterResponse::Close(_) => {
                        Transition::from(self.0.after()).unless_unread(turn.session.socket())
                    }
                    after => after.into(),
                });
            }
            if turn.budget.is_spent() {
                return Advance::Stay(self, Pause::Yield);
            }
        }
    }

    /// Waits until the throttle grants more; a client that is gone leaves its share to others at once.
    fn wait_for_throttle(self, until: Instant, turn: &Turn<'_>) -> Advance<SendResponse> {
        match turn.client_is_gone() {
            true => self.close(turn, CloseReason::Reset),
            false => Advance::Stay(self, Pause::Wait(Wait { on: On::Time, until })),
        }
    }

    /// Waits for room in the kernel's full buffer; a client that takes too little is given up.
    fn wait_for_room(mut self, turn: &Turn<'_>) -> Advance<SendResponse> {
        let holds = self.0.holds_memory();
        match timeouts::room_to_send(turn, self.0.watch_mut(), holds) {
            Ok(wait) => Advance::Stay(self, Pause::Wait(wait)),
            Err(reason) => self.close(turn, reason),
        }
    }

    /// Prepares for the next bytes' disk, if they come from one. False: it may not answer, and as many
    /// workers as may be wait for such disks.
    fn may_read(&self, worker: &WorkerContext) -> bool {
        if self.0.reads_remote() && !worker.blocking.enter_remote() {
            return false;
        }
        if self.0.reads_disk() {
            worker.blocking.block_in_place();
            // A client on this very machine may need this very processor to read what it has been sent
            // before more follows; bytes that pile up unread leave the processors' caches.
            std::thread::yield_now();
        }
        true
    }

    /// Waits for a slot in remote storage, for at most `send_timeout`.
    fn wait_for_storage(mut self, turn: &Turn<'_>) -> Advance<SendResponse> {
        match timeouts::storage_since(turn, self.0.wait_for_storage()) {
            Ok(wait) => Advance::Stay(self, Pause::Wait(wait)),
            Err(reason) => self.close(turn, reason),
        }
    }

    /// Gives up the rest.
    fn close(self, turn: &Turn<'_>, reason: CloseReason) -> Advance<SendResponse> {
        self.log(turn.session, turn.worker);
        Advance::close(reason)
    }

    /// Writes the access log's line, with what was really sent.
    pub fn log(&self, session: &Session, worker: &WorkerContext) {
        log_exchange(session, worker, &self.0.entry(session.client_text().as_bytes()));
    }
}
