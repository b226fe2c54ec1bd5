//! Timeouts of a connection: each deadline, and how it ends the connection.
//!
//! | While the connection | deadline | ends with |
//! |---|---|---|
//! | waits for a request | `keepalive_timeout`, `keepalive_max_time`; the first: `head_timeout` | close |
//! | receives a head | `head_timeout` | 408 |
//! | waits for a PROXY head | `head_timeout` | close |
//! | receives content | `body_timeout`, `body_min_rate` | 408 |
//! | reads past content without a use | `body_timeout` | close |
//! | sends | `send_timeout`, `send_min_rate` | close |
//! | waits for storage | `send_timeout` | close |
//! | lingers | half a second | close, for its earlier reason |
//!
//! The poller wakes the connection at its deadline with [`Wake::Expired`](super::wait::Wake::Expired), and
//! its state calls the function below. A throttle's pause, and a request that waits for what is short, are
//! no timeouts: they go on.

use std::time::{Duration, Instant};

use super::answer::refuse;
use super::cgi_request::CgiRequest;
use super::close_reason::CloseReason;
use super::context::Turn;
use super::progress::{MinimumRate, RateWatch, SendLimits, SendWatch};
use super::session::Session;
use super::transition::Transition;
use super::wait::{On, Wait};
use crate::log;
use crate::request::{Rejection, head};

/// thttpd's LINGER_TIME.
const LINGER: Duration = Duration::from_millis(500);

/// Wait of a persistent connection for its next request.
pub fn next_request(turn: &Turn<'_>) -> Wait {
    let timeouts = &turn.worker.site.config.timeouts;
    let mut limit = timeouts.keepalive;
    if !timeouts.keepalive_total.is_zero() {
        let age = turn.worker.now.since(turn.session.accepted());
        limit = limit.min(timeouts.keepalive_total.saturating_sub(age));
    }
    turn.worker.readable_within(limit.max(Duration::from_millis(1)))
}

/// Wait for a head of which nothing, or not all, has come since `since`.
pub fn head_since(turn: &Turn<'_>, since: Instant) -> Wait {
    let passed = turn.worker.now.since(since);
    turn.worker.readable_within(turn.worker.site.config.timeouts.head.saturating_sub(passed))
}

/// Closes an idle connection without a word; half a head, begun at `first_byte`, is 408.
pub fn end_of_head(turn: &mut Turn<'_>, first_byte: Option<Instant>) -> Transition {
    if head::is_blank(turn.session.pending()) {
        let is_past_total = turn.worker.is_past_total(turn.session);
        let reason = if is_past_total { CloseReason::KeepAliveLimit } else { CloseReason::IdleTimeout };
        return Transition::Close(reason);
    }
    turn.session.set_client_to_sender();
    turn.session.set_began(first_byte.unwrap_or(turn.session.accepted()));
    log::info!("{} connection timed out reading", turn.session.client_text());
    let rejection = Rejection::fatal(408, "No complete request arrived in time.");
    let bytes = turn.session.take_pending();
    refuse(turn, &bytes, &rejection, CloseReason::HeadTimeout)
}

/// Closes a connection whose PROXY head did not come in time.
pub fn end_of_proxy_head(session: &Session) -> Transition {
    log::info!("{} connection closed: no PROXY protocol head came in time", session.client_text());
    Transition::Close(CloseReason::ProxyRefused)
}

/// Wait for more content, of which `received` bytes have come.
///
/// # Errors
/// The client is too slow already: see [`end_of_body`].
pub fn more_content(turn: &Turn<'_>, watch: &mut RateWatch, received: i64) -> Result<Wait, CloseReason> {
    let (limits, timeouts) = (&turn.worker.site.config.limits, &turn.worker.site.config.timeouts);
    let rate = MinimumRate { bytes_per_second: limits.body_rate, window: timeouts.rate_window };
    let now = Instant::now();
    let until = watch.wait(received, rate, now).ok_or(CloseReason::MinimumRate)?;
    Ok(Wait { on: On::Readable, until: until.min(now + timeouts.body) })
}

/// Answers 408 to a request whose content did not come in time.
pub fn end_of_body(session: &Session, cgi_request: Box<CgiRequest>, reason: CloseReason) -> Transition {
    log::info!("{} connection timed out reading", session.client_text());
    let rejection = Rejection::fatal(408, "The request's content did not arrive in time.");
    Transition::Fail(cgi_request, rejection, reason)
}

/// Deadline of all content without a use, from now.
pub fn unwanted_content(turn: &Turn<'_>) -> Instant {
    Instant::now() + turn.worker.site.config.timeouts.body
}

/// Closes a connection whose content without a use took too long: its response is sent.
pub fn end_of_unwanted_content() -> Transition {
    Transition::Close(CloseReason::BodyTimeout)
}

/// Wait for room in the kernel's full buffer. A response that `holds` memory which others need may be still
/// for a shorter time.
///
/// # Errors
/// The client takes too little, and its connection is to be closed.
pub fn room_to_send(turn: &Turn<'_>, watch: &mut SendWatch, holds: bool) -> Result<Wait, CloseReason> {
    let limits = SendLimits::from_config(&turn.worker.site.config, holds);
    let waited = watch.wait(turn.session.socket().unacknowledged(), limits, Instant::now());
    waited
        .map(|until| Wait { on: On::Writable, until })
        .inspect_err(|_| log::info!("{} connection timed out sending", turn.session.client_text()))
}

/// Wait for storage that may not answer, which goes on since `since`.
///
/// # Errors
/// The wait is over, and the connection is to be closed.
pub fn storage_since(turn: &Turn<'_>, since: Instant) -> Result<Wait, CloseReason> {
    let until = since + turn.worker.site.config.timeouts.send;
    if Instant::now() < until {
        return Ok(Wait { on: On::RemoteStorage, until });
    }
    log::error!("{} a file's storage did not answer in time", turn.session.client_text());
    Err(CloseReason::StorageTimeout)
}

/// End of lingering, from now.
pub fn linger() -> Instant {
    Instant::now() + LINGER
}
