//! Directory list as a sortable HTML table, without a script.
//!
//! Keyboards and screen readers can use the table.

use std::cmp::Ordering;
use std::io::Write;

use chrono::{Datelike, Local, Timelike};

use super::entries::{Entries, Entry};
use super::reference::reference;
use crate::request::list_view::{ListView, SortKey};
use crate::response::page::Page;
use crate::response::{Policy, escape};
use crate::sys::zone;

/// Style beyond that of all pages.
///
/// Dark and light follow `color-scheme`. On a phone, dates are hidden and names wrap.
const STYLE: &str = "body{max-width:60rem}nav ol{display:flex;flex-wrap:wrap;list-style:none;padding:0;margin:0}\
nav li:not(:last-child)::after{content:\"/\";margin:0 .4rem;opacity:.6}\
table{border-collapse:collapse;width:100%;margin:1rem 0}\
th,td{text-align:left;padding:.4rem .5rem;border-bottom:1px solid #8885;vertical-align:top}\
th[scope=row]{font-weight:400;width:100%;white-space:pre-wrap}\
td,th:not(:first-child){white-space:nowrap;font-variant-numeric:tabular-nums}\
td:nth-child(2),th:nth-child(2){text-align:right}\
a{text-decoration:none}a:hover,a:focus-visible{text-decoration:underline}\
tbody tr:hover{background:#8882}\
[aria-sort=ascending] a::after{content:\" \\2191\"}[aria-sort=descending] a::after{content:\" \\2193\"}\
h2{font-size:1.2rem}section pre{white-space:pre-wrap;border:1px solid #8885;padding:1rem}\
@media(max-width:40rem){td:nth-child(3),th:nth-child(3){display:none}}";

/// Content-Security-Policy of the page: nothing is loaded or run, and the style is allowed by its digest.
pub const SECURITY_POLICY: &str = "default-src 'none'; style-src \
'sha256-m3bVB6LVSe7ktjX6W9C7bQ3r9gkqF631p8YxQlzsexM='; base-uri 'none'; form-action 'none'";

/// Sorts the entries and renders the whole page.
pub fn render(entries: &mut Entries, view: ListView, policy: &Policy<'_>) -> Vec<u8> {
    entries.list.retain(|entry| !matches!(entry.name(), b"." | b".."));
    entries.list.sort_unstable_by(|one, other| order(one, other, view));
    let title = [b"Index of /", &entries.url_path[..]].concat();
    let content = content(entries, view);
    Page { title: &title, charset: policy.charset, style: STYLE }.render(&content, policy.signature)
}

/// Sort order of the table; directories come first in every view.
fn order(one: &Entry, other: &Entry, view: ListView) -> Ordering {
    let by_name = || one.name().cmp(other.name());
    let by_key = match view.key {
        SortKey::Name => by_name(),
        SortKey::Modified => one.target_modified.cmp(&other.target_modified).then_with(by_name),
        SortKey::Size if one.is_directory() => by_name(),
        SortKey::Size => one.target_size.cmp(&other.target_size).then_with(by_name),
    };
    let by_key = if view.descending { by_key.reverse() } else { by_key };
    other.is_directory().cmp(&one.is_directory()).then(by_key)
}

/// A column of the table.
struct Column {
    key: SortKey,
    /// Value of `C=` in its link.
    letter: char,
    title: &'static str,
}

const COLUMNS: [Column; 3] = [
    Column { key: SortKey::Name, letter: 'N', title: "Name" },
    Column { key: SortKey::Size, letter: 'S', title: "Size" },
    Column { key: SortKey::Modified, letter: 'M', title: "Last modified" },
];

fn content(entries: &Entries, view: ListView) -> Vec<u8> {
    let mut out = Vec::new();
    breadcrumb(&mut out, &entries.url_path);
    out.extend_from_slice(b"<table>\n<thead><tr>");
    for column in &COLUMNS {
        column_head(&mut out, view, column);
    }
    out.extend_from_slice(b"</tr></thead>\n<tbody>\n");
    if !entries.url_path.is_empty() {
        out.extend_from_slice(
            b"<tr><th scope=\"row\"><a href=\"../\">Parent directory</a></th><td>&ndash;</td><td>&ndash;</td></tr>\n",
        );
    }
    let mut complete = entries.complete;
    for entry in &entries.list {
        if out.len() >= entries.largest_page {
            complete = false;
            break;
        }
        row(&mut out, entry);
    }
    out.extend_from_slice(b"</tbody>\n</table>\n");
    summary(&mut out, entries, complete);
    if let Some(text) = &entries.readme {
        out.extend_from_slice(b"<section><h2>README.txt</h2>\n<pre>\n");
        text.split(|&byte| byte == b'\n').enumerate().for_each(|(at, line)| {
            if at > 0 {
                out.push(b'\n');
            }
            text_line(&mut out, line.strip_suffix(b"\r").unwrap_or(line));
        });
        out.extend_from_slice(b"</pre></section>\n");
    }
    out
}

