//! Clients told apart by address, and how many connections each may have at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Refused;
use crate::request::client::ClientNetwork;

type Counts = Arc<Mutex<HashMap<ClientNetwork, usize>>>;

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
        let network = ClientNetwork::from_address(peer);
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
    network: ClientNetwork,
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

fn lock(counts: &Mutex<HashMap<ClientNetwork, usize>>) -> MutexGuard<'_, HashMap<ClientNetwork, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
