//! Guards that cover the names of a request.

/// Guards that cover the names of a request, as indices into all guard lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Covering {
    /// Indices of allow and deny lines.
    pub(super) access: Vec<usize>,
    pub(super) requests: Vec<usize>,
    /// Indices of auth lines that demand a password.
    pub(super) auth: Vec<usize>,
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
