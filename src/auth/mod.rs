//! Basic authentication (RFC 7617) by `.htpasswd` files: may this request see this directory?
//!
//! Enters the directory of the symlink-expanded file, and the Authorization field; leaves a
//! [`AuthOutcome`]. The resolver asks, for every method, before it opens what the directory holds.
//! thttpd's rules: a `.htpasswd` protects its own directory only, and the one at the top, with `-g`,
//! decides alone where it exists. Unlike thttpd, a name that cannot be looked up for any reason but that
//! the directory has no such entry shuts the directory.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use sha2::{Digest, Sha256};

mod attempt_cache;
pub mod credentials;
pub mod crypt;
pub mod htpasswd;
mod waiting_clients;

use crate::docroot::blocking::Blocking;
use crate::docroot::path::join;
use crate::docroot::{Links, View};
use crate::request::client::ClientNetwork;
use crate::sys::filesystem::OpenDirectory;
use attempt_cache::{AttemptCache, AttemptKey};
use credentials::Credentials;

/// Name of the file that protects a directory.
pub const FILE_NAME: &[u8] = b".htpasswd";

/// A larger file is refused: it is read whole for each answer that is not remembered.
const MOST_FILE_BYTES: u64 = 1024 * 1024;

/// A file changed this recently may change again within the same tick of its clock, unseen:
/// nothing is remembered about it yet. Two seconds suit the coarsest file systems.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Directory that a request wants to see, and the password files that may protect it.
#[derive(Debug, Clone, Copy)]
pub struct Realm<'a> {
    /// The open document root (never a virtual host's directory, so that realms name that).
    pub view: &'a View<'a>,
    /// Directory of the file, relative to its root, symlinks expanded: `private`, `one.example/docs`;
    /// empty for the top.
    pub dir: &'a [u8],
    /// With `-g`: the directory whose file decides for everything below it, relative to its root,
    /// symlinks expanded: empty, or the virtual host's.
    pub global: Option<&'a [u8]>,
    /// [`Links::Within`] where names are expanded; [`Links::Follow`] with `-nos`, where `dir` may hold
    /// links that the operator wants followed.
    pub links: Links,
}

/// A password file that a rule names.
#[derive(Debug, Clone, Copy)]
pub struct NamedFile<'a> {
    /// The directory that holds it; none where that could not be opened.
    pub dir: Option<&'a OpenDirectory>,
    /// Its name there.
    pub base: &'a [u8],
    /// Told to a client that is asked for a password.
    pub realm: &'a str,
}

/// What a request brings to be let in.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The Authorization field.
    pub authorization: Option<&'a [u8]>,
    /// The client, which takes turns with others where hashes are slow.
    pub client: ClientNetwork,
    /// The worker, which is told once before a hash that takes milliseconds.
    pub blocking: &'a dyn Blocking,
}

/// The answer.
#[derive(Debug)]
pub enum AuthOutcome {
    /// The directory has no entry called `.htpasswd`: anyone may.
    Open,
    /// The credentials of this user are right. For the log and REMOTE_USER.
    User(Box<[u8]>),
    /// Answer 401 with this value of WWW-Authenticate.
    Challenge(String),
    /// A challenge for a user whose hash is of no known form, with a message for the operator.
    Misunderstood {
        /// Value of WWW-Authenticate.
        challenge: String,
        /// For the log: file, user, and what is wrong with the hash.
        trouble: String,
    },
    /// Slow hashes are being computed, and other clients come first. Park the connection for some 20 ms
    /// and ask again, or answer 503 with Retry-After.
    Busy,
    /// The name is there, or may be, but cannot be used as a password file: 403, and thttpd's log line
    /// `ADDR auth file PATH could not be opened - REASON`.
    Unreadable {
        /// Relative to the root.
        path: Vec<u8>,
        /// Why.
        reason: io::Error,
    },
}

/// Checks credentials; one for the server, shared by all workers.
pub struct Authenticator {
    attempt_cache: AttemptCache,
    /// Keys the marks, so that neither a reader of memory nor a client can tell one from a password.
    key: [u8; 32],
    settled_after: Duration,
}

impl std::fmt::Debug for Authenticator {
    /// Says nothing of keys and credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

impl Authenticator {
    /// `most` is how many workers may be held by hashing at once: half of the pool leaves the other
    /// half to everyone else.
    pub fn new(most: usize) -> Authenticator {
        Authenticator {
            attempt_cache: AttemptCache::new(most),
            key: random_key(),
            settled_after: SETTLED_AFTER,
        }
    }

