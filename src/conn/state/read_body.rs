//! ReadBody: the content of a script's request, kept until it is complete.
//!
//! Only then is the script started: a slow upload holds a connection and a spool, but no process.

use std::mem::take;
use std::time::{Duration, Instant};

use crate::conn::close_reason::CloseReason;
use crate::conn::context::Turn;
use crate::conn::io::receive_buffer::ReceiveBuffer;
use crate::conn::io::socket::Progress;
use crate::conn::progress::RateWatch;
use crate::conn::reply::log_unanswered;
use crate::conn::session::Session;
use crate::conn::timeouts;
use crate::conn::transition::{Advance, Pause, Transition, Upload};
use crate::conn::wait::{On, Wait, Wake};
use crate::request::Rejection;
use crate::request::body::BodyReader;
use crate::response::head::CONTINUE;

/// Time between two tries to make room for content.
const PAUSE: Duration = Duration::from_millis(20);

/// Content on its way in.
#[derive(Debug)]
pub struct ReadBody {
    upload: Box<Upload>,
    reader: BodyReader,
    /// Bytes of it that have come, framing included.
    received: i64,
    watch: RateWatch,
    /// Rest of the `100 Continue` that the client waits for.
    unsent_continue: &'static [u8],
    /// The wait is one for what the system lacks, not for the client.
    is_paused: bool,
}

impl ReadBody {
    /// Content of `upload`, of which nothing is read.
    pub fn new(upload: Box<Upload>) -> ReadBody {
        let unsent_continue = if upload.expects_continue { CONTINUE } else { b"" };
        ReadBody {
            reader: BodyReader::new(upload.length),
            upload,
            received: 0,
            watch: RateWatch::default(),
            unsent_continue,
            is_paused: false,
        }
    }

    /// Takes in what has arrived.
    pub fn advance(mut self: Box<Self>, turn: &mut Turn<'_>) -> Advance<Box<ReadBody>> {
        let was_paused = take(&mut self.is_paused);
        if turn.wake == Wake::Expired && !was_paused {
            return self.too_slow(turn, CloseReason::BodyTimeout);
        }
        self.watch.resume(turn.worker.now.monotonic);
        match self.send_continue(turn.session) {
            None => {}
            Some(Progress::WouldBlock) => {
                let until = Instant::now() + turn.worker.site.config.timeouts.send;
                return Advance::Stay(self, Pause::Wait(Wait { on: On::Writable, until }));
            }
            Some(ended) => return self.cut(turn, ended),
        }
        turn.with_buffer(|turn, buffer| self.read(turn, buffer))
    }

    fn read(mut self: Box<Self>, turn: &mut Turn<'_>, buffer: &mut ReceiveBuffer) -> Advance<Box<ReadBody>> {
        loop {
            if let Err(rejection) = self.make_room(turn, buffer.bytes().len()) {
                return self.pause(turn, rejection);
            }
            let spool = &mut self.upload.spool;
            match self.reader.read(buffer.bytes(), &mut |content: &[u8]| spool.write(content)) {
                Ok((used, complete)) => {
                    buffer.consume(used);
                    turn.budget.spend_bytes(used as u64);
                    self.received += i64::try_from(used).unwrap_or_default();
                    if complete {
                        return Advance::Go(Transition::RunScript(self.upload));
                    }
                }
                Err(rejection) => return self.refuse(rejection, CloseReason::Rejected),
            }
            if turn.budget.is_spent() {
                return Advance::Stay(self, Pause::Yield);
            }
            match buffer.fill(turn.session.socket_mut(), None) {
                Progress::Moved(_) => {}
                Progress::WouldBlock => return self.wait(turn),
                Progress::Ended => {
                    let why = "The request ended before its content was complete.";
                    return self.refuse(Rejection::malformed(why), CloseReason::ProtocolError);
                }
                broken @ Progress::Broken(_) => return self.cut(turn, broken),
            }
        }
    }

    /// Makes room for up to `arrived` bytes of content, so that taking them in lacks no descriptor.
    fn make_room(&mut self, turn: &Turn<'_>, arrived: usize) -> Result<(), Rejection> {
        let rest = self.reader.remaining_hint().unwrap_or(u64::MAX);
        let n = usize::try_from(rest).map_or(arrived, |rest| rest.min(arrived));
        if n == 0 {
            return Ok(());
        }
        if self.upload.spool.goes_to_disk(n) {
            turn.worker.blocking.block_in_place();
        }
        self.upload.spool.make_room(n)?;
        self.upload.waits_since = None;
        Ok(())
    }

    /// Waits for what the system lacks, at most for `head_timeout`; other failures are answered at once.
    fn pause(mut self: Box<Self>, turn: &Turn<'_>, rejection: Rejection) -> Advance<Box<ReadBody>> {
        let now = Instant::now();
        let since = *self.upload.waits_since.get_or_insert(now);
        if !rejection.may_pass || now.duration_since(since) >= turn.worker.site.config.timeouts.head {
            return self.refuse(rejection, CloseReason::Rejected);
        }
        self.is_paused = true;
        Advance::Stay(self, Pause::Wait(Wait { on: On::Time, until: now + PAUSE }))
    }

    /// Waits for more content, as long as it comes fast enough.
    fn wait(mut self: Box<Self>, turn: &Turn<'_>) -> Advance<Box<ReadBody>> {
        match timeouts::more_content(turn, &mut self.watch, self.received) {
            Ok(wait) => Advance::Stay(self, Pause::Wait(wait)),
            Err(reason) => self.too_slow(turn, reason),
        }
    }

    fn too_slow(self, turn: &Turn<'_>, reason: CloseReason) -> Advance<Box<ReadBody>> {
        Advance::Go(timeouts::end_of_body(turn.session, self.upload.cgi_request, reason))
    }

    fn refuse(self, rejection: Rejection, reason: CloseReason) -> Advance<Box<ReadBody>> {
        Advance::Go(Transition::Fail(self.upload.cgi_request, rejection, reason))
    }

    /// Logs and closes a broken connection.
    fn cut(self, turn: &Turn<'_>, broken: Progress) -> Advance<Box<ReadBody>> {
        log_unanswered(turn.session, turn.worker, &self.upload);
        Advance::close(broken.close_reason())
    }

    /// The request.
    pub fn upload(&self) -> &Upload {
        &self.upload
    }

    /// Sends `100 Continue` (RFC 9110 §10.1.1), unless content has come without it. None when done.
    fn send_continue(&mut self, session: &Session) -> Option<Progress> {
        if !session.pending().is_empty() && self.unsent_continue.len() == CONTINUE.len() {
            // Of a `100 Continue` half sent the rest must follow; one not begun is not needed any more.
            self.unsent_continue = b"";
        }
        while !self.unsent_continue.is_empty() {
            match session.socket().write(self.unsent_continue, false) {
                Progress::Moved(n) => self.unsent_continue = &self.unsent_continue[n..],
                other => return Some(other),
            }
        }
        None
    }
}
