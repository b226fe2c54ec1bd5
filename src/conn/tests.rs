//! Reasons for which connections end, over a socket pair.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::stop_phase::StopPhase;
use super::wait::{Next, Wake};
use super::{CloseReason, Connection, WorkerContext};
use crate::cgi;
use crate::config::pattern::Pattern;
use crate::config::{Config, LogTarget};
use crate::docroot::blocking::BlockingAllowed;
use crate::log::access::AccessLog;
use crate::representation::mime::Types;
use crate::request::Rejection;
use crate::rules::Rules;
use crate::site::{Loaded, Records, Site};
use crate::throttle::Throttles;

const GET: &str = "GET /README.md HTTP/1.1\r\nHost: x\r\n\r\n";

/// More than small buffers hold.
const GET_LARGE: &str = "GET /tests/compliance/cases.json HTTP/1.1\r\nHost: x\r\n\r\n";

/// An executable file of the repository, which no test here starts.
const SCRIPT: &str = "tests/run";

/// A client, and the connection that it talks to.
struct Talk {
    client: UnixStream,
    connection: Connection,
    worker: WorkerContext,
    stop_phase: Arc<StopPhase>,
}

/// Settings of a test, on top of the defaults.
fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config { vhost: false, ..Config::default() };
    change(&mut config);
    config
}

/// Serves this repository.
fn worker(config: Config, stop_phase: Arc<StopPhase>) -> WorkerContext {
    let here = std::env::current_dir().unwrap();
    let log = Arc::new(AccessLog::open(&LogTarget::Off, None).unwrap());
    let loaded =
        Loaded { throttles: Throttles::none(), types: Types::new(b"UTF-8"), rules: Rules::default() };
    let records = Records { log, stats: Arc::default() };
    let site = Site::new(Arc::new(config), here.as_os_str().as_bytes(), loaded, records).unwrap();
    let site = site.with_scripts(Some(Arc::new(cgi::children().unwrap())));
    WorkerContext::new(Arc::new(site), Duration::ZERO, Rc::new(BlockingAllowed), stop_phase)
}

impl Talk {
    fn new(config: Config) -> Talk {
        let (client, ours) = UnixStream::pair().unwrap();
        let peer = Some(SocketAddr::from(([127, 0, 0, 1], 1)));
        let stop_phase = Arc::<StopPhase>::default();
        let worker = worker(config, Arc::clone(&stop_phase));
        Talk { client, connection: Connection::new(OwnedFd::from(ours), peer), worker, stop_phase }
    }

    /// With buffers that take a few KiB.
    fn with_small_buffers(config: Config) -> Talk {
        let talk = Talk::new(config);
        setsockopt(&talk.connection.socket().fd(), sockopt::SndBuf, &4096).unwrap();
        talk
    }

    fn turn(&mut self, wake: Wake) -> Next {
        self.worker.read_stop_phase();
        loop {
            match self.connection.turn(wake, &mut self.worker) {
                Next::Yield => {}
                next => return next,
            }
        }
    }

    /// The client sends `bytes`, and the connection waits for more.
    fn send(&mut self, bytes: &str) {
        self.client.write_all(bytes.as_bytes()).unwrap();
        let next = self.turn(Wake::Ready);
        assert!(!matches!(next, Next::Close(_)), "{next:?}");
    }

    /// Reason for which the connection is closed at `wake`, after a moment's lingering at most.
    fn reason(&mut self, wake: Wake) -> CloseReason {
        for wake in [wake, Wake::Expired] {
            if let Next::Close(reason) = self.turn(wake) {
                return reason;
            }
        }
        panic!("the connection goes on");
    }

    /// Reason for which it is closed after `bytes` of the client.
    fn reason_after(&mut self, bytes: &str) -> CloseReason {
        self.client.write_all(bytes.as_bytes()).unwrap();
        self.reason(Wake::Ready)
    }

