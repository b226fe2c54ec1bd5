//! State of one look-up by rules: the guards met, the file chosen, and the rules of the response.

use std::cell::RefCell;
use std::sync::Arc;

use super::{ResolveRequest, Resolved, Resource, ThrottleName};
use crate::rules::{AppliedRules, Covering, FileRules, ResponseRules, Rules, SiteKey};

/// A request on its way through the rules.
pub(super) struct RuleContext<'w> {
    pub(super) rules: &'w Rules,
    pub(super) site: SiteKey,
    pub(super) query: &'w ResolveRequest<'w>,
    /// Set while looking up a file named by a rule. Its cache key differs from the requested name's.
    pub(super) internal: bool,
    pub(super) state: RefCell<WalkState>,
}

/// Results collected so far.
#[derive(Default)]
pub(super) struct WalkState {
    /// Guards that the client has passed.
    pub(super) covering: Covering,
    /// Guards of the names in the current look-up.
    pub(super) lookup_covering: Covering,
    pub(super) user: Option<Box<[u8]>>,
    /// Chosen file, with links not expanded.
    pub(super) chosen: Option<Vec<u8>>,
    /// Name without links that the guards were compared with, if the file is opened by another name.
    pub(super) real: Option<Vec<u8>>,
    /// Set if only some clients may have one form of the file or list: shared caches must not keep any form.
    pub(super) has_restricted_form: bool,
}

impl<'w> RuleContext<'w> {
    /// Cache key for the result of looking `name` up.
    ///
    /// The key is the requested name even after a rewrite, unless a rule has named the file.
    pub(super) fn key(&self, name: &[u8]) -> Vec<u8> {
        let (request, client) = (self.query.request, self.query.client);
        let key = |name| self.rules.cache_key(name, client.scheme, request.host).into_owned();
        match self.internal {
            // A requested name never contains a NUL, so that the key is unique.
            true => [&key(name)[..], b"\0\xff"].concat(),
            false => key(&self.query.name()),
        }
    }

    /// Guards that the client has passed.
    pub(super) fn satisfied_guards(&self) -> Covering {
        self.state.borrow().covering.clone()
    }

    /// Records the chosen file.
    pub(super) fn choose(&self, name: &[u8]) {
        self.state.borrow_mut().chosen = Some(name.to_vec());
    }

    /// Response rules for the chosen file, or for the requested name if no file was chosen.
    pub(super) fn response_rules(&self) -> Option<Arc<ResponseRules>> {
        let chosen = self.state.borrow().chosen.clone();
        let name = chosen.unwrap_or_else(|| self.query.name().into_owned());
        self.rules.response_rules(&self.site.name(&name))
    }

    /// Rules to store in the cache with the file that was looked up as `name`.
    pub(super) fn file_rules(&self, name: &[u8]) -> Box<FileRules> {
        let state = self.state.borrow();
        let covering = if self.internal { &state.lookup_covering } else { &state.covering };
        let is_rewritten = !self.internal && *name != *self.query.name();
        let rewritten = is_rewritten.then(|| name.into());
        let (covering, has_restricted_form) = (covering.clone(), state.has_restricted_form);
        Box::new(FileRules {
            covering,
            response_rules: self.response_rules(),
            rewritten,
            has_restricted_form,
        })
    }

    /// Tells whether only some clients may have the response, or one form of it.
    pub(super) fn is_restricted(&self) -> bool {
        let state = self.state.borrow();
        state.covering.is_restricted() || state.has_restricted_form
    }

    /// Response rules for the request; `covering_user` tells that credentials were needed.
    pub(super) fn applied_rules(&self, covering_user: bool) -> Option<AppliedRules> {
        let private = covering_user || self.is_restricted();
        let fields = &self.query.request.fields;
        // Where no line covers the file, shared caches are told of the restriction all the same.
        let response_rules = self.response_rules().or_else(|| private.then(Arc::default))?;
        Some(AppliedRules::new(response_rules, fields, private))
    }
}

impl RuleContext<'_> {
    /// User accepted by the password file of a rule.
    pub(super) fn user(&self) -> Option<Box<[u8]>> {
        self.state.borrow().user.clone()
    }

    pub(super) fn served_name(&self) -> Vec<u8> {
        let chosen = self.state.borrow().chosen.clone();
        chosen.unwrap_or_else(|| self.query.name().into_owned())
    }

    /// Result without a file. Throttles apply by the requested name.
    pub(super) fn found(&self, resource: Resource) -> Resolved {
        let name = self.query.name();
        let name = name.strip_suffix(b"/").unwrap_or(&name);
        let name = ThrottleName::from(if name.is_empty() { b"." } else { name });
        Resolved { resource, user: self.state.borrow().user.clone(), name }
    }
}
