//! `thtpasswd`: manages `.htpasswd` files (thttpd's `htpasswd`, under the name used by distributions).
//!
//! The steps are: parse the arguments (`PasswordArguments`), read the password from the terminal or standard
//! input, hash it, change the text of the file (`text`), and replace the file atomically. Messages are
//! thttpd's where it has them.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::libc::ETIMEDOUT;

use super::replacement::TargetDirectory;
use super::{Refusal, reason, say};
use crate::auth::MOST_FILE_BYTES;
use crate::auth::crypt::{self, HashScheme};
use crate::sys::stdio;

mod invocation;
mod password;
mod text;

use invocation::{PasswordAction, PasswordArguments};

/// Exit status of `-v` if the password is wrong or the user does not exist.
const WRONG: u8 = 3;

/// Executes the arguments, given without the program's name.
///
/// # Errors
/// Message for the user.
pub fn run(arguments: &[OsString]) -> Result<(), Refusal> {
    if super::helped(arguments, invocation::USAGE) {
        return Ok(());
    }
    let invocation = PasswordArguments::parse(arguments)?;
    match invocation.action {
        PasswordAction::Print => {
            let hash = new_hash(&invocation)?;
            let line = format!("{}:{}", invocation.shown_user(), String::from_utf8_lossy(&hash));
            let written = stdio::write_line(&mut io::stdout(), &line);
            written.map_err(|error| Refusal::new(format!("standard output: {}", reason(&error))))
        }
        PasswordAction::Verify => verify(&invocation),
        PasswordAction::Create => create(&invocation),
        PasswordAction::Update => update(&invocation),
        PasswordAction::Delete => delete(&invocation),
    }
}

/// `-c`: writes a file with this user alone, replacing an existing file.
fn create(invocation: &PasswordArguments) -> Result<(), Refusal> {
    say(&format!("Adding password for {}.", invocation.shown_user()));
    let hash = new_hash(invocation)?;
    let path = followed(&invocation.file);
    change(&path, |_| Ok(text::with_hash(b"", &invocation.user, &hash)))
}

/// Changes the user's password, or adds the user.
fn update(invocation: &PasswordArguments) -> Result<(), Refusal> {
    let path = followed(&invocation.file);
    // The file is checked before the user types a password.
    let user_is_there = text::hash_of(&existing(&path)?, &invocation.user).is_some();
    let doing = if user_is_there { "Changing password for user" } else { "Adding user" };
    say(&format!("{doing} {}", invocation.shown_user()));
    let hash = new_hash(invocation)?;
    change(&path, |old| Ok(text::with_hash(&old.ok_or_else(|| missing(&path))?, &invocation.user, &hash)))
}

/// `-D`: deletes the user.
fn delete(invocation: &PasswordArguments) -> Result<(), Refusal> {
    let path = followed(&invocation.file);
    change(&path, |old| {
        let text = text::without(&old.ok_or_else(|| missing(&path))?, &invocation.user);
        text.ok_or_else(|| Refusal::new(format!("There is no user {}.", invocation.shown_user())))
    })?;
    say(&format!("Deleting user {}", invocation.shown_user()));
    Ok(())
}

/// `-v`: verifies the password.
fn verify(invocation: &PasswordArguments) -> Result<(), Refusal> {
    let file = existing(&followed(&invocation.file))?;
    let password = password::ask(invocation.from_stdin, &["Password:"])?;
    let wrong = |message: String| Refusal { message, status: WRONG };
    let Some(hash) = text::hash_of(&file, &invocation.user) else {
        return Err(wrong(format!("There is no user {}.", invocation.shown_user())));
    };
    if !crypt::verify(hash, &password) {
        return Err(wrong("That is not the password.".into()));
    }
    say(&format!("Password for user {} correct.", invocation.shown_user()));
    Ok(())
}

/// Prompts for a new password and hashes it.
fn new_hash(invocation: &PasswordArguments) -> Result<Vec<u8>, Refusal> {
    let password = password::ask(invocation.from_stdin, &["New password:", "Re-type new password:"])?;
    password::check_new(&password, invocation.scheme)?;
    if invocation.scheme == HashScheme::Des && password.len() > 8 {
        let _ = stdio::error_line("Only the first eight characters of the password will count.");
    }
    let salt = super::random().map_err(|error| Refusal::new(format!("/dev/urandom: {}", reason(&error))))?;
    crypt::make(invocation.scheme, &salt, &password)
        .ok_or_else(|| Refusal::new("The cost or number of rounds is out of bounds."))
}

/// Replaces the file by the result of `edit`, under a lock against concurrent changes.
fn change(
    path: &Path,
    edit: impl FnOnce(Option<Vec<u8>>) -> Result<Vec<u8>, Refusal>,
) -> Result<(), Refusal> {
    let unwritable = |error: io::Error| {
        Refusal::new(format!(
            "Could not open passwd file {} for writing.\n{}",
            path.display(),
            reason(&error)
        ))
    };
    let (place, name) = TargetDirectory::containing(path).map_err(unwritable)?;
    let waiting = || drop(stdio::error_line("Waiting for another program that has locked the directory."));
    let _lock = place.lock(&waiting).map_err(|error| match error.raw_os_error() {
        Some(ETIMEDOUT) => Refusal::new(format!(
            "Another program has locked the directory of {}; nothing is changed.\n\
             Find it with lslocks(8), end it, and try again.",
            path.display()
        )),
        _ => unwritable(error),
    })?;
    let old = match place.open(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened.and_then(read).map_err(unwritable)?),
    };
    let (old, like) = old.unzip();
    let new = edit(old)?;
    let mut replacement = place.replace(&name, like.as_ref()).map_err(unwritable)?;
    replacement.write_all(&new).and_then(|()| replacement.finish()).map_err(unwritable)
}

/// Text of a file that must exist.
fn existing(path: &Path) -> Result<Vec<u8>, Refusal> {
    let opened = TargetDirectory::containing(path).and_then(|(place, name)| place.open(&name)).and_then(read);
    opened.map(|(text, _)| text).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(path),
        _ => unreadable(path, &error),
    })
}

fn read(file: File) -> io::Result<(Vec<u8>, Metadata)> {
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "Not a regular file"));
    }
    let mut text = Vec::new();
    file.take(MOST_FILE_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MOST_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "Larger than 1 MiB"));
    }
    Ok((text, meta))
}

fn missing(path: &Path) -> Refusal {
    Refusal::new(format!(
        "Could not open passwd file {} for reading.\nUse -c option to create new one.",
        path.display()
    ))
}

fn unreadable(path: &Path, error: &io::Error) -> Refusal {
    Refusal::new(format!("Could not open passwd file {} for reading.\n{}", path.display(), reason(error)))
}

/// Target of a link: the file is replaced, not the link.
fn followed(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
