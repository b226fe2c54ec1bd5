//! Limit of workers that serve at the same time.
//!
//! As many workers are active as there are processors; more would only compete for them and pay for
//! each context switch. The others are on standby. A worker about to block — a look-up on disk, a
//! file's bytes, a slow password hash, the start of a script — releases its slot for the rest of its
//! turn, and a standby worker takes it. Before such a worker goes on standby itself, it helps while
//! the active ones are overloaded.
//!
//! Fewer workers than processors are active where fewer can do all the work: two that share it wake up
//! twice as often and find half as much each time. A worker that has little to do lowers the limit and
//! goes on standby ([`ActiveWorkers::lower`]); one that falls behind raises it ([`ActiveWorkers::raise`]).
//! Below the full limit one standby worker looks every [`TICK`] whether the active ones make progress,
//! and raises the limit where they do not. This bounds how long a request waits behind a long turn.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Interval of the checks while fewer workers are active than there are processors.
const TICK: Duration = Duration::from_millis(25);

/// Ticks after which the load is judged.
const PERIOD: u32 = 2;

/// Rounds in a period below which the load is too low to pay for the ticks: one in two milliseconds.
const FEW_ROUNDS: u64 = 25;

/// Progress and state of the active workers, as a standby worker sees them.
#[derive(Debug, Clone, Copy)]
pub struct Activity {
    /// Rounds of all workers so far.
    pub rounds: u64,
    /// Workers that sleep in the readiness set.
    pub idle: usize,
    /// So few connections are open that every worker may wait for one of them.
    pub has_few_connections: bool,
}

/// A worker on standby.
pub trait Standby {
    /// True at the end of the server: the wait for a slot ends without one.
    fn has_ended(&self) -> bool;
    /// Called after each [`wake_standby`](ActiveWorkers::wake_standby), and at other times.
    fn woken(&mut self);
    /// Activity of now.
    fn activity(&self) -> Activity;
}

/// Slots of active workers, and the workers that wait for one.
#[derive(Debug)]
pub struct ActiveWorkers {
    /// The full limit.
    most: usize,
    /// The limit of now, between 1 and `most`.
    limit: AtomicUsize,
    active: AtomicUsize,
    standby: AtomicUsize,
    /// One standby worker looks at the active ones every [`TICK`].
    is_watched: Mutex<bool>,
    free: Condvar,
}

impl ActiveWorkers {
    /// Allows `most` active workers; blocked ones do not count.
    pub fn new(most: usize) -> ActiveWorkers {
        ActiveWorkers {
            most,
            limit: AtomicUsize::new(most),
            active: AtomicUsize::new(0),
            standby: AtomicUsize::new(0),
            is_watched: Mutex::new(false),
            free: Condvar::new(),
        }
    }

    /// Takes a slot, on standby until one is free or the server ends.
    pub fn acquire(&self, worker: &mut dyn Standby) {
        if self.try_take() {
            return;
        }
        let mut watch = Watch::default();
        let mut guard = self.guard();
        self.standby.fetch_add(1, SeqCst);
        // Checked again after being counted: a worker that frees a slot from here on sees this one.
        while !self.try_take() && !worker.has_ended() {
            if self.is_full() || *guard {
                drop(self.free.wait(guard).unwrap_or_else(PoisonError::into_inner));
            } else {
                *guard = true;
                let (mut after, timeout) =
                    self.free.wait_timeout(guard, TICK).unwrap_or_else(PoisonError::into_inner);
                *after = false;
                drop(after);
                if timeout.timed_out() && watch.wants_more(worker.activity()) {
                    self.raise();
                }
            }
            worker.woken();
            guard = self.guard();
        }
        // Another standby worker watches from now on.
        if self.standby.fetch_sub(1, SeqCst) > 1 && !self.is_full() {
            self.free.notify_one();
        }
    }

    /// True if all slots are taken, with more connections `waiting` than workers can take at once.
    pub fn is_overloaded(&self, waiting: usize) -> bool {
        let limit = self.limit.load(Relaxed);
        waiting > limit && self.active.load(SeqCst) >= limit
    }

    /// Frees a slot and wakes a standby worker.
    pub fn release(&self) {
        self.active.fetch_sub(1, SeqCst);
        if self.standby.load(SeqCst) > 0 {
            drop(self.guard());
            self.free.notify_one();
        }
    }

