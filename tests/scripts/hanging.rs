//! Scripts whose start hangs, because their program is on storage that does not answer.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Site, lay_script};
use crate::support::fuse::FuseMount;

const HEAD: &str = "printf 'Content-Type: text/plain\\n\\n'";
const LIMIT: Duration = Duration::from_secs(3);

/// Site with a script `hang`, whose interpreter is on hanging storage.
fn with_hanging_script(config: &str) -> Option<(Site, FuseMount)> {
    let scripts = [("ok", format!("{HEAD}; echo hi")), ("endless", "exec sleep 1000".to_owned())];
    let scripts: Vec<(&str, &str)> = scripts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let site = Site::new(&format!("cgi_timeout={}\n{config}", LIMIT.as_secs()), &scripts);
    let storage = site.tree.dir().join("storage");
    std::fs::create_dir(&storage).unwrap();
    let hang = site.tree.www().join("cgi-bin/hang");
    lay_script(&hang, &format!("#!{}/sh\n", storage.display()));
    let mount = FuseMount::new(&storage, &[])?;
    mount.fall_silent();
    Some((site, mount))
}

#[test]
fn a_start_that_hangs_costs_only_itself_and_is_answered_504_at_its_limit() {
    let Some((site, _mount)) = with_hanging_script("cgilimit=8\n") else { return };
    let begun = Instant::now();
    let mut hanging = [site.asking("/cgi-bin/hang"), site.asking("/cgi-bin/hang")];
    let mut endless = site.asking("/cgi-bin/endless");
    for _ in 0..5 {
        assert_eq!(site.get("/cgi-bin/ok").text(), "hi\n");
    }
    // This answer comes before those of the waiting starts, which take their time limit.
    assert!(begun.elapsed() < LIMIT, "other scripts waited: {:?}", begun.elapsed());
    for client in &mut hanging {
        assert_eq!(client.answer("GET").status, 504);
    }
    assert!(begun.elapsed() >= LIMIT);
    assert_eq!(endless.answer("GET").status, 504, "another script's limit is kept");
    site.told("its start took too long");
    // Their places are given back, though their processes cannot end.
    for _ in 0..5 {
        assert_eq!(site.get("/cgi-bin/ok").text(), "hi\n");
    }
}

#[test]
fn starts_that_hang_take_a_share_of_the_places_and_no_more() {
    let Some((site, _mount)) = with_hanging_script("cgilimit=8\n") else { return };
    let mut others = Vec::new();
    for _ in 0..3 {
        others.extend((0..4).map(|_| site.asking("/cgi-bin/hang")));
        let statuses: Vec<u16> = others.iter_mut().map(|client| client.answer("GET").status).collect();
        assert!(statuses.iter().all(|status| [503, 504].contains(status)), "{statuses:?}");
        others.clear();
    }
    // Two processes hang, a quarter of eight; the script may have no more of them.
    let begun = Instant::now();
    assert_eq!(site.get("/cgi-bin/hang").status, 503);
    assert!(begun.elapsed() < LIMIT);
    assert_eq!(site.get("/cgi-bin/ok").text(), "hi\n");
}

#[test]
fn a_start_that_hangs_keeps_neither_the_server_from_ending_nor_its_port() {
    let Some((mut site, _mount)) = with_hanging_script("stop_grace=1\n") else { return };
    let mut client = site.asking("/cgi-bin/hang");
    assert_eq!(client.answer("GET").status, 504);
    let _still_waiting = site.asking("/cgi-bin/hang");
    assert_eq!(site.get("/cgi-bin/ok").text(), "hi\n");
    let begun = Instant::now();
    assert!(site.server.end(Signal::SIGTERM).success());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    TcpListener::bind(site.server.address()).expect("nobody has the port");
}
