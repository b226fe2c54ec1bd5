//! Where we meet the system: the only module that may hold `unsafe`.

pub mod fd;
pub mod ids;
