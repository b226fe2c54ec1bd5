//! Content of a representation.

use std::sync::Arc;

use crate::sys::fd::OpenFile;

/// Source of a representation's bytes.
#[derive(Debug, Clone)]
pub enum Content {
    /// Small file: read once, and sent in one call with the head.
    Memory(Arc<[u8]>),
    /// Large file: sent from this shared descriptor, with explicit offsets only.
    File(Arc<OpenFile>),
}
