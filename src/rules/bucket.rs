//! Token buckets: limits on how often clients may send requests.
//!
//! Each bucket is stored as the time at which the bucket will be full again (the generic cell rate
//! algorithm). A full bucket therefore needs no entry in the table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::log::decimal::parse_decimal;
use crate::request::client::{ClientAddress, ClientNetwork};

/// Maximum number of buckets in the table of one line; further clients share one bucket.
const MOST_BUCKETS: usize = 16 * 1024;

/// Minimum time between two sweeps for full buckets, in nanoseconds.
///
/// A sweep visits every bucket of the line, so that a sweep for each new client would be slow.
const SWEEP_PAUSE: u64 = 100_000_000;

const SECOND: u64 = 1_000_000_000;

/// Request limit of one `requests` line.
#[derive(Debug)]
pub struct Requests {
    per_address: bool,
    /// Nanoseconds until the next token is added.
    interval: u64,
    /// Number of tokens in a full bucket.
    burst: u64,
    buckets: Arc<Mutex<Buckets>>,
}

/// Buckets that are not full, by client. Values are the times when each is full again, in nanoseconds since
/// `start`.
#[derive(Debug)]
struct Buckets {
    start: Instant,
    of_clients: HashMap<ClientNetwork, u64>,
    /// Bucket of all clients together, or of new clients when the table is full.
    shared: u64,
    swept: u64,
}

impl Requests {
    /// Reads `[per-address] N/s|m|h [burst B]`. Without a burst, a bucket holds the tokens of one unit of
    /// time.
    ///
    /// # Errors
    /// The syntax of the action.
    pub fn parse(words: &[String]) -> Result<Requests, String> {
        const USAGE: &str = "write requests [per-address] N/s|m|h [burst B]";
        let (per_address, words) = match words {
            [first, rest @ ..] if first == "per-address" => (true, rest),
            all => (false, all),
        };
        let (rate, burst) = match words {
            [rate] => (rate, None),
            [rate, word, burst] if word == "burst" => (rate, Some(burst)),
            _ => return Err(USAGE.into()),
        };
        let (number, unit) = rate.split_once('/').ok_or(USAGE)?;
        let unit = match unit {
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            _ => return Err(format!("{unit}: the unit is s, m or h")),
        };
        let number = count(number)?;
        let burst = burst.map(|burst| count(burst)).transpose()?.unwrap_or(number);
        Ok(Requests { per_address, interval: unit / number, burst, buckets: Arc::default() })
    }

