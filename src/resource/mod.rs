//! Request + file system → [`Resource`]: reads the disk, never the client.
//!
//! One resolution gives one open descriptor; what is served is what was checked.

use std::fs::File;
use std::sync::Arc;

pub mod auth;
pub mod mime;
pub mod representation;

pub use representation::{FileFacts, Representation};

/// Where a representation's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// Small: read once, sent in the same call as the head.
    Memory(Arc<[u8]>),
    /// Large: sent from this descriptor. Read with offsets only; it is shared.
    File(Arc<File>),
}

/// A directory to list: open, permissions checked, no index file in it.
#[derive(Debug)]
pub struct Directory {
    /// Open directory.
    pub dir: File,
    /// Its decoded path in URL terms: no leading slash, trailing slash, empty for the top. Without the vhost directory.
    pub url_path: Vec<u8>,
}

/// A program to run (CGI/1.1, RFC 3875).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Symlink-expanded name relative to the process's working directory, vhost directory included.
    pub name: Vec<u8>,
    /// SCRIPT_NAME: the URL path without PATH_INFO, decoded, with its leading slash.
    pub url_path: Vec<u8>,
    /// PATH_INFO without its leading slash; empty = none.
    pub path_info: Vec<u8>,
}

/// What a request names, permissions and credentials checked.
#[derive(Debug)]
pub enum Resource {
    /// A file to send.
    File(Arc<Representation>, Content),
    /// A directory to list.
    Directory(Directory),
    /// A script to run.
    Script(Script),
    /// The name of a directory without its slash: redirect here (path and query, raw encoding kept).
    Moved(Vec<u8>),
    /// `OPTIONS *`.
    Server,
}
