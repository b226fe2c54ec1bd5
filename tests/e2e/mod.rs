//! Real clients against the real binary.

mod browser;
mod cached;
mod clients;
mod comparison;
mod curl;
mod explain;
mod front_door;
mod pipelined;
mod repeated;
mod system_calls;
mod wget;
