//! Client that sends given bytes, and reads responses by RFC 9112.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// One response.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// First value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| value_of(line, name))
    }

    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.head.lines().skip(1).filter_map(move |line| value_of(line, name))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = line.split_once(':')?;
    found.eq_ignore_ascii_case(name).then(|| value.trim())
}

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::of(TcpStream::connect(address).unwrap())
    }

    /// A client on a connection that is there.
    pub fn of(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        // A Unix-domain socket knows no such option, and needs none.
        let _ = stream.set_nodelay(true);
        Client { stream, buffer: Vec::new() }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The bare connection: it holds less memory.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends bytes; a server that has already closed is no failure here.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// A plain GET on 1.1.
    pub fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.answer("GET")
    }

    /// Closes the sending side.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next response to a request with `method`.
    pub fn answer(&mut self, method: &str) -> Answer {
        self.try_answer(method).expect("a response")
    }

    /// The next response; none when the connection ends or resets before one is whole.
    pub fn try_answer(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            self.more()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut answer = Answer { status, head, body: Vec::new() };
        if method == "HEAD" || matches!(status, 100 | 204 | 304) {
            return Some(answer);
        }
        if answer.field("Transfer-Encoding").is_some_and(|v| v.contains("chunked")) {
            answer.body = self.chunks()?;
        } else if let Some(length) = answer.field("Content-Length").map(|v| v.parse::<usize>().unwrap()) {
            answer.body = self.take(length)?;
        } else {
            while self.more().is_some() {}
            answer.body = std::mem::take(&mut self.buffer);
        }
        Some(answer)
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = find(&self.buffer, b"\r\n") {
                    break at;
                }
                self.more()?;
            };
            let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            self.buffer.drain(..end + 2);
            let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
            let chunk = self.take(size + 2)?;
            if size == 0 {
                return Some(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    fn take(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < n {
            self.more()?;
        }
        Some(self.buffer.drain(..n).collect())
    }

    /// Everything until the server ends; none on a reset.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut piece = [0; 65536];
            match self.stream.read(&mut piece) {
                Ok(0) => return Some(std::mem::take(&mut self.buffer)),
                Ok(n) => self.buffer.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Tells whether the server has closed; waits for that, and takes no bytes for an answer.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && self.more().is_none()
    }

    fn more(&mut self) -> Option<()> {
        let mut piece = [0; 65536];
        let came = loop {
            match self.stream.read(&mut piece) {
                // A read with a time limit is interrupted by what stops and continues the process, too.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                came => break came,
            }
        };
        match came {
            Ok(0) => None,
            Ok(n) => {
                self.buffer.extend_from_slice(&piece[..n]);
                Some(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing arrived in ten seconds; so far: {:?}", String::from_utf8_lossy(&self.buffer))
            }
            Err(_) => None,
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
