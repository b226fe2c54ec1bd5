//! Spool: buffers a request's content until it is complete, for a script's standard input.
//!
//! A script starts only when all input is present. A slow upload then holds no process, and the input is a
//! plain file that needs no thread to feed it. The `conn` stage fills a [`Spool`]; the `cgi` stage takes
//! the file.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;

use super::{BodyLength, Rejection};
use crate::sys::fd::FdGuard;
use crate::sys::memory::{MemoryReservation, REQUEST_MEMORY, SPOOL_MEMORY, SPOOL_SPACE};
use crate::sys::{self, filesystem, is_shortage};

/// Maximum size of content in memory, in bytes, if the budget allows; most forms are smaller.
const IN_MEMORY: usize = 64 * 1024;

/// Initial capacity for content in memory, in bytes.
const FIRST_PIECE: usize = 512;

/// Tells whether the directory for content on disk is another machine's or a program's.
///
/// The value is unset until the file system has answered. A mount over the directory after that is not noticed.
static IS_REMOTE: OnceLock<bool> = OnceLock::new();

/// Time that the first upload waits for that answer.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// Content received so far.
#[derive(Debug)]
pub struct Spool {
    store: Store,
    len: u64,
    /// Maximum size of the content in bytes (`body_limit`).
    limit: u64,
    space: Space,
}

/// Reservations in the shared budgets for the content.
#[derive(Debug, Default)]
pub struct Space {
    memory: Option<MemoryReservation>,
    disk: Option<MemoryReservation>,
    /// Reservation for a memory file, which needs memory and a descriptor.
    memory_file: Option<MemoryReservation>,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    File { file: File, _guard: FdGuard },
}

impl Spool {
    /// Empty spool for content framed as `length`, of at most `limit` bytes.
    ///
    /// # Errors
    /// 413 if the declared length exceeds the limit (RFC 9110 §15.5.14), so that a client that waits for
    /// `100 Continue` does not send the content.
    pub fn new(length: BodyLength, limit: u64) -> Result<Spool, Rejection> {
        match length {
            BodyLength::Length(n) if n > limit => Err(too_large()),
            _ => Ok(Spool { store: Store::Memory(Vec::new()), len: 0, limit, space: Space::default() }),
        }
    }

    /// Appends `content`.
    ///
    /// # Errors
    /// 413 beyond the limit; 503 if there is no space. Both close the connection, as the remaining content
    /// is not read.
    pub fn write(&mut self, content: &[u8]) -> Result<(), Rejection> {
        let len = self.len + content.len() as u64;
        if len > self.limit {
            return Err(too_large());
        }
        self.append(content).map_err(|error| no_room(&error))?;
        self.len = len;
        Ok(())
    }

    /// Makes room for `n` bytes more, in memory or by opening a file: after it, a write of them needs no
    /// descriptor.
    ///
    /// # Errors
    /// 503; one that [may pass](Rejection::may_pass) where the system lacks descriptors or memory.
    pub fn make_room(&mut self, n: usize) -> Result<(), Rejection> {
        let Store::Memory(bytes) = &mut self.store else { return Ok(()) };
        let len = bytes.len() + n;
        if len as u64 > self.limit {
            // A write will say so.
            return Ok(());
        }
        if stays_in_memory(len) && self.space.grow(bytes, len) {
            return Ok(());
        }
        self.move_to_file(len).map_err(|error| no_room(&error))
    }

    /// Tells whether writing `n` more bytes would access a disk, which may block.
    pub fn goes_to_disk(&self, n: usize) -> bool {
        match &self.store {
            Store::Memory(bytes) => !stays_in_memory(bytes.len() + n),
            Store::File { .. } => true,
        }
    }

    /// Number of bytes received.
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// Moves the reservations out, to be kept as long as the file is in use.
    pub fn take_space(&mut self) -> Space {
        std::mem::take(&mut self.space)
    }

    /// The content as a file without a name, positioned at its start. An empty spool remains.
    ///
    /// # Errors
    /// 503; one that [may pass](Rejection::may_pass), with the content still there, where the system lacks
    /// descriptors or memory.
    pub fn take_file(&mut self) -> Result<File, Rejection> {
        let taken = match std::mem::replace(&mut self.store, Store::Memory(Vec::new())) {
            Store::File { mut file, .. } => file.rewind().map(|()| file),
            Store::Memory(bytes) => file_with(&bytes).inspect_err(|_| self.store = Store::Memory(bytes)),
        };
        taken.map_err(|error| no_room(&error))
    }

