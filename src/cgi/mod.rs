//! CGI/1.1 (RFC 3875).
pub mod children;
mod complaint;
pub mod env;
pub mod note;
mod script;
mod watch;
