//! A worker: takes a connection that can go on, gives it its turn, and puts it where it belongs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::{Floor, Handed, Held};
use crate::conn::Desk;
use crate::conn::vigil::Vigil;
use crate::conn::wait::{Next, Wake};
use crate::resource::watch::Asked;
use crate::sys::scheduling;

/// How long a worker with nothing else to do waits in a connection's own read.
pub(super) const PATIENCE: Duration = Duration::from_millis(5);

/// How long a worker may run while somebody else waits for its processor. Short, so that it is soon its
/// turn again, too: in the usual 3 ms, hundreds of others' requests are answered.
const SLICE: Duration = Duration::from_micros(100);

/// Connections taken from the channel before the readiness set is looked at again.
const HANDED_AT_ONCE: usize = 32;

/// Turns in a row for a client whose next request is there each time its turn ends.
const TURNS_AT_ONCE: u32 = 2;

/// One worker, at the front or standing by.
struct Worker {
    floor: Arc<Floor>,
    /// Taken from the readiness set, and not yet served.
    batch: RefCell<VecDeque<Handed>>,
    /// Its post is free for somebody else until the end of the turn.
    aside: Cell<bool>,
    /// The last connection served was a new one: there may be more where it came from.
    at_door: Cell<bool>,
    /// The configuration by which it serves, as the floor counts them.
    generation: Cell<u64>,
    /// Its number among the workers.
    number: usize,
}

/// Serves until the server ends.
pub fn run(floor: &Arc<Floor>, number: usize) {
    scheduling::ask_for_slice(SLICE);
    let worker = Rc::new(Worker {
        floor: Arc::clone(floor),
        batch: RefCell::default(),
        aside: Cell::new(false),
        at_door: Cell::new(false),
        generation: Cell::new(floor.config_generation.newest()),
        number,
    });
    let slow = Rc::clone(&worker);
    let mut desk = Desk::new(floor.site(), PATIENCE, Rc::new(move || slow.step_aside()));
    floor.reserve.come_forward(&floor.ended, &mut || worker.keep_up(&mut desk));
    let mut vigil = Vigil::default();
    while !floor.ended.load(Relaxed) {
        worker.round(&mut desk, &mut vigil);
        floor.heartbeat.fetch_add(1, Relaxed);
    }
    // The next worker should see it too.
    floor.lot.ring();
}

impl Worker {
    /// Serves what was handed over, then what the readiness set has.
    fn round(&self, desk: &mut Desk, vigil: &mut Vigil) {
        let floor = &*self.floor;
        let waiting = floor.handed.len();
        for count in 0..HANDED_AT_ONCE {
            // What is handed over meanwhile comes behind what is ready in the set.
            if count >= waiting && !self.at_door.get() {
                break;
            }
            let Some(handed) = self.next_handed() else { break };
            self.serve(desk, handed);
            self.come_back(desk);
        }
        let is_handed = || !floor.handed.is_empty();
        let may_wait = !is_handed() && !self.at_door.get();
        floor.lot.wait(may_wait.then_some(vigil), &is_handed, &mut self.batch.borrow_mut());
        while let Some(handed) = { self.batch.borrow_mut().pop_front() } {
            self.serve(desk, handed);
            self.come_back(desk);
        }
    }

    /// What was put into the channel or, behind a new connection, what waits at the door.
    fn next_handed(&self) -> Option<Handed> {
        let floor = &*self.floor;
        if let Ok(handed) = floor.handed.try_recv() {
            if !floor.handed.is_empty() {
                floor.lot.ring_if_idle();
            }
            self.at_door.set(handed.held.connection.is_new());
            return Some(handed);
        }
        let helped = if self.at_door.get() { floor.door.help(floor) } else { None };
        self.at_door.set(helped.is_some());
        helped.map(|held| Handed { held, why: Wake::Ready, seen: None })
    }

