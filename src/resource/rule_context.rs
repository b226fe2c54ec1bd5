//! One request on its way through the rules: the guards met, the file chosen, the dress of the response.

use std::cell::RefCell;
use std::sync::Arc;

use super::{ResolveRequest, Resolved, Resource};
use crate::rules::{AppliedRules, Covering, ResponseRules, Rules, Ruling, SiteKey};

/// A request on its way through the rules.
pub(super) struct RuleContext<'w> {
    pub(super) rules: &'w Rules,
    pub(super) site: SiteKey,
    pub(super) query: &'w ResolveRequest<'w>,
    /// The look-up is of a file that a rule has named: it is remembered apart from the name asked.
    pub(super) internal: bool,
    pub(super) state: RefCell<WalkState>,
}

/// What a walk has come to so far.
#[derive(Default)]
pub(super) struct WalkState {
    /// The guards that hold.
    pub(super) covering: Covering,
    /// Those of them that the look-up under way has met.
    pub(super) lookup_covering: Covering,
    pub(super) user: Option<Box<[u8]>>,
    /// The file chosen, links not expanded.
    pub(super) chosen: Option<Vec<u8>>,
    /// A form of the file is not for everybody, so that shared caches must not keep any.
    pub(super) has_restricted_form: bool,
}

impl<'w> RuleContext<'w> {
    /// The key under which the outcome of looking `name` up is remembered: the name asked, whatever a rewrite
    /// has made of it, unless a rule has named the file.
    pub(super) fn key(&self, name: &[u8]) -> Vec<u8> {
        let (request, client) = (self.query.request, self.query.client);
        let key = |name| self.rules.cache_key(name, client.scheme, request.host).into_owned();
        match self.internal {
            // No name that is asked for holds a NUL.
            true => [&key(name)[..], b"\0\xff"].concat(),
            false => key(&self.query.name()),
        }
    }

    /// The guards that hold.
    pub(super) fn satisfied_guards(&self) -> Covering {
        self.state.borrow().covering.clone()
    }

    /// Takes note of the file chosen.
    pub(super) fn choose(&self, name: &[u8]) {
        self.state.borrow_mut().chosen = Some(name.to_vec());
    }

    /// The dress of the file chosen, else of the name asked.
    pub(super) fn response_rules(&self) -> Option<Arc<ResponseRules>> {
        let chosen = self.state.borrow().chosen.clone();
        let name = chosen.unwrap_or_else(|| self.query.name().into_owned());
        self.rules.response_rules(&self.site.name(&name))
    }

    /// What is to be remembered with the file that was looked up as `name`.
    pub(super) fn ruling(&self, name: &[u8]) -> Box<Ruling> {
        let state = self.state.borrow();
        let covering = if self.internal { &state.lookup_covering } else { &state.covering };
        let is_rewritten = !self.internal && *name != *self.query.name();
        let rewritten = is_rewritten.then(|| name.into());
        let (covering, has_restricted_form) = (covering.clone(), state.has_restricted_form);
        Box::new(Ruling { covering, response_rules: self.response_rules(), rewritten, has_restricted_form })
    }

    /// The dress of the response; `covering_user`: credentials were needed.
    pub(super) fn applied_rules(&self, covering_user: bool) -> Option<AppliedRules> {
        let state = self.state.borrow();
        let private = covering_user || state.covering.is_restricted() || state.has_restricted_form;
        let origin = self.query.request.fields.last("Origin");
        self.response_rules().map(|response_rules| AppliedRules::new(response_rules, origin, private))
    }
}

impl RuleContext<'_> {
    /// The user that a rule's password file knows.
    pub(super) fn user(&self) -> Option<Box<[u8]>> {
        self.state.borrow().user.clone()
    }

    pub(super) fn served_name(&self) -> Vec<u8> {
        let chosen = self.state.borrow().chosen.clone();
        chosen.unwrap_or_else(|| self.query.name().into_owned())
    }

    /// Something that a rule has found, which no throttle covers but by the name asked.
    pub(super) fn found(&self, resource: Resource) -> Resolved {
        let name = self.query.name();
        let name = name.strip_suffix(b"/").unwrap_or(&name);
        let name: Arc<[u8]> = if name.is_empty() { Arc::from(&b"."[..]) } else { name.into() };
        Resolved { resource, user: self.state.borrow().user.clone(), name }
    }
}
