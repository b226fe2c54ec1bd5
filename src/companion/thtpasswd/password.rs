//! Password input: from the terminal without echo, or from standard input.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

use super::super::{Refusal, reason};
use crate::auth::crypt::{BCRYPT_LONGEST_PASSWORD, HashScheme};

/// Maximum length of a password in bytes: it must fit into the server's limit together with a user name.
const MOST_BYTES: usize = 256;

/// Byte that Ctrl-C sends.
const INTERRUPT: u8 = 3;

/// Reads a password; on a terminal every prompt is answered, and all answers must agree.
///
/// Without a terminal, or with `from_stdin`, the password is the first line of standard input.
///
/// # Errors
/// The answers differ, or there was none.
pub fn ask(from_stdin: bool, prompts: &[&str]) -> Result<Vec<u8>, Refusal> {
    let stdin = io::stdin();
    if from_stdin || !stdin.is_terminal() {
        return line().map_err(failed);
    }
    let mut answer: Option<Vec<u8>> = None;
    for prompt in prompts {
        let one = hidden(prompt)?;
        if answer.is_some_and(|first| first != one) {
            return Err(Refusal::new("They don't match, sorry."));
        }
        answer = Some(one);
    }
    Ok(answer.unwrap_or_default())
}

/// Checks whether this password may be set.
///
/// # Errors
/// The password is empty, or too long for the server or the scheme.
pub fn check_new(password: &[u8], scheme: HashScheme) -> Result<(), Refusal> {
    let why = if password.is_empty() {
        "An empty password protects nothing."
    } else if password.len() > MOST_BYTES {
        "A password has at most 256 bytes."
    } else if password.iter().any(u8::is_ascii_control) {
        "A password holds no control characters."
    } else if matches!(scheme, HashScheme::Bcrypt { .. }) && password.len() > BCRYPT_LONGEST_PASSWORD {
        "bcrypt takes only 72 bytes of a password; choose a shorter one, or another hash."
    } else {
        return Ok(());
    };
    Err(Refusal::new(why))
}

/// Prompts with the terminal's echo off.
fn hidden(prompt: &str) -> Result<Vec<u8>, Refusal> {
    let silence = Silence::begin().map_err(failed)?;
    let mut terminal = io::stderr();
    let _ = terminal.write_all(prompt.as_bytes());
    let answer = line();
    drop(silence);
    let _ = writeln!(terminal);
    let answer = answer.map_err(failed)?;
    if answer.contains(&INTERRUPT) {
        return Err(Refusal::new("Interrupted."));
    }
    Ok(answer)
}

/// Reads one line of standard input, without its end, or up to a Ctrl-C, which is included.
fn line() -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    // One byte above the maximum lets `check_new` notice the excess; another one is for a carriage return.
    for byte in io::stdin().lock().bytes().take(MOST_BYTES + 2) {
        match byte? {
            b'\n' => break,
            byte => line.push(byte),
        }
        if line.last() == Some(&INTERRUPT) {
            break;
        }
    }
    Ok(line.strip_suffix(b"\r").map(<[u8]>::to_vec).unwrap_or(line))
}

/// Terminal without echo, restored on drop.
///
/// Signal keys are off too, as Ctrl-C would leave the user's shell without echo: the character ends the
/// line instead.
struct Silence {
    before: Termios,
}

impl Silence {
    fn begin() -> io::Result<Silence> {
        let before = tcgetattr(io::stdin().as_fd())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        silent.control_chars[SpecialCharacterIndices::VEOL as usize] = INTERRUPT;
        // Input typed before the prompt is discarded.
        tcsetattr(io::stdin().as_fd(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Silence { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSAFLUSH, &self.before);
    }
}

fn failed(error: io::Error) -> Refusal {
    Refusal::new(format!("Could not read the password: {}", reason(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_could_not_be_checked_in_full_is_refused() {
        let sha = HashScheme::Sha512 { rounds: 5000 };
        assert!(check_new(&[b'x'; 256], sha).is_ok());
        assert!(check_new(&[b'x'; 257], sha).is_err());
        assert!(check_new(b"", sha).is_err());
        assert!(check_new(b"a\tb", sha).is_err());
        assert!(check_new(&[b'x'; 72], HashScheme::Bcrypt { cost: 10 }).is_ok());
        assert!(check_new(&[b'x'; 73], HashScheme::Bcrypt { cost: 10 }).is_err());
        assert!(check_new("pässwörd:with colon".as_bytes(), HashScheme::Des).is_ok());
    }
}
