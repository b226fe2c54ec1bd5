//! Guards: who may have what. Every name of a request is compared, so that no link, rewrite or other
//! spelling leads round one.
//!
//! Every allow, deny and requests line that covers any of the names must hold. Of auth lines, for each name
//! separately the last that covers it counts, and every password file that results must be satisfied.

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

/// What a guard line demands.
#[derive(Debug)]
pub enum Guard {
    /// The client is in the list.
    Allow(AddressList),
    /// The client is not in the list.
    Deny(AddressList),
    /// The client is a user of the file; none frees what earlier lines protect.
    Auth(Option<AuthFile>),
    /// The client does not ask too often.
    Requests(Requests),
}

/// Lines of `requests` that have counted one request already: a request that is tried again, while
/// something is short or storage is slow, counts once.
#[derive(Debug, Default)]
pub struct Charged(RefCell<Vec<usize>>);

impl Charged {
    fn holds(&self, place: usize) -> bool {
        self.0.borrow().contains(&place)
    }

    fn add(&self, place: usize) {
        self.0.borrow_mut().push(place);
    }

    /// Begins with the next request.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// A password file that a line names.
#[derive(Debug)]
pub struct AuthFile {
    /// As written.
    pub path: PathBuf,
    /// Told to clients that are asked for a password.
    pub realm: String,
    /// The directory that holds the file, open since the start; none where it could not be opened.
    pub dir: Option<Arc<OpenDirectory>>,
}

impl AuthFile {
    /// The file's name in its directory.
    pub fn base(&self) -> &[u8] {
        self.path.file_name().unwrap_or_default().as_bytes()
    }

    /// Opens the directory; `start` is where relative names begin.
    pub(super) fn open(&mut self, start: &Path) {
        let path = start.join(&self.path);
        let dir = path.parent().unwrap_or(Path::new("/"));
        self.dir = OpenDirectory::open(dir).ok().map(Arc::new);
    }

    /// Would the server serve the file under its own name? One below the served directory `dir` must be
    /// named `.ht...`; `start` is where relative names begin.
    pub(super) fn is_served_below(&self, dir: &Path, start: &Path) -> bool {
        let Ok(dir) = start.join(dir).canonicalize() else { return false };
        let path = start.join(&self.path);
        let within = path.parent().and_then(|parent| parent.canonicalize().ok());
        let named = within.map(|parent| parent.join(path.file_name().unwrap_or_default()));
        let is_bare = |path: PathBuf| path.starts_with(&dir) && !is_hidden(&path);
        named.is_some_and(is_bare) || path.canonicalize().is_ok_and(is_bare)
    }
}

/// Is the file one that is never served?
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

/// The guards that cover the names of a request, by their places among all guards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Covering {
    /// Allow and deny.
    access: Vec<usize>,
    requests: Vec<usize>,
    /// Auth lines that ask for a password.
    auth: Vec<usize>,
}

impl Covering {
    /// Takes in what `other` has, and gives back what of it is new.
    pub fn add(&mut self, mut other: Covering) -> Covering {
        other.access.retain(|place| !self.access.contains(place));
        other.requests.retain(|place| !self.requests.contains(place));
        other.auth.retain(|place| !self.auth.contains(place));
        self.access.extend(&other.access);
        self.requests.extend(&other.requests);
        self.auth.extend(&other.auth);
        other
    }

    /// What `other` has beyond this.
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

    /// Does no guard cover any of the names?
    pub fn is_empty(&self) -> bool {
        self.access.is_empty() && self.requests.is_empty() && self.auth.is_empty()
    }

    /// May not everybody have what is covered?
    pub fn is_restricted(&self) -> bool {
        !self.access.is_empty() || !self.auth.is_empty()
    }

    /// Is a password asked for?
    pub fn asks_for_password(&self) -> bool {
        !self.auth.is_empty()
    }
}

/// A guard that does not hold.
#[derive(Debug)]
pub struct Refused<'r> {
    /// The guard's line.
    pub line: &'r Line<Guard>,
    /// Seconds to wait, where that helps: 429. Else it is 403.
    pub retry_after: Option<u64>,
}

impl Rules {
    /// The guards that cover any of `names`, the spellings of one name.
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

    /// Do the addresses and numbers hold that `covering` demands of `client`? Takes a token of each bucket.
    ///
    /// # Errors
    /// The first line that does not hold; addresses come first.
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

    /// The password files that `covering` asks for, with their lines.
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

    /// The lines of `covering`, for whom it is explained.
    pub fn covering_lines(&self, covering: &Covering) -> Vec<&Line<Guard>> {
        let Covering { access, requests, auth } = covering;
        let mut places: Vec<usize> = access.iter().chain(requests).chain(auth).copied().collect();
        places.sort_unstable();
        places.into_iter().filter_map(|place| self.guards.get(place)).collect()
    }

    /// Every password file.
    pub fn all_auth_files(&self) -> impl Iterator<Item = (&Line<Guard>, &AuthFile)> {
        self.guards.iter().filter_map(|line| match &line.action {
            Guard::Auth(Some(file)) => Some((line, file)),
            _ => None,
        })
    }
}
