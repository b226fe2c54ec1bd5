//! Basic authentication (RFC 7617) by `.htpasswd` files.
//!
//! Input: the directory of the file with its links expanded, and the Authorization field. Output: an
//! [`AuthOutcome`]. The resolver asks for every method, before opening a file. As in thttpd, a `.htpasswd`
//! protects its own directory only; with `-g`, the one at the top decides alone if it exists. Unlike
//! thttpd, access is refused if the look-up of `.htpasswd` fails for any reason but a missing entry.

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

use crate::config::printable::shortened;
use crate::docroot::blocking::Blocking;
use crate::docroot::path::join;
use crate::docroot::{DirectoryRef, Links, View};
use crate::request::client::ClientNetwork;
use crate::sys::filesystem::OpenDirectory;
use attempt_cache::{AttemptCache, AttemptKey};
use credentials::Credentials;

/// Name of the file that protects a directory.
pub const FILE_NAME: &[u8] = b".htpasswd";

/// Maximum size of a password file in bytes; it is read whole for each result that is not cached.
pub const MOST_FILE_BYTES: u64 = 1024 * 1024;

/// Minimum age of a file's last change before results are cached.
///
/// A younger file may change again within the same tick of the file system's clock. Two seconds suit the
/// coarsest file systems.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Directory to check, with the password files that may protect it.
#[derive(Debug)]
pub struct Realm<'a> {
    /// Directory of the file, with links expanded.
    ///
    /// Its name is relative to the document root, never to a virtual host's directory: `private`,
    /// `one.example/docs`.
    pub dir: DirectoryRef<'a>,
    /// With `-g`: directory of the password file for everything below: the top, or the virtual host's
    /// directory.
    pub global: Option<DirectoryRef<'a>>,
    /// Treatment of links: [`Links::Within`] for expanded names, [`Links::Follow`] with `-nos`.
    pub links: Links,
}

/// Password file named by a rule.
#[derive(Debug, Clone, Copy)]
pub struct NamedFile<'a> {
    /// Directory that holds the file, or the error of opening it.
    pub dir: Result<&'a OpenDirectory, Errno>,
    /// Name of the file in its directory.
    pub base: &'a [u8],
    /// Realm sent to clients in WWW-Authenticate.
    pub realm: &'a str,
}

/// Login attempt of a request.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// Value of the Authorization field.
    pub authorization: Option<&'a [u8]>,
    /// Client, for the fair queue of slow hashes.
    pub client: ClientNetwork,
    /// Worker, which is told before a hash that takes milliseconds.
    pub blocking: &'a dyn Blocking,
}

/// Result of an authentication.
#[derive(Debug)]
pub enum AuthOutcome {
    /// The directory has no `.htpasswd`: access is granted.
    Open,
    /// The credentials of this user are right. The name is for the log and REMOTE_USER.
    User(Box<[u8]>),
    /// Credentials are missing or wrong: 401 with this value of WWW-Authenticate.
    Challenge(String),
    /// The hash of the user is of an unknown form: 401, and a message for the operator.
    Misunderstood {
        /// Value of WWW-Authenticate.
        challenge: String,
        /// Message for the log: file, user, and the fault of the hash.
        trouble: String,
    },
    /// The limit on slow hashes is reached, or other clients come first.
    ///
    /// Park the connection for some 20 ms and try again, or answer 503 with Retry-After.
    Busy,
    /// The password file exists, or may exist, but is not usable: 403.
    ///
    /// The log line is thttpd's: `ADDR auth file PATH could not be opened - REASON`.
    Unreadable {
        /// Path relative to the root.
        path: Vec<u8>,
        /// Error of the failed call.
        reason: io::Error,
    },
}

/// Authenticator of the server, shared by all workers.
pub struct Authenticator {
    attempt_cache: AttemptCache,
    /// Key of the [`AttemptKey`]s, so that they reveal no password.
    key: [u8; 32],
    settled_after: Duration,
}

impl std::fmt::Debug for Authenticator {
    /// Formats without keys and credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Authenticator with at most `most` workers that hash at once.
    ///
    /// Half of the pool leaves the other half to other requests.
    pub fn new(most: usize) -> Authenticator {
        Authenticator {
            attempt_cache: AttemptCache::new(most),
            key: random_key(),
            settled_after: SETTLED_AFTER,
        }
    }

    /// Checks access to the files in `realm.dir`.
    ///
    /// Without a `.htpasswd` this takes one failed open and one look at the directory.
    pub fn check(&self, realm: &Realm<'_>, attempt: &Attempt<'_>) -> AuthOutcome {
        if let Some(dir) = &realm.global {
            match self.check_in(dir, realm.links, attempt) {
                AuthOutcome::Open if dir.name() == realm.dir.name() => return AuthOutcome::Open,
                AuthOutcome::Open => {}
                decided => return decided,
            }
        }
        self.check_in(&realm.dir, realm.links, attempt)
    }

    /// Description of the password file for `realm`, with users whose hashes are not supported.
    ///
    /// The disk is read when the description is formatted.
    pub fn described<'a>(&self, realm: &'a Realm<'a>) -> impl std::fmt::Display + 'a {
        Described(realm)
    }