    fn append(&mut self, content: &[u8]) -> io::Result<()> {
        if let Store::Memory(bytes) = &mut self.store {
            let len = bytes.len() + content.len();
            // Room that was made is used, however tight memory has become since.
            let has_room = len <= bytes.capacity();
            if has_room || stays_in_memory(len) && self.space.grow(bytes, len) {
                bytes.extend_from_slice(content);
                return Ok(());
            }
            self.move_to_file(len)?;
        }
        let len = usize::try_from(self.len).unwrap_or(usize::MAX).saturating_add(content.len());
        match &mut self.store {
            Store::File { file, .. } if self.space.lengthen(len) => file.write_all(content),
            _ => Err(Errno::EDQUOT.into()),
        }
    }

    /// Moves content that is in memory to a file with room for `len` bytes.
    fn move_to_file(&mut self, len: usize) -> io::Result<()> {
        let Store::Memory(bytes) = &self.store else { return Ok(()) };
        let (mut file, is_memory) = match disk_file() {
            Ok(file) => (file, false),
            Err(_) => (memory_file()?, true),
        };
        self.space.move_to_file(len, is_memory)?;
        file.write_all(bytes)?;
        self.store = Store::File { file, _guard: FdGuard::new(1) };
        self.space.memory = None;
        Ok(())
    }
}

impl Space {
    /// Grows `bytes` to the capacity `len`, if the memory budget allows.
    fn grow(&mut self, bytes: &mut Vec<u8>, len: usize) -> bool {
        if len <= bytes.capacity() {
            return true;
        }
        let capacity = len.max((2 * bytes.capacity()).min(IN_MEMORY)).max(FIRST_PIECE);
        let is_held = match &mut self.memory {
            Some(held) => held.resize(capacity),
            none => {
                *none = REQUEST_MEMORY.reserve(capacity);
                none.is_some()
            }
        };
        if is_held {
            bytes.reserve_exact(capacity - bytes.len());
        }
        is_held
    }

    /// Takes reservations for a file of `len` bytes.
    fn move_to_file(&mut self, len: usize, is_memory: bool) -> io::Result<()> {
        self.disk = Some(SPOOL_SPACE.reserve(len).ok_or(Errno::EDQUOT)?);
        if is_memory {
            self.memory_file = Some(SPOOL_MEMORY.reserve(len).ok_or(Errno::EDQUOT)?);
        }
        Ok(())
    }

    fn lengthen(&mut self, len: usize) -> bool {
        let files = [&mut self.disk, &mut self.memory_file];
        files.into_iter().flatten().all(|held| held.resize(len))
    }
}

/// Tells whether content of `len` bytes stays in memory.
///
/// The limit shrinks while all requests together hold much memory.
fn stays_in_memory(len: usize) -> bool {
    len <= IN_MEMORY && !REQUEST_MEMORY.is_tight()
}

fn no_room(error: &io::Error) -> Rejection {
    let why = "The server has no room for the request's content now. Please try again later.";
    let may_pass = error.raw_os_error().is_some_and(|code| is_shortage(Errno::from_raw(code)));
    if !may_pass {
        let reason = sys::reason(error);
        crate::log::error!("no room for the content of a request (TMPDIR, request_spool) - {reason}");
    }
    Rejection { may_pass, ..Rejection::fatal(503, why) }
}

fn too_large() -> Rejection {
    Rejection::fatal(413, "The request's content is larger than this server accepts.")
}

