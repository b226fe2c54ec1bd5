//! The server behind proxies: the client it sees, its listeners, and what it tells of itself.

mod access;
mod clients;
mod cluster;
mod hosts;
mod listeners;
mod proxy_protocol;
mod real;
mod status;
