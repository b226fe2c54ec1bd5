//! Bytes of a connection: its socket, its buffers, and how a worker waits in a read.

pub mod receive_buffer;
pub mod send_queue;
pub mod socket;
pub mod spin;
