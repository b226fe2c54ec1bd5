//! Where a run took place.

use std::fs;
use std::thread;

/// The machine and its system, as `/proc` tells; a field is empty where it does not.
pub struct Machine {
    /// The kernel's release, as `6.12.0`.
    pub release: String,
    /// The kernel's version in full.
    pub version: String,
    /// The processors' model.
    pub processor: String,
    /// How many processors this program may use.
    pub processors: usize,
    /// How TCP controls congestion.
    pub congestion_control: String,
    /// The load, at the time of the call.
    pub load: String,
}

impl Machine {
    /// Reads everything.
    pub fn read() -> Self {
        let info = read("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name"));
        Self {
            release: read("/proc/sys/kernel/osrelease"),
            version: read("/proc/version"),
            processor: model.unwrap_or_default().trim_start_matches([' ', '\t', ':']).to_owned(),
            processors: thread::available_parallelism().map(usize::from).unwrap_or_default(),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            load: read("/proc/loadavg"),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
