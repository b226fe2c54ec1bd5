//! A whole connection, over a socket pair: any bytes, in any pieces.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thttpd::config::{Config, LogTarget};
use thttpd::conn::wait::{Next, On, Wake};
use thttpd::conn::{Connection, WorkerContext};
use thttpd::docroot::blocking::BlockingAllowed;
use thttpd::log::access::AccessLog;
use thttpd::representation::mime::Types;
use thttpd::rules::Rules;
use thttpd::site::{Loaded, Records, Site};
use thttpd::throttle::Throttles;

/// More than socket buffers hold would have to be sent from a second thread.
const MOST: usize = 60_000;

/// Whatever arrives, and in whatever pieces, the answers are well-formed and the same, and the
/// connection ends when its client does.
pub fn converse(data: &[u8]) {
    let (step, input) = super::step(&data[..data.len().min(MOST)]);
    let whole = statuses(&answers(input, input.len().max(1)));
    let pieces = statuses(&answers(input, step));
    assert_eq!(pieces, whole, "in pieces of {step}");
}

/// Serves the current directory: the fuzzer's is `fuzz/tree`.
fn site() -> Arc<Site> {
    static SITE: OnceLock<Arc<Site>> = OnceLock::new();
    let make = || {
        let config = Arc::new(Config { vhost: false, ..Config::default() });
        let here = std::env::current_dir().expect("a current directory");
        let log = Arc::new(AccessLog::open(&LogTarget::Off, None).expect("no log"));
        let loaded =
            Loaded { throttles: Throttles::none(), types: Types::new(b"UTF-8"), rules: Rules::default() };
        let root = std::os::unix::ffi::OsStrExt::as_bytes(here.as_os_str());
        Arc::new(Site::new(config, root, loaded, Records { log, stats: Arc::default() }).expect("a site"))
    };
    Arc::clone(SITE.get_or_init(make))
}

/// All that the server says to `input`.
fn answers(input: &[u8], step: usize) -> Vec<u8> {
    let (mut client, ours) = UnixStream::pair().expect("a socket pair");
    client.set_nonblocking(true).expect("a socket");
    let mut talk = Talk {
        connection: Connection::new(
            TcpStream::from(OwnedFd::from(ours)),
            Some(SocketAddr::from(([127, 0, 0, 1], 1))),
        ),
        context: WorkerContext::new(site(), Duration::ZERO, Rc::new(BlockingAllowed), Arc::default()),
        said: Vec::new(),
        over: false,
    };
    for piece in input.chunks(step) {
        // A server that has closed takes no more; what it has said counts.
        if talk.over || client.write_all(piece).is_err() {
            break;
        }
        talk.go_on(&mut client, Wake::Ready);
    }
    let _ = client.shutdown(Shutdown::Write);
    for _ in 0..3 {
        talk.go_on(&mut client, Wake::Hangup);
    }
    assert!(talk.over, "the client has ended, the connection has not");
    talk.said
}

struct Talk {
    connection: Connection,
    context: WorkerContext,
    said: Vec<u8>,
    over: bool,
}

impl Talk {
    /// Gives the connection its turns until it waits for the client.
    fn go_on(&mut self, client: &mut UnixStream, wake: Wake) {
        for turn in 0.. {
            assert!(turn < 100_000, "it never comes to rest");
            if self.over {
                break;
            }
            let next = self.connection.turn(wake, &mut self.context);
            self.listen(client);
            match next {
                Next::Yield => {}
                Next::Park(wait) if wait.on == On::Writable => {}
                Next::Park(wait) | Next::Idle(wait) if wait.on == On::Readable => break,
                Next::Park(wait) | Next::Idle(wait) => panic!("it waits for {:?}", wait.on),
                Next::Close(_) => {
                    self.connection.socket().finish_sending();
                    self.over = true;
                }
            }
        }
        self.listen(client);
    }

    fn listen(&mut self, client: &mut UnixStream) {
        let mut piece = [0; 65_536];
        loop {
            match client.read(&mut piece) {
                Ok(0) => return,
                Ok(n) => self.said.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The statuses of a run of responses, with the length of each one's content. What HEAD asks for has none;
/// a request without a version is answered without a head, and ends it all.
fn statuses(said: &[u8]) -> Vec<(u16, usize)> {
    let mut found = Vec::new();
    let mut rest = said;
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        let Some(status) = head.strip_prefix("HTTP/1.1 ").and_then(|head| head.get(..3)?.parse().ok()) else {
            break;
        };
        for line in head.lines().skip(1) {
            let (name, _) = line.split_once(": ").expect("a field line");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{line:?}");
        }
        rest = &rest[end + 4..];
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.parse::<usize>().ok());
        let mut length = field("Content-Length: ").unwrap_or(0);
        // The answer to HEAD is followed by the next head, or by nothing.
        if rest.len() < length || rest.starts_with(b"HTTP/1.1 ") {
            length = 0;
        }
        rest = &rest[length..];
        // The text of an error may name what was wrong first, which depends on what was there first.
        found.push((status, if status < 300 { length } else { 0 }));
    }
    found.push((0, rest.len()));
    found
}
