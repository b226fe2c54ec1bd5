//! Why a look-up ends without a resource: each cause's answer and note for the operator.

use std::io;

use nix::errno::Errno;

use super::{AccessDenied, Retry};
use crate::log::Level;
use crate::representation::etag::Untagged;
use crate::request::Rejection;
use crate::sys::is_shortage;

/// The answer where a file's entity tag could not be made.
pub fn untagged(why: Untagged) -> AccessDenied {
    match why {
        Untagged::Busy => {
            let why = Rejection::new(503, "This server is too busy to look at {url}; please try again.");
            AccessDenied::from(why).until(Retry::Soon)
        }
        Untagged::Unreadable(error) => io_denied(errno_of(&error)),
    }
}

/// No such name.
pub fn not_found() -> AccessDenied {
    Rejection::new(404, "There is no {url} on this server.").into()
}

/// A device, a FIFO or a socket.
pub fn not_a_file() -> AccessDenied {
    AccessDenied::noted(
        Rejection::new(403, "{url} is neither a file nor a directory."),
        Level::Notice,
        "is neither a regular file nor a directory",
    )
}

/// The world's permission bits forbid it; `note` says of what.
pub fn not_readable(note: &'static str) -> AccessDenied {
    AccessDenied::noted(
        Rejection::new(403, "{url} is not readable by everyone, so it is not served."),
        Level::Info,
        note,
    )
}

/// The answer to a failed system call.
pub fn io_denied(errno: Errno) -> AccessDenied {
    let (rejection, note) = match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => return not_found(),
        // A link that was not there a moment ago: someone is changing the tree under us.
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

/// The error number of a failed read; EIO where there is none.
pub fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