    /// Checks the request against a password file named by a rule. An unreadable file refuses all clients.
    ///
    /// The result is not valid if the look-up left `view`.
    pub fn check_named(&self, view: &View<'_>, file: &NamedFile<'_>, attempt: &Attempt<'_>) -> AuthOutcome {
        let opened = file.dir.and_then(|dir| view.open_beside(dir, file.base));
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

    /// Checks access by the file in `dir` alone.
    fn check_in(&self, dir: &DirectoryRef<'_>, links: Links, attempt: &Attempt<'_>) -> AuthOutcome {
        let path = || join(dir.name(), FILE_NAME);
        let judged = match dir.open_read(FILE_NAME, links) {
            // A dangling link gives ENOENT too, but its target may be mounted later: the entry itself is
            // checked.
            Err(Errno::ENOENT) => match dir.has_entry(FILE_NAME, links) {
                Ok(false) => return AuthOutcome::Open,
                Ok(true) => Err(of_link(links, Errno::ENOENT)),
                Err(errno) => Err(errno.into()),
            },
            Err(errno @ Errno::EXDEV) => Err(of_link(links, errno)),
            Err(errno) => Err(errno.into()),
            Ok(file) => self.judge(file, attempt),
        };
        match judged {
            Ok(PasswordCheck::Right(user)) => AuthOutcome::User(user),
            Ok(PasswordCheck::Wrong) => AuthOutcome::Challenge(challenge(dir.name())),
            Ok(PasswordCheck::Misunderstood(why)) => {
                let trouble = format!("auth file {}: {why}", path().escape_ascii());
                AuthOutcome::Misunderstood { challenge: challenge(dir.name()), trouble }
            }
            Ok(PasswordCheck::Busy) => AuthOutcome::Busy,
            Err(reason) => AuthOutcome::Unreadable { path: path(), reason },
        }
    }

    /// Checks the credentials against the open password file.
    fn judge(&self, file: File, attempt: &Attempt<'_>) -> io::Result<PasswordCheck> {
        let version = FileVersion::from_file(&file)?;
        let Some(credentials) = attempt.authorization.and_then(Credentials::parse) else {
            return Ok(PasswordCheck::Wrong);
        };
        let key = self.key(&version, &credentials);
        let answer = match self.attempt_cache.recall(&key) {
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
                self.attempt_cache.verify(attempt.client, &key, is_kept, || lookup.is_right(&credentials))
            }
        };
        Ok(match answer {
            Some(true) => PasswordCheck::Right(credentials.user().into()),
            Some(false) => PasswordCheck::Wrong,
            None => PasswordCheck::Busy,
        })
    }

    /// Key under which the result is cached.
    fn key(&self, version: &FileVersion, credentials: &Credentials) -> AttemptKey {
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

/// Description of a link that leads to nothing or, where that is refused, out of the tree.
pub const LINK_TO_NO_FILE: &str = "a symbolic link to no file of the tree";

/// Error of a password file that is a link.
///
/// The system's own words (`Invalid cross-device link`) would not tell the operator what to change.
fn of_link(links: Links, errno: Errno) -> io::Error {
    match links {
        Links::Follow => errno.into(),
        Links::Within | Links::Refuse => io::Error::other(LINK_TO_NO_FILE),
    }
}

/// Lazy text of [`Authenticator::described`].
struct Described<'a>(&'a Realm<'a>);

impl std::fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Described(realm) = self;
        for dir in realm.global.iter().chain([&realm.dir]) {
            let Ok(file) = dir.open_read(FILE_NAME, realm.links) else { continue };
            write!(f, "password file {}", join(dir.name(), FILE_NAME).escape_ascii())?;
            let is_readable = FileVersion::from_file(&file).is_ok();
            let text = if is_readable { read(file).unwrap_or_default() } else { Vec::new() };
            for (user, hash) in htpasswd::users(&text) {
                if let Some(trouble) = crypt::trouble(hash) {
                    write!(f, "; {}: {trouble}", shortened(user))?;
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
    /// The user exists, but the hash is of an unknown form; the text describes the fault.
    Misunderstood(String),
    Busy,
}

/// Hash in the file for the user of the credentials.
struct HashLookup<'f> {
    hash: Option<&'f [u8]>,
    /// Set if the user has a line.
    ///
    /// Otherwise `hash` is another user's, checked so that the time does not reveal which users exist.
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

/// Identity and version of a file.
struct FileVersion {
    /// Device, inode, size, and both times in nanoseconds.
    numbers: [u64; 7],
    changed: SystemTime,
}

impl FileVersion {
    /// Version of an open file.
    ///
    /// # Errors
    /// Those of fstat(2), or the file is not regular or too large.
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

    /// Tells whether the last change is so old that another change would alter the times.
    fn is_settled(&self, after: Duration) -> bool {
        self.changed.elapsed().is_ok_and(|age| age >= after)
    }
}

/// Reads the whole file, up to the size limit, even if it has grown after `fstat`.
fn read(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MOST_FILE_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// WWW-Authenticate for `dir`: the realm is the directory as in thttpd, `.` for the top.
///
/// The realm is a quoted-string (RFC 9110 §5.6.4) without control characters.
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

/// Random key of 256 bits, secret to this process.
///
/// The standard library seeds its hash maps from the kernel's random numbers. This works also in a changed
/// root without `/dev/urandom`.
fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    for (at, word) in key.chunks_mut(8).enumerate() {
        word.copy_from_slice(&RandomState::new().hash_one(at).to_ne_bytes());
    }
    key
}

#[cfg(test)]
mod tests;
