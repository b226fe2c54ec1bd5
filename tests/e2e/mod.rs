//! Real clients against the real binary.

mod browser;
mod cached;
mod curl;
mod pipelined;
mod wget;
