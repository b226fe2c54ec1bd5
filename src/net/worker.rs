//! Worker: takes a connection that can go on, gives it its turn, and parks, queues or closes it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::accept::try_accept;
use super::active_workers::{Activity, Standby, WorkerSlot};
use super::admitted::{AdmittedConnection, ReadyConnection};
use super::load::{Need, WorkerLoad};
use super::poller;
use super::shared::Shared;
use crate::cache::Ticket;
use crate::conn::io::spin::SpinWait;
use crate::conn::wait::{Next, On, Wake};
use crate::conn::{CloseReason, WorkerContext};
use crate::docroot::blocking::Blocking;
use crate::sys::scheduling;

/// How long a worker with nothing else to do waits in a connection's own read.
const BLOCKING_READ: Duration = Duration::from_millis(5);

/// Scheduler slice of a worker: how long it runs while another thread waits for its processor. Short, so
/// that it soon runs again too: in the usual 3 ms, hundreds of other requests are answered.
const SLICE: Duration = Duration::from_micros(100);

/// Connections taken from the channel before the readiness set is looked at again.
const QUEUED_AT_ONCE: usize = 32;

/// Open connections with which a worker may wait for one of them alone.
const FEW_CONNECTIONS: usize = 2;

/// Turns in a row for a client with its next request there each time a turn ends.
const TURNS_AT_ONCE: u32 = 2;

/// One worker, active or on standby.
struct Worker {
    shared: Arc<Shared>,
    /// Taken from the readiness set, and not yet served.
    batch: RefCell<VecDeque<ReadyConnection>>,
    /// The slot among active workers.
    slot: WorkerSlot,
    /// The worker has a slot for storage that may not answer, until the end of the turn.
    remote: Cell<bool>,
    /// The last connection served was a new one: more may be waiting to be accepted.
    expects_new: Cell<bool>,
    /// Generation of the configuration that the worker serves by.
    generation: Cell<u64>,
    /// Number of the worker.
    number: usize,
    load: RefCell<WorkerLoad>,
}

/// A worker that waits for a slot among the active ones.
struct OnStandby<'a> {
    worker: &'a Worker,
    context: &'a mut WorkerContext,
}

impl Standby for OnStandby<'_> {
    fn has_ended(&self) -> bool {
        self.worker.shared.ended.load(Relaxed)
    }

    fn woken(&mut self) {
        self.worker.reload_config(self.context);
    }

    fn activity(&self) -> Activity {
        let shared = &*self.worker.shared;
        Activity {
            rounds: shared.heartbeat.load(Relaxed),
            idle: shared.poller.idle(),
            has_few_connections: shared.limiter.open() <= FEW_CONNECTIONS,
        }
    }
}

/// Serves until the server ends.
pub fn run(shared: &Arc<Shared>, number: usize) {
    scheduling::ask_for_slice(SLICE);
    let worker = Rc::new(Worker {
        shared: Arc::clone(shared),
        batch: RefCell::default(),
        slot: WorkerSlot::default(),
        remote: Cell::new(false),
        expects_new: Cell::new(false),
        generation: Cell::new(shared.config_generation.newest()),
        number,
        load: RefCell::new(WorkerLoad::new()),
    });
    let mut context = WorkerContext::new(
        shared.site(),
        BLOCKING_READ,
        Rc::clone(&worker) as Rc<dyn Blocking>,
        Arc::clone(&shared.stop_phase),
    );
    worker.wait_for_slot(&mut context);
    let mut spin = SpinWait::default();
    while !shared.ended.load(Relaxed) {
        worker.round(&mut context, &mut spin);
        // Read first: a write in each round would take the flag's cache line from the other workers.
        if shared.tidy_due.load(Relaxed) && shared.tidy_due.swap(false, Relaxed) {
            worker.tidy(&mut context);
        }
        shared.heartbeat.fetch_add(1, Relaxed);
    }
    // The next worker sees the end too.
    shared.poller.notify();
}