    /// Frees the caller's slot and lowers the limit to the workers that stay active. False, with nothing changed,
    /// where the caller is the only one, or another has just blocked and its slot waits for a standby worker.
    pub fn lower(&self) -> bool {
        let _guard = self.guard();
        let (active, limit) = (self.active.load(SeqCst), self.limit.load(SeqCst));
        if active < 2 || active < limit {
            return false;
        }
        // A worker that read an older limit may have come on top of this one; so the workers count.
        self.limit.store(active - 1, SeqCst);
        self.active.fetch_sub(1, SeqCst);
        true
    }

    /// Raises the limit by one and wakes a standby worker. False where it is full already.
    pub fn raise(&self) -> bool {
        if self.is_full() {
            return false;
        }
        let guard = self.guard();
        let is_raised =
            self.limit.fetch_update(SeqCst, SeqCst, |now| (now < self.most).then_some(now + 1)).is_ok();
        drop(guard);
        if is_raised {
            self.free.notify_one();
        }
        is_raised
    }

    /// Wakes all standby workers, to see the end of the server or a new configuration.
    pub fn wake_standby(&self) {
        drop(self.guard());
        self.free.notify_all();
    }

    fn is_full(&self) -> bool {
        self.limit.load(Relaxed) >= self.most
    }

    fn try_take(&self) -> bool {
        let limit = self.limit.load(SeqCst);
        self.active.fetch_update(SeqCst, SeqCst, |active| (active < limit).then_some(active + 1)).is_ok()
    }

    fn guard(&self) -> MutexGuard<'_, bool> {
        self.is_watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slot of an active worker, which it may release until the end of a turn.
#[derive(Debug, Default)]
pub struct WorkerSlot {
    is_released: Cell<bool>,
    /// The limit was raised for this turn: an active worker more stands in for this one.
    has_raised: Cell<bool>,
}

impl WorkerSlot {
    /// Prepares for a call that may block. The slot may be kept while another worker `is_idle`, or where one more
    /// can become active; a turn asks for that once, however many of its calls may block.
    pub fn block(&self, workers: &ActiveWorkers, is_idle: bool) {
        if is_idle || self.has_raised.get() {
            return;
        }
        self.has_raised.set(workers.raise());
        if !self.has_raised.get() {
            self.release(workers);
        }
    }

    /// Releases the slot until the end of the turn.
    pub fn release(&self, workers: &ActiveWorkers) {
        if !self.is_released.replace(true) {
            workers.release();
        }
    }

    /// Tells whether the slot is released.
    pub fn is_released(&self) -> bool {
        self.is_released.get()
    }

    /// Ends a turn after which the worker has its slot, or has taken another one.
    pub fn end_turn(&self) {
        self.is_released.set(false);
        self.has_raised.set(false);
    }
}

/// A standby worker's view of the active ones.
#[derive(Debug, Default)]
struct Watch {
    /// Rounds at the last tick.
    last: Option<u64>,
    /// Rounds at the begin of the period, and ticks since.
    begin: u64,
    ticks: u32,
}

impl Watch {
    /// Tells at each tick whether to raise the limit: no round has ended since the last tick and no worker
    /// waits for events, or there is so little to do that workers may as well wait in the readiness set.
    fn wants_more(&mut self, activity: Activity) -> bool {
        let Some(last) = self.last.replace(activity.rounds) else {
            self.begin = activity.rounds;
            return activity.has_few_connections;
        };
        let is_stuck = activity.rounds == last && activity.idle == 0;
        self.ticks += 1;
        let is_calm = self.ticks == PERIOD && activity.rounds - self.begin < FEW_ROUNDS;
        if self.ticks == PERIOD {
            (self.begin, self.ticks) = (activity.rounds, 0);
        }
        is_stuck || is_calm || activity.has_few_connections
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64};

    use super::*;

    /// Workers whose rounds are counted here, and a worker of them on standby.
    #[derive(Default)]
    struct Crew {
        ended: AtomicBool,
        woken: AtomicUsize,
        rounds: AtomicU64,
        idle: AtomicUsize,
        has_few_connections: bool,
        /// Rounds that the active workers make between two checks.
        pace: u64,
    }

    impl Standby for &Crew {
        fn has_ended(&self) -> bool {
            self.ended.load(SeqCst)
        }

        fn woken(&mut self) {
            self.woken.fetch_add(1, SeqCst);
        }

        fn activity(&self) -> Activity {
            Activity {
                rounds: self.rounds.fetch_add(self.pace, SeqCst),
                idle: self.idle.load(SeqCst),
                has_few_connections: self.has_few_connections,
            }
        }
    }

    /// Two active workers of two, one of which has gone on standby.
    fn lowered(crew: &Crew) -> ActiveWorkers {
        let workers = ActiveWorkers::new(2);
        (0..2).for_each(|_| workers.acquire(&mut &*crew));
        assert!(workers.lower());
        workers
    }

