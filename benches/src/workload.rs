//! The list of workloads: what is asked for, over how many connections, with what hanging on.

use std::time::Duration;

use crate::held::{Held, OTHERS};
use crate::load::Lifetime;
use crate::load::head::Exchange;
use crate::tree::{MODIFIED_DATE, Page, Pages, Tree};

/// Program that makes the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Generator {
    /// The load generator of this benchmark.
    Own,
    /// `wrk` with one thread, as others measure servers.
    Wrk,
}

/// One row group of the table.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// The name for `--only`.
    pub name: &'static str,
    /// Description in words, without the rate.
    pub meaning: &'static str,
    /// Program that makes the load.
    pub generator: Generator,
    /// The files asked for.
    pub pages: Pages,
    /// Connections with a request under way at all times.
    pub connections: usize,
    /// Whether they persist.
    pub lifetime: Lifetime,
    /// Requests a second, at random moments; without it each answer brings the next request.
    pub rate: Option<f64>,
    /// Whether requests carry the right `If-Modified-Since`, so that the answer is 304.
    pub conditional: bool,
    /// Connections that hang on meanwhile.
    pub held: Held,
    /// How far the clients are: the time that each chunk takes in each direction.
    pub distance: Option<Duration>,
    /// Whether requests go before the measured ones, to fill caches.
    pub warm: bool,
}

/// Settings that most workloads share: 1 KiB over 64 persistent connections, nothing else going on.
const PLAIN: Workload = Workload {
    name: "",
    meaning: "",
    generator: Generator::Own,
    pages: Pages::Kibibyte,
    connections: 64,
    lifetime: Lifetime::KeepAlive,
    rate: None,
    conditional: false,
    held: Held::Nothing,
    distance: None,
    warm: true,
};

/// 1 KiB over persistent connections of clients that are a network away. The rate is the most that a run
/// asks for: it asks for less where the relay would be busy half of its time. Random moments keep
/// connections from asking all at the same time, as a closed loop through a constant delay would have it.
const fn far(name: &'static str, meaning: &'static str, distance: Duration) -> Workload {
    Workload { name, meaning, distance: Some(distance), ..PLAIN }
}

/// 1 KiB over persistent connections, asked for by wrk.
const fn wrk(name: &'static str, meaning: &'static str, connections: usize) -> Workload {
    Workload { name, meaning, connections, generator: Generator::Wrk, ..PLAIN }
}

/// All workloads, in the order of the table.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "keep-1", meaning: "1 KiB, 1 keep-alive connection", connections: 1, ..PLAIN },
    Workload { name: "keep-4", meaning: "1 KiB, 4 keep-alive connections", connections: 4, ..PLAIN },
    Workload { name: "keep-64", meaning: "1 KiB, 64 keep-alive connections", ..PLAIN },
    Workload { name: "keep-512", meaning: "1 KiB, 512 keep-alive connections", connections: 512, ..PLAIN },
    Workload {
        name: "paced",
        meaning: "1 KiB at random moments over 64 keep-alive connections",
        rate: Some(10_000.0),
        ..PLAIN
    },
    Workload {
        name: "close",
        meaning: "1 KiB, a connection per request, 64 at a time",
        lifetime: Lifetime::OneRequest,
        ..PLAIN
    },
    Workload {
        name: "files",
        meaning: "10 000 small files at random, 64 keep-alive connections",
        pages: Pages::TenThousand,
        ..PLAIN
    },
    Workload {
        name: "files-cold",
        meaning: "the same, counted from the server's very first request",
        pages: Pages::TenThousand,
        warm: false,
        ..PLAIN
    },
    Workload {
        name: "not-modified",
        meaning: "1 KiB, 64 keep-alive connections, answered 304",
        conditional: true,
        ..PLAIN
    },
    Workload {
        name: "1m",
        meaning: "1 MiB, 16 keep-alive connections",
        pages: Pages::Mebibyte,
        connections: 16,
        ..PLAIN
    },
    Workload {
        name: "100m",
        meaning: "100 MiB, 2 keep-alive connections",
        pages: Pages::HundredMebibytes,
        connections: 2,
        ..PLAIN
    },
    Workload {
        name: "idle-10k",
        meaning: "1 KiB, 64 keep-alive connections, while 10 000 others idle",
        held: Held::Idle(10_000),
        ..PLAIN
    },
    Workload {
        name: "idle-10k-close",
        meaning: "1 KiB, a connection per request, 64 at a time, while 10 000 others idle",
        lifetime: Lifetime::OneRequest,
        held: Held::Idle(10_000),
        ..PLAIN
    },
    Workload {
        name: "half-heads",
        meaning: "1 KiB, a connection per request, 64 at a time, while 5 000 others have sent half a head",
        lifetime: Lifetime::OneRequest,
        held: Held::HalfHeads(5_000),
        ..PLAIN
    },
    Workload {
        name: "slow-readers",
        meaning: "1 KiB, 64 keep-alive connections, while 500 others read 1 MiB at 8 KiB a second",
        held: Held::SlowReaders(500),
        ..PLAIN
    },
    wrk("wrk-4", "1 KiB, wrk over 4 keep-alive connections", 4),
    wrk("wrk-64", "1 KiB, wrk over 64 keep-alive connections", 64),
    Workload {
        conditional: true,
        ..wrk("wrk-304", "1 KiB, wrk over 64 keep-alive connections, answered 304", 64)
    },
    Workload {
        connections: 64,
        rate: Some(20_000.0),
        ..far(
            "far-0.2ms-64",
            "1 KiB over 64 keep-alive connections, 0.2 ms away each way",
            Duration::from_micros(200),
        )
    },
    Workload {
        connections: 64,
        rate: Some(20_000.0),
        ..far(
            "far-1ms-64",
            "1 KiB over 64 keep-alive connections, 1 ms away each way",
            Duration::from_millis(1),
        )
    },
    Workload {
        connections: 200,
        rate: Some(14_000.0),
        ..far(
            "far-5ms-200",
            "1 KiB over 200 keep-alive connections, 5 ms away each way",
            Duration::from_millis(5),
        )
    },
    Workload {
        connections: 500,
        rate: Some(9_000.0),
        ..far(
            "far-20ms-500",
            "1 KiB over 500 keep-alive connections, 20 ms away each way",
            Duration::from_millis(20),
        )
    },
    Workload {
        connections: 4_000,
        rate: Some(20_000.0),
        ..far(
            "far-20ms-4000",
            "1 KiB over 4 000 keep-alive connections, 20 ms away each way",
            Duration::from_millis(20),
        )
    },
    Workload {
        connections: 10_000,
        rate: Some(20_000.0),
        ..far(
            "far-100ms-10000",
            "1 KiB over 10 000 keep-alive connections, 100 ms away each way",
            Duration::from_millis(100),
        )
    },
];

