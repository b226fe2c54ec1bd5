//! Fair queue for slow hashes: clients take turns, however many requests each has.
//!
//! A request without a slot is parked and asks again after some milliseconds. The queue holds no worker and
//! no request, only client networks, each once. After an attempt of one client, its next attempt comes
//! behind one of every other waiting client.

use std::time::{Duration, Instant};

use crate::request::client::ClientNetwork;

/// Maximum number of networks in the queue. Further clients ask again until there is space.
const MOST_CLIENTS: usize = 1024;

/// Time without a request after which a client is removed, so that it does not block the others.
const ABANDONED_AFTER: Duration = Duration::from_millis(500);

/// Clients that wait for a slot, in queue order.
#[derive(Debug, Default)]
pub struct WaitingClients {
    queue: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    client: ClientNetwork,
    asked: Instant,
}

impl WaitingClients {
    /// Takes one of `free` slots for `client` if its turn has come; queues the client otherwise.
    pub fn admit(&mut self, client: ClientNetwork, free: usize, now: Instant) -> bool {
        self.queue.retain(|one| now.saturating_duration_since(one.asked) < ABANDONED_AFTER);
        let found = self.queue.iter().position(|one| one.client == client);
        let is_next = found.unwrap_or(self.queue.len()) < free;
        match found {
            Some(at) if is_next => _ = self.queue.remove(at),
            Some(at) => self.queue[at].asked = now,
            None if !is_next && self.queue.len() < MOST_CLIENTS => {
                self.queue.push(Waiting { client, asked: now });
            }
            None => {}
        }
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> ClientNetwork {
        ClientNetwork::from_address([192, 0, 2, number].into())
    }

    #[test]
    fn clients_take_turns_however_often_one_of_them_asks() {
        let (mut waiting, now) = (WaitingClients::default(), Instant::now());
        assert!(waiting.admit(client(1), 1, now), "nobody waits");
        for _ in 0..20 {
            assert!(!waiting.admit(client(1), 0, now));
        }
        assert!(!waiting.admit(client(2), 0, now));
        assert!(!waiting.admit(client(2), 1, now), "client 1 was first");
        assert!(waiting.admit(client(1), 1, now));
        assert!(!waiting.admit(client(1), 1, now), "its next attempt comes behind that of client 2");
        assert!(waiting.admit(client(2), 1, now));
        assert!(waiting.admit(client(1), 1, now));
    }

    #[test]
    fn several_slots_are_for_the_first_of_the_queue() {
        let (mut waiting, now) = (WaitingClients::default(), Instant::now());
        for number in 1..=3 {
            assert!(!waiting.admit(client(number), 0, now));
        }
        assert!(!waiting.admit(client(3), 2, now));
        assert!(waiting.admit(client(2), 2, now));
    }

    #[test]
    fn a_client_that_has_left_keeps_nobody_waiting_for_long() {
        let (mut waiting, now) = (WaitingClients::default(), Instant::now());
        assert!(!waiting.admit(client(1), 0, now));
        assert!(!waiting.admit(client(2), 1, now + ABANDONED_AFTER / 2));
        assert!(waiting.admit(client(2), 1, now + ABANDONED_AFTER));
    }

    #[test]
    fn the_queue_is_bounded() {
        let (mut waiting, now) = (WaitingClients::default(), Instant::now());
        for number in 0..10 * MOST_CLIENTS as u32 {
            assert!(!waiting.admit(
                ClientNetwork::from_address(std::net::Ipv4Addr::from_bits(number).into()),
                0,
                now
            ));
        }
        assert_eq!(waiting.queue.len(), MOST_CLIENTS);
    }
}
