//! Directory list in thttpd's columns.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Local, TimeZone, Timelike};
use nix::sys::stat::{Mode, SFlag};

use super::entries::{Entries, Entry, kind};
use super::reference::reference;
use crate::log::MONTHS;
use crate::response::page::Page;
use crate::response::{Policy, escape};
use crate::sys::zone;

/// Age in seconds from which entries show their year instead of the time (182 days).
const RECENT: i64 = 182 * 24 * 60 * 60;

/// Tolerated difference between the clocks of the server and the file system, in seconds.
///
/// A file that is newer by less does not count as a file of the future.
const CLOCK_SKEW: i64 = 60;

/// Style for phones: only sizes and names are shown, and names wrap.
const STYLE: &str = "body{max-width:none}pre{overflow-x:auto;line-height:1.7}\
@media(max-width:40rem){pre{white-space:pre-wrap}pre span{display:none}}";

/// Widths of the numeric columns: at least thttpd's, and as wide as the widest number.
struct Widths {
    links: usize,
    bytes: usize,
}

/// Renders the whole page.
pub fn render(entries: &Entries, policy: &Policy<'_>) -> Vec<u8> {
    let title = [b"Index of /", &entries.url_path[..]].concat();
    let content = content(entries, seconds(policy.now));
    Page { title: &title, charset: policy.charset, style: STYLE }.render(&content, policy.signature)
}

/// Renders the rows, and a note if the list is incomplete.
pub fn content(entries: &Entries, now: i64) -> Vec<u8> {
    let widest = |of: fn(&Entry) -> i64, least: usize| {
        let digits = entries.list.iter().map(|entry| of(entry).to_string().len()).max();
        digits.unwrap_or(0).max(least)
    };
    let links = widest(|entry| i64::try_from(entry.links).unwrap_or(i64::MAX), 3);
    let bytes = widest(|entry| entry.size, 10);
    let widths = Widths { links, bytes };
    let mut out = b"<pre>\n".to_vec();
    // Writing to memory cannot fail.
    let (links, bytes) = (links + "mode  ".len(), bytes);
    let _ = writeln!(
        out,
        "<b><span>{:links$}</span>{:>bytes$}  <span>last-changed  </span>name</b>",
        "mode links", "bytes"
    );
    let mut complete = entries.complete;
    for entry in &entries.list {
        if out.len() >= entries.largest_page {
            complete = false;
            break;
        }
        row(&mut out, entries, entry, &Row { widths: &widths, now });
    }
    out.extend_from_slice(b"</pre>\n");
    if !complete {
        out.extend_from_slice(b"<p>This directory holds more than is listed here.</p>\n");
    }
    out
}

/// Values that all rows share.
struct Row<'w> {
    widths: &'w Widths,
    now: i64,
}

fn row(out: &mut Vec<u8>, entries: &Entries, entry: &Entry, common: &Row<'_>) {
    let time = zone::time_in(&Local, entry.modified)
        .map_or_else(|| "?".to_owned(), |time| time_column(&time, common.now));
    let (mode, links, bytes) = (mode_column(entry.mode), entry.links, entry.size);
    let (links_width, bytes_width) = (common.widths.links, common.widths.bytes);
    let _ = write!(
        out,
        "<span>{mode} {links:>links_width$}  </span>{bytes:>bytes_width$}  <span>{time:<12}  </span><a href=\""
    );
    reference(out, entry.name(), entry.is_directory());
    out.extend_from_slice(b"\">");
    escape::html(out, entry.name());
    out.extend_from_slice(b"</a>");
    if let Some(to) = entry.is_link().then(|| entries.target(entry)).flatten() {
        out.extend_from_slice(b" -&gt; ");
        escape::html(out, to.as_bytes());
    }
    out.extend_from_slice(class(entry.target_mode).as_bytes());
    out.push(b'\n');
}

/// Mode column: type of the entry, and the permissions of others.
fn mode_column(mode: u32) -> String {
    let letter = match kind(mode) {
        SFlag::S_IFIFO => 'p',
        SFlag::S_IFCHR => 'c',
        SFlag::S_IFDIR => 'd',
        SFlag::S_IFBLK => 'b',
        SFlag::S_IFREG => '-',
        SFlag::S_IFSOCK => 's',
        SFlag::S_IFLNK => 'l',
        _ => '?',
    };
    let may = |bit: Mode, letter| if mode & bit.bits() == 0 { '-' } else { letter };
    [letter, may(Mode::S_IROTH, 'r'), may(Mode::S_IWOTH, 'w'), may(Mode::S_IXOTH, 'x')].iter().collect()
}

/// Suffix for the kind of file: directory, socket, executable.
fn class(target_mode: u32) -> &'static str {
    match kind(target_mode) {
        SFlag::S_IFDIR => "/",
        SFlag::S_IFSOCK => "=",
        _ if target_mode & Mode::S_IXOTH.bits() != 0 => "*",
        _ => "",
    }
}

/// Time column: `Nov 24 11:05`, or `Jan  2  2020` if long ago or in the future.
///
/// chrono's formatting code and tables would add some 25 KB to the binary.
pub fn time_column<Tz: TimeZone>(time: &DateTime<Tz>, now: i64) -> String {
    let (month, day) = (MONTHS[time.month0() as usize], time.day());
    let age = now - time.timestamp();
    if (-CLOCK_SKEW..=RECENT).contains(&age) {
        format!("{month} {day:>2} {:02}:{:02}", time.hour(), time.minute())
    } else {
        format!("{month} {day:>2}  {:04}", time.year())
    }
}

/// Seconds since the epoch.
pub fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
