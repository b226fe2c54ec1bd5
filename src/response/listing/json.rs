//! Directory list as JSON: `[{"name","href","type","mtime","size"}]`.

use std::io::Write;

use chrono::{Datelike, Timelike, Utc};

use super::entries::{Entries, Entry};
use super::reference::reference;
use crate::sys::zone;

/// Renders the array, without the directory itself and its parent.
///
/// Bytes of a name that are not UTF-8 become U+FFFD in `name`; `href` is exact.
pub fn render(entries: &Entries) -> Vec<u8> {
    let mut out = b"[".to_vec();
    let named = entries.list.iter().filter(|entry| !matches!(entry.name(), b"." | b".."));
    for entry in named {
        if out.len() >= entries.largest_page {
            break;
        }
        out.extend_from_slice(if out.len() > 1 { b",\n" } else { b"\n" });
        object(&mut out, entry);
    }
    out.extend_from_slice(b"\n]\n");
    out
}

fn object(out: &mut Vec<u8>, entry: &Entry) {
    let kind = match () {
        () if entry.is_directory() => "directory",
        () if entry.is_file() => "file",
        () => "other",
    };
    out.extend_from_slice(b"{\"name\":");
    string(out, entry.name());
    out.extend_from_slice(b",\"href\":\"");
    // A reference contains no character that JSON would escape.
    reference(out, entry.name(), entry.is_directory());
    // Writing to memory cannot fail.
    let _ = write!(out, "\",\"type\":\"{kind}\",\"mtime\":{},\"size\":", timestamp(entry.target_modified));
    let _ = match kind {
        "file" => write!(out, "{}}}", entry.target_size),
        _ => write!(out, "null}}"),
    };
}

/// Time as RFC 3339 in UTC, a JSON string; `null` outside the years 0 to 9999, which that cannot express.
fn timestamp(seconds: i64) -> String {
    let Some(time) = zone::time_in(&Utc, seconds) else { return "null".to_owned() };
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    format!("\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z\"")
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            // U+2028 and U+2029 end a line in old JavaScript.
            control if control.is_control() || matches!(control, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            plain => {
                let mut bytes = [0; 4];
                out.extend_from_slice(plain.encode_utf8(&mut bytes).as_bytes());
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_string() {
        for (name, expected) in [
            (&b"a.txt"[..], "\"a.txt\""),
            (b"a\"b\\c\n", "\"a\\\"b\\\\c\\u000a\""),
            ("\u{e9}\u{2028}".as_bytes(), "\"\u{e9}\\u2028\""),
            (b"\xff", "\"\u{fffd}\""),
        ] {
            let mut out = Vec::new();
            string(&mut out, name);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        for (seconds, text) in [
            (1_500_000_000, "\"2017-07-14T02:40:00Z\""),
            (-1, "\"1969-12-31T23:59:59Z\""),
            (-315_619_200, "\"1960-01-01T00:00:00Z\""),
            (253_402_300_799, "\"9999-12-31T23:59:59Z\""),
            (253_402_300_800, "null"),
            (-62_167_219_200, "\"0000-01-01T00:00:00Z\""),
            (-62_167_219_201, "null"),
            (i64::MAX, "null"),
            (i64::MIN, "null"),
        ] {
            assert_eq!(timestamp(seconds), text, "{seconds}");
        }
    }
}
