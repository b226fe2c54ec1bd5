//! Two epoll loops with a listening socket each: a non-blocking receive, one send.

use std::io;
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, recv, send};

use super::answers::{Answer, Answers, is_whole, wants_close};
use super::{MORE, listener};
use crate::Result;

const LOOPS: usize = 2;
const EVENTS: usize = 128;
/// The listening socket's event; descriptors are never that large.
const LISTENER: u64 = u64::MAX;

/// Serves for ever.
///
/// # Errors
/// The port is taken, or the listening sockets cannot be watched.
pub fn serve(address: SocketAddrV4, root: &Path) -> Result<()> {
    thread::scope(|scope| {
        let loops: Vec<_> =
            (0..LOOPS).map(|_| scope.spawn(|| Loop::new(address, root.to_owned())?.run())).collect();
        loops.into_iter().try_for_each(|running| running.join().map_err(|_| "a loop panicked")?)
    })
}

struct Loop {
    listener: TcpListener,
    epoll: Epoll,
    answers: Answers,
    /// By descriptor.
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// The part of a request that came in an earlier receive.
    partial: Vec<u8>,
    /// A large file that is being sent, and how far.
    sending: Option<(Arc<Answer>, i64)>,
}

impl Loop {
    fn new(address: SocketAddrV4, root: PathBuf) -> Result<Self> {
        let listener = listener(address)?;
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        let answers = Answers::new(root);
        Ok(Self { listener, epoll, answers, connections: Vec::new(), buffer: vec![0; 4096] })
    }

    fn run(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                count => count?,
            };
            for event in &events[..count] {
                if event.data() == LISTENER {
                    self.accept()?;
                } else {
                    self.ready(event.data() as usize);
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        let stream = match self.listener.accept() {
            // The client has gone again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            accepted => accepted?.0,
        };
        let mut connection = Connection { stream, partial: Vec::new(), sending: None };
        // Most clients have sent their request by now, and some want no more than that one answer.
        if !connection.advance(&mut self.answers, &mut self.buffer).unwrap_or(false) {
            return Ok(());
        }
        let key = connection.stream.as_raw_fd().unsigned_abs() as usize;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(&connection.stream, EpollEvent::new(interest, key as u64))?;
        if self.connections.len() <= key {
            self.connections.resize_with(key + 1, || None);
        }
        self.connections[key] = Some(connection);
        Ok(())
    }

    /// Moves a connection on, and drops it at its end or when it is broken.
    fn ready(&mut self, key: usize) {
        let Some(connection) = &mut self.connections[key] else { return };
        if !connection.advance(&mut self.answers, &mut self.buffer).unwrap_or(false) {
            self.connections[key] = None;
        }
    }
}

impl Connection {
    /// Returns whether the connection goes on.
    fn advance(&mut self, answers: &mut Answers, buffer: &mut [u8]) -> Result<bool> {
        if self.sending.is_some() {
            self.send_file()?;
            return Ok(true);
        }
        let bytes = match recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Ok(false),
            Ok(bytes) => bytes,
            Err(Errno::EAGAIN) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        let mut request = &buffer[..bytes];
        if !self.partial.is_empty() || !is_whole(request) {
            self.partial.extend_from_slice(request);
            if !is_whole(&self.partial) {
                return Ok(true);
            }
            request = &self.partial;
        }
        let close = wants_close(request);
        let answer = match answers.find(request) {
            Some(answer) => answer,
            None => answers.build(request)?,
        };
        self.partial.clear();
        self.answer(answer)?;
        Ok(!close)
    }

    fn answer(&mut self, answer: Arc<Answer>) -> Result<()> {
        let mut flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        flags.set(MORE, answer.file.is_some());
        send(self.stream.as_raw_fd(), &answer.bytes, flags)?;
        if answer.file.is_some() {
            // sendfile has no flag for a single call that must not wait.
            self.stream.set_nonblocking(true)?;
            self.sending = Some((answer, 0));
            self.send_file()?;
        }
        Ok(())
    }

    /// Sends of the large file what the socket takes.
    fn send_file(&mut self) -> Result<()> {
        let Some((answer, offset)) = &mut self.sending else { return Ok(()) };
        let Some((file, size)) = &answer.file else { return Ok(()) };
        while *offset < size.cast_signed() {
            let left = usize::try_from(size.cast_signed() - *offset)?;
            match sendfile(&self.stream, file, Some(offset), left) {
                Ok(0) => return Err("the file has become shorter".into()),
                Ok(_) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        self.sending = None;
        Ok(())
    }
}
