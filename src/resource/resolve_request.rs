//! Input of a resolution.

use std::borrow::Cow;

use crate::auth::Attempt;
use crate::cache::Freshness;
use crate::docroot::View;
use crate::docroot::blocking::Blocking;
use crate::request::{Client, Request};
use crate::rules::Charged;

/// Callback that receives each decision of a resolution, for `--explain`; otherwise it does nothing.
pub type Explain<'e> = &'e mut dyn FnMut(std::fmt::Arguments<'_>);

/// Input of a [`Resolver`](super::Resolver).
#[derive(Clone, Copy)]
pub struct ResolveRequest<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The client.
    pub client: &'a Client,
    /// Directory of the virtual host; `None` if virtual hosts are off.
    pub vhost: Option<&'a str>,
    /// Freshness state, renewed for each batch of requests.
    pub freshness: &'a Freshness,
    /// View of the tree: at first without storage that may not answer.
    pub view: &'a View<'a>,
    /// Worker that handles the request; told before a call that may block.
    pub blocking: &'a dyn Blocking,
    /// Rate rules that have already counted this request in an earlier try.
    pub charged: &'a Charged,
    /// Set if the request may be tried again later when a resource is short.
    pub may_wait: bool,
    /// Set if directories may be listed: not while a list looks up its README.txt, which may be a directory.
    pub may_list: bool,
}

impl<'a> ResolveRequest<'a> {
    /// Login attempt of this request, for the password check.
    pub(super) fn attempt(&self) -> Attempt<'a> {
        Attempt {
            authorization: self.request.fields.last("Authorization"),
            client: self.client.address.into(),
            blocking: self.blocking,
        }
    }

    /// Name for throttle patterns, for a request without a resource.
    pub fn throttle_name(&self) -> Cow<'a, [u8]> {
        match self.name() {
            name if name.is_empty() => Cow::Borrowed(b"."),
            name => name,
        }
    }

    /// Name to look up: the request's path, below the virtual host's directory if there is one.
    pub(super) fn name(&self) -> Cow<'a, [u8]> {
        let path = &self.request.path;
        match self.vhost {
            None => Cow::Borrowed(path),
            Some(host) => Cow::Owned([host.as_bytes(), b"/", path].concat()),
        }
    }
}
