//! Many scripts at once, and files beside them.

use std::time::{Duration, Instant};

use super::Site;
use crate::support::eventually;

/// Slowest of 99 in 100 requests for a small file, one after another.
fn static_p99(site: &Site) -> Duration {
    let mut client = site.server.connect();
    let mut took: Vec<Duration> = (0..1000)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(client.get("/hello.txt").status, 200);
            start.elapsed()
        })
        .collect();
    took.sort();
    took[989]
}

#[test]
fn two_hundred_scripts_at_once_leave_files_as_quick_as_before() {
    let wait = "printf 'Content-Type: text/plain\\n\\n'; echo begun; read -r line < ../go; echo \"$line\"";
    let site = Site::new("cgi_timeout=600\n", &[("wait", wait)]);
    nix::unistd::mkfifo(&site.tree.www().join("go"), nix::sys::stat::Mode::from_bits_truncate(0o644))
        .unwrap();
    let before = static_p99(&site);
    let mut clients: Vec<_> = (0..200).map(|_| site.asking("/cgi-bin/wait")).collect();
    eventually("two hundred scripts", || site.processes().len() >= 200);
    let meanwhile = static_p99(&site);
    // Twice the quiet server's, and a moment for a machine that does other things as well.
    let most = before * 2 + Duration::from_millis(5);
    assert!(meanwhile <= most, "99 % of files took {meanwhile:?} at most, before {before:?}");
    // All of them wait in opening it for reading.
    let mut go = std::fs::File::options().write(true).open(site.tree.www().join("go")).unwrap();
    std::io::Write::write_all(&mut go, "go\n".repeat(200).as_bytes()).unwrap();
    for client in &mut clients {
        let answer = client.answer("GET");
        assert_eq!(answer.status, 200);
        assert!(answer.text().starts_with("begun\n"));
    }
    drop(go);
    site.expect_no_process();
}
