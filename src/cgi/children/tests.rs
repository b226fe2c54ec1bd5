//! Real scripts: start, output, signals, and the absence of leftovers.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, kill};
use nix::unistd::Pid;
use std::os::fd::AsFd;

use super::*;
use crate::request::BodyLength;
use crate::request::spool::Spool;
use crate::sys::fd::OpenFile;
use crate::testing::TempTree;

/// Time limit of waits in these tests, longer than any step takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);
const UNBOUNDED: ScriptBounds = ScriptBounds { scripts: 0, time: Duration::ZERO, room: Duration::ZERO };

/// Directory for scripts, and their events.
struct Stage {
    tree: TempTree,
    children: Children,
    told: Receiver<ScriptEvent>,
}

impl Stage {
    fn new() -> Stage {
        let (say, told) = channel();
        let children = Children::new(Box::new(move |event| _ = say.send(event.clone()))).unwrap();
        Stage { tree: TempTree::new(), children, told }
    }

    /// Runs shell commands as a script without a file of its own.
    fn run(&self, commands: &str) -> RunningScript {
        self.start(commands, UNBOUNDED).unwrap()
    }

    fn start(&self, commands: &str, bounds: ScriptBounds) -> Result<RunningScript, StartError> {
        let mut job = job(Path::new("/bin/sh"), b"");
        job.arguments = vec!["-c".into(), commands.into()];
        self.run_job(job, bounds)
    }

    fn run_job(&self, job: Job, bounds: ScriptBounds) -> Result<RunningScript, StartError> {
        self.children.reserve(bounds).map(|reservation| self.children.run(job, reservation))
    }

    /// Writes a script, and returns its path.
    fn lay(&self, text: &str) -> PathBuf {
        self.tree.file("dir/script", text);
        let path = self.tree.path().join("dir/script");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    /// Next event that `wanted` selects.
    fn event<T>(&self, wanted: impl Fn(&ScriptEvent) -> Option<T>) -> T {
        let until = Instant::now() + TIMEOUT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.told.recv_timeout(left).expect("the event in time");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }
}

fn job(path: &Path, input: &[u8]) -> Job {
    let mut spool = Spool::new(BodyLength::Chunked, 1 << 20).unwrap();
    spool.write(input).unwrap();
    let dir = File::open(path.parent().unwrap()).unwrap();
    Job {
        dir: Arc::new(OpenFile::from(dir)),
        name: path.as_os_str().as_encoded_bytes().to_vec(),
        arguments: vec!["one".into(), "t w o".into()],
        variables: vec![("PATH".into(), "/bin:/usr/bin".into()), ("GREETING".into(), "hello".into())],
        input: spool.take_file().unwrap(),
    }
}

/// All output.
fn output(running: &RunningScript) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match running.read(&mut buffer) {
            Ok(0) => return String::from_utf8(all).unwrap(),
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_for_output(running),
            Err(error) => panic!("{error}"),
        }
    }
}

fn wait_for_output(running: &RunningScript) {
    let mut fds = [PollFd::new(running.output.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(TIMEOUT).unwrap();
    assert_eq!(poll(&mut fds, timeout), Ok(1), "output in time");
}

/// One line of output, which tells that the script has reached that point.
fn line(running: &RunningScript) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match running.read(&mut byte) {
            Ok(1) if byte[0] == b'\n' => return String::from_utf8(line).unwrap(),
            Ok(1) => line.push(byte[0]),
            Ok(_) => panic!("ended after {line:?}"),
            Err(_) => wait_for_output(running),
        }
    }
}

/// Exit of the script, after waiting for it.
fn end(running: &RunningScript) -> Result<ScriptExit, StartError> {
    until("its end", || running.end().is_some());
    running.end().unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}, in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Tells whether the process is gone, or a zombie that its new parent has not reaped.
fn is_gone(pid: i32) -> bool {
    let dead = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')));
    dead || kill(Pid::from_raw(pid), None).is_err()
}

#[test]
fn a_script_runs_in_its_directory_with_its_arguments_environment_and_input() {
    let stage = Stage::new();
    let path = stage.lay(
        "#!/bin/sh\nprintf '%s|%s|%s|%s|' \"$0\" \"$#\" \"$2\" \"$GREETING\"; basename \"$PWD\"; ls; cat\n",
    );
    let expected = "script|2|t w o|hello|dir\nscript\ninput";
    until("its output", || {
        // Another test may have forked while the script was open for writing: exec gives ETXTBSY for a
        // moment.
        let running = stage.run_job(job(&path, b"input"), UNBOUNDED).unwrap();
        let got = output(&running);
        let end = end(&running);
        assert!(end == Err(StartError::Unrunnable) || end.unwrap().status.success());
        got == expected
    });
    until("no script", || stage.children.count() == 0);
}

