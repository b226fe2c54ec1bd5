//! Cost of the relay itself, and thus the number of requests that it carries.

use std::time::Duration;

use crate::Result;
use crate::load::head::Exchange;
use crate::load::{self, Lifetime, Moment, Plan};
use crate::measure::start_relay;
use crate::server::running::Running;
use crate::server::{Server, usage};
use crate::tree::Pages;
use crate::workplace::Workplace;

/// As short as the nearest distance among the workloads.
const DELAY: Duration = Duration::from_micros(200);
/// Enough to keep the relay busy all the time.
const CONNECTIONS: usize = 256;
const WARM_UP: Duration = Duration::from_millis(200);
const DURATION: Duration = Duration::from_secs(1);
/// No machine relays more in the time we give it.
const MOST_REQUESTS: u64 = 10_000_000;

/// Processor time of the relay in microseconds a request (1 KiB, keep-alive), in front of `server` and
/// under a closed loop.
///
/// # Errors
/// The server or the relay does not start or ends.
pub fn measure(server: &Server, place: &Workplace) -> Result<f64> {
    let running = Running::start(server, place.setting(CONNECTIONS))?;
    let relay = start_relay(&running, DELAY, place)?;
    let plan = Plan {
        address: relay.address,
        exchanges: &[Exchange::of(&place.tree.pages(Pages::Kibibyte)[0])],
        connections: CONNECTIONS,
        threads: 1,
        lifetime: Lifetime::KeepAlive,
        rate: None,
        sleeps: false,
        warm_up: WARM_UP,
        duration: DURATION,
        most_requests: MOST_REQUESTS,
    };
    let mut used = [Duration::ZERO; 2];
    let tally = load::run(&plan, |moment| {
        used[usize::from(moment == Moment::End)] = usage::cpu(&[relay.process()])?;
        Ok(())
    })?;
    Ok((used[1] - used[0]).as_secs_f64() * 1e6 / tally.responses as f64)
}