    #[test]
    fn a_standby_worker_is_woken_and_takes_a_slot_that_is_free() {
        let (workers, crew) = (ActiveWorkers::new(1), Crew::default());
        workers.acquire(&mut &crew);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| workers.acquire(&mut &crew));
            while crew.woken.load(SeqCst) == 0 {
                workers.wake_standby();
                std::thread::yield_now();
            }
            assert!(!second.is_finished(), "there is one slot");
            workers.release();
            second.join().unwrap();
        });
    }

    #[test]
    fn a_turn_raises_the_limit_once_however_many_of_its_calls_may_block() {
        let (workers, crew, slot) = (ActiveWorkers::new(4), Crew::default(), WorkerSlot::default());
        (0..4).for_each(|_| workers.acquire(&mut &crew));
        assert!(workers.lower() && workers.lower() && workers.lower());
        let limit = || workers.limit.load(SeqCst);
        for turn in 1..4 {
            (0..3).for_each(|_| slot.block(&workers, false));
            slot.end_turn();
            assert_eq!(limit(), 1 + turn, "a turn raises it by one");
        }
        (0..3).for_each(|_| slot.block(&workers, false));
        assert!(slot.is_released() && workers.active.load(SeqCst) == 0, "at the full limit the slot is free");
        assert_eq!(limit(), 4);
    }

    #[test]
    fn the_last_active_worker_stays() {
        let crew = Crew::default();
        let workers = lowered(&crew);
        assert!(!workers.lower());
        assert!(workers.raise() && !workers.raise(), "two are the most");
    }

    #[test]
    fn a_worker_on_top_of_the_limit_leaves_a_slot_for_the_one_that_stays() {
        let crew = Crew::default();
        let workers = lowered(&crew);
        // It read the limit before that was lowered.
        workers.active.fetch_add(1, SeqCst);
        assert!(workers.lower() && !workers.lower());
        workers.release();
        assert!(workers.try_take(), "a standby worker takes the slot of one that blocks");
    }

    #[test]
    fn a_worker_stays_while_the_slot_of_a_blocked_one_is_free() {
        let crew = Crew::default();
        let workers = ActiveWorkers::new(3);
        (0..3).for_each(|_| workers.acquire(&mut &crew));
        workers.release();
        assert!(!workers.lower());
    }

    #[test]
    fn a_standby_worker_becomes_active_when_asked_for() {
        let crew = Crew { pace: FEW_ROUNDS, ..Crew::default() };
        let workers = lowered(&crew);
        std::thread::scope(|scope| {
            let standby = scope.spawn(|| workers.acquire(&mut &crew));
            // Some ticks, at which the active worker is seen to make progress.
            while crew.rounds.load(SeqCst) < 3 * FEW_ROUNDS {
                std::thread::yield_now();
            }
            assert!(!standby.is_finished());
            assert!(workers.raise());
            standby.join().unwrap();
        });
    }

    /// The crew's one active worker makes no progress, and never asks.
    #[test]
    fn a_standby_worker_becomes_active_while_a_turn_takes_long() {
        let crew = Crew::default();
        lowered(&crew).acquire(&mut &crew);
    }

    #[test]
    fn a_worker_that_waits_in_the_set_is_not_stuck() {
        let mut watch = Watch::default();
        let quiet = Activity { rounds: 7, idle: 1, has_few_connections: false };
        assert!((0..PERIOD).all(|_| !watch.wants_more(quiet)));
        assert!(watch.wants_more(quiet), "so little load needs no ticks");
    }

    #[test]
    fn few_connections_are_waited_for_by_all() {
        let crew = Crew { pace: FEW_ROUNDS, has_few_connections: true, ..Crew::default() };
        lowered(&crew).acquire(&mut &crew);
    }

    /// Two standby workers: the one that watches takes a slot, and the other one watches from then on.
    #[test]
    fn a_stuck_worker_is_noticed_after_the_watching_one_became_active() {
        let crew = Crew::default();
        let workers = ActiveWorkers::new(3);
        (0..3).for_each(|_| workers.acquire(&mut &crew));
        assert!(workers.lower() && workers.lower());
        std::thread::scope(|scope| {
            (0..2).for_each(|_| _ = scope.spawn(|| workers.acquire(&mut &crew)));
        });
    }

    #[test]
    fn the_end_of_the_server_ends_the_wait() {
        let crew = Crew { pace: FEW_ROUNDS, ..Crew::default() };
        let workers = lowered(&crew);
        crew.ended.store(true, SeqCst);
        workers.acquire(&mut &crew);
    }
}