    /// Gives up the post, and what is waiting behind this turn, before something slow.
    fn step_aside(&self) {
        if self.aside.get() {
            return;
        }
        for handed in self.batch.borrow_mut().drain(..) {
            self.floor.hand_on(handed);
        }
        // Somebody at the front has nothing to do: nobody need come forward.
        if self.floor.lot.idle() == 0 {
            self.aside.set(true);
            self.floor.reserve.step_aside();
        }
    }

    /// Ends having stepped aside, once there is a post. Until then it helps with what the front cannot
    /// take at once: that is cheaper than to sleep and be woken for the next turn of this kind.
    fn come_back(&self, desk: &mut Desk) {
        let floor = &*self.floor;
        if !self.aside.get() {
            return;
        }
        for _ in 0..HANDED_AT_ONCE {
            if !floor.reserve.is_overrun(floor.handed.len()) {
                break;
            }
            let Some(handed) = self.next_handed() else { break };
            self.serve(desk, handed);
        }
        floor.reserve.come_forward(&floor.ended, &mut || self.keep_up(desk));
        self.aside.set(false);
    }

    /// Takes over a new configuration, if there is one.
    fn keep_up(&self, desk: &mut Desk) {
        self.take_over(self.floor.config_generation.newest(), desk);
    }

    fn take_over(&self, newest: u64, desk: &mut Desk) {
        if self.generation.replace(newest) != newest {
            desk.refit(self.floor.site());
        }
    }

    fn serve(&self, desk: &mut Desk, handed: Handed) {
        desk.inquiry.expire_as_of(handed.seen.unwrap_or_else(Asked::so_far));
        self.give_turns(desk, handed.held, handed.why);
        self.floor.config_generation.end_turn(self.number, self.generation.get());
    }

    /// Gives one connection its turns until it is somebody else's or gone.
    fn give_turns(&self, desk: &mut Desk, mut held: Box<Held>, mut wake: Wake) {
        let floor = &*self.floor;
        let mut turns = 0;
        loop {
            turns += 1;
            // However long we waited for this connection, it is served as things are now.
            self.take_over(floor.config_generation.begin_turn(self.number), desk);
            desk.draining = floor.draining.load(Relaxed);
            if floor.cutting.load(Relaxed) {
                wake = Wake::Cut;
            }
            // A panic costs the connection it happened in, and no other: it is dropped on the way out.
            let turn = catch_unwind(AssertUnwindSafe(|| {
                let next = held.connection.turn(wake, desk);
                (held, next)
            }));
            let Ok((back, next)) = turn else {
                crate::log::error!("a request made a worker panic; its connection is closed");
                desk.refit(floor.site());
                return;
            };
            held = back;
            let wait = match next {
                Next::Close => return,
                Next::Yield => return floor.hand(held, Wake::Ready),
                Next::Idle(_) if self.has_time() => {
                    floor.lot.unwatch(&mut held);
                    wake = Wake::Patient;
                    continue;
                }
                Next::Idle(wait) | Next::Park(wait) => wait,
            };
            match floor.lot.park(held, wait) {
                None => return self.look_again(desk),
                Some((back, why)) if turns >= TURNS_AT_ONCE => return floor.hand(back, why),
                Some((back, why)) => {
                    desk.inquiry.expire();
                    (held, wake) = (back, why);
                }
            }
        }
    }

    /// A drain, or a cut after it, that began while this connection was being served has not found it
    /// in the lot. (Nothing that was told of a cut is parked again.)
    fn look_again(&self, desk: &Desk) {
        let floor = &*self.floor;
        if floor.cutting.load(Relaxed) || floor.draining.load(Relaxed) && !desk.draining {
            floor.empty_lot();
        }
    }

    /// Is there so little to do that a worker may wait for one connection alone?
    fn has_time(&self) -> bool {
        let floor = &*self.floor;
        floor.gate.open() <= 2
            && floor.lot.idle() > 0
            && floor.handed.is_empty()
            && self.batch.borrow().is_empty()
    }
}