impl Blocking for Worker {
    fn block_in_place(&self) {
        if self.slot.is_released() {
            return;
        }
        self.load.borrow_mut().restart();
        self.hand_batch_on();
        self.slot.block(&self.shared.active_workers, self.shared.poller.idle() > 0);
    }

    fn enter_remote(&self) -> bool {
        if self.remote.get() {
            return true;
        }
        self.remote.set(self.shared.remote.try_take());
        if self.remote.get() {
            // This worker may not come back for long, so another takes its slot, whichever is idle now.
            self.block_in_place();
        }
        self.remote.get()
    }
}

impl Worker {
    /// Serves what was handed over, then what the readiness set has.
    fn round(&self, context: &mut WorkerContext, spin: &mut SpinWait) {
        let shared = &*self.shared;
        let waiting = shared.ready.len();
        let mut served = 0;
        for count in 0..QUEUED_AT_ONCE {
            // Take only connections queued when the round began; otherwise new ones starve ready ones.
            if count >= waiting && !self.expects_new.get() {
                break;
            }
            let Some(ready) = self.next_ready() else { break };
            self.serve(context, ready);
            self.resume(context);
            served += 1;
        }
        let has_ready = || !shared.ready.is_empty();
        let may_wait = !has_ready() && !self.expects_new.get();
        let slept = shared.poller.wait(may_wait.then_some(spin), &has_ready, &mut self.batch.borrow_mut());
        while let Some(ready) = { self.batch.borrow_mut().pop_front() } {
            self.serve(context, ready);
            self.resume(context);
            served += 1;
        }
        self.share_load(context, served, slept);
    }

    /// Asks for another active worker, or lets the others do the work alone.
    fn share_load(&self, context: &mut WorkerContext, served: usize, slept: bool) {
        let shared = &*self.shared;
        let need = self.load.borrow_mut().record(served, slept);
        match need {
            Need::Same => {}
            Need::More => _ = shared.active_workers.raise(),
            Need::Fewer => {
                if shared.limiter.open() > FEW_CONNECTIONS && shared.active_workers.lower() {
                    self.wait_for_slot(context);
                }
            }
        }
    }

    fn wait_for_slot(&self, context: &mut WorkerContext) {
        self.shared.active_workers.acquire(&mut OnStandby { worker: self, context });
        self.load.borrow_mut().restart();
    }

    /// Next connection of the channel or, after a new connection, of the listeners.
    fn next_ready(&self) -> Option<ReadyConnection> {
        let shared = &*self.shared;
        if let Ok(ready) = shared.ready.try_recv() {
            if !shared.ready.is_empty() {
                shared.poller.notify_if_idle();
            }
            self.expects_new.set(ready.admitted.connection.is_new());
            return Some(ready);
        }
        let helped = if self.expects_new.get() { try_accept(shared) } else { None };
        self.expects_new.set(helped.is_some());
        helped.map(|admitted| ReadyConnection { admitted, wake: Wake::Ready, ticket: None })
    }

    /// Requeues the connections behind this turn, and releases the slot among active workers.
    fn block_in_place(&self) {
        self.hand_batch_on();
        self.slot.release(&self.shared.active_workers);
    }

    fn hand_batch_on(&self) {
        loop {
            let Some(ready) = self.batch.borrow_mut().pop_front() else { return };
            self.shared.requeue(ready);
        }
    }

    /// Gives back the slot for storage at the end of a turn.
    fn leave_remote(&self) {
        if self.remote.replace(false) {
            self.shared.remote.give_back();
            self.shared.serve_storage_queue();
        }
    }

    /// Gives up deleted files that are kept open. Their disk is asked, so no connection waits behind that.
    fn tidy(&self, context: &mut WorkerContext) {
        self.block_in_place();
        context.site.resolver.tidy();
        self.resume(context);
    }