#[test]
fn a_script_gets_nothing_that_was_not_meant_for_it() {
    let stage = Stage::new();
    // A descriptor without FD_CLOEXEC, as a careless parent process might leave one.
    let leaked = File::open("/").unwrap();
    fcntl(leaked.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let running = stage.run(
        "ls /proc/self/fd | tr '\\n' ' '; echo; env | grep -vE '^(PWD|SHLVL|_|OLDPWD|PATH)='; \
         cut -d' ' -f5,19 /proc/$$/stat; echo $$",
    );
    let got = output(&running);
    let mut lines = got.lines();
    // ls itself opens the fourth descriptor.
    assert_eq!(lines.next().unwrap().trim(), "0 1 2 3");
    assert_eq!(lines.next(), Some("GREETING=hello"));
    let (group, nice) = lines.next().unwrap().split_once(' ').unwrap();
    assert_eq!(group, lines.next().unwrap(), "its own group");
    assert_eq!(nice.parse::<i32>().unwrap(), (own_stat(19).parse::<i32>().unwrap() + 10).min(19));
}

#[test]
fn a_script_starts_with_no_signal_blocked_or_ignored() {
    let stage = Stage::new();
    let mut grep = job(Path::new("/bin/grep"), b"");
    grep.arguments = vec!["-hE".into(), "^Sig(Blk|Ign)".into(), "/proc/self/status".into()];
    // Signals are blocked as in the server's threads.
    let before = SigSet::thread_get_mask().unwrap();
    SigSet::all().thread_block().unwrap();
    let running = stage.run_job(grep, UNBOUNDED).unwrap();
    before.thread_set_mask().unwrap();
    let got = output(&running);
    for line in got.lines() {
        let set = line.split_whitespace().last().unwrap();
        // libc itself uses signals above 31.
        assert_eq!(u64::from_str_radix(set, 16).unwrap() & 0x7fff_ffff, 0, "{got}");
    }
    assert_eq!(got.lines().count(), 2);
}

/// A field of this process's /proc/self/stat, counted from 1.
fn own_stat(field: usize) -> String {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after = stat.rsplit(") ").next().unwrap();
    after.split(' ').nth(field - 3).unwrap().to_owned()
}

#[test]
fn standard_error_goes_to_the_log_by_lines_and_never_into_the_output() {
    let stage = Stage::new();
    let running = stage.run("echo out; printf 'bad\\nworse' >&2");
    assert_eq!(output(&running), "out\n");
    let said = |event: &ScriptEvent| match event {
        ScriptEvent::StderrLine { name, line } if name == "/bin/sh" => Some(line.clone()),
        _ => None,
    };
    assert_eq!(stage.event(said), "bad");
    assert_eq!(stage.event(said), "worse");
}

#[test]
fn standard_error_without_end_holds_up_nobody() {
    let stage = Stage::new();
    let running = stage.run("echo start; yes stderr_lines >&2");
    assert_eq!(line(&running), "start");
    stage.event(|event| {
        matches!(event, ScriptEvent::StderrLine { line, .. } if line.contains("not logged")).then_some(())
    });
    let other = stage.run("echo other");
    assert_eq!(output(&other), "other\n");
}

#[test]
fn background_jobs_outlive_a_script_that_ends_by_itself_and_take_no_place() {
    let stage = Stage::new();
    let running = stage.run("sleep 1000 & echo $!; (trap '' INT TERM; sleep 1000 & echo $!)");
    let jobs = [line(&running), line(&running)].map(|pid| pid.parse::<i32>().unwrap());
    until("the script's end", || running.is_over());
    assert_eq!(running.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    assert_eq!(stage.children.count(), 0);
    assert!(!jobs.iter().any(|&pid| is_gone(pid)));
    for pid in jobs {
        kill(Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
}

#[test]
fn the_end_of_a_script_wakes_those_who_wait_for_its_output_though_a_job_holds_it() {
    let stage = Stage::new();
    let running = stage.run("sleep 1000 & echo $!; read nothing; sleep 0.1");
    let pid: i32 = line(&running).parse().unwrap();
    let poll_fd = crate::sys::fd::borrow(running.poll_fd());
    let mut fds = [PollFd::new(poll_fd, PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::try_from(TIMEOUT).unwrap()), Ok(1));
    assert!(running.is_over());
    kill(Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[test]
fn the_group_of_a_script_that_is_ended_by_force_ends_with_it() {
    let stage = Stage::new();
    let running = stage.run("(trap '' INT TERM; sleep 1000 & echo $!); exec sleep 1000");
    let job: i32 = line(&running).parse().unwrap();
    drop(running);
    until("the end of the job", || is_gone(job));
    until("no script", || stage.children.count() == 0);
}

#[test]
fn a_file_name_that_looks_like_an_option_is_none_to_its_interpreter() {
    let stage = Stage::new();
    let path = stage.lay("#!/bin/sh\necho \"$0\"\n");
    let strange = path.with_file_name("-c");
    std::fs::rename(&path, &strange).unwrap();
    until("its output", || output(&stage.run_job(job(&strange, b""), UNBOUNDED).unwrap()) == "./-c\n");
}

#[test]
fn the_time_limit_counts_from_the_order() {
    let stage = Stage::new();
    let bounds = ScriptBounds { scripts: 0, time: Duration::from_nanos(1), room: Duration::ZERO };
    let running = stage.start("echo never", bounds).unwrap();
    assert_eq!(end(&running), Err(StartError::TooSlow));
    assert_eq!((output(&running).as_str(), stage.children.count()), ("", 0));
}

#[test]
fn a_script_that_nobody_wants_is_interrupted_and_one_that_is_released_goes_on() {
    let stage = Stage::new();
    let running = stage.run("trap 'echo caught >&2; exit 7' INT; echo ready; while :; do sleep 0.01; done");
    assert_eq!(line(&running), "ready");
    drop(running);
    stage.event(|event| {
        matches!(event, ScriptEvent::StderrLine { line, .. } if line == "caught").then_some(())
    });
    until("no script", || stage.children.count() == 0);

    let running = stage.run("echo ready; exec >&-; sleep 0.05; echo done >&2");
    assert_eq!(output(&running), "ready\n");
    running.release();
    stage
        .event(|event| matches!(event, ScriptEvent::StderrLine { line, .. } if line == "done").then_some(()));
}

#[test]
fn the_time_limit_interrupts_the_group_and_kill_follows() {
    let stage = Stage::new();
    let bounds = ScriptBounds { scripts: 0, time: Duration::from_secs(2), room: Duration::ZERO };
    let commands = "sh -c 'trap \"\" INT; while :; do sleep 0.05; done' & echo $!; wait";
    let running = stage.start(commands, bounds).unwrap();
    let grandchild: i32 = line(&running).parse().unwrap();
    let (pid, why) = stage.event(|event| match event {
        ScriptEvent::Interrupted { pid, why } => Some((*pid, *why)),
        _ => None,
    });
    assert_eq!(why, KillReason::TimeLimit);
    let end = end(&running).unwrap();
    assert_eq!((end.by, end.status.signal()), (Some(KillReason::TimeLimit), Some(2)));
    until("the end of the grandchild", || is_gone(grandchild) && is_gone(pid));
}

#[test]
fn a_script_that_ignores_int_is_killed() {
    let stage = Stage::new();
    let running = stage.run("trap '' INT TERM; echo ready; while :; do sleep 0.01; done");
    assert_eq!(line(&running), "ready");
    stage.children.stop(Duration::from_millis(50));
    assert!(running.is_over());
    let end = running.end().unwrap().unwrap();
    assert_eq!((end.by, end.status.signal()), (Some(KillReason::ServerStop), Some(9)));
    stage.event(|event| matches!(event, ScriptEvent::Killed { .. }).then_some(()));
    assert!(matches!(stage.start("", UNBOUNDED), Err(StartError::Busy)));
}

#[test]
fn the_limit_on_scripts_is_exact_and_freed_by_their_end() {
    let stage = Stage::new();
    let bounds = ScriptBounds { scripts: 2, time: Duration::ZERO, room: Duration::ZERO };
    let start = |commands| stage.start(commands, bounds);
    // With exec, no signal is lost while the shell starts the command.
    let first = start("read nothing; echo ready; exec sleep 1000").unwrap();
    assert_eq!(line(&first), "ready");
    let second = start("exit 0").unwrap();
    until("the end", || second.is_over());
    let third = start("echo ready; exec sleep 1000").unwrap();
    assert_eq!(line(&third), "ready");
    assert_eq!(stage.children.count(), 2);
    assert!(matches!(start("exit 0"), Err(StartError::Busy)));
    drop(first);
    until("a place", || stage.children.count() == 1);
    assert!(start("exit 0").is_ok());
}

#[test]
fn unrunnable_scripts_are_reported_and_take_no_slot() {
    let stage = Stage::new();
    let path = stage.lay("#!/no/such/interpreter\n");
    let running = stage.run_job(job(&path, b""), UNBOUNDED).unwrap();
    assert_eq!(output(&running), "");
    assert_eq!(end(&running), Err(StartError::Unrunnable));
    let reason = stage.event(|event| match event {
        ScriptEvent::NotStarted { name, reason } if name.ends_with("dir/script") => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.contains("No such file"), "{reason}");
    assert_eq!(stage.children.count(), 0);
}

#[test]
fn a_crash_is_told_with_its_signal() {
    let stage = Stage::new();
    let running = stage.run("kill -SEGV $$");
    assert_eq!(output(&running), "");
    let status = stage.event(|event| match event {
        ScriptEvent::Ended { status, .. } => Some(*status),
        _ => None,
    });
    assert_eq!(status.signal(), Some(11));
}

#[test]
fn dropping_the_children_ends_all_of_them() {
    let stage = Stage::new();
    let running: Vec<RunningScript> = (0..5).map(|_| stage.run("echo $$; sleep 1000")).collect();
    let pids: Vec<i32> = running.iter().map(|running| line(running).parse().unwrap()).collect();
    drop(stage.children);
    assert!(pids.iter().all(|&pid| is_gone(pid)));
    assert!(running.iter().all(RunningScript::is_over));
}
