//! Ends of scripts: by themselves, by limits, with the client, with the server. No process or descriptor
//! remains.

use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Site, lay_script};
use crate::support::{Client, Server, Tree, eventually};

const HEAD: &str = "printf 'Content-Type: text/plain\\n\\n'";

/// Runs `exchange` with a new site, and again, and expects that nothing of it is left.
fn leaves_nothing(config: &str, commands: &str, exchange: impl Fn(&Site)) {
    let site = Site::new(config, &[("script", commands), ("warm", HEAD)]);
    site.get("/cgi-bin/warm");
    eventually("an idle server", || site.processes().is_empty());
    let before = site.server.descriptors();
    for _ in 0..2 {
        exchange(&site);
    }
    site.expect_no_process();
    eventually("as many descriptors as before", || site.server.descriptors() <= before);
    assert_eq!(site.get("/hello.txt").status, 200);
}

#[test]
fn one_script_more_than_the_limit_is_told_to_come_again() {
    let wait =
        "while ! test -e ../go && test -d .; do sleep 0.01; i=$((i+1)); test $i -lt 6000 || exit; done";
    let site = Site::new("cgilimit=2\n", &[("wait", &format!("{wait}; {HEAD}; echo waited"))]);
    let mut first = site.asking("/cgi-bin/wait");
    let mut second = site.asking("/cgi-bin/wait");
    eventually("two scripts", || site.processes().len() >= 2);
    let third = site.get("/cgi-bin/wait");
    assert_eq!(third.status, 503);
    assert!(third.field("Retry-After").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    site.tree.file("go", "");
    assert_eq!((first.answer("GET").status, second.answer("GET").status), (200, 200));
    // Exact: each end gives its place back, and no other does.
    for _ in 0..20 {
        eventually("a place", || site.get("/cgi-bin/wait").status == 200);
    }
}

#[test]
fn a_script_that_hangs_before_its_head_is_a_gateway_timeout() {
    leaves_nothing("cgi_timeout=1\n", "sleep 1000", |site| {
        let start = Instant::now();
        assert_eq!(site.get("/cgi-bin/script").status, 504);
        assert!(start.elapsed() >= Duration::from_secs(1));
    });
}

#[test]
fn a_script_that_hangs_in_its_content_is_cut_off_visibly() {
    leaves_nothing("cgi_timeout=1\n", &format!("{HEAD}; echo begun; sleep 1000"), |site| {
        assert!(site.asking("/cgi-bin/script").try_answer("GET").is_none());
        site.told("killed CGI process");
    });
}

#[test]
fn a_script_that_ignores_int_is_killed_with_all_its_group() {
    let commands =
        format!("trap '' INT TERM HUP; {HEAD}; sh -c 'sleep 1000; :' & while :; do sleep 0.1; done");
    let site = Site::new("cgi_timeout=1\n", &[("stubborn", &commands)]);
    assert!(site.asking("/cgi-bin/stubborn").try_answer("GET").is_none());
    site.told("hard-killed CGI process");
    site.expect_no_process();
}

/// A stopped process takes no INT before it goes on.
#[test]
fn a_script_that_is_stopped_ends_at_its_limit() {
    leaves_nothing("cgi_timeout=1\n", "kill -STOP $$", |site| {
        let start = Instant::now();
        assert_eq!(site.get("/cgi-bin/script").status, 504);
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    });
}

/// The script joins the group of its child, which ends when the script does.
#[test]
fn a_script_that_leaves_its_process_group_ends_at_its_limit() {
    let commands = "exec perl -e '$script = $$; $child = fork;
        if (!$child) { setpgrp 0, 0; sleep 1 while getppid == $script; exit }
        select undef, undef, undef, 0.01 until getpgrp($child) == $child;
        setpgrp 0, $child; sleep 1000'";
    leaves_nothing("cgi_timeout=1\n", commands, |site| {
        let start = Instant::now();
        assert_eq!(site.get("/cgi-bin/script").status, 504);
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    });
}

/// Background jobs of a script, each of which writes `done` when told to continue.
fn background(start: &str) -> String {
    let job = "sh -c 'while ! test -e ../go && test -d .; do sleep 0.01; i=$((i+1)); test $i -lt 6000 || exit; done; : > ../done.$0'";
    format!("{HEAD}; {} echo hi", start.replace("JOB", &format!("{job} $QUERY_STRING")))
}

#[test]
fn background_jobs_live_on_thirty_of_thirty() {
    for start in [
        "nohup JOB > /dev/null 2>&1 &",
        "nohup JOB &",
        "setsid JOB > /dev/null 2>&1 &",
        "setsid JOB &",
        "JOB > /dev/null 2>&1 &",
        "(JOB &) > /dev/null 2>&1;",
    ] {
        let site = Site::new("cgilimit=2\ncgi_timeout=600\n", &[("job", &background(start))]);
        std::fs::set_permissions(site.tree.www(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        // Jobs take no place: thirty of them, of scripts of which two may run.
        for n in 0..30 {
            let begun = Instant::now();
            assert_eq!(site.get(&format!("/cgi-bin/job?{n}")).text(), "hi\n", "{start}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{start}: the response waits for the job");
        }
        site.tree.file("go", "");
        let done = || (0..30).filter(|n| site.tree.www().join(format!("done.{n}")).exists()).count();
        eventually(&format!("thirty of thirty: {start}"), || done() == 30);
        site.expect_no_process();
    }
}

/// The client is slower than the job, so that the pipe is never empty.
#[test]
fn the_response_ends_with_the_script_though_a_job_writes_without_end() {
    let beside = Tree::new();
    let throttles = beside.beside("throttles", "** 400000\n");
    let config = format!("cgi_timeout=600\nthrottles={}\n", throttles.display());
    let site = Site::new(&config, &[("job", &format!("{HEAD}; echo begun; yes & sleep 0.2"))]);
    let mut client = site.server.connect();
    client.send("GET /cgi-bin/job HTTP/1.0\r\n\r\n");
    let mut text = Vec::new();
    client.stream().take(1_000_000).read_to_end(&mut text).unwrap();
    assert!(text.len() < 1_000_000, "the output has no end");
    // The job is told by its next write.
    site.expect_no_process();
}

#[test]
fn the_response_ends_with_the_script_though_a_job_holds_its_output() {
    let site = Site::new("cgi_timeout=600\n", &[("job", &format!("{HEAD}; sleep 20 & echo $!"))]);
    let mut took: Vec<Duration> = (0..9)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(site.get("/cgi-bin/job").status, 200);
            start.elapsed()
        })
        .collect();
    took.sort();
    assert!(took[4] < Duration::from_millis(300), "{took:?}");
}

#[test]
fn all_that_a_script_wrote_before_its_end_is_sent_though_a_job_holds_its_output() {
    let site = Site::new("", &[("job", &format!("{HEAD}; sleep 20 & head -c 3000000 /dev/zero"))]);
    assert_eq!(site.get("/cgi-bin/job").body.len(), 3_000_000);
}

#[test]
fn the_time_limit_ends_the_jobs_of_a_script_that_is_still_there() {
    let commands = format!("{HEAD}; sleep 1000 & (sleep 1000 & sleep 1000 &); exec sleep 1000");
    leaves_nothing("cgi_timeout=1\n", &commands, |site| {
        assert!(site.asking("/cgi-bin/script").try_answer("GET").is_none());
    });
}

#[test]
fn a_script_without_its_client_is_ended() {
    leaves_nothing("", &format!("{HEAD}; echo begun; sleep 1000"), |site| {
        let client = site.asking("/cgi-bin/script");
        let mut piece = [0; 1000];
        assert!(std::io::Read::read(&mut client.stream(), &mut piece).unwrap() > 0);
        reset(client);
    });
    // A client that is gone without a word: a reset.
    leaves_nothing("", "sleep 1000", |site| {
        let client = site.asking("/cgi-bin/script");
        eventually("the script", || !site.processes().is_empty());
        reset(client);
    });
    leaves_nothing("", &format!("{HEAD}; exec yes"), |site| {
        let client = site.asking("/cgi-bin/script");
        eventually("the script", || !site.processes().is_empty());
        drop(client);
    });
}

/// Closes a connection with a reset.
fn reset(client: Client) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    nix::sys::socket::setsockopt(client.stream(), nix::sys::socket::sockopt::Linger, &linger).unwrap();
}

