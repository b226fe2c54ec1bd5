//! A directory → the page that lists it, in thttpd's columns.
//!
//! Reads through the directory's open descriptor only: what was checked is what is listed.

use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Local, TimeZone, Timelike};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use super::page::Page;
use super::{Policy, Response, SERVER, escape};
use crate::log::MONTHS;
use crate::request::Rejection;
use crate::resource::Directory;
use crate::sys::memory::LISTING_MEMORY;

/// Entries and bytes after which a listing breaks off with a note: what one request may hold.
const MOST_ENTRIES: usize = 100_000;
const LARGEST_PAGE: usize = 16 * 1024 * 1024;

/// Pages up to this size fit into a socket's buffer, and wait nowhere else for their reader.
const SMALL: usize = 64 * 1024;

/// Entries last changed longer ago than this many seconds show their year (182 days).
const RECENT: i64 = 182 * 24 * 60 * 60;

/// On a phone the mode and link columns give way to the names.
const STYLE: &str = "body{max-width:none}pre{overflow-x:auto;line-height:1.7}\
@media(max-width:40rem){pre span{display:none}}";

/// Lists `directory`.
///
/// Left out are `.ht*` files, links that lead nowhere, and at the top the way up; dot files too
/// if the policy hides them. The page carries no validator: a directory's own times do not move
/// when a file in it grows.
pub fn page(directory: Directory, policy: &Policy<'_>) -> Result<Response, Rejection> {
    let mut listing = Listing::open(directory, policy).map_err(rejection)?;
    let content = listing.content().map_err(rejection)?;
    let title = [b"Index of /", &listing.url_path[..]].concat();
    let page = Page { title: &title, charset: policy.charset, style: STYLE }.render(&content, SERVER);
    let held = match page.len() {
        ..=SMALL => None,
        len => Some(LISTING_MEMORY.reserve(len).ok_or_else(|| {
            Rejection::new(503, "Too many are reading long lists just now; please try again later.")
        })?),
    };
    let response = Response::page(200, format!("text/html; charset={}", policy.charset), page);
    Ok(Response { held, ..response })
}

fn rejection(errno: Errno) -> Rejection {
    match errno {
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => Rejection::new(503, ""),
        _ => Rejection::new(500, ""),
    }
}

/// A directory being listed.
struct Listing {
    dir: Dir,
    url_path: Vec<u8>,
    hide_dotfiles: bool,
    now: i64,
    most_entries: usize,
    largest_page: usize,
}

impl Listing {
    fn open(directory: Directory, policy: &Policy<'_>) -> Result<Listing, Errno> {
        // Opened again by way of itself: the descriptor may be one for paths only.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Listing {
            dir: Dir::openat(&directory.dir, c".", flags, Mode::empty())?,
            url_path: directory.url_path,
            hide_dotfiles: policy.hide_dotfiles,
            now: seconds(policy.now),
            most_entries: MOST_ENTRIES,
            largest_page: LARGEST_PAGE,
        })
    }

    /// The rows, and a note if they are not all.
    fn content(&mut self) -> Result<Vec<u8>, Errno> {
        let (names, mut complete) = self.names()?;
        let mut out = b"<pre>\n<b><span>mode  links  </span>  bytes  last-changed  name</b>\n".to_vec();
        for name in &names {
            if out.len() >= self.largest_page {
                complete = false;
                break;
            }
            self.row(&mut out, name);
        }
        out.extend_from_slice(b"</pre>\n");
        if !complete {
            out.extend_from_slice(b"<p>This directory holds more than is listed here.</p>\n");
        }
        Ok(out)
    }

    /// The names to list, in order of their bytes, and whether they are all.
    fn names(&mut self) -> Result<(Vec<CString>, bool), Errno> {
        let (top, hide_dotfiles) = (self.url_path.is_empty(), self.hide_dotfiles);
        let (mut names, mut complete) = (Vec::new(), true);
        for entry in self.dir.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if !is_shown(name.to_bytes(), top, hide_dotfiles) {
                continue;
            }
            if names.len() == self.most_entries {
                complete = false;
                break;
            }
            names.push(name.to_owned());
        }
        names.sort_unstable();
        Ok((names, complete))
    }

    /// Appends the row of `name`; nothing if it is gone, or a link to nothing.
    fn row(&self, out: &mut Vec<u8>, name: &CStr) {
        let Ok(entry) = fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { return };
        let is_link = kind(&entry) == SFlag::S_IFLNK;
        let target = if is_link { fstatat(&self.dir, name, AtFlags::empty()) } else { Ok(entry) };
        let Ok(target) = target else { return };
        columns(out, &entry, self.now);
        self.link(out, name.to_bytes(), kind(&target) == SFlag::S_IFDIR);
        if let Some(to) = is_link.then(|| readlinkat(&self.dir, name).ok()).flatten() {
            out.extend_from_slice(b" -&gt; ");
            escape::html(out, to.as_bytes());
        }
        out.extend_from_slice(class(&target).as_bytes());
        out.push(b'\n');
    }

    /// The name, linked by its path from the server's root.
    fn link(&self, out: &mut Vec<u8>, name: &[u8], is_directory: bool) {
        out.extend_from_slice(b"<a href=\"/");
        escape::url_path(out, &self.url_path);
        escape::url_path(out, name);
        out.extend_from_slice(if is_directory { b"/\">" } else { b"\">" });
        escape::html(out, name);
        out.extend_from_slice(b"</a>");
    }
}

