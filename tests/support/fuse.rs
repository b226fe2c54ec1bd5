//! FUSE file system that can be slow, or not answer at all.
//!
//! It implements the kernel's FUSE protocol on `/dev/fuse` in threads of the test. The kernel ends the
//! mount when the descriptor is closed, so that a killed test leaves no hanging process.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// Inode number of the top; that of a file is its place in the list, counted from two.
const TOP: u64 = 1;

/// Way of answering requests.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Prompt,
    /// A name is looked up after this time.
    Slow(Duration),
    /// Nothing is answered.
    Silent,
    Ended,
}

struct Shared {
    device: File,
    files: Vec<(String, Vec<u8>)>,
    /// Files and directories opened and not released yet.
    open: AtomicUsize,
    /// Requests that wait for an answer.
    held: AtomicUsize,
    mood: Mutex<Mood>,
    changed: Condvar,
}

/// A mounted tree of plain files; unmounted on drop, whatever hangs in it.
pub struct FuseMount {
    at: PathBuf,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl FuseMount {
    /// Mounts `files` at the directory `at`; none where the system allows no such mount.
    pub fn new(at: &Path, files: &[(&str, &[u8])]) -> Option<FuseMount> {
        if !super::is_root() {
            return None;
        }
        let device = match File::options().read(true).write(true).open("/dev/fuse") {
            Ok(device) => device,
            Err(error) => {
                super::skipped(&format!("/dev/fuse: {error}"));
                return None;
            }
        };
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        match mount(Some("test"), at, Some("fuse.test"), flags, Some(&options[..])) {
            Err(Errno::EPERM) => {
                super::skipped("nothing may be mounted here");
                return None;
            }
            mounted => mounted.expect("mount of FUSE"),
        }
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        let shared = Arc::new(Shared {
            device,
            files,
            open: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            mood: Mutex::new(Mood::Prompt),
            changed: Condvar::new(),
        });
        let serve = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.serve())
        };
        let threads = (0..8).map(serve).collect();
        Some(FuseMount { at: at.into(), shared, threads })
    }

    /// No request is answered as long as the result lives: a process in one cannot even be killed.
    pub fn hang(&self) -> Hang<'_> {
        self.set(Mood::Silent);
        Hang(self)
    }

    /// Waits until every file that was opened is closed: a process that is closing one of a mount that hangs
    /// cannot end.
    pub fn wait_until_unused(&self) {
        super::eventually("the files of the mount are closed", || self.shared.open.load(SeqCst) == 0);
    }

    /// Waits until a process waits for an answer of a mount that hangs.
    pub fn wait_until_asked(&self) {
        super::eventually("a process waits for the mount", || self.shared.held.load(SeqCst) > 0);
    }

    /// From now on no request is answered, until the mount is dropped.
    pub fn fall_silent(&self) {
        self.set(Mood::Silent);
    }

    /// From now on a name is looked up after `time`.
    pub fn slow_down(&self, time: Duration) {
        self.set(Mood::Slow(time));
    }

    fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
        self.shared.changed.notify_all();
    }
}

/// A mount that answers nothing; dropped, it answers again, those that waited too.
pub struct Hang<'m>(&'m FuseMount);

impl Drop for Hang<'_> {
    fn drop(&mut self) {
        self.0.set(Mood::Prompt);
    }
}

