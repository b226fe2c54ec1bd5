//! Guards: access rules by address, password and request rate.
//!
//! Every name that a request leads to is compared, so that no link, rewrite or other spelling avoids a
//! guard. All allow, deny and requests lines that cover any of the names must hold. Of the auth lines, the
//! last one that covers a name counts for that name; every password file that results must accept the
//! client.

use std::cell::RefCell;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bucket::Requests;
use super::pattern::{Name, Pattern};
use super::words::Words;
use super::{Line, Rules};
use crate::config::address_list::AddressList;
use crate::request::Client;
use crate::sys::filesystem::OpenDirectory;

/// Condition of a guard line.
#[derive(Debug)]
pub enum Guard {
    /// The client is in the list.
    Allow(AddressList),
    /// The client is not in the list.
    Deny(AddressList),
    /// The client is a user of the file. `None` (`auth -`) lifts the password demanded by earlier lines.
    Auth(Option<AuthFile>),
    /// The client stays below a request rate.
    Requests(Requests),
}

/// Indices of `requests` lines that have already counted the current request.
///
/// A request is tried again when a resource is short or storage is slow; each line counts the request once.
#[derive(Debug, Default)]
pub struct Charged(RefCell<Vec<usize>>);

impl Charged {
    fn holds(&self, place: usize) -> bool {
        self.0.borrow().contains(&place)
    }

    fn add(&self, place: usize) {
        self.0.borrow_mut().push(place);
    }

    /// Forgets the counted lines, before the next request.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// Password file named by an `auth` line.
#[derive(Debug)]
pub struct AuthFile {
    /// Path as written in the rules file.
    pub path: PathBuf,
    /// Realm sent to clients in WWW-Authenticate.
    pub realm: String,
    /// Directory that holds the file, opened at start; `None` if opening failed.
    pub dir: Option<Arc<OpenDirectory>>,
}

impl AuthFile {
    /// Base name of the file.
    pub fn base(&self) -> &[u8] {
        self.path.file_name().unwrap_or_default().as_bytes()
    }

    /// Opens the directory of the file. Relative paths start from `start`.
    pub(super) fn open(&mut self, start: &Path) {
        let path = start.join(&self.path);
        let dir = path.parent().unwrap_or(Path::new("/"));
        self.dir = OpenDirectory::open(dir).ok().map(Arc::new);
    }

    /// Tells whether the server would serve the file to clients.
    ///
    /// A file below the served directory `dir` must be named `.ht...`, since such names are never served.
    /// Relative paths start from `start`.
    pub(super) fn is_served_below(&self, dir: &Path, start: &Path) -> bool {
        let Ok(dir) = start.join(dir).canonicalize() else { return false };
        let path = start.join(&self.path);
        let within = path.parent().and_then(|parent| parent.canonicalize().ok());
        let named = within.map(|parent| parent.join(path.file_name().unwrap_or_default()));
        let is_bare = |path: PathBuf| path.starts_with(&dir) && !is_hidden(&path);
        named.is_some_and(is_bare) || path.canonicalize().is_ok_and(is_bare)
    }
}

/// Tells whether the file's name begins with `.ht`, so that the file is never served.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b".ht"))
}

impl Guard {
    /// Reads the guard action `word` with its arguments.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn parse(word: &str, words: &Words, pattern: &Pattern) -> Result<Guard, String> {
        match word {
            "allow" => Ok(Guard::Allow(AddressList::parse(&words.joined())?)),
            "deny" => Ok(Guard::Deny(AddressList::parse(&words.joined())?)),
            "requests" => Requests::parse(words.slice()).map(Guard::Requests),
            _ => match words.slice() {
                [] => Err("write: auth FILE [REALM...], or auth -".into()),
                [dash] if dash == "-" => Ok(Guard::Auth(None)),
                [dash, ..] if dash == "-" => Err("auth - takes no realm".into()),
                [file, ..] if file.ends_with('/') => Err(format!("{file}: a directory is no password file")),
                [file, realm @ ..] => {
                    let realm = realm.join(" ");
                    let realm = if realm.is_empty() { pattern.as_str().to_owned() } else { realm };
                    Ok(Guard::Auth(Some(AuthFile { path: file.into(), realm, dir: None })))
                }
            },
        }
    }
}

/// Guards that cover the names of a request, as indices into all guard lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Covering {
    /// Indices of allow and deny lines.
    access: Vec<usize>,
    requests: Vec<usize>,
    /// Indices of auth lines that demand a password.
    auth: Vec<usize>,
}

