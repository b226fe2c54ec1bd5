//! Throttle tests with simulated time: no sleeping, and independent of the machine.

mod admission;
mod file;
mod limits;
mod sharing;
mod simulation;