    /// All that the server has sent by now.
    fn received(&mut self) -> String {
        self.client.set_nonblocking(true).unwrap();
        let mut received = Vec::new();
        let _ = self.client.read_to_end(&mut received);
        String::from_utf8_lossy(&received).into_owned()
    }
}

#[test]
fn a_client_that_ends_between_requests_is_no_error() {
    for requests in [0, 1] {
        let mut talk = Talk::new(Config::default());
        (0..requests).for_each(|_| talk.send(GET));
        talk.client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(talk.reason(Wake::Hangup), CloseReason::ClientEnd, "after {requests}");
    }
}

#[test]
fn a_client_that_leaves_its_response_unread_resets() {
    let mut talk = Talk::new(Config::default());
    talk.send(GET);
    let (other, _) = UnixStream::pair().unwrap();
    drop(std::mem::replace(&mut talk.client, other));
    assert_eq!(talk.reason(Wake::Hangup), CloseReason::Reset);
}

#[test]
fn a_failing_system_call_is_an_error_of_ours() {
    let mut connection = Connection::new(OwnedFd::from(File::open("/dev/null").unwrap()), None);
    let next = connection.turn(Wake::Ready, &mut worker(Config::default(), Arc::default()));
    assert_eq!(next, Next::Close(CloseReason::IoError));
}

#[test]
fn silence_between_requests_is_an_idle_timeout_and_within_a_head_a_head_timeout() {
    for (bytes, reason) in [
        ("", CloseReason::IdleTimeout),
        (GET, CloseReason::IdleTimeout),
        ("GET / HT", CloseReason::HeadTimeout),
    ] {
        let mut talk = Talk::new(config(|_| ()));
        talk.send(bytes);
        assert_eq!(talk.reason(Wake::Expired), reason, "after {bytes:?}");
        assert_eq!(talk.received().contains("HTTP/1.1 408 "), reason == CloseReason::HeadTimeout);
    }
}

/// Deadlines pass while the whole process is stopped, as by SIGSTOP or in a frozen container.
#[test]
fn bytes_that_came_before_a_deadline_was_noticed_are_read() {
    for (before, rest) in [("", GET), (GET, GET), GET.split_at(20)] {
        let mut talk = Talk::new(Config::default());
        talk.send(before);
        talk.received();
        talk.client.write_all(rest.as_bytes()).unwrap();
        let next = talk.turn(Wake::Expired);
        assert!(!matches!(next, Next::Close(_)), "{next:?} after {before:?}");
        assert!(talk.received().starts_with("HTTP/1.1 200 "), "after {before:?}");
    }
}

#[test]
fn content_that_came_before_a_deadline_was_noticed_is_read() {
    for target in ["README.md", SCRIPT] {
        let mut talk = Talk::new(config(|config| config.cgi_pattern = Some(Pattern::new(SCRIPT.as_bytes()))));
        talk.send(&format!("POST /{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"));
        talk.client.write_all(b"12345").unwrap();
        let next = talk.turn(Wake::Expired);
        assert!(matches!(next, Next::Park(_)), "{next:?}: {target}");
        assert_eq!(talk.reason(Wake::Expired), CloseReason::BodyTimeout, "{target}");
    }
}

#[test]
fn content_that_does_not_come_is_a_body_timeout() {
    for target in ["README.md", SCRIPT] {
        let mut talk = Talk::new(config(|config| config.cgi_pattern = Some(Pattern::new(SCRIPT.as_bytes()))));
        talk.send(&format!("POST /{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"));
        assert_eq!(talk.reason(Wake::Expired), CloseReason::BodyTimeout, "{target}");
    }
}

#[test]
fn content_that_comes_too_slowly_is_below_the_minimum_rate() {
    let mut talk = Talk::new(config(|config| {
        config.cgi_pattern = Some(Pattern::new(SCRIPT.as_bytes()));
        config.limits.body_rate = 1_000_000;
        config.timeouts.rate_window = Duration::from_millis(5);
    }));
    talk.send(&format!("POST /{SCRIPT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"));
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(talk.reason_after("x"), CloseReason::MinimumRate);
}

