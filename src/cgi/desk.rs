//! What [`children`](super::children) and the watching thread ([`watch`](super::watch)) share: the orders
//! that one gives and the other obeys, each script's fate, and the count of places taken.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::Sender;
use nix::sys::eventfd::EventFd;

use super::job::{End, Job, NotStarted};
use super::note::{Note, Why};

/// Where [`Note`]s go. Must not wait.
pub type Tell = Box<dyn Fn(&Note) + Send + Sync>;

/// What the thread is asked to do.
pub(super) enum Order {
    /// Start a script.
    Start(Box<Ordered>),
    /// End one.
    End { id: u64, why: Why },
    /// Reap what has ended, strangers too.
    Reap,
    /// End all, INT now and KILL after `grace`; say when it is done.
    Stop { grace: Duration, done: Sender<()> },
}

/// A script to start.
pub(super) struct Ordered {
    pub(super) id: u64,
    pub(super) job: Job,
    pub(super) limit: Duration,
    /// Its standard output.
    pub(super) output: OwnedFd,
    pub(super) fate: Arc<Fate>,
    pub(super) place: Place,
}

/// Where orders to the watching thread are given, and what both sides count.
pub(super) struct Desk {
    orders: Sender<Order>,
    /// Wakes the watching thread.
    pub(super) bell: EventFd,
    /// Scripts ordered and not yet reaped.
    count: AtomicUsize,
    last_id: AtomicU64,
    /// No more scripts are taken.
    closed: AtomicBool,
    tell: Tell,
}

impl Desk {
    /// Nothing is ordered yet.
    pub(super) fn new(orders: Sender<Order>, bell: EventFd, tell: Tell) -> Desk {
        let (count, last_id, closed) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Desk { orders, bell, count, last_id, closed, tell }
    }

    /// A number that no script has had.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, SeqCst) + 1
    }

    /// Scripts ordered and not yet reaped.
    pub(super) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// Takes no more scripts.
    pub(super) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Gives the watching thread an order, and wakes it.
    pub(super) fn give(&self, order: Order) {
        // The thread goes only when the server does. The bell is full only when it has rung already.
        _ = self.orders.send(order);
        _ = self.bell.write(1);
    }

    /// Tells the log.
    pub(super) fn tell(&self, note: &Note) {
        (self.tell)(note);
    }
}

/// What becomes of one script, for its connection to see.
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// The process, once it is started, where the kernel has such a thing.
    pub(super) pidfd: OnceLock<OwnedFd>,
    /// Why it was sent INT, if it was.
    pub(super) by: OnceLock<Why>,
    /// How it ended, once it has been reaped with its group; or why it was not started.
    pub(super) end: OnceLock<Result<End, NotStarted>>,
    /// Its connection is gone.
    pub(super) unwanted: AtomicBool,
}

/// One script's place among those that may run at once; given back when dropped.
pub(super) struct Place(Arc<Desk>);

impl Place {
    /// A place, if fewer than `most` are taken (0 = no bound) and there are any to be had.
    pub(super) fn take(desk: &Arc<Desk>, most: usize) -> Option<Place> {
        let more = |count| (most == 0 || count < most).then_some(count + 1);
        desk.count.fetch_update(SeqCst, SeqCst, more).ok()?;
        let place = Place(Arc::clone(desk));
        (!desk.closed.load(SeqCst)).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, SeqCst);
    }
}
