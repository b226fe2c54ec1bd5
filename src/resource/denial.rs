//! Refusals of a look-up: the answer and the operator's note for each cause.

use std::io;

use nix::errno::Errno;

use super::{AccessDenied, Denial, Retry};
use crate::log::Level;
use crate::representation::etag::Untagged;
use crate::request::Rejection;
use crate::sys::is_shortage;

impl From<Rejection> for AccessDenied {
    fn from(rejection: Rejection) -> AccessDenied {
        let (note, challenge, user, retry, retry_after) = (None, None, None, None, None);
        AccessDenied(Box::new(Denial { rejection, note, challenge, user, retry, retry_after }))
    }
}

/// Refusal of a file whose entity tag could not be computed.
pub fn untagged(why: Untagged) -> AccessDenied {
    match why {
        Untagged::Busy => {
            let why = Rejection::new(503, "This server is too busy to look at {url}; please try again.");
            AccessDenied::from(why).until(Retry::Soon)
        }
        Untagged::Unreadable(error) => io_denied(errno_of(&error)),
    }
}

/// Refusal of a name that does not exist: 404.
pub fn not_found() -> AccessDenied {
    Rejection::new(404, "There is no {url} on this server.").into()
}

/// Refusal of a device, a FIFO or a socket.
pub fn not_a_file() -> AccessDenied {
    AccessDenied::noted(
        Rejection::new(403, "{url} is neither a file nor a directory."),
        Level::Notice,
        "is neither a regular file nor a directory",
    )
}

/// Refusal because of missing permission bits for others; `note` names the kind of file.
pub fn not_readable(note: &'static str) -> AccessDenied {
    AccessDenied::noted(
        Rejection::new(403, "{url} is not readable by everyone, so it is not served."),
        Level::Info,
        note,
    )
}

/// Refusal after a failed system call.
pub fn io_denied(errno: Errno) -> AccessDenied {
    let (rejection, note) = match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => return not_found(),
        // The name was there at the check before: the tree is being changed at this moment.
        Errno::ELOOP | Errno::EXDEV | Errno::EAGAIN => return not_found(),
        Errno::EACCES | Errno::EPERM => {
            (Rejection::new(403, "This server may not read {url}."), "could not be opened: permission denied")
        }
        shortage if is_shortage(shortage) => {
            let page = "This server is out of descriptors just now; please try again.";
            let note = "could not be opened: out of descriptors or memory";
            return AccessDenied::noted(Rejection::new(503, page), Level::Error, note).until(Retry::Soon);
        }
        _ => (Rejection::new(500, "{url} could not be read."), "could not be read"),
    };
    AccessDenied::noted(rejection, Level::Error, note)
}

/// Error number of a failed read; EIO if the error has none.
pub fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
