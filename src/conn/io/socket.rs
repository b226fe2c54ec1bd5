//! Socket of a connection: no call waits, but for the blocking read.
//!
//! The socket stays in blocking mode, so that a worker with nothing else to do may wait for the next request
//! in `recv` itself; every other call carries MSG_DONTWAIT. `sendfile` has no such flag: the descriptor
//! turns non-blocking before the first one, and back before a blocking read.

use std::fs::File;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::POLLRDHUP;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{
    MsgFlags, Shutdown, SockaddrStorage, getsockname, recv, send, sendmsg, setsockopt, shutdown, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::conn::close_reason::CloseReason;
use crate::conn::io::spin::BlockingReadPolicy;
use crate::sys::socket::unacknowledged;

/// "More follows": nix has no name for it.
const MSG_MORE: MsgFlags = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);

/// Bytes of a file that are copied in one call, where sendfile(2) does not read it.
const COPIED_PIECE: usize = 64 * 1024;

/// Interval of keep-alive probes to a silent peer, in seconds.
const PROBE_EVERY: u32 = 15;

/// Result of an attempt to read or send. Waiting and the peer's end are no errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Number of bytes moved, at least one.
    Moved(usize),
    /// No byte can be moved now.
    WouldBlock,
    /// The peer sends no more (reading), or the file ended early (sending).
    Ended,
    /// The connection is broken.
    Broken(Errno),
}

impl Progress {
    /// Reason to close a connection on which no more can be moved.
    pub fn close_reason(self) -> CloseReason {
        match self {
            Progress::Broken(errno) => CloseReason::from_errno(errno),
            _ => CloseReason::ClientEnd,
        }
    }
}

/// State of the peer, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// The peer may send and read.
    Open,
    /// The peer sends no more. Whether it still reads, only sending would show.
    HalfClosed,
    /// The connection is broken.
    Gone,
}

/// One accepted socket.
#[derive(Debug)]
pub struct Socket {
    stream: OwnedFd,
    nonblocking: bool,
    has_receive_timeout: bool,
}

impl Socket {
    /// Takes an accepted socket, in blocking mode.
    pub fn new(stream: impl Into<OwnedFd>) -> Socket {
        Socket { stream: stream.into(), nonblocking: false, has_receive_timeout: false }
    }

