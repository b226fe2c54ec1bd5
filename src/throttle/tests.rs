//! Tests of the throttles. Time is simulated: nothing sleeps, nothing depends on the machine.

mod admission;
mod file;
mod limits;
mod sharing;
mod simulation;