impl Workload {
    /// The requests and the answers they must get.
    pub fn exchanges(&self, tree: &Tree) -> Vec<Exchange> {
        tree.pages(self.pages).iter().map(|page| self.exchange(page)).collect()
    }

    /// The workload of [`WORKLOADS`] that this one was made of.
    pub fn listed(&self) -> Option<&'static Self> {
        WORKLOADS.iter().find(|listed| listed.name == self.name)
    }

    /// Description in words, with the rate.
    pub fn description(&self) -> String {
        let rate = self.rate.map(|rate| format!(", {} requests a second", thousands(rate)));
        format!("{}{}", self.meaning, rate.unwrap_or_default())
    }

    /// The workload as far as a process with so many `descriptors` can have it: a relay, as lighttpd, wants
    /// two for each connection, and others need some too.
    pub fn fitting(self, descriptors: u64) -> Self {
        let most = usize::try_from(descriptors / 2).unwrap_or(usize::MAX).saturating_sub(OTHERS);
        let connections = if self.distance.is_some() { self.connections.min(most) } else { self.connections };
        Self { connections, held: self.held.fitting(descriptors), ..self }
    }

    /// Field line that makes a request conditional.
    pub fn condition(&self) -> Option<String> {
        self.conditional.then(|| format!("If-Modified-Since: {MODIFIED_DATE}"))
    }

    fn exchange(&self, page: &Page) -> Exchange {
        let mut more = self.condition().map(|condition| condition + "\r\n").unwrap_or_default();
        if self.lifetime == Lifetime::OneRequest {
            more.push_str("Connection: close\r\n");
        }
        let plain = Exchange::with_fields(page, &more);
        if self.conditional { Exchange { status: *b"304", body: 0, ..plain } } else { plain }
    }

    /// Whether the table shows megabytes instead of requests.
    pub fn is_bulk(&self) -> bool {
        matches!(self.pages, Pages::Mebibyte | Pages::HundredMebibytes)
    }
}

/// A whole number with a blank before each group of three digits.
fn thousands(number: f64) -> String {
    let number = number.round() as u64;
    if number < 1000 {
        return number.to_string();
    }
    format!("{} {:03}", thousands((number / 1000) as f64), number % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_workload_has_a_name_of_its_own() {
        let names: HashSet<_> = WORKLOADS.iter().map(|workload| workload.name).collect();
        assert_eq!(names.len(), WORKLOADS.len());
        assert!(!names.contains(""));
    }

    /// Otherwise requests wait for a connection, and what is measured is the closed loop.
    #[test]
    fn far_connections_suffice_for_their_rate() {
        for workload in WORKLOADS {
            let (Some(distance), Some(rate)) = (workload.distance, workload.rate) else { continue };
            let under_way = rate * 2.0 * distance.as_secs_f64();
            assert!(under_way < 0.8 * workload.connections as f64, "{}: {under_way}", workload.name);
        }
    }

    #[test]
    fn a_description_says_the_rate_that_is_asked_for() {
        let far = WORKLOADS.iter().find(|workload| workload.name == "far-1ms-64").unwrap();
        let slower = Workload { rate: Some(9_050.4), ..*far };
        assert_eq!(
            slower.description(),
            "1 KiB over 64 keep-alive connections, 1 ms away each way, 9 050 requests a second"
        );
        assert_eq!(WORKLOADS[0].description(), WORKLOADS[0].meaning);
        assert_eq!(thousands(1_020_003.0), "1 020 003");
        assert_eq!(thousands(800.0), "800");
    }

    #[test]
    fn connections_at_a_distance_leave_descriptors_to_the_relay() {
        let farthest = WORKLOADS.last().unwrap();
        assert_eq!(farthest.fitting(20_000).connections, 9_744);
        assert_eq!(farthest.fitting(1 << 20).connections, 10_000);
        let plain = WORKLOADS.iter().find(|workload| workload.name == "keep-512").unwrap();
        assert_eq!(plain.fitting(256).connections, 512);
    }

    #[test]
    fn only_the_304_of_wrk_are_conditional() {
        let of_wrk = WORKLOADS.iter().filter(|workload| workload.generator == Generator::Wrk);
        let conditional: Vec<_> =
            of_wrk.filter(|workload| workload.condition().is_some()).map(|workload| workload.name).collect();
        assert_eq!(conditional, ["wrk-304"]);
    }
}
