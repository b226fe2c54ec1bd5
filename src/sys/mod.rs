//! System calls: the only module that may contain `unsafe`.

pub mod atomic;
pub mod capability;
pub mod directory;
pub mod fd;
pub mod filesystem;
pub mod fork;
pub mod ids;
pub mod latch;
pub mod memory;
pub mod memory_limit;
pub mod process;
mod reason;
mod regular_file;
pub mod scheduling;
mod shortage;
pub mod signal;
pub mod socket;
pub mod stat;
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod static_glibc;
pub mod stdio;
pub mod systemd;
pub mod thread;
pub mod zone;

pub use reason::{named, reason};
pub use regular_file::{read_lines, read_regular_file, read_text, without_byte_order_mark};
pub use shortage::{is_process_shortage, is_shortage};
