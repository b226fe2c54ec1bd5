//! A worker: takes a connection that can go on, gives it its turn, and puts it where it belongs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::{Floor, Held};
use crate::conn::Desk;
use crate::conn::wait::{Next, Wake};

/// How long a worker with nothing else to do waits in a connection's own read.
const PATIENCE: Duration = Duration::from_millis(5);

/// Connections taken from the channel before the readiness set is looked at again.
const HANDED_AT_ONCE: usize = 8;

/// Serves until the server ends.
pub fn run(floor: &Floor) {
    let mut edition = floor.edition.load(Relaxed);
    let mut desk = Desk::new(floor.site(), PATIENCE);
    while !floor.ended.load(Relaxed) {
        let current = floor.edition.load(Relaxed);
        if current != edition {
            edition = current;
            desk.refit(floor.site());
        }
        for _ in 0..HANDED_AT_ONCE {
            let Ok((held, wake)) = floor.handed.try_recv() else { break };
            if !floor.handed.is_empty() {
                floor.lot.ring_if_idle();
            }
            serve(floor, &mut desk, held, wake);
        }
        let is_handed = || !floor.handed.is_empty();
        let block = !is_handed();
        floor.lot.wait(block, &is_handed, &mut |held, wake| serve(floor, &mut desk, held, wake));
        floor.heartbeat.fetch_add(1, Relaxed);
    }
    // The next worker should see it too.
    floor.lot.ring();
}

/// Gives one connection its turns until it is somebody else's or gone.
fn serve(floor: &Floor, desk: &mut Desk, mut held: Box<Held>, mut wake: Wake) {
    loop {
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
            Next::Idle(_) if wake != Wake::Patient && is_slack(floor) => {
                floor.lot.unwatch(&mut held);
                wake = Wake::Patient;
                continue;
            }
            Next::Idle(wait) | Next::Park(wait) => wait,
        };
        match floor.lot.park(held, wait) {
            None => return look_again(floor, desk),
            Some((back, why)) => (held, wake) = (back, why),
        }
    }
}

/// A drain that began while this connection was being served has not found it in the lot.
fn look_again(floor: &Floor, desk: &Desk) {
    if floor.draining.load(Relaxed) && !desk.draining {
        floor.empty_lot();
    }
}

/// Is there so little to do that a worker may wait for one connection alone?
fn is_slack(floor: &Floor) -> bool {
    floor.gate.open() <= 2 && floor.lot.idle() > 0 && floor.handed.is_empty()
}