/// Unnamed file in `$TMPDIR` or `/tmp`, which disappears with its last descriptor.
///
/// # Errors
/// No such directory exists (as in an empty root), its file system does not support O_TMPFILE, or may not
/// answer: each write would then hold its worker, and closing the file the supervisor of scripts.
fn disk_file() -> io::Result<File> {
    let dir =
        std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty()).unwrap_or_else(|| OsString::from("/tmp"));
    if !is_local(&dir) {
        return Err(Errno::EREMOTE.into());
    }
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_EXCL | OFlag::O_LARGEFILE | OFlag::O_CLOEXEC;
    Ok(open(Path::new(&dir), flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
}

/// Tells whether the directory `dir` for content is known to be this machine's own.
///
/// Another thread asks the file system, once, as the question may hang for ever.
fn is_local(dir: &OsStr) -> bool {
    static HAS_ASKED: AtomicBool = AtomicBool::new(false);
    if IS_REMOTE.get().is_none() && !HAS_ASKED.swap(true, Relaxed) {
        let (dir, caller) = (PathBuf::from(dir), thread::current());
        let ask = move || {
            let _ = IS_REMOTE.set(filesystem::is_remote(&dir));
            caller.unpark();
        };
        match sys::thread::start("disk", 64 * 1024, Box::new(ask)) {
            Ok(_) => thread::park_timeout(ANSWER_TIME),
            Err(_) => HAS_ASKED.store(false, Relaxed),
        }
    }
    IS_REMOTE.get() == Some(&false)
}

/// File in memory (memfd).
fn memory_file() -> nix::Result<File> {
    memfd_create(c"request content", MFdFlags::MFD_CLOEXEC).map(File::from)
}

/// Content of at most [`IN_MEMORY`] bytes as a file, positioned at its start.
///
/// Linux before 3.17 has no memory files, and a sandbox or `vm.memfd_noexec` may forbid them. A pipe, which holds
/// as many bytes by default, stands in for one.
fn file_with(content: &[u8]) -> io::Result<File> {
    match memory_file() {
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EACCES) => pipe_with(content),
        file => {
            let mut file = file?;
            file.write_all(content)?;
            file.rewind()?;
            Ok(file)
        }
    }
}

/// Read end of a pipe that holds `content`, with nothing behind it.
///
/// # Errors
/// EAGAIN if the pipe does not hold so much.
fn pipe_with(content: &[u8]) -> io::Result<File> {
    let (read, write) = io::pipe()?;
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    File::from(OwnedFd::from(write)).write_all(content)?;
    Ok(OwnedFd::from(read).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    fn spooled(content: &[u8], step: usize) -> Spool {
        let mut spool = Spool::new(BodyLength::Chunked, 1 << 20).unwrap();
        content.chunks(step).for_each(|piece| spool.write(piece).unwrap());
        spool
    }

    #[test]
    fn content_of_any_size_comes_back_whole_from_the_start_of_the_file() {
        for len in [0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 300_000] {
            let content: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut spool = spooled(&content, 1000);
            assert_eq!(spool.bytes(), len as u64);
            let mut got = Vec::new();
            spool.take_file().unwrap().read_to_end(&mut got).unwrap();
            assert!(got == content, "{len} bytes differ");
        }
    }

    /// Stands in for memory files where the system has none.
    #[test]
    fn a_pipe_holds_as_much_as_stays_in_memory() {
        for len in [0, 1, IN_MEMORY] {
            let mut got = Vec::new();
            pipe_with(&vec![7; len]).unwrap().read_to_end(&mut got).unwrap();
            assert_eq!(got, vec![7; len]);
        }
        let too_much = pipe_with(&vec![7; 2 * 1024 * 1024]).unwrap_err();
        assert_eq!(too_much.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn small_content_stays_in_memory_and_the_file_has_no_name() {
        assert!(matches!(spooled(&[0; IN_MEMORY], 999).store, Store::Memory(_)));
        let mut large = spooled(&[0; IN_MEMORY + 1], 999);
        assert!(matches!(large.store, Store::File { .. }));
        assert!(large.goes_to_disk(0) && !spooled(&[0; 9], 999).goes_to_disk(9));
        assert!(spooled(&[0; IN_MEMORY], 999).goes_to_disk(1));
        assert_eq!(large.take_file().unwrap().metadata().unwrap().nlink(), 0);
    }

    #[test]
    fn more_than_the_limit_is_413() {
        let early = Spool::new(BodyLength::Length(11), 10).unwrap_err();
        assert_eq!((early.status, early.close), (413, true));
        let mut spool = Spool::new(BodyLength::Chunked, 10).unwrap();
        spool.write(b"0123456789").unwrap();
        assert_eq!(spool.write(b"x").unwrap_err().status, 413);
        assert!(Spool::new(BodyLength::Length(10), 10).is_ok());
    }
}
