//! The server behind proxies: its clients, its listeners, and its status pages.

mod access;
mod clients;
mod closed;
mod cluster;
mod hosts;
mod listeners;
mod proxy_protocol;
mod real;
pub mod status;
