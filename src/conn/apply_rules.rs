//! Responses with what rules say of them.

use std::borrow::Cow;

use crate::request::Request;
use crate::resource::AccessDenied;
use crate::response::{Policy, Response, refuse as refusal_page};
use crate::rules::{AppliedRules, Listing};

/// Makes a response by `make`, and applies the response rules.
pub fn apply_rules(
    applied_rules: Option<AppliedRules>,
    policy: &Policy<'_>,
    make: impl FnOnce(&Policy<'_>) -> Response,
) -> Response {
    let mut response = make(&policy_for(applied_rules.as_ref(), policy));
    response.applied_rules = response.applied_rules.or(applied_rules);
    response
}

/// The policy with what rules say instead of the configuration.
fn policy_for<'p>(applied_rules: Option<&'p AppliedRules>, policy: &Policy<'p>) -> Policy<'p> {
    let signature = applied_rules.and_then(|applied_rules| applied_rules.response_rules.signature.as_deref());
    let listing_style = match applied_rules.and_then(|applied_rules| applied_rules.response_rules.listing) {
        Some(Listing::Style(style)) => style,
        _ => policy.listing_style,
    };
    Policy { signature: signature.unwrap_or(policy.signature), listing_style, ..*policy }
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