    /// Takes a token for a request of `client`.
    ///
    /// # Errors
    /// Seconds until the next token, if the bucket is empty.
    pub fn take(&self, client: ClientAddress) -> Result<(), u64> {
        let mut buckets = self.lock();
        let now = u64::try_from(buckets.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let key = self.per_address.then(|| client.into());
        let full_at = buckets.full_at(key, now).max(now);
        let after = full_at.saturating_add(self.interval);
        let most = now.saturating_add(self.interval.saturating_mul(self.burst));
        if after > most {
            return Err((after - most).div_ceil(SECOND).max(1));
        }
        buckets.set(key, after);
        Ok(())
    }

    /// Takes over the buckets of `old`, if both lines have the same limit, so that a reload does not reset
    /// them.
    pub fn follow(&mut self, old: &Requests) {
        let bound = |one: &Requests| (one.per_address, one.interval, one.burst);
        if bound(self) == bound(old) {
            self.buckets = Arc::clone(&old.buckets);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        // A panic in another thread leaves at worst one token too many: the table stays usable.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets { start: Instant::now(), of_clients: HashMap::new(), shared: 0, swept: 0 }
    }
}

impl Buckets {
    fn full_at(&mut self, client: Option<ClientNetwork>, now: u64) -> u64 {
        match client.and_then(|client| self.of_clients.get(&client).copied()) {
            Some(full_at) => full_at,
            None if client.is_none() || !self.has_room(now) => self.shared,
            None => 0,
        }
    }

    fn set(&mut self, client: Option<ClientNetwork>, full_at: u64) {
        let has_room = self.of_clients.len() < MOST_BUCKETS;
        match client {
            Some(client) if has_room || self.of_clients.contains_key(&client) => {
                self.of_clients.insert(client, full_at);
            }
            _ => self.shared = full_at,
        }
    }

    /// Tells whether the table has room for another bucket; a full table is swept first.
    fn has_room(&mut self, now: u64) -> bool {
        if self.of_clients.len() >= MOST_BUCKETS && now.saturating_sub(self.swept) >= SWEEP_PAUSE {
            self.swept = now;
            self.of_clients.retain(|_, full_at| *full_at > now);
        }
        self.of_clients.len() < MOST_BUCKETS
    }
}

fn count(text: &str) -> Result<u64, String> {
    parse_decimal(text.as_bytes())
        .filter(|n| (1..=SECOND).contains(n))
        .ok_or_else(|| format!("{text}: not a number from 1 up"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn requests(text: &str) -> Requests {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        Requests::parse(&words).unwrap()
    }

    fn client(text: &str) -> ClientAddress {
        ClientAddress::Ip(text.parse().unwrap())
    }

    #[test]
    fn a_bucket_holds_its_burst_and_then_tells_how_long_to_wait() {
        for (text, burst, wait) in [
            ("3/h", 3, 1200),
            ("1/m burst 5", 5, 60),
            ("per-address 2/m burst 1", 1, 30),
            ("7200/h burst 2", 2, 1),
        ] {
            let requests = requests(text);
            for _ in 0..burst {
                assert_eq!(requests.take(client("192.0.2.1")), Ok(()), "{text}");
            }
            assert_eq!(requests.take(client("192.0.2.1")), Err(wait), "{text}");
        }
    }

    #[test]
    fn addresses_have_buckets_of_their_own_and_a_network_has_one() {
        let requests = requests("per-address 1/h");
        for (address, want) in [
            ("192.0.2.1", true),
            ("192.0.2.2", true),
            ("192.0.2.1", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
            ("2001:db8:0:1::1", true),
        ] {
            assert_eq!(requests.take(client(address)).is_ok(), want, "{address}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_newcomers_share_a_bucket_when_none_is_full() {
        let requests = requests("per-address 2/h");
        let address = |n: u32| ClientAddress::Ip(Ipv4Addr::from_bits(n).into());
        for n in 0..u32::try_from(MOST_BUCKETS).unwrap() {
            assert_eq!(requests.take(address(n)), Ok(()));
        }
        let newcomers = (0..10).map(|n| requests.take(address(1 << 30 | n)).is_ok());
        assert_eq!(newcomers.filter(|ok| *ok).count(), 2);
        assert_eq!(requests.lock().of_clients.len(), MOST_BUCKETS);
        assert_eq!(requests.take(address(0)), Ok(()), "a client that is known has its own");
    }

    #[test]
    fn full_buckets_make_room() {
        let mut buckets = Buckets::default();
        let network = |n| ClientNetwork::from_address(Ipv4Addr::from_bits(n).into());
        buckets.of_clients.extend((0..MOST_BUCKETS as u32).map(|n| (network(n), 1)));
        assert!(!buckets.has_room(0), "none is full yet");
        assert!(buckets.has_room(2 * SWEEP_PAUSE) && buckets.of_clients.is_empty());
    }

    #[test]
    fn a_reload_goes_on_with_the_buckets_of_the_same_bound() {
        let old = requests("1/h");
        assert_eq!(old.take(ClientAddress::Unix), Ok(()));
        let (mut same, mut other) = (requests("1/h"), requests("2/h"));
        same.follow(&old);
        other.follow(&old);
        assert!(same.take(ClientAddress::Unix).is_err() && other.take(ClientAddress::Unix).is_ok());
    }

    #[test]
    fn invalid_limits_are_reported() {
        for (text, part) in [
            ("", "write "),
            ("5", "write "),
            ("5/d", "s, m or h"),
            ("0/s", "from 1 up"),
            ("5/s burst", "write "),
            ("5/s burst 0", "from 1 up"),
            ("+5/s", "from 1 up"),
            ("per-connection 5/s", "write "),
        ] {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            let said = Requests::parse(&words).err().unwrap_or_default();
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