#[test]
fn a_client_that_has_only_ended_its_own_side_is_answered_however_slow_the_script() {
    let soon = format!("sleep 0.7; {HEAD}; echo hi");
    let late = format!("sleep 3; {HEAD}; echo begun; sleep 3; echo hi");
    let site = Site::new("", &[("soon", &soon), ("late", &late)]);
    for (script, text) in [("soon", "hi\n"), ("late", "begun\nhi\n")] {
        let mut client = site.asking(&format!("/cgi-bin/{script}"));
        client.finish();
        assert_eq!(client.answer("GET").text(), text);
    }
}

#[test]
fn a_gigabyte_goes_through_one_buffer_and_is_counted() {
    let site =
        Site::new("cgi_timeout=600\n", &[("flood", &format!("{HEAD}; exec head -c 1000000000 /dev/zero"))]);
    let mut client = site.server.connect();
    client.send("GET /cgi-bin/flood HTTP/1.0\r\n\r\n");
    let mut total = 0;
    let mut piece = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut client.stream(), &mut piece).unwrap() {
            0 => break,
            n => total += n,
        }
    }
    assert!(total > 1_000_000_000);
    assert!(site.server.logged("/cgi-bin/flood").contains("\" 200 1000000000 "));
    assert!(site.server.status_of_process("VmHWM") < 64 * 1024);
    site.expect_no_process();
}

