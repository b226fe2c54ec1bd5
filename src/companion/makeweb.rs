//! `makeweb`: makes a web directory for the user, and a link to it in the user's home.
//!
//! thttpd's makeweb was set-group-id, so that users could make directories where they had no write access.
//! This one runs with the user's own rights only, and refuses any others: the operator provides a directory
//! in which users may make their own, as in `/tmp`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{Gid, Uid, fchown, getegid, geteuid, getgid, getuid};

use super::{Refusal, reason, say};
use crate::sys::stat::fstat;

/// Parent of users' directories, unless `MAKEWEB_DIR` is set.
const WEB_DIR: &str = "/var/www/users";

/// Name of the link in the user's home.
const LINK: &str = "public_html";

/// User that runs the program.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    name: String,
    home: PathBuf,
    uid: Uid,
    gid: Gid,
}

/// Makes the directory and the link, unless they exist.
///
/// # Errors
/// The reason why one cannot be made.
pub fn run(program: &str, arguments: &[OsString]) -> Result<(), Refusal> {
    let usage = format!(
        "usage:  {program}\n\
         Makes a web directory for the user who runs it, below $MAKEWEB_DIR or {WEB_DIR}, and the link\n\
         ~/{LINK} to it; see makeweb(1)."
    );
    if super::helped(arguments, &usage) {
        return Ok(());
    }
    if !arguments.is_empty() {
        return Err(Refusal::new(format!("usage:  {program}")));
    }
    if getuid() != geteuid() || getgid() != getegid() {
        return Err(Refusal::new("This program does not run set-user-id or set-group-id."));
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let account = Account::find(&passwd, getuid(), getgid(), std::env::var_os("HOME"))
        .ok_or_else(|| Refusal::new("Who you are cannot be found out from /etc/passwd."))?;
    let web_dir = std::env::var_os("MAKEWEB_DIR").map_or_else(|| PathBuf::from(WEB_DIR), PathBuf::from);
    let directory = web_dir.join(&account.name);
    make_directory(&web_dir, &account, &directory)?;
    make_link(&account.home.join(LINK), &directory)
}

impl Account {
    /// Account of `uid` in the user database; the home directory is that of the session.
    ///
    /// `None` without an entry, or with a user name that is not valid as a directory's name.
    fn find(passwd: &str, uid: Uid, gid: Gid, home: Option<OsString>) -> Option<Account> {
        let own = uid.to_string();
        let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&own))?;
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| is_plain(name))?.to_owned();
        let home = home.map(PathBuf::from).or_else(|| fields.nth(4).map(PathBuf::from))?;
        Some(Account { name, home, uid, gid })
    }
}

/// Tells whether `name` is a single ordinary path component.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

/// Makes the user's directory; an existing one must belong to the user, and is kept.
fn make_directory(web_dir: &Path, account: &Account, shown: &Path) -> Result<(), Refusal> {
    let shown = shown.display();
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let parent = open(web_dir, flags, Mode::empty()).map_err(|error| match error {
        Errno::ENOENT | Errno::ENOTDIR => missing(web_dir),
        other => failed(web_dir, other),
    })?;
    let name = account.name.as_str();
    match mkdirat(parent.as_fd(), name, Mode::from_bits_truncate(0o755)) {
        Ok(()) => {
            let directory = open_own(&parent, name, account).map_err(|error| failed(web_dir, error))?;
            // A parent directory with the set-group-id bit has set another group.
            fchown(directory.as_fd(), None, Some(account.gid)).map_err(|error| failed(web_dir, error))?;
            fchmod(directory.as_fd(), Mode::from_bits_truncate(0o755))
                .map_err(|error| failed(web_dir, error))?;
            say(&format!("Created web directory {shown}"));
            Ok(())
        }
        Err(Errno::EEXIST) => match open_own(&parent, name, account) {
            Ok(_) => {
                say(&format!("Web directory {shown} already existed."));
                Ok(())
            }
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                Err(Refusal::new(format!("{shown} already exists but is not a directory!")))
            }
            Err(Errno::EPERM | Errno::EACCES) => {
                Err(Refusal::new(format!("{shown} already exists but you don't own it!")))
            }
            Err(error) => Err(failed(web_dir, error)),
        },
        Err(error) => Err(failed(web_dir, error)),
    }
}

/// Opens the directory, which must belong to the user and must not be a link.
fn open_own(parent: &OwnedFd, name: &str, account: &Account) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = openat(parent.as_fd(), name, flags, Mode::empty())?;
    if fstat(directory.as_fd())?.st_uid != account.uid.as_raw() {
        return Err(Errno::EPERM);
    }
    Ok(directory)
}

/// Makes the link in the user's home.
fn make_link(link: &Path, directory: &Path) -> Result<(), Refusal> {
    let shown = link.display();
    match fs::read_link(link) {
        Ok(target) if target == directory => say(&format!("Symbolic link {shown} already existed.")),
        Ok(target) => {
            say(&format!("Symbolic link {shown} already existed but pointed to {}.", target.display()));
            fs::remove_file(link)
                .and_then(|()| symlink(directory, link))
                .map_err(|error| io_failed(link, &error))?;
            say(&format!("Created symbolic link {shown}"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            symlink(directory, link).map_err(|error| io_failed(link, &error))?;
            say(&format!("Created symbolic link {shown}"));
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(Refusal::new(format!(
                "{shown} already exists but is not a symbolic link!\n\
                 Move what is in it to {}, remove it, and run this program again.",
                directory.display()
            )));
        }
        Err(error) => return Err(io_failed(link, &error)),
    }
    Ok(())
}

fn missing(path: &Path) -> Refusal {
    Refusal::new(format!(
        "Some part of the path {} does not exist.\nThis is probably a configuration error.",
        path.display()
    ))
}

fn failed(path: &Path, error: Errno) -> Refusal {
    io_failed(path, &error.into())
}

fn io_failed(path: &Path, error: &io::Error) -> Refusal {
    Refusal::new(format!("{}: {}", path.display(), reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\njef:x:1000:100:Jef:/home/jef:/bin/sh\n\
                          ../up:x:1001:100::/:/bin/sh\n.:x:1002:100::/:/bin/sh\na/b:x:1003:100::/:/bin/sh\n:x:1004:100::/:\n";

    fn find(uid: u32, home: Option<&str>) -> Option<(String, PathBuf)> {
        let account = Account::find(PASSWD, Uid::from_raw(uid), Gid::from_raw(100), home.map(OsString::from));
        account.map(|account| (account.name, account.home))
    }

    #[test]
    fn the_account_is_found_by_its_number() {
        assert_eq!(find(1000, None), Some(("jef".into(), "/home/jef".into())));
        assert_eq!(find(1000, Some("/elsewhere")), Some(("jef".into(), "/elsewhere".into())));
        assert_eq!(find(100, None), None);
    }

    #[test]
    fn a_name_that_is_no_name_of_a_directory_makes_none() {
        for uid in 1001..=1004 {
            assert_eq!(find(uid, None), None, "{uid}");
        }
    }
}
