//! Throttles: bandwidth limits by URL pattern (thttpd's `-t`, `throttles=`).
//!
//! Input: the throttle file (its syntax is in [`file`](mod@file)), and the name that each request asks for. Output: a
//! [`Pacer`], which tells how many bytes of the response may be sent now or when to ask again, or
//! [`Overloaded`]. `boot` calls [`Throttles::load`], `conn` calls [`Throttles::admit`] once per request and
//! keeps the pacer with the response, and a timer calls [`Throttles::tick`] every 2 s.
//!
//! Each rule has a byte budget that fills at the rule's maximum rate (`budget`). This guarantees:
//!
//! * never more than `max × (t + ¼ s)` bytes in any interval of `t` seconds (at least one byte: below 4 B/s
//!   a single byte exceeds a quarter second);
//! * equal shares for senders under one rule; the part that one cannot use, because of a slow client or
//!   another rule, goes to the others.
//!
//! thttpd adjusts shares every 2 s and paces by the average since a download began. Limits and messages are
//! equal here; the flow is smoother. No call waits: a pause is a time to come back, and the times of many
//! senders are spread so that each wake-up finds its bytes.

mod address;
mod budget;
pub mod file;
mod overloaded;
mod pacer;
#[cfg(test)]
mod tests;
mod throttles;

pub use crate::rules::rate::Each;
#[cfg(test)]
pub use crate::rules::rate::Rate;
pub use address::AddressPermit;
pub use overloaded::Overloaded;
pub use pacer::{Allowance, Pacer};
pub use throttles::Throttles;