#[test]
fn output_over_its_limit_ends_the_script() {
    leaves_nothing("cgi_output_limit=100000\n", &format!("{HEAD}; exec yes"), |site| {
        assert!(site.asking("/cgi-bin/script").try_answer("GET").is_none());
        site.told("it wrote too much");
    });
    leaves_nothing("cgi_output_limit=1000\n", "exec yes 'X-Field: y'", |site| {
        assert_eq!(site.get("/cgi-bin/script").status, 502);
    });
}

#[test]
fn a_client_that_does_not_read_stops_its_script_and_nobody_else() {
    let site = Site::new("send_timeout=2\n", &[("flood", &format!("{HEAD}; exec yes"))]);
    let clients: Vec<_> = (0..8).map(|_| site.asking("/cgi-bin/flood")).collect();
    eventually("the scripts", || site.processes().len() >= 8);
    for _ in 0..20 {
        assert_eq!(site.get("/hello.txt").status, 200);
    }
    site.expect_no_process();
    drop(clients);
}

#[test]
fn a_script_may_go_on_after_its_output_within_its_time() {
    let commands = format!("{HEAD}; echo hi; exec >&- 2>&-; sleep 0.3; : > ../after");
    let site = Site::new("", &[("after", &commands)]);
    super::lay_script(&site.tree.www().join("after"), "");
    std::fs::remove_file(site.tree.www().join("after")).unwrap();
    std::fs::set_permissions(site.tree.www(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(site.get("/cgi-bin/after").text(), "hi\n");
    eventually("its work", || site.tree.www().join("after").exists());

    let site =
        Site::new("cgi_timeout=1\n", &[("after", &format!("{HEAD}; echo hi; exec >&- 2>&-; sleep 1000"))]);
    assert_eq!(site.get("/cgi-bin/after").text(), "hi\n");
    site.told("killed CGI process");
    site.expect_no_process();
}

#[test]
fn the_servers_end_ends_its_scripts() {
    let commands = format!("trap '' INT; {HEAD}; echo begun; (sleep 1000 & sleep 1000); sleep 1000");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut site = Site::new("stop_grace=1\n", &[("hang", &commands)]);
        let _client = site.asking("/cgi-bin/hang");
        eventually("the script", || site.processes().len() >= 3);
        assert!(site.server.end(signal).success());
        site.expect_no_process();
        assert!(site.server.logged("/cgi-bin/hang").contains("\" 200 6 "));
    }
}

#[test]
fn a_drain_lets_a_script_end() {
    let wait =
        "while ! test -e ../go && test -d .; do sleep 0.01; i=$((i+1)); test $i -lt 6000 || exit; done";
    let mut site = Site::new("", &[("wait", &format!("{HEAD}; {wait}; echo waited"))]);
    let mut client = site.asking("/cgi-bin/wait");
    eventually("the script", || !site.processes().is_empty());
    site.server.signal(Signal::SIGUSR1);
    eventually("a closed port", || std::net::TcpStream::connect(site.server.address()).is_err());
    site.tree.file("go", "");
    assert_eq!(client.answer("GET").text(), "waited\n");
    assert!(site.server.wait().success());
}

#[test]
fn a_thousand_scripts_leave_no_process_and_no_descriptor() {
    leaves_nothing("", &format!("{HEAD}; echo hi; echo ho >&2"), |site| {
        let ask = || {
            for _ in 0..125 {
                assert_eq!(site.get("/cgi-bin/script").text(), "hi\n");
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(ask)));
    });
}

#[test]
fn a_script_ignores_no_signal_that_the_starter_of_its_server_ignored() {
    let tree = Tree::new();
    let commands = format!("#!/bin/sh\n{HEAD}; exec grep -E 'Sig(Blk|Ign)' /proc/self/status\n");
    lay_script(&tree.www().join("cgi-bin/signals"), &commands);
    let server = Server::start_after(&tree, "trap '' HUP PIPE QUIT 40 64", &["-c", "/cgi-bin/*"]);
    let text = server.connect().get("/cgi-bin/signals").text();
    let sets: Vec<u64> =
        text.lines().map(|line| u64::from_str_radix(line[7..].trim(), 16).unwrap()).collect();
    // The C library keeps signals 32 to 34 for itself.
    assert_eq!(sets.iter().map(|set| set & !(0b111 << 31)).collect::<Vec<_>>(), [0, 0], "{text}");
}
