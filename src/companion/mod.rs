//! The programs beside the server: each `src/bin/` front door calls one module here.

pub mod page;
pub mod redirect;

pub mod thtpasswd;
