//! Representation: the metadata that HTTP shows of a file, computed once per opened file.
//!
//! Input: the file's name, the `fstat` of its open descriptor, the configured types, and the time of the
//! `fstat`. Output: the type, the validators and the length, shared by every response about the file. The
//! resolver makes one for each file it opens.

pub mod coding;
mod content;
pub mod etag;
mod facts;
pub mod inline;
mod metadata;
pub mod mime;

pub use content::Content;
pub use facts::{FileFacts, imf_fixdate};
pub use metadata::Representation;