impl Covering {
    /// Adds the guards of `other`, and returns the ones that were not present before.
    pub fn add(&mut self, mut other: Covering) -> Covering {
        other.access.retain(|place| !self.access.contains(place));
        other.requests.retain(|place| !self.requests.contains(place));
        other.auth.retain(|place| !self.auth.contains(place));
        self.access.extend(&other.access);
        self.requests.extend(&other.requests);
        self.auth.extend(&other.auth);
        other
    }

    /// Guards of `other` that are missing here.
    pub fn beyond(&self, other: &Covering) -> Covering {
        let new = |own: &[usize], other: &[usize]| -> Vec<usize> {
            other.iter().filter(|place| !own.contains(place)).copied().collect()
        };
        Covering {
            access: new(&self.access, &other.access),
            requests: new(&self.requests, &other.requests),
            auth: new(&self.auth, &other.auth),
        }
    }

    /// Tells whether no guard covers the names.
    pub fn is_empty(&self) -> bool {
        self.access.is_empty() && self.requests.is_empty() && self.auth.is_empty()
    }

    /// Tells whether only some clients may have the response, by address or password.
    pub fn is_restricted(&self) -> bool {
        !self.access.is_empty() || !self.auth.is_empty()
    }

    /// Tells whether a password is demanded.
    pub fn asks_for_password(&self) -> bool {
        !self.auth.is_empty()
    }
}

/// Guard that refuses a request.
#[derive(Debug)]
pub struct Refused<'r> {
    /// Line of the guard.
    pub line: &'r Line<Guard>,
    /// Seconds until a retry can succeed (status 429); `None` for 403.
    pub retry_after: Option<u64>,
}

impl Rules {
    /// Guards that cover any of `names`, the spellings of one name.
    pub fn cover(&self, names: &[Name<'_>]) -> Covering {
        let mut covering = Covering::default();
        let mut last_auth = None;
        for (place, line) in self.guards.iter().enumerate() {
            if !names.iter().any(|name| line.pattern.matches(name)) {
                continue;
            }
            match &line.action {
                Guard::Allow(_) | Guard::Deny(_) => covering.access.push(place),
                Guard::Requests(_) => covering.requests.push(place),
                Guard::Auth(file) => last_auth = file.is_some().then_some(place),
            }
        }
        covering.auth.extend(last_auth);
        covering
    }

    /// Checks the addresses and request rates of `covering` for `client`. Takes a token of each bucket.
    ///
    /// # Errors
    /// The first line that refuses; addresses are checked before rates.
    pub fn admit(&self, covering: &Covering, client: &Client, charged: &Charged) -> Result<(), Refused<'_>> {
        for line in covering.access.iter().filter_map(|place| self.guards.get(*place)) {
            let holds = match &line.action {
                Guard::Allow(list) => client.address.is_allowed_by(list),
                Guard::Deny(list) => !client.address.is_denied_by(list),
                _ => true,
            };
            if !holds {
                return Err(Refused { line, retry_after: None });
            }
        }
        for place in covering.requests.iter().filter(|place| !charged.holds(**place)) {
            let Some(line) = self.guards.get(*place) else { continue };
            if let Guard::Requests(requests) = &line.action {
                let taken = requests.take(client.address);
                taken.map_err(|wait| Refused { line, retry_after: Some(wait) })?;
                charged.add(*place);
            }
        }
        Ok(())
    }

    /// Password files that `covering` demands, with their lines.
    pub fn auth_files<'r>(
        &'r self,
        covering: &Covering,
    ) -> impl Iterator<Item = (&'r Line<Guard>, &'r AuthFile)> + use<'r> {
        let lines: Vec<&Line<Guard>> = covering.auth.iter().filter_map(|at| self.guards.get(*at)).collect();
        lines.into_iter().filter_map(|line| match &line.action {
            Guard::Auth(Some(file)) => Some((line, file)),
            _ => None,
        })
    }

    /// Lines of `covering` in file order, for `--explain`.
    pub fn covering_lines(&self, covering: &Covering) -> Vec<&Line<Guard>> {
        let Covering { access, requests, auth } = covering;
        let mut places: Vec<usize> = access.iter().chain(requests).chain(auth).copied().collect();
        places.sort_unstable();
        places.into_iter().filter_map(|place| self.guards.get(place)).collect()
    }

    /// Password files of all auth lines, with their lines.
    pub fn all_auth_files(&self) -> impl Iterator<Item = (&Line<Guard>, &AuthFile)> {
        self.guards.iter().filter_map(|line| match &line.action {
            Guard::Auth(Some(file)) => Some((line, file)),
            _ => None,
        })
    }
}