    /// May a request with this attempt see what lies in `place.dir`?
    ///
    /// Without a `.htpasswd` this is a failed open, and one look at the directory.
    pub fn check(&self, place: &Realm<'_>, attempt: &Attempt<'_>) -> AuthOutcome {
        if let Some(dir) = place.global {
            match self.check_in(place, dir, attempt) {
                AuthOutcome::Open if dir == place.dir => return AuthOutcome::Open,
                AuthOutcome::Open => {}
                decided => return decided,
            }
        }
        self.check_in(place, place.dir, attempt)
    }

    /// The password file that decides about `place`, and its users whose hashes are not understood, in words
    /// for the operator. Reads the disk when it is shown.
    pub fn described<'a>(&self, place: &'a Realm<'a>) -> impl std::fmt::Display + 'a {
        Described(*place)
    }

    /// May a request with this Authorization field have what the file protects? A file that cannot be opened
    /// lets nobody in.
    /// The outcome does not count where `view` was left.
    pub fn check_named(&self, view: &View<'_>, file: &NamedFile<'_>, attempt: &Attempt<'_>) -> AuthOutcome {
        let opened = match file.dir {
            Some(dir) => view.open_beside(dir, file.base),
            None => Err(Errno::ENOENT),
        };
        match opened.map_err(io::Error::from).and_then(|opened| self.judge(opened, attempt)) {
            Ok(PasswordCheck::Right(user)) => AuthOutcome::User(user),
            Ok(PasswordCheck::Wrong) => AuthOutcome::Challenge(challenge(file.realm.as_bytes())),
            Ok(PasswordCheck::Misunderstood(why)) => {
                let trouble = format!("auth file {}: {why}", file.base.escape_ascii());
                AuthOutcome::Misunderstood { challenge: challenge(file.realm.as_bytes()), trouble }
            }
            Ok(PasswordCheck::Busy) => AuthOutcome::Busy,
            Err(reason) => AuthOutcome::Unreadable { path: file.base.to_vec(), reason },
        }
    }

    /// By the file in `dir` alone.
    fn check_in(&self, place: &Realm<'_>, dir: &[u8], attempt: &Attempt<'_>) -> AuthOutcome {
        let path = join(dir, FILE_NAME);
        let judged = match place.view.open_read(&path, place.links) {
            // A dangling link is ENOENT too: its target may be back, or mounted, in a moment.
            Err(Errno::ENOENT) => match place.view.has_entry(dir, FILE_NAME, place.links) {
                Ok(false) => return AuthOutcome::Open,
                Ok(true) => Err(Errno::ENOENT.into()),
                Err(errno) => Err(errno.into()),
            },
            Err(errno) => Err(errno.into()),
            Ok(file) => self.judge(file, attempt),
        };
        match judged {
            Ok(PasswordCheck::Right(user)) => AuthOutcome::User(user),
            Ok(PasswordCheck::Wrong) => AuthOutcome::Challenge(challenge(dir)),
            Ok(PasswordCheck::Misunderstood(why)) => {
                let trouble = format!("auth file {}: {why}", path.escape_ascii());
                AuthOutcome::Misunderstood { challenge: challenge(dir), trouble }
            }
            Ok(PasswordCheck::Busy) => AuthOutcome::Busy,
            Err(reason) => AuthOutcome::Unreadable { path, reason },
        }
    }

    /// Compares the credentials with the open password file.
    fn judge(&self, file: File, attempt: &Attempt<'_>) -> io::Result<PasswordCheck> {
        let version = FileVersion::from_file(&file)?;
        let Some(credentials) = attempt.authorization.and_then(Credentials::parse) else {
            return Ok(PasswordCheck::Wrong);
        };
        let mark = self.mark(&version, &credentials);
        let answer = match self.attempt_cache.recall(&mark) {
            Some(known) => Some(known),
            None => {
                let text = read(file)?;
                let lookup = HashLookup::find(&text, &credentials);
                if let Some(trouble) = lookup.hash.filter(|_| lookup.known).and_then(crypt::trouble) {
                    let user = credentials.user().escape_ascii();
                    return Ok(PasswordCheck::Misunderstood(format!("{user}: {trouble}")));
                }
                if lookup.hash.is_some_and(crypt::is_slow) {
                    attempt.blocking.block_in_place();
                }
                let is_kept = version.is_settled(self.settled_after);
                self.attempt_cache.ask(attempt.client, &mark, is_kept, || lookup.is_right(&credentials))
            }
        };
        Ok(match answer {
            Some(true) => PasswordCheck::Right(credentials.user().into()),
            Some(false) => PasswordCheck::Wrong,
            None => PasswordCheck::Busy,
        })
    }

