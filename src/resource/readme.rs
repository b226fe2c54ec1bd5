//! Text that goes with an answer: the README.txt of a list, and for `--explain` the password file.

use std::borrow::Cow;
use std::sync::Arc;

use super::lookup::LookupContext;
use super::ruled::Walk;
use super::{AccessDenied, Explain, ResolveRequest, Resolver, Resource};
use crate::config::choice::ListingStyle;
use crate::representation::Content;
use crate::request::{Fields, Method, Request};
use crate::rules::Listing;

impl Resolver {
    /// The text of the README.txt of the directory that is asked for, if a GET of it would be answered with
    /// that: it is looked up as one.
    pub(super) fn readme(&self, lookup: &LookupContext<'_>) -> Option<Arc<[u8]>> {
        let query = lookup.query;
        let style = match lookup.walk.and_then(Walk::dressing).and_then(|dressing| dressing.listing) {
            Some(Listing::Style(style)) => style,
            _ => self.config.listing_style,
        };
        if style != ListingStyle::Modern {
            return None;
        }
        let mut fields = Fields::default();
        for name in ["Authorization", "Referer", "Referrer"] {
            query.request.fields.all(name).for_each(|value| fields.push(name, value));
        }
        let path = Cow::Owned([&query.request.path, &b"README.txt"[..]].concat());
        let request = Request { method: Method::Get, path, fields, ..query.request.clone() };
        match self.resolve(&ResolveRequest { request: &request, ..*query }).outcome.ok()?.resource {
            Resource::File(file, Content::Memory(text)) if file.encodings.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Names the password file that a refusal comes from, and what is wrong in it.
    pub(super) fn tell_of_passwords(
        &self,
        lookup: &LookupContext<'_>,
        dir: &[u8],
        denied: &AccessDenied,
        say: Explain<'_>,
    ) {
        if denied.challenge.is_some() {
            say(format_args!("{}", self.auth.described(&self.realm(lookup.query, dir))));
        }
    }
}
