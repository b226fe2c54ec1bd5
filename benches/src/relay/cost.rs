//! Cost of the relay itself, and thus the number of requests that it carries.
//!
//! A relay that sleeps between chunks costs more a request than one that is busy all the time, so a rate is
//! tried before it is used.

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

/// Part of its time that the relay may be busy at a rate; a little below the half that samples are held to.
const SHARE: f64 = 0.45;
/// A rate is lowered by this more than in proportion, since a request costs more at a lower rate.
const MARGIN: f64 = 0.9;
/// Rates that are tried.
const TRIES: usize = 4;

/// Rate that keeps the relay below half busy in front of all `servers`: `own`, or less where that is too
/// much. `cost` is the relay's as [`measure`] returns it, and `busy_at` tells which part of its time the relay
/// is busy in front of a server at a rate.
///
/// # Errors
/// That of `busy_at`.
pub fn bearable_rate<S>(
    own: f64,
    cost: f64,
    servers: &[S],
    mut busy_at: impl FnMut(&S, f64) -> Result<f64>,
) -> Result<f64> {
    let mut rate = own.min(SHARE * 1e6 / cost);
    for _ in 0..TRIES {
        let Some(busy) = first_too_busy(servers, |server| busy_at(server, rate))? else { break };
        rate *= MARGIN * SHARE / busy;
    }
    Ok(rate)
}

/// Part of its time that the relay is busy in front of the first server where that is more than [`SHARE`].
fn first_too_busy<S>(servers: &[S], mut busy: impl FnMut(&S) -> Result<f64>) -> Result<Option<f64>> {
    for server in servers {
        let busy = busy(server)?;
        if busy > SHARE {
            return Ok(Some(busy));
        }
    }
    Ok(None)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Busy for a while at any rate, and for 20 µs a request.
    fn busy(rate: f64) -> f64 {
        0.15 + rate * 20e-6
    }

    #[test]
    fn a_rate_that_the_relay_bears_is_kept() {
        let rate = bearable_rate(9_000.0, 20.0, &[(); 3], |(), rate| Ok(busy(rate))).unwrap();
        assert!((rate - 9_000.0).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn a_rate_that_the_relay_does_not_bear_is_lowered_until_it_does() {
        for own in [20_000.0, 200_000.0] {
            let rate = bearable_rate(own, 20.0, &[()], |(), rate| Ok(busy(rate))).unwrap();
            assert!(busy(rate) <= SHARE && busy(rate) > SHARE / 2.0, "{rate}");
        }
    }

    #[test]
    fn the_server_with_the_busiest_relay_decides() {
        let factors = [0.5, 1.3, 1.0];
        let rate = bearable_rate(20_000.0, 20.0, &factors, |factor, rate| Ok(factor * busy(rate))).unwrap();
        assert!(1.3 * busy(rate) <= SHARE, "{rate}");
    }

    #[test]
    fn a_relay_that_fails_is_an_error() {
        assert!(bearable_rate(9_000.0, 20.0, &[()], |(), _| Err("ended".into())).is_err());
    }
}