#[test]
fn a_client_that_takes_nothing_is_a_send_timeout() {
    let mut talk = Talk::with_small_buffers(config(|config| config.timeouts.send = Duration::ZERO));
    assert_eq!(talk.reason_after(GET_LARGE), CloseReason::SendTimeout);
}

#[test]
fn a_client_that_takes_too_little_is_below_the_minimum_rate() {
    let mut talk = Talk::with_small_buffers(config(|config| {
        config.limits.send_rate = 1_000_000_000;
        config.timeouts.rate_window = Duration::from_millis(5);
    }));
    talk.send(GET_LARGE);
    std::thread::sleep(Duration::from_millis(10));
    talk.received();
    assert_eq!(talk.reason(Wake::Ready), CloseReason::MinimumRate);
}

#[test]
fn a_connection_ends_with_the_request_that_says_so() {
    let closing = "GET /README.md HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for request in ["GET /README.md HTTP/1.0\r\n\r\n", closing] {
        assert_eq!(Talk::new(Config::default()).reason_after(request), CloseReason::NotKeptAlive);
    }
}

#[test]
fn a_connection_ends_with_the_last_request_and_the_last_second_it_may_have() {
    let mut talk = Talk::new(config(|config| config.limits.keepalive_requests = 2));
    talk.send(GET);
    assert_eq!(talk.reason_after(GET), CloseReason::KeepAliveLimit);
    let limit = Duration::from_millis(20);
    let mut talk = Talk::new(config(|config| config.timeouts.keepalive_total = limit));
    talk.send("");
    std::thread::sleep(limit);
    assert_eq!(talk.reason_after(GET), CloseReason::KeepAliveLimit);
}

#[test]
fn bytes_that_are_no_request_are_a_protocol_error() {
    for bytes in ["no request\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/9.1\r\nHost: x\r\n\r\n"] {
        assert_eq!(Talk::new(Config::default()).reason_after(bytes), CloseReason::ProtocolError, "{bytes:?}");
    }
    let mut talk = Talk::new(Config::default());
    talk.send("GET / HT");
    talk.client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(talk.reason(Wake::Hangup), CloseReason::ProtocolError);
}

#[test]
fn content_is_read_past_up_to_a_limit() {
    let mut talk = Talk::new(Config::default());
    let reason =
        talk.reason_after("POST /README.md HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nx");
    assert_eq!(reason, CloseReason::UnreadBody);
    talk = Talk::new(Config::default());
    talk.send("POST /README.md HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz");
    talk.send(GET);
}

