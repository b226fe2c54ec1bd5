//! Responses with what rules say of them.

use std::borrow::Cow;

use crate::request::Request;
use crate::resource::AccessDenied;
use crate::response::{Policy, Response, refuse as refusal_page};
use crate::rules::{AppliedRules, Listing, ResponseRules};

/// Makes a response by `make`, and applies the response rules.
pub fn apply_rules(
    applied_rules: Option<AppliedRules>,
    policy: &Policy<'_>,
    make: impl FnOnce(&Policy<'_>) -> Response,
) -> Response {
    let rules = applied_rules.as_ref().map(AppliedRules::response_rules);
    let mut response = match rules.filter(|rules| rules.signature.is_some() || rules.listing.is_some()) {
        Some(rules) => make(&policy_for(rules, policy)),
        None => make(policy),
    };
    response.applied_rules = response.applied_rules.or(applied_rules);
    response
}

/// The policy with what rules say instead of the configuration.
fn policy_for<'p>(rules: &'p ResponseRules, policy: &Policy<'p>) -> Policy<'p> {
    let listing_style = match rules.listing {
        Some(Listing::Style(style)) => style,
        _ => policy.listing_style,
    };
    let signature = rules.signature.as_deref().unwrap_or(policy.signature);
    Policy { signature, listing_style, ..*policy }
}

/// The answer to a request that may not have what it names.
pub fn refused(denied: &AccessDenied, request: &Request<'_>, policy: &Policy<'_>) -> Response {
    let mut response = refusal_page(&denied.rejection, request, policy);
    if let Some(challenge) = &denied.challenge {
        response.fields.push(("WWW-Authenticate", Cow::Owned(challenge.clone().into_bytes())));
    }
    if let Some(seconds) = denied.retry_after {
        response.fields.retain(|(name, _)| *name != "Retry-After");
        response.fields.push(("Retry-After", Cow::Owned(seconds.to_string().into_bytes())));
    }
    response
}