    /// Descriptor number, the connection's key in the poller.
    pub fn raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Descriptor, for registering it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Local address that the peer connected to; `None` on a Unix-domain socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        let address: SockaddrStorage = getsockname(self.raw_fd()).ok()?;
        let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
    }

    /// State of the peer, as far as it can be known without reading or sending.
    pub fn peer_state(&self) -> PeerState {
        // nix has no name for this event, and gives no answer that holds it.
        let ended = PollFlags::from_bits_retain(POLLRDHUP);
        match (self.polled(PollFlags::empty()), self.polled(ended)) {
            (Some(true), _) => PeerState::Gone,
            (_, None) => PeerState::HalfClosed,
            _ => PeerState::Open,
        }
    }

    /// Has the system ask the peer every few seconds whether it is still there (RFC 9293 §3.8.4). A client that
    /// has closed its socket looks like one that has only ended its side, until its system has forgotten the
    /// connection (on Linux after a minute) and answers with a reset.
    pub fn probe_peer(&self) {
        // Without it the peer is found to be gone when something is sent to it.
        _ = setsockopt(&self.stream, sockopt::KeepAlive, &true);
        _ = setsockopt(&self.stream, sockopt::TcpKeepIdle, &PROBE_EVERY);
        _ = setsockopt(&self.stream, sockopt::TcpKeepInterval, &PROBE_EVERY);
    }

    fn polled(&self, events: PollFlags) -> Option<bool> {
        let mut fds = [PollFd::new(self.fd(), events)];
        let _ = poll(&mut fds, PollTimeout::ZERO);
        fds[0].any()
    }

    /// Reads what is there.
    pub fn read(&self, buffer: &mut [u8]) -> Progress {
        progress(recv(self.raw_fd(), buffer, MsgFlags::MSG_DONTWAIT))
    }

    /// Tells whether the client has sent bytes that were not read: closing now would reset the connection.
    pub fn has_unread(&self) -> bool {
        let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.raw_fd(), &mut [0], peek).is_ok_and(|n| n > 0)
    }

    /// Reads, waiting for the first byte.
    pub fn read_blocking(&mut self, buffer: &mut [u8], blocking_read: &mut BlockingReadPolicy) -> Progress {
        if self.set_nonblocking(false).is_err() {
            return self.read(buffer);
        }
        if !self.has_receive_timeout {
            let most = TimeVal::microseconds(blocking_read.most.as_micros() as i64);
            self.has_receive_timeout = setsockopt(&self.stream, sockopt::ReceiveTimeout, &most).is_ok();
            if !self.has_receive_timeout {
                return self.read(buffer);
            }
        }
        let fd = self.raw_fd();
        let mut attempt = |flags| progress(recv(fd, buffer, flags));
        let look = || Some(attempt(MsgFlags::MSG_DONTWAIT)).filter(|it| *it != Progress::WouldBlock);
        match blocking_read.spin.poll(look) {
            Some(progress) => progress,
            None => blocking_read.spin.block(|| attempt(MsgFlags::empty())).0,
        }
    }

    /// Sends from memory. `more` says that bytes follow at once, so no packet need leave short.
    pub fn write(&self, bytes: &[u8], more: bool) -> Progress {
        progress(send(self.raw_fd(), bytes, flags(more)))
    }

    /// Sends from several pieces of memory in one call.
    pub fn write_pieces(&self, pieces: &[IoSlice<'_>], more: bool) -> Progress {
        progress(sendmsg::<SockaddrStorage>(self.raw_fd(), pieces, &[], flags(more), None))
    }

    /// Sends up to `count` bytes of `file` from `offset`.
    pub fn send_file(&mut self, file: &File, offset: u64, count: usize) -> Progress {
        if let Err(errno) = self.set_nonblocking(true) {
            return Progress::Broken(errno);
        }
        let Ok(mut at) = i64::try_from(offset) else { return Progress::Ended };
        match sendfile64(&self.stream, file, Some(&mut at), count) {
            Err(Errno::EINVAL | Errno::ENOSYS) => self.copy_file(file, offset, count),
            sent => progress(sent),
        }
    }

    /// Reads a piece of `file` and sends it, for file systems that sendfile(2) does not read.
    fn copy_file(&self, file: &File, offset: u64, count: usize) -> Progress {
        let mut bytes = vec![0; count.min(COPIED_PIECE)];
        match file.read_at(&mut bytes, offset) {
            Ok(0) => Progress::Ended,
            Ok(n) => self.write(&bytes[..n], false),
            Err(error) => Progress::Broken(Errno::from_raw(error.raw_os_error().unwrap_or_default())),
        }
    }

    /// Number of sent bytes that the client's system has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        unacknowledged(&self.stream)
    }

    /// Ends the sending side; reading stays possible.
    pub fn finish_sending(&self) {
        let _ = shutdown(self.raw_fd(), Shutdown::Write);
    }

    fn set_nonblocking(&mut self, on: bool) -> nix::Result<()> {
        if self.nonblocking != on {
            // An accepted socket has no other flag that could be lost.
            let flags = if on { OFlag::O_NONBLOCK } else { OFlag::empty() };
            fcntl(&self.stream, FcntlArg::F_SETFL(flags))?;
            self.nonblocking = on;
        }
        Ok(())
    }
}

fn flags(more: bool) -> MsgFlags {
    let base = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    if more { base | MSG_MORE } else { base }
}

fn progress(result: nix::Result<usize>) -> Progress {
    match result {
        Ok(0) => Progress::Ended,
        Ok(n) => Progress::Moved(n),
        // A signal may end a blocking read as its time limit does.
        Err(Errno::EAGAIN | Errno::EINTR) => Progress::WouldBlock,
        Err(errno) => Progress::Broken(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Linux since 5.10 does not send most files of /proc by sendfile.
    #[test]
    fn a_file_that_sendfile_does_not_read_is_copied() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut socket = Socket::new(ours);
        let file = File::open("/proc/self/status").unwrap();
        assert_eq!(socket.send_file(&file, 0, 5), Progress::Moved(5));
        assert_eq!(socket.send_file(&file, 4, 1), Progress::Moved(1));
        assert_eq!(socket.send_file(&file, 1 << 30, 9), Progress::Ended);
        let mut got = [0; 6];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"Name::");
    }
}