impl Drop for FuseMount {
    fn drop(&mut self) {
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        // Waiting callers get an error: the mount can end only when no process uses it.
        self.set(Mood::Ended);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Answers requests until the mount is gone.
    fn serve(&self) {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(len) = (&self.device).read(&mut buffer) {
            let request = &buffer[..len];
            let (code, unique) = (number32(request, 4), number64(request, 8));
            if matches!(code, FORGET | BATCH_FORGET | INTERRUPT) {
                continue;
            }
            if !self.wait(code) {
                self.reply(unique, -ENOENT, &[]);
                continue;
            }
            match self.answer(code, number64(request, 16), &request[40..]) {
                Ok(answer) => self.reply(unique, 0, &answer),
                Err(errno) => self.reply(unique, -errno, &[]),
            }
        }
    }

    /// Waits as the mood requires; false when the mount has ended.
    fn wait(&self, code: u32) -> bool {
        let mut mood = self.mood.lock().unwrap();
        self.held.fetch_add(1, SeqCst);
        while *mood == Mood::Silent && code != INIT {
            mood = self.changed.wait(mood).unwrap();
        }
        self.held.fetch_sub(1, SeqCst);
        let now = *mood;
        drop(mood);
        if let (Mood::Slow(time), LOOKUP) = (now, code) {
            std::thread::sleep(time);
        }
        now != Mood::Ended
    }

    fn reply(&self, unique: u64, error: i32, answer: &[u8]) {
        let mut bytes = Vec::from(u32::try_from(16 + answer.len()).unwrap().to_ne_bytes());
        bytes.extend(error.to_ne_bytes());
        bytes.extend(unique.to_ne_bytes());
        bytes.extend(answer);
        // A request that was interrupted meanwhile takes no answer.
        let _ = (&self.device).write(&bytes);
    }

    fn answer(&self, code: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
        match code {
            // Version 7.31, no readahead, no flags.
            INIT => Ok(words(&[7, 31, 0, 0, 16, 128 * 1024, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
            LOOKUP => {
                let name = body.split(|&b| b == 0).next().unwrap_or_default();
                let at = self.files.iter().position(|(known, _)| known.as_bytes() == name).ok_or(ENOENT)?;
                let node = at as u64 + 2;
                // Node, generation, and that neither the name nor its attributes may be kept.
                let mut entry = [node.to_ne_bytes().to_vec(), vec![0; 32]].concat();
                entry.extend(self.attributes(node)?);
                Ok(entry)
            }
            GETATTR => Ok([vec![0; 16], self.attributes(node)?].concat()),
            // A handle, and that no pages are kept.
            OPEN | OPENDIR => {
                self.open.fetch_add(1, SeqCst);
                Ok([vec![0; 8], words(&[u32::from(code == OPEN), 0])].concat())
            }
            READ => {
                let (offset, size) = (number64(body, 8) as usize, number32(body, 16) as usize);
                let bytes = self.bytes(node).ok_or(ENOENT)?;
                let end = bytes.len().min(offset + size);
                Ok(bytes[offset.min(end)..end].to_vec())
            }
            READDIR if number64(body, 8) > 0 => Ok(Vec::new()),
            READDIR => Ok(self.entries()),
            STATFS => Ok(vec![0; 80]),
            RELEASE | RELEASEDIR => {
                self.open.fetch_sub(1, SeqCst);
                Ok(Vec::new())
            }
            FLUSH => Ok(Vec::new()),
            _ => Err(ENOSYS),
        }
    }

    fn bytes(&self, node: u64) -> Option<&[u8]> {
        let at = usize::try_from(node.checked_sub(2)?).ok()?;
        self.files.get(at).map(|(_, bytes)| &bytes[..])
    }

    fn attributes(&self, node: u64) -> Result<Vec<u8>, i32> {
        let (mode, size) = match self.bytes(node) {
            None if node == TOP => (0o40755, 0),
            None => return Err(ENOENT),
            Some(bytes) => (0o100_644, bytes.len() as u64),
        };
        let long_ago: u64 = 1_500_000_000;
        let numbers = [node, size, 0, long_ago, long_ago, long_ago];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
        bytes.extend(words(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0]));
        Ok(bytes)
    }

    fn entries(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for (at, (name, _)) in self.files.iter().enumerate() {
            let mut entry = (at as u64 + 2).to_ne_bytes().to_vec();
            entry.extend((at as u64 + 1).to_ne_bytes());
            entry.extend(words(&[name.len() as u32, 8]));
            entry.extend(name.as_bytes());
            entry.resize(entry.len().next_multiple_of(8), 0);
            all.extend(entry);
        }
        all
    }
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_ne_bytes()).collect()
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn number64(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}
