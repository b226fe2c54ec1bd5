//! (to come)
use std::os::fd::BorrowedFd;
/// x
#[derive(Debug)]
pub struct Authenticator;
/// y
pub enum Verdict {
    /// a
    Open,
    /// a
    User(Box<[u8]>),
    /// a
    Challenge {
        /// a
        realm: String,
    },
    /// a
    Unreadable,
}
impl Authenticator {
    /// x
    pub fn new() -> Authenticator {
        Authenticator
    }
    /// x
    pub fn check(&self, _: BorrowedFd<'_>, _: &[u8], _: Option<&[u8]>, _: Option<&[u8]>) -> Verdict {
        Verdict::Open
    }
}
