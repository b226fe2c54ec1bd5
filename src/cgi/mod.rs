//! CGI/1.1 (RFC 3875).
pub mod children;
mod complaint;
pub mod env;
pub mod head;
pub mod note;
mod script;
pub mod translate;
mod watch;
