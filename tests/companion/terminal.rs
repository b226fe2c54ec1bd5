//! `thtpasswd` on a terminal: prompts, and passwords without echo.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::names_in;
use crate::support::{Tree, eventually, terminal};

/// `thtpasswd -c -d FILE jef` on a terminal of its own.
struct Session {
    child: Child,
    keyboard: File,
    terminal: OwnedFd,
    shown: String,
}

impl Session {
    fn start(file: &Path) -> Option<Session> {
        let pty = terminal()?;
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_thtpasswd"));
        command.args(["-c", "-d"]).arg(file).arg("jef").stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap();
        Some(Session { child, keyboard: pty.master.into(), terminal: pty.slave, shown: String::new() })
    }

    /// Waits until the screen shows `part`, then types.
    fn type_after(&mut self, part: &str, keys: &str) {
        eventually(part, || {
            self.look();
            self.shown.contains(part)
        });
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Adds what the program has written to what was shown.
    fn look(&mut self) {
        while self.has_more() {
            let mut piece = [0; 1024];
            let n = self.keyboard.read(&mut piece).unwrap();
            self.shown.push_str(str::from_utf8(&piece[..n]).unwrap());
        }
    }

    fn has_more(&self) -> bool {
        let mut one = [PollFd::new(self.keyboard.as_fd(), PollFlags::POLLIN)];
        poll(&mut one, PollTimeout::from(10u8)).unwrap() > 0
    }

    fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("thtpasswd ends", || {
            self.look();
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        self.look();
        status.unwrap()
    }

    fn echoes(&self) -> bool {
        tcgetattr(self.terminal.as_fd()).unwrap().local_flags.contains(LocalFlags::ECHO | LocalFlags::ISIG)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_password_is_asked_for_twice_and_never_shown() {
    let tree = Tree::new();
    let Some(mut session) = Session::start(&tree.dir().join("passwords")) else { return };
    session.type_after("New password:", "S3cret!\n");
    assert!(!session.echoes());
    session.type_after("Re-type new password:", "S3cret!\n");
    assert!(session.end().success(), "{}", session.shown);
    assert!(!session.shown.contains("S3cret"), "{}", session.shown);
    assert!(session.echoes());
    assert_eq!(names_in(tree.dir()), ["passwords", "www"]);
}

#[test]
fn two_answers_that_differ_change_nothing() {
    let tree = Tree::new();
    let Some(mut session) = Session::start(&tree.dir().join("passwords")) else { return };
    session.type_after("New password:", "one\n");
    session.type_after("Re-type new password:", "two\n");
    assert_eq!(session.end().code(), Some(1));
    assert!(session.shown.contains("They don't match, sorry."), "{}", session.shown);
    assert_eq!(names_in(tree.dir()), ["www"]);
}

#[test]
fn an_interrupt_changes_nothing_and_leaves_the_terminal_as_it_was() {
    let tree = Tree::new();
    let Some(mut session) = Session::start(&tree.dir().join("passwords")) else { return };
    session.type_after("New password:", "S3cr\x03");
    assert_eq!(session.end().code(), Some(1));
    assert!(session.shown.contains("Interrupted."), "{}", session.shown);
    assert!(session.echoes());
    assert_eq!(names_in(tree.dir()), ["www"]);
}
