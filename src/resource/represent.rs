//! Representation of an open file: its metadata and content.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

use super::denial::{errno_of, io_denied, untagged};
use super::lookup_context::LookupContext;
use super::rule_context::RuleContext;
use super::{AccessDenied, Resolver};
use crate::representation::{Content, FileFacts, Representation};
use crate::request::Rejection;
use crate::sys::fd::OpenFile;
use crate::sys::filesystem;
use crate::sys::memory::RESPONSE_MEMORY;

/// Maximum size of a file that is read whole and sent together with its head, in bytes.
const SMALL: u64 = 64 * 1024;

/// [`SMALL`] while clients leave many responses unread, whose bytes would stay in memory.
const SMALL_WHEN_TIGHT: u64 = 1024;

impl Resolver {
    /// Representation and content of the file `opened`; the media type depends on `name`.
    pub(super) fn represent(
        &self,
        lookup: &LookupContext<'_>,
        name: &[u8],
        opened: File,
        facts: &FileFacts,
    ) -> Result<(Representation, Content), AccessDenied> {
        let mut representation = Representation::new(name, facts, &self.types, SystemTime::now());
        self.apply_type_rules(lookup, name, &mut representation);
        let is_local = lookup.query.view.is_local() || filesystem::is_local(opened.as_fd());
        let content = content(opened, &representation, is_local)?;
        let tag = self.tagger.tag(&content, facts, representation.settled, lookup.query.may_wait);
        representation.etag = tag.map_err(untagged)?;
        Ok((representation, content))
    }

    /// Sets the media type and charset of the file `name` by response rules.
    fn apply_type_rules(&self, lookup: &LookupContext<'_>, name: &[u8], representation: &mut Representation) {
        if let Some(response_rules) = lookup.rule_context.and_then(RuleContext::response_rules) {
            (representation.media_type, representation.encodings) =
                self.types.describe_by_rules(name, &response_rules);
        }
    }
}

fn content(file: File, representation: &Representation, is_local: bool) -> Result<Content, AccessDenied> {
    let small = if RESPONSE_MEMORY.is_tight() { SMALL_WHEN_TIGHT } else { SMALL };
    if representation.len > small {
        let open = if is_local { OpenFile::from(file) } else { OpenFile::remote(file) };
        return Ok(Content::File(Arc::new(open)));
    }
    let mut bytes = vec![0; usize::try_from(representation.len).unwrap_or_default()];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(Content::Memory(bytes.into())),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(Rejection::new(503, "{url} is changing just now; please try again.").into())
        }
        Err(error) => Err(io_denied(errno_of(&error))),
    }
}