/// Is an entry of this name listed?
fn is_shown(name: &[u8], top: bool, hide_dotfiles: bool) -> bool {
    match name {
        b".." => !top,
        _ if name.starts_with(b".ht") => false,
        _ => !(hide_dotfiles && name.starts_with(b".")),
    }
}

/// Mode, links, bytes and time of an entry, up to its name.
fn columns(out: &mut Vec<u8>, entry: &FileStat, now: i64) {
    let time = Local.timestamp_opt(entry.st_mtime, 0).single();
    let time = time.map_or_else(|| "?".to_owned(), |time| time_column(&time, now));
    let (mode, links, bytes) = (mode_column(entry), entry.st_nlink, entry.st_size);
    // Writing to memory cannot fail.
    let _ = write!(out, "<span>{mode} {links:>3}  </span>{bytes:>10}  {time:<12}  ");
}

fn kind(entry: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(entry.st_mode & SFlag::S_IFMT.bits())
}

/// The entry's kind, and what everyone may do with it.
fn mode_column(entry: &FileStat) -> String {
    let letter = match kind(entry) {
        SFlag::S_IFIFO => 'p',
        SFlag::S_IFCHR => 'c',
        SFlag::S_IFDIR => 'd',
        SFlag::S_IFBLK => 'b',
        SFlag::S_IFREG => '-',
        SFlag::S_IFSOCK => 's',
        SFlag::S_IFLNK => 'l',
        _ => '?',
    };
    let may = |bit: Mode, letter| if entry.st_mode & bit.bits() == 0 { '-' } else { letter };
    [letter, may(Mode::S_IROTH, 'r'), may(Mode::S_IWOTH, 'w'), may(Mode::S_IXOTH, 'x')].iter().collect()
}

/// Suffix for the kind of file: directory, socket, executable.
fn class(target: &FileStat) -> &'static str {
    match kind(target) {
        SFlag::S_IFDIR => "/",
        SFlag::S_IFSOCK => "=",
        _ if target.st_mode & Mode::S_IXOTH.bits() != 0 => "*",
        _ => "",
    }
}

/// `Nov 24 11:05`, or `Jan  2  2020` when long ago.
///
/// By hand, because chrono's formats are a whole language, and its tables some 25 KB of a small binary.
fn time_column<Tz: TimeZone>(time: &DateTime<Tz>, now: i64) -> String {
    let (month, day) = (MONTHS[time.month0() as usize], time.day());
    if now - time.timestamp() <= RECENT {
        format!("{month} {day:>2} {:02}:{:02}", time.hour(), time.minute())
    } else {
        format!("{month} {day:>2}  {:04}", time.year())
    }
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

#[cfg(test)]
mod tests;
