//! Refusals of a look-up: the answer and the operator's note for each cause.

use std::io;
use std::ops::Deref;

use nix::errno::Errno;

use crate::auth::AuthOutcome;
use crate::log::Level;
use crate::representation::etag::Untagged;
use crate::request::Rejection;
use crate::sys::is_shortage;

/// Condition for trying a request again, if no decision is possible at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Retry soon: descriptors are short, or the limit on password hashes is reached.
    Soon,
    /// Retry soon, for a short time only: the limit on directory lists is reached.
    AfterLists,
    /// Retry when a worker has returned from a file system that may not answer.
    WhenRemoteIsFree,
}

/// Log text of a refusal, written after the client's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DenialNote {
    /// Text of the form `URL "URL" <text>`.
    OfUrl(&'static str),
    /// Complete text.
    Whole(String),
}

/// Refusal of a request. Boxed, since a result that a look-up passes on is moved at each
/// step, and all but few are good ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessDenied(Box<Denial>);

/// Contents of [`AccessDenied`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Response to send.
    pub rejection: Rejection,
    /// Message for the operator.
    pub note: Option<(Level, DenialNote)>,
    /// Value of WWW-Authenticate, for 401.
    pub challenge: Option<String>,
    /// Authenticated user, if the request is refused for another reason.
    pub user: Option<Box<[u8]>>,
    /// Condition for trying again; `None` if the refusal is final.
    pub retry: Option<Retry>,
    /// Value of Retry-After, in seconds.
    pub retry_after: Option<u32>,
}

impl AccessDenied {
    /// Refusal with a note for the operator.
    pub(super) fn noted(rejection: Rejection, level: Level, note: &'static str) -> AccessDenied {
        AccessDenied::from(rejection).with_note(level, DenialNote::OfUrl(note))
    }

    pub(super) fn with_note(mut self, level: Level, note: DenialNote) -> AccessDenied {
        self.0.note = Some((level, note));
        self
    }

    fn with_challenge(mut self, challenge: String) -> AccessDenied {
        self.0.challenge = Some(challenge);
        self
    }

    pub(super) fn with_user(mut self, user: Option<Box<[u8]>>) -> AccessDenied {
        self.0.user = user;
        self
    }

    /// Adds a Retry-After of `seconds`.
    pub(super) fn with_retry_after(mut self, seconds: u32) -> AccessDenied {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Adds the condition for asking again.
    pub(super) fn until(mut self, retry: Retry) -> AccessDenied {
        self.0.retry = Some(retry);
        self
    }

    /// The user of the request; none where it needed no password.
    pub fn into_user(self) -> Option<Box<[u8]>> {
        self.0.user
    }
}

impl Deref for AccessDenied {
    type Target = Denial;

    fn deref(&self) -> &Denial {
        &self.0
    }
}

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

/// Converts the result of a password check: the user, if a password was demanded, or a refusal.
pub(super) fn judged(outcome: AuthOutcome) -> Result<Option<Box<[u8]>>, AccessDenied> {
    match outcome {
        AuthOutcome::Open => Ok(None),
        AuthOutcome::User(user) => Ok(Some(user)),
        AuthOutcome::Challenge(challenge) => {
            let why = Rejection::new(401, "You need a user name and a password to see {url}.");
            Err(AccessDenied::from(why).with_challenge(challenge))
        }
        AuthOutcome::Misunderstood { challenge, trouble } => {
            let why = Rejection::new(401, "You need a user name and a password to see {url}.");
            let denied = AccessDenied::from(why).with_challenge(challenge);
            Err(denied.with_note(Level::Error, DenialNote::Whole(trouble)))
        }
        AuthOutcome::Busy => {
            let why = Rejection::new(503, "This server is busy checking passwords; please try again.");
            Err(AccessDenied::from(why).until(Retry::Soon))
        }
        AuthOutcome::Unreadable { path, reason } => Err(unreadable(&path, &reason)),
    }
}

/// Refusal of a file whose password file `path` could not be read.
pub(super) fn unreadable(path: &[u8], reason: &io::Error) -> AccessDenied {
    // A shortage of descriptors does not tell whether the directory has a password file: try again.
    if is_shortage(errno_of(reason)) {
        return io_denied(errno_of(reason));
    }
    let why = crate::sys::reason(reason);
    let said = format!("auth file {} could not be opened - {why}", path.escape_ascii());
    let page = "{url} is protected by a password file that cannot be read.";
    AccessDenied::from(Rejection::new(403, page)).with_note(Level::Error, DenialNote::Whole(said))
}

/// Refusal of a name that led elsewhere while its checks were made. It is tried again.
pub(super) fn changing() -> AccessDenied {
    let why = Rejection::new(503, "{url} is changing just now; please try again.");
    AccessDenied::from(why).until(Retry::Soon)
}
