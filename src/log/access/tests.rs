use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// Directory of one test, removed on drop.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("thttpd-access-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn log(&self, name: &str) -> AccessLog {
        let log = AccessLog::open(&LogTarget::File(self.0.join(name)), None).unwrap();
        log.start().unwrap();
        log
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn nobody() -> User {
    User { name: "nobody".into(), uid: 65534, gid: 65534, groups: vec![] }
}

/// Records an exchange with a unique `target`.
fn record(log: &AccessLog, target: &str) {
    let entry = AccessEntry { target: target.as_bytes(), ..AccessEntry::PLAIN };
    log.record(&entry, &Details::default(), SystemTime::now());
}

/// Targets of all lines; each line must be complete.
fn targets(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            assert!(
                line.starts_with("127.0.0.1 - - [") && line.ends_with(" HTTP/1.1\" 200 6 \"\" \"\""),
                "{line:?}"
            );
            line.split(' ').nth(6).unwrap().to_owned()
        })
        .collect()
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !check() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

#[test]
fn a_lone_line_is_written_without_another_to_push_it() {
    let dir = Dir::new("lone");
    let log = dir.log("log");
    for round in 1..=3 {
        let before = size(&dir.0.join("log"));
        record(&log, &format!("/{round}"));
        eventually("the line appears", || size(&dir.0.join("log")) > before);
    }
}

#[test]
fn recorders_wake_the_writer_for_the_first_line_only() {
    let dir = Dir::new("busy");
    let log = dir.log("log");
    let path = dir.0.join("log");
    let is_asleep = || log.shared.lock().asleep;
    let write = |target| {
        let before = size(&path);
        record(&log, target);
        eventually(target, || size(&path) > before);
    };
    // A busy machine may let the writer's wait for further lines pass, but not each time.
    let stays_awake = (0..100).any(|_| {
        eventually("the pause", is_asleep);
        write("/first");
        let is_awake = !is_asleep();
        write("/second");
        is_awake
    });
    assert!(stays_awake);
}

#[test]
fn lines_of_many_threads_are_all_written_before_close_returns() {
    let dir = Dir::new("threads");
    let log = dir.log("log");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || (0..2000).for_each(|number| record(log, &format!("/{thread}/{number}"))));
        }
    });
    log.close();
    let seen = targets(&fs::read_to_string(dir.0.join("log")).unwrap());
    assert_eq!((seen.len(), log.lost()), (16_000, 0));
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 16_000, "each line once");
}

#[test]
fn rotation_under_load_neither_loses_nor_doubles_a_line() {
    let dir = Dir::new("rotation");
    let log = dir.log("log");
    let count = std::sync::atomic::AtomicU64::new(0);
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                record(&log, &format!("/{}", count.fetch_add(1, Ordering::Relaxed)));
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        for number in 0..50 {
            fs::rename(dir.0.join("log"), dir.0.join(format!("log.{number}"))).unwrap();
            log.reopen();
            eventually("the new file is there", || dir.0.join("log").exists());
        }
        ended.store(true, Ordering::Relaxed);
    });
    log.close();
    let mut seen = Vec::new();
    for entry in fs::read_dir(&dir.0).unwrap() {
        seen.extend(targets(&fs::read_to_string(entry.unwrap().path()).unwrap()));
    }
    let recorded = count.into_inner() as usize;
    assert!(recorded > 50);
    assert_eq!(seen.len(), recorded);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), recorded, "each line once");
}

#[test]
fn a_pipe_nobody_empties_costs_whole_lines_and_each_is_counted() {
    let dir = Dir::new("fifo");
    mkfifo(&dir.0.join("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
    let mut reader =
        File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(dir.0.join("fifo")).unwrap();
    let log = dir.log("fifo");
    let mut recorded = 0_u64;
    while log.lost() == 0 {
        record(&log, &format!("/{recorded}"));
        recorded += 1;
    }
    let mut text = Vec::new();
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| log.close());
        eventually("the pipe is emptied", || {
            let _ = reader.read_to_end(&mut text);
            closing.is_finished()
        });
    });
    let _ = reader.read_to_end(&mut text);
    let seen = targets(std::str::from_utf8(&text).unwrap()).len() as u64;
    assert!(seen > 10_000);
    assert_eq!(seen + log.lost(), recorded);
}

#[test]
fn a_pipe_whose_reader_left_holds_nobody_up() {
    let dir = Dir::new("broken");
    mkfifo(&dir.0.join("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
    let reader =
        File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(dir.0.join("fifo")).unwrap();
    let log = dir.log("fifo");
    drop(reader);
    record(&log, "/1");
    log.close();
    assert_eq!(log.lost(), 1);
}

#[test]
fn visitors_names_are_not_for_the_world() {
    let dir = Dir::new("mode");
    dir.log("log").close();
    assert_eq!(fs::metadata(dir.0.join("log")).unwrap().permissions().mode() & 0o027, 0);
}

#[test]
fn root_follows_no_symbolic_link_to_the_log() {
    let dir = Dir::new("symlink");
    fs::write(dir.0.join("precious"), "").unwrap();
    symlink(dir.0.join("precious"), dir.0.join("log")).unwrap();
    let refused = AccessLog::open(&LogTarget::File(dir.0.join("log")), Some(&nobody()));
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(nix::libc::ELOOP));
}

#[test]
fn root_neither_opens_nor_gives_away_a_file_with_another_name() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: giving files away needs root");
        return;
    }
    let dir = Dir::new("link");
    fs::write(dir.0.join("precious"), "").unwrap();
    fs::hard_link(dir.0.join("precious"), dir.0.join("linked")).unwrap();
    let open = |name| AccessLog::open(&LogTarget::File(dir.0.join(name)), Some(&nobody()));
    let refused = open("linked").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(nix::errno::Errno::EMLINK as i32));
    open("log").unwrap();
    assert_eq!(fs::metadata(dir.0.join("linked")).unwrap().uid(), 0);
    assert_eq!(fs::metadata(dir.0.join("log")).unwrap().uid(), 65534);
}

#[test]
fn dev_null_records_nothing_and_loses_nothing() {
    let log = AccessLog::open(&LogTarget::Off, None).unwrap();
    log.start().unwrap();
    record(&log, "/");
    log.close();
    assert_eq!(log.lost(), 0);
}
