//! A thread per connection: a blocking receive, one send.

use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;

use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, recv, send};

use super::answers::{Answer, Answers, is_whole, wants_close};
use super::{MORE, listener};
use crate::Result;

/// Enough for a request's head and little else.
const STACK: usize = 64 * 1024;

/// Accepts for ever.
///
/// # Errors
/// The port is taken, `accept` failed, or no thread could be started.
pub fn serve(address: SocketAddrV4, root: &Path) -> Result<()> {
    let listener = listener(address)?;
    let answers = Arc::new(RwLock::new(Answers::new(root.to_owned())));
    loop {
        let (stream, _) = listener.accept()?;
        let answers = Arc::clone(&answers);
        thread::Builder::new().stack_size(STACK).spawn(move || {
            // A broken connection is the end of its thread and of nothing else.
            let _ = converse(&stream, &answers);
        })?;
    }
}

fn converse(stream: &TcpStream, answers: &RwLock<Answers>) -> Result<()> {
    let mut buffer = [0; 4096];
    let mut held = 0;
    loop {
        match recv(stream.as_raw_fd(), &mut buffer[held..], MsgFlags::empty())? {
            0 => return Ok(()),
            bytes => held += bytes,
        }
        if !is_whole(&buffer[..held]) {
            continue;
        }
        let request = &buffer[..held];
        let known = answers.read().unwrap_or_else(PoisonError::into_inner).find(request);
        let answer = match known {
            Some(answer) => answer,
            None => answers.write().unwrap_or_else(PoisonError::into_inner).build(request)?,
        };
        send_answer(stream, &answer)?;
        if wants_close(request) {
            return Ok(());
        }
        held = 0;
    }
}

fn send_answer(stream: &TcpStream, answer: &Answer) -> Result<()> {
    let Some((file, size)) = &answer.file else {
        send(stream.as_raw_fd(), &answer.bytes, MsgFlags::MSG_NOSIGNAL)?;
        return Ok(());
    };
    send(stream.as_raw_fd(), &answer.bytes, MsgFlags::MSG_NOSIGNAL | MORE)?;
    let mut offset = 0;
    while offset < size.cast_signed() {
        let left = usize::try_from(size.cast_signed() - offset)?;
        sendfile(stream, file, Some(&mut offset), left)?;
    }
    Ok(())
}