    /// Becomes active again after blocking, once there is a slot. Until then the worker helps while the
    /// active ones are overloaded, which is cheaper than to sleep and be woken for the next such turn.
    fn resume(&self, context: &mut WorkerContext) {
        let shared = &*self.shared;
        if !self.slot.is_released() {
            return self.slot.end_turn();
        }
        for _ in 0..QUEUED_AT_ONCE {
            if !shared.active_workers.is_overloaded(shared.ready.len()) {
                break;
            }
            let Some(ready) = self.next_ready() else { break };
            self.serve(context, ready);
        }
        self.wait_for_slot(context);
        self.slot.end_turn();
    }

    /// Changes to a new configuration, if there is one.
    fn reload_config(&self, context: &mut WorkerContext) {
        self.take_over(self.shared.config_generation.newest(), context);
    }

    fn take_over(&self, newest: u64, context: &mut WorkerContext) {
        if self.generation.replace(newest) != newest {
            context.reconfigure(self.shared.site());
        }
    }

    fn serve(&self, context: &mut WorkerContext, ready: ReadyConnection) {
        context.freshness.expire_as_of(ready.ticket.unwrap_or_else(Ticket::latest));
        self.run_turns(context, ready.admitted, ready.wake);
        self.shared.config_generation.end_turn(self.number, self.generation.get());
    }

    /// Gives one connection its turns until it is parked, queued or closed.
    fn run_turns(&self, context: &mut WorkerContext, mut admitted: Box<AdmittedConnection>, mut wake: Wake) {
        let shared = &*self.shared;
        let mut turns = 0;
        loop {
            turns += 1;
            // A connection that waited is served by the configuration of now.
            self.take_over(shared.config_generation.begin_turn(self.number), context);
            context.read_stop_phase();
            if shared.aborting.load(Relaxed) {
                wake = Wake::Abort;
            }
            // A panic costs its own connection, which is dropped on the way out, and no other.
            let turn = catch_unwind(AssertUnwindSafe(|| {
                let next = admitted.connection.turn(wake, context);
                (admitted, next)
            }));
            self.leave_remote();
            let Ok((back, next)) = turn else {
                crate::log::error!("a request made a worker panic; its connection is closed");
                context.reconfigure(shared.site());
                return shared.closes.count(CloseReason::Panic);
            };
            admitted = back;
            let wait = match next {
                Next::Close(reason) => return shared.closes.count(reason),
                Next::Yield => return shared.enqueue(admitted, Wake::Ready),
                Next::Idle(_) if self.is_idle() => {
                    shared.poller.unwatch(&mut admitted);
                    wake = Wake::SpinRead;
                    continue;
                }
                Next::Idle(wait) | Next::Park(wait) => wait,
            };
            let key = poller::key_of(&admitted);
            match shared.poller.park(admitted, wait) {
                None => {
                    // A slot may have been given back before the connection was there to be seen.
                    if wait.on == On::RemoteStorage && !shared.remote.queue(key) {
                        shared
                            .poller
                            .take_from_storage_queue(key)
                            .into_iter()
                            .for_each(|admitted| shared.enqueue(admitted, Wake::Ready));
                    }
                    return self.recheck_shutdown(context);
                }
                Some((back, wake)) if turns >= TURNS_AT_ONCE => return shared.enqueue(back, wake),
                Some((back, why)) => {
                    context.freshness.expire();
                    (admitted, wake) = (back, why);
                }
            }
        }
    }

    /// Wakes all waiting connections once more if the server began to stop or abort during this turn.
    ///
    /// This turn's connection was not in the poller at the first time.
    fn recheck_shutdown(&self, context: &WorkerContext) {
        let shared = &*self.shared;
        if shared.aborting.load(Relaxed) || shared.stop_phase.is_stopping() && !context.stopping {
            shared.wake_all_waiting();
        }
    }

    /// True if there is so little to do that a worker may wait for one connection alone.
    fn is_idle(&self) -> bool {
        let shared = &*self.shared;
        shared.limiter.open() <= FEW_CONNECTIONS
            && shared.poller.idle() > 0
            && shared.ready.is_empty()
            && self.batch.borrow().is_empty()
    }
}
