//! Application of the guards to one request.
//!
//! Every name that a request leads to is compared, so that no link, rewrite or other spelling avoids a
//! guard. All allow, deny and requests lines that cover any of the names must hold. Of the auth lines, the
//! last one that covers a name counts for that name; every password file that results must accept the
//! client.

use std::cell::RefCell;

use super::covering::Covering;
use super::guard::{AuthFile, Guard};
use super::line::Line;
use super::pattern::Name;
use super::rule_set::Rules;
use crate::request::Client;

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
    pub fn all_auth_files(&self) -> Vec<(&Line<Guard>, &AuthFile)> {
        let mut files = Vec::new();
        for line in &self.guards {
            if let Guard::Auth(Some(file)) = &line.action {
                files.push((line, file));
            }
        }
        files
    }
}