#[test]
fn content_beyond_the_limit_is_rejected() {
    let mut talk = Talk::new(config(|config| {
        config.cgi_pattern = Some(Pattern::new(SCRIPT.as_bytes()));
        config.limits.body = 3;
    }));
    let request = format!("POST /{SCRIPT} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(talk.reason_after(&request), CloseReason::Rejected);
    assert!(talk.received().contains("413"));
}

#[test]
fn one_connection_too_many_is_told_so_and_closed() {
    let mut talk = Talk::new(Config::default());
    let (client, ours) = UnixStream::pair().unwrap();
    talk.client = client;
    talk.connection = Connection::new(OwnedFd::from(ours), None).refused(Rejection::fatal(503, "Too many."));
    assert_eq!(talk.reason_after(GET), CloseReason::ConnectionLimit);
    assert!(talk.received().starts_with("HTTP/1.1 503"));
}

#[test]
fn a_peer_that_sends_no_proxy_head_is_refused_without_a_word() {
    for bytes in [GET, "PROXY TC"] {
        let mut talk = Talk::new(Config::default());
        let (client, ours) = UnixStream::pair().unwrap();
        talk.client = client;
        talk.connection = Connection::new(OwnedFd::from(ours), None).behind_proxy();
        talk.client.write_all(bytes.as_bytes()).unwrap();
        assert_eq!(talk.reason(Wake::Ready), CloseReason::ProxyRefused, "{bytes:?}");
        assert_eq!(talk.received(), "");
    }
}

#[test]
fn the_servers_end_closes_idle_connections_at_once_and_busy_ones_with_their_response() {
    let mut talk = Talk::new(Config::default());
    talk.send(GET);
    talk.stop_phase.stop();
    assert_eq!(talk.reason(Wake::Drain), CloseReason::Shutdown);
    let mut talk = Talk::new(Config::default());
    talk.stop_phase.announce();
    assert_eq!(talk.reason_after(GET), CloseReason::Shutdown);
    assert!(talk.received().contains("Connection: close"));
}

#[test]
fn the_end_of_the_grace_aborts() {
    let mut talk = Talk::new(Config::default());
    talk.send("GET / HT");
    assert_eq!(talk.reason(Wake::Abort), CloseReason::Aborted);
}

/// A file that one call sends.
const GET_SMALL: &str = "GET /rustfmt.toml HTTP/1.1\r\nHost: x\r\n\r\n";

impl Talk {
    /// Sends `bytes`, and reads what comes back; tells whether its response is kept.
    fn is_kept_after(&mut self, bytes: &str) -> bool {
        self.send(bytes);
        self.received();
        self.client.set_nonblocking(false).unwrap();
        self.worker.response_cache.get(bytes.as_bytes(), self.worker.clock.second()).is_some()
    }

    /// Tells whether the response to `bytes` is kept once they came a few times, several within one second.
    fn is_kept(&mut self, bytes: &str) -> bool {
        (0..8).any(|_| self.is_kept_after(bytes))
    }
}

#[test]
fn the_response_to_a_request_that_comes_again_is_kept_for_the_rest_of_its_second() {
    let mut talk = Talk::new(config(|_| {}));
    assert!(talk.is_kept(GET_SMALL));
    let second = talk.worker.clock.second();
    let cached = talk.worker.response_cache.get(GET_SMALL.as_bytes(), second).unwrap();
    assert!(cached.bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(cached.bytes[..cached.bytes.len() - cached.content].ends_with(b"\r\n\r\n"));
    talk.worker.reconfigure(Arc::clone(&talk.worker.site));
    assert!(talk.worker.response_cache.get(GET_SMALL.as_bytes(), second).is_none());
}

#[test]
fn long_heads_and_responses_are_not_kept_nor_what_more_than_the_file_decides() {
    let long = GET_SMALL.replace(" HTTP", &format!("?{} HTTP", "x".repeat(1024)));
    let missing = GET_SMALL.replace("rustfmt.toml", "none");
    let redirected = GET_SMALL.replace("rustfmt.toml", "src");
    for bytes in [GET, &long, &missing, &redirected] {
        assert!(!Talk::new(config(|_| {})).is_kept(bytes), "{bytes:.40}");
    }
    assert!(!Talk::new(config(|config| config.global_passwd = true)).is_kept(GET_SMALL));
    assert!(!Talk::new(config(|config| config.vhost_default = Some("all".into()))).is_kept(GET_SMALL));
}

#[test]
fn no_head_takes_the_place_of_another_within_a_second() {
    let mut talk = Talk::new(config(|_| {}));
    let heads: Vec<String> = (0..200).map(|n| GET_SMALL.replace(" HTTP", &format!("?{n} HTTP"))).collect();
    let kept = loop {
        let began = talk.worker.clock.second();
        let kept = heads.iter().chain(&heads).filter(|head| talk.is_kept_after(head)).count();
        if talk.worker.clock.second() == began {
            break kept;
        }
    };
    // A slot keeps one head of the first round; few slots find none.
    assert!((40..=64).contains(&kept), "{kept}");
}