/// Appends a line of text; tabs are kept.
fn text_line(out: &mut Vec<u8>, line: &[u8]) {
    for (at, piece) in line.split(|&byte| byte == b'\t').enumerate() {
        if at > 0 {
            out.push(b'\t');
        }
        escape::html(out, piece);
    }
}

/// Appends links to all directories from the top down to this one.
fn breadcrumb(out: &mut Vec<u8>, url_path: &[u8]) {
    let segments: Vec<&[u8]> = url_path.split(|&byte| byte == b'/').filter(|s| !s.is_empty()).collect();
    out.extend_from_slice(b"<nav aria-label=\"Breadcrumb\"><ol>");
    for depth in 0..=segments.len() {
        let up = segments.len() - depth;
        out.extend_from_slice(b"<li><a href=\"");
        let here = if up == 0 { b"./".to_vec() } else { b"../".repeat(up) };
        out.extend_from_slice(&here);
        out.extend_from_slice(if up == 0 { b"\" aria-current=\"page\">" } else { b"\">" });
        match depth.checked_sub(1) {
            None => out.extend_from_slice(b"Top"),
            Some(at) => escape::html(out, segments[at]),
        }
        out.extend_from_slice(b"</a></li>");
    }
    out.extend_from_slice(b"</ol></nav>\n");
}

/// The head of a column: a link that sorts by it, the other way round if that is how it is sorted.
fn column_head(out: &mut Vec<u8>, view: ListView, column: &Column) {
    let Column { key, letter, title } = column;
    let is_sorted = view.key == *key;
    let descending = is_sorted && !view.descending;
    let sorted = match (is_sorted, view.descending) {
        (false, _) => "",
        (true, false) => " aria-sort=\"ascending\"",
        (true, true) => " aria-sort=\"descending\"",
    };
    let order = if descending { 'D' } else { 'A' };
    // Writing to memory cannot fail.
    let _ = write!(out, "<th scope=\"col\"{sorted}><a href=\"?C={letter};O={order}\">{title}</a></th>");
}

fn row(out: &mut Vec<u8>, entry: &Entry) {
    out.extend_from_slice(b"<tr><th scope=\"row\"><a href=\"");
    reference(out, entry.name(), entry.is_directory());
    out.extend_from_slice(b"\">");
    escape::html(out, entry.name());
    out.extend_from_slice(if entry.is_directory() { b"/</a></th><td" } else { b"</a></th><td" });
    let _ = match entry.is_file() {
        true => {
            let (size, s) = (entry.target_size, if entry.target_size == 1 { "" } else { "s" });
            write!(out, " title=\"{size} byte{s}\">{}</td><td>", short_size(size))
        }
        false => write!(out, ">&ndash;</td><td>"),
    };
    if let Some(time) = zone::time_in(&Local, entry.target_modified) {
        let (year, month, day) = (time.year(), time.month(), time.day());
        let _ = write!(out, "{year:04}-{month:02}-{day:02} {:02}:{:02}", time.hour(), time.minute());
    }
    out.extend_from_slice(b"</td></tr>\n");
}

fn summary(out: &mut Vec<u8>, entries: &Entries, complete: bool) {
    let directories = entries.list.iter().filter(|entry| entry.is_directory()).count();
    let files = entries.list.len() - directories;
    let plural = |n: usize, one: &'static str, many: &'static str| if n == 1 { one } else { many };
    let (of_directories, of_files) =
        (plural(directories, "directory", "directories"), plural(files, "file", "files"));
    let _ = match complete {
        true => writeln!(out, "<p>{directories} {of_directories}, {files} {of_files}</p>"),
        false => writeln!(out, "<p>This directory holds more than is listed here.</p>"),
    };
}

/// Size in three or four digits with a unit: `1023 B`, `1.5 KiB`, `12 GiB`.
fn short_size(bytes: i64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (i128::from(bytes) * 10, 0);
    // A value that rounds up to 1024 moves to the next unit: `1024 KiB` becomes `1.0 MiB`.
    while tenths >= 10 * 1024 - 5 && unit < UNITS.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    // Few digits are left, and printing integers of 128 bits is code of its own.
    let (tenths, name) = (tenths as i64, UNITS[unit - 1]);
    if tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", (tenths + 5) / 10)
    }
}

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_security_policy_names_the_digest_of_the_style() {
        let page = Page { title: b"", charset: b"UTF-8", style: STYLE }.render(b"", "");
        let page = String::from_utf8(page).unwrap();
        let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let digest = crate::testing::base64(&Sha256::digest(style));
        assert!(SECURITY_POLICY.contains(&format!("'sha256-{digest}'")), "the style's digest is {digest}");
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024, "10 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (12 << 30, "12 GiB"),
            (i64::MAX, "8.0 EiB"),
        ] {
            assert_eq!(short_size(bytes), expected, "{bytes}");
        }
    }
}
