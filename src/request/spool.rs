//! A request's content, kept until it is complete: a script's standard input.
//!
//! A script is started only when all of its input is here, so a slow upload holds no process, and
//! the input is a plain file that needs nobody to feed it. The `conn` stage fills a [`Spool`]; the
//! `cgi` stage takes the file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;

use super::{BodyLength, Rejection};
use crate::sys::fd::OpenFile;

/// Content up to this size stays in memory; most forms are smaller than this.
const IN_MEMORY: usize = 64 * 1024;

/// Content received so far.
#[derive(Debug)]
pub struct Spool {
    held: Held,
    len: u64,
    /// Bytes that may come (`body_limit`).
    limit: u64,
}

#[derive(Debug)]
enum Held {
    Memory(Vec<u8>),
    File(OpenFile),
}

impl Spool {
    /// An empty spool for content framed as `length`, of at most `limit` bytes.
    ///
    /// # Errors
    /// 413 when the content is known beforehand to be too large (RFC 9110 §15.5.14): the client
    /// that waits for `100 Continue` need not send it.
    pub fn new(length: BodyLength, limit: u64) -> Result<Spool, Rejection> {
        match length {
            BodyLength::Length(n) if n > limit => Err(too_large()),
            _ => Ok(Spool { held: Held::Memory(Vec::new()), len: 0, limit }),
        }
    }

    /// Appends `content`.
    ///
    /// # Errors
    /// 413 beyond the limit; 500 when there is no room to keep it. Both end the connection, because
    /// the rest of the content is never read.
    pub fn write(&mut self, content: &[u8]) -> Result<(), Rejection> {
        let len = self.len + content.len() as u64;
        if len > self.limit {
            return Err(too_large());
        }
        self.append(content)
            .map_err(|_| Rejection::fatal(500, "The request's content could not be stored."))?;
        self.len = len;
        Ok(())
    }

    /// Does one more write of `n` bytes go to a disk, which may take its time?
    pub fn goes_to_disk(&self, n: usize) -> bool {
        match &self.held {
            Held::Memory(bytes) => bytes.len() + n > IN_MEMORY,
            Held::File(_) => true,
        }
    }

    /// Bytes held.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// No byte held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The content as a file without a name, positioned at its start.
    ///
    /// # Errors
    /// No descriptor or no memory left.
    pub fn into_file(self) -> io::Result<File> {
        let mut file = match self.held {
            Held::File(file) => file.into(),
            Held::Memory(bytes) => {
                let mut file = memory_file()?;
                file.write_all(&bytes)?;
                file
            }
        };
        file.rewind()?;
        Ok(file)
    }

    fn append(&mut self, content: &[u8]) -> io::Result<()> {
        if let Held::Memory(bytes) = &mut self.held {
            if bytes.len() + content.len() <= IN_MEMORY {
                bytes.extend_from_slice(content);
                return Ok(());
            }
            let mut file = disk_file().or_else(|_| memory_file())?;
            file.write_all(bytes)?;
            self.held = Held::File(file.into());
        }
        match &mut self.held {
            Held::File(file) => (&**file).write_all(content),
            Held::Memory(_) => Ok(()),
        }
    }
}

fn too_large() -> Rejection {
    Rejection::fatal(413, "The request's content is larger than this server accepts.")
}

/// A file that never has a name, in `$TMPDIR` or `/tmp`: it vanishes with its last descriptor,
/// whatever becomes of us. Fails where there is no such directory (an empty root) or its file
/// system cannot do it.
fn disk_file() -> io::Result<File> {
    let dir =
        std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty()).unwrap_or_else(|| OsString::from("/tmp"));
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    Ok(open(Path::new(&dir), flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
}

/// A file in memory.
fn memory_file() -> io::Result<File> {
    Ok(memfd_create(c"request content", MFdFlags::MFD_CLOEXEC)?.into())
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
            let spool = spooled(&content, 1000);
            assert_eq!((spool.len(), spool.is_empty()), (len as u64, len == 0));
            let mut got = Vec::new();
            spool.into_file().unwrap().read_to_end(&mut got).unwrap();
            assert!(got == content, "{len} bytes differ");
        }
    }

    #[test]
    fn small_content_stays_in_memory_and_the_file_has_no_name() {
        assert!(matches!(spooled(&[0; IN_MEMORY], 999).held, Held::Memory(_)));
        let large = spooled(&[0; IN_MEMORY + 1], 999);
        assert!(matches!(large.held, Held::File(_)));
        assert!(large.goes_to_disk(0) && !spooled(&[0; 9], 999).goes_to_disk(9));
        assert!(spooled(&[0; IN_MEMORY], 999).goes_to_disk(1));
        assert_eq!(large.into_file().unwrap().metadata().unwrap().nlink(), 0);
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
