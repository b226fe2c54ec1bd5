//! Text of README.txt below the list of its directory.

use std::borrow::Cow;
use std::sync::Arc;

use super::lookup_context::LookupContext;
use super::rule_context::RuleContext;
use super::{ResolveRequest, Resolver, Resource};
use crate::cache::ListKey;
use crate::config::choice::ListingStyle;
use crate::representation::Content;
use crate::request::list_view::ListView;
use crate::request::{Fields, Method, Request};
use crate::rules::Listing;

impl Resolver {
    /// Text of the README.txt of the requested directory, if the client may GET that file.
    ///
    /// The file is looked up like a requested one, so that all checks apply. Lists whose README.txt not every
    /// client may GET differ by client, so that shared caches must not keep them.
    pub(super) fn readme(&self, lookup: &LookupContext<'_>) -> Option<Arc<[u8]>> {
        let query = lookup.query;
        if self.list_style(lookup) != ListingStyle::Modern {
            return None;
        }
        let mut fields = Fields::default();
        for name in ["Authorization", "Referer", "Referrer"] {
            query.request.fields.all(name).for_each(|value| fields.push(name, value));
        }
        let path = Cow::Owned([&query.request.path, &b"README.txt"[..]].concat());
        let request = Request { method: Method::Get, path, fields, ..query.request.clone() };
        let query = ResolveRequest { request: &request, may_list: false, ..*query };
        let resolution = self.resolve(&query);
        if let Some(rule_context) = lookup.rule_context.filter(|_| resolution.is_restricted) {
            rule_context.state.borrow_mut().has_restricted_form = true;
        }
        match resolution.outcome.ok()?.resource {
            Resource::File(file, Content::Memory(text)) if file.encodings.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Style of the list of the requested directory.
    fn list_style(&self, lookup: &LookupContext<'_>) -> ListingStyle {
        match lookup
            .rule_context
            .and_then(RuleContext::response_rules)
            .and_then(|response_rules| response_rules.listing)
        {
            Some(Listing::Style(style)) => style,
            _ => self.config.listing_style,
        }
    }

    /// Cache key of the list of `dir`: all settings that change the list for this request.
    pub(super) fn list_key(
        &self,
        lookup: &LookupContext<'_>,
        dir: &[u8],
        readme: Option<Arc<[u8]>>,
    ) -> ListKey {
        let request = lookup.query.request;
        let view = ListView::new(request, self.list_style(lookup));
        let signature = lookup
            .rule_context
            .and_then(RuleContext::response_rules)
            .and_then(|response_rules| response_rules.signature.clone());
        ListKey { dir: dir.into(), url_path: request.path[..].into(), view, signature, readme }
    }
}