    /// The digest under which the answer is remembered.
    fn mark(&self, version: &FileVersion, credentials: &Credentials) -> AttemptKey {
        let mut digest = Sha256::new();
        digest.update(self.key);
        for number in version.numbers {
            digest.update(number.to_ne_bytes());
        }
        digest.update(credentials.user().len().to_ne_bytes());
        digest.update(credentials.user());
        digest.update(credentials.password());
        let digest = digest.finalize();
        std::array::from_fn(|at| digest[at])
    }
}

/// See [`Authenticator::described`].
struct Described<'a>(Realm<'a>);

impl std::fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Described(place) = self;
        let files = place.global.into_iter().chain([place.dir]).map(|dir| join(dir, FILE_NAME));
        for path in files {
            let Ok(file) = place.view.open_read(&path, place.links) else { continue };
            write!(f, "password file {}", path.escape_ascii())?;
            let is_readable = FileVersion::from_file(&file).is_ok();
            let text = if is_readable { read(file).unwrap_or_default() } else { Vec::new() };
            for (user, hash) in htpasswd::users(&text) {
                if let Some(trouble) = crypt::trouble(hash) {
                    write!(f, "; {}: {trouble}", user.escape_ascii())?;
                }
            }
            return Ok(());
        }
        f.write_str("no password file")
    }
}

enum PasswordCheck {
    Right(Box<[u8]>),
    Wrong,
    /// The user is known, but their hash is of no known form: says so.
    Misunderstood(String),
    Busy,
}

/// Hash that the file has for the user of the credentials.
struct HashLookup<'f> {
    hash: Option<&'f [u8]>,
    /// The user has a line; otherwise `hash` is someone else's, checked all the same so that the time
    /// taken does not tell which users there are.
    known: bool,
}

impl<'f> HashLookup<'f> {
    fn find(file: &'f [u8], credentials: &Credentials) -> HashLookup<'f> {
        match htpasswd::hash_of(file, credentials.user()) {
            Some(hash) => HashLookup { hash: Some(hash), known: true },
            None => HashLookup { hash: htpasswd::first_hash(file), known: false },
        }
    }

    fn is_right(&self, credentials: &Credentials) -> bool {
        self.hash.is_some_and(|hash| crypt::verify(hash, credentials.password())) && self.known
    }
}

/// Which file, and which version of it.
struct FileVersion {
    /// Device, inode, size, and both times down to the nanosecond.
    numbers: [u64; 7],
    changed: SystemTime,
}

impl FileVersion {
    /// # Errors
    /// As fstat(2), or `file` is not a regular file of a bearable size.
    fn from_file(file: &File) -> io::Result<FileVersion> {
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if meta.len() > MOST_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
        }
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        let [mtime, mtime_nsec, ctime, ctime_nsec] = times.map(i64::cast_unsigned);
        let since_epoch = Duration::new(ctime, u32::try_from(ctime_nsec).unwrap_or(0));
        Ok(FileVersion {
            numbers: [meta.dev(), meta.ino(), meta.size(), mtime, mtime_nsec, ctime, ctime_nsec],
            changed: SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH),
        })
    }

    /// Was the last change so long ago that another would show in the times?
    fn is_settled(&self, after: Duration) -> bool {
        self.changed.elapsed().is_ok_and(|age| age >= after)
    }
}

/// The whole file; it may have grown since it was measured, but not beyond the bound.
fn read(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MOST_FILE_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// WWW-Authenticate for `dir`: the realm is the directory as thttpd names it, `.` for the top, as a
/// quoted-string (RFC 9110 §5.6.4). Control characters are left out; a name is no place for them.
fn challenge(dir: &[u8]) -> String {
    let dir = if dir.is_empty() { ".".into() } else { String::from_utf8_lossy(dir) };
    let mut value = String::from("Basic realm=\"");
    for letter in dir.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, '"' | '\\') {
            value.push('\\');
        }
        value.push(letter);
    }
    value.push('"');
    value
}

/// 256 bits that only this process knows: the standard library keys its hash maps from the kernel's
/// random numbers, also where the root directory has been changed and holds no `/dev/urandom`.
fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    for (at, word) in key.chunks_mut(8).enumerate() {
        word.copy_from_slice(&RandomState::new().hash_one(at).to_ne_bytes());
    }
    key
}

#[cfg(test)]
mod tests;
