//! Integration tests of the real server on a free port, with real files and real clients.
//!
//! `support` starts servers, sends raw bytes and makes trees; each other module tests one part of the
//! server.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

mod boot;
mod budgets;
mod companion;
mod compliance;
mod corpus;
mod e2e;
mod faults;
mod packaging;
mod proxies;
mod request;
mod response;
mod rules;
mod scripts;
mod security;
mod structure;
mod throttle;
mod waiting;
mod wording;
