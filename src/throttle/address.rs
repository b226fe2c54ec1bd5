//! Clients told apart by address, and how many connections each may have at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Refused;

/// One client as far as limits go: an IPv4 address, or the /64 that an IPv6 site has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network(u128);

impl Network {
    const SITE: u128 = !0 << 64;

    /// An IPv4 address that comes mapped into IPv6 is the same client as the plain one.
    pub(super) fn of(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V4(v4) => Network(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Network(v6.to_bits() & Network::SITE),
        }
    }
}

type Counts = Arc<Mutex<HashMap<Network, usize>>>;

/// Connections of each client, if they are bounded. Clients without any are not remembered.
#[derive(Debug)]
pub(super) struct Addresses {
    most: Option<usize>,
    counts: Counts,
}

impl Addresses {
    pub(super) fn new(most: Option<usize>) -> Addresses {
        Addresses { most, counts: Counts::default() }
    }

    /// Bounds the connections of each client by `most`, if that is tighter.
    pub(super) fn cap(&mut self, most: usize) {
        self.most = Some(self.most.map_or(most, |cap| cap.min(most)));
    }

    /// Goes on counting where `old` stands: its connections are still there.
    pub(super) fn follow(&mut self, old: &Addresses) {
        self.counts = Arc::clone(&old.counts);
    }

    pub(super) fn admit(&self, peer: IpAddr) -> Result<Option<AddressPermit>, Refused> {
        let Some(most) = self.most else { return Ok(None) };
        let network = Network::of(peer);
        let mut counts = lock(&self.counts);
        let count = counts.get(&network).copied().unwrap_or(0);
        if count >= most.saturating_mul(2) {
            return Err(Refused);
        }
        counts.insert(network, count + 1);
        Ok(Some(AddressPermit { network, surplus: count >= most, counts: Arc::clone(&self.counts) }))
    }
}

/// One connection counted under its client's address; dropping it counts it out.
#[derive(Debug)]
pub struct AddressPermit {
    network: Network,
    surplus: bool,
    counts: Counts,
}

impl AddressPermit {
    /// The client has its fill already: this connection is good for nothing but to be told so.
    pub fn is_surplus(&self) -> bool {
        self.surplus
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

fn lock(counts: &Mutex<HashMap<Network, usize>>) -> MutexGuard<'_, HashMap<Network, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
