//! Users.

/// Somebody to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// As the operator wrote it.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}
