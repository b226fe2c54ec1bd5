//! Connections per client address, with an optional limit.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::overloaded::Overloaded;
use crate::request::client::ClientNetwork;

type Counts = Arc<Mutex<HashMap<ClientNetwork, usize>>>;

/// Number of connections of each client, if limited. Clients without connections have no entry.
#[derive(Debug)]
pub(super) struct Addresses {
    most: Option<usize>,
    counts: Counts,
}

impl Addresses {
    pub(super) fn new(most: Option<usize>) -> Addresses {
        Addresses { most, counts: Counts::default() }
    }

    /// Limits the connections of each client to `most`, if that is lower than the current limit.
    pub(super) fn cap(&mut self, most: usize) {
        self.most = Some(self.most.map_or(most, |cap| cap.min(most)));
    }

    /// Takes over the counts of `old`, whose connections are still open.
    pub(super) fn follow(&mut self, old: &Addresses) {
        self.counts = Arc::clone(&old.counts);
    }

    pub(super) fn admit(&self, peer: IpAddr) -> Result<Option<AddressPermit>, Overloaded> {
        let Some(most) = self.most else { return Ok(None) };
        let network = ClientNetwork::from_address(peer);
        let mut counts = lock(&self.counts);
        let count = counts.get(&network).copied().unwrap_or(0);
        if count >= most.saturating_mul(2) {
            return Err(Overloaded);
        }
        counts.insert(network, count + 1);
        Ok(Some(AddressPermit { network, surplus: count >= most, counts: Arc::clone(&self.counts) }))
    }
}

/// Connection counted for its client's address, until drop.
#[derive(Debug)]
pub struct AddressPermit {
    network: ClientNetwork,
    surplus: bool,
    counts: Counts,
}

impl AddressPermit {
    /// Tells whether the connection exceeds the limit, so that it only gets a 503 response.
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

fn lock(counts: &Mutex<HashMap<ClientNetwork, usize>>) -> MutexGuard<'_, HashMap<ClientNetwork, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
