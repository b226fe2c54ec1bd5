//! Many simultaneous scripts, and requests for files.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Site;
use crate::support::alone;
use crate::support::eventually;

const BUSY: &str =
    "printf 'Content-Type: text/plain\\n\\nhi'; i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done";

/// Response times of requests for a small file: median, and 99th percentile.
fn files(site: &Site, requests: usize) -> (Duration, Duration) {
    let mut client = site.server.connect();
    let mut took: Vec<Duration> = (0..requests)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(client.get("/hello.txt").status, 200);
            start.elapsed()
        })
        .collect();
    took.sort();
    (took[requests / 2], took[requests * 99 / 100])
}

#[test]
fn two_hundred_waiting_scripts_leave_files_as_quick_as_before() {
    let _alone = alone();
    let wait = "printf 'Content-Type: text/plain\\n\\n'; echo begun; read -r line < ../go; echo \"$line\"";
    let site = Site::new("cgi_timeout=600\n", &[("wait", wait)]);
    let go = site.tree.www().join("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    let (_, before) = files(&site, 1000);
    let mut clients: Vec<_> = (0..200).map(|_| site.asking("/cgi-bin/wait")).collect();
    eventually("two hundred scripts", || site.processes().len() >= 200);
    let (_, meanwhile) = files(&site, 1000);
    // Twice the quiet server's, and a moment for a machine that does other things as well.
    let most = before * 2 + Duration::from_millis(5);
    assert!(meanwhile <= most, "99 % of files took {meanwhile:?} at most, before {before:?}");
    // All of them wait in opening it for reading.
    let mut go = std::fs::File::options().write(true).open(go).unwrap();
    std::io::Write::write_all(&mut go, "go\n".repeat(200).as_bytes()).unwrap();
    for client in &mut clients {
        let answer = client.answer("GET");
        assert_eq!(answer.status, 200);
        assert!(answer.text().starts_with("begun\n"));
    }
    drop(go);
    site.expect_no_process();
}

#[test]
fn two_hundred_clients_that_keep_scripts_running_leave_files_quick() {
    let _alone = alone();
    let site = Site::new("cgi_timeout=600\n", &[("busy", BUSY)]);
    let (stop, scripts) = (AtomicBool::new(false), AtomicUsize::new(0));
    let run_scripts = || {
        let mut client = site.server.connect();
        while !stop.load(Relaxed) {
            assert_eq!(client.get("/cgi-bin/busy").text(), "hi");
            scripts.fetch_add(1, Relaxed);
        }
    };
    let (median, most) = std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(run_scripts);
        }
        eventually("scripts run", || scripts.load(Relaxed) > 20);
        let took = files(&site, 2000);
        stop.store(true, Relaxed);
        took
    });
    // The processors belong to the clients and the scripts; a file must not queue behind them.
    assert!(median < Duration::from_millis(5), "half of the files took more than {median:?}");
    assert!(most < Duration::from_millis(100), "1 % of the files took more than {most:?}");
    site.expect_no_process();
}
