//! `syslogtocern`: extracts thttpd's lines from syslog files, and writes `access_log` and `error_log`.
//!
//! Each line goes through `convert`, which is pure. Both files are written beside the old ones and renamed
//! after all input was read, so that no predictable name is used in a shared directory. Dates may be in the
//! traditional format of syslogd or in RFC 5424.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};

use chrono::{Datelike, Local};

use super::replacement::{Replacement, TargetDirectory};
use super::{Refusal, reason};
use crate::log::MONTHS;

const USAGE: &str = "usage:  syslogtocern logfile ...";
const HELP: &str = "\
usage:  syslogtocern logfile ...
Picks thttpd's lines out of syslog files, and writes access_log and error_log in this directory;
see syslogtocern(8).";

/// Text before the process id in a line of the server.
const TAG: &[u8] = b" thttpd[";

/// Converts the given files, in order.
///
/// # Errors
/// A file cannot be read or written; no file is replaced then.
pub fn run(arguments: &[OsString]) -> Result<(), Refusal> {
    if super::helped(arguments, HELP) {
        return Ok(());
    }
    if arguments.is_empty() || arguments[0].as_encoded_bytes().starts_with(b"-") {
        return Err(Refusal::new(USAGE));
    }
    let now = Local::now();
    let today = Today { year: now.year(), month: now.month(), day: now.day() };
    let (place, _) =
        TargetDirectory::containing("access_log".as_ref()).map_err(|error| failed(".", &error))?;
    let mut access = open_new(&place, "access_log")?;
    let mut errors = open_new(&place, "error_log")?;
    for path in arguments {
        let named = |error: io::Error| failed(&path.to_string_lossy(), &error);
        let mut file = BufReader::new(File::open(path).map_err(named)?);
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line).map_err(named)? > 0 {
            match convert(line.trim_ascii_end(), today) {
                Some(LogLine::Access(text)) => access.write_all(&text),
                Some(LogLine::Error(text)) => errors.write_all(&text),
                None => Ok(()),
            }
            .map_err(|error| failed("access_log, error_log", &error))?;
            line.clear();
        }
    }
    finish(access).map_err(|error| failed("access_log", &error))?;
    finish(errors).map_err(|error| failed("error_log", &error))
}

/// Creates the new file, with the owner and mode of the existing one.
fn open_new<'p>(place: &'p TargetDirectory, name: &str) -> Result<BufWriter<Replacement<'p>>, Refusal> {
    let old = place.open(name.as_ref()).and_then(|file| file.metadata()).ok().filter(|meta| meta.is_file());
    let new = place.replace(name.as_ref(), old.as_ref()).map_err(|error| failed(name, &error))?;
    Ok(BufWriter::new(new))
}

fn finish(file: BufWriter<Replacement<'_>>) -> io::Result<()> {
    file.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
}

fn failed(name: &str, error: &io::Error) -> Refusal {
    Refusal::new(format!("{name}: {}", reason(error)))
}

/// Date on which the program runs.
#[derive(Debug, Clone, Copy)]
struct Today {
    year: i32,
    month: u32,
    day: u32,
}

/// Line of the server, converted.
#[derive(Debug, PartialEq, Eq)]
enum LogLine {
    Access(Vec<u8>),
    Error(Vec<u8>),
}

/// Converts a line of syslog; `None` if it is not the server's or has no date.
fn convert(line: &[u8], today: Today) -> Option<LogLine> {
    let tag = find(line, TAG)?;
    let after = &line[tag + TAG.len()..];
    let text = &after[find(after, b"]: ")? + 3..];
    let stamp = Stamp::parse(line, today)?;
    let mut out = Vec::with_capacity(line.len() + 32);
    if let Some((who, what)) = split_access(text) {
        push_plain(&mut out, who);
        out.extend_from_slice(stamp.for_access().as_bytes());
        push_plain(&mut out, what);
        out.push(b'\n');
        return Some(LogLine::Access(out));
    }
    out.extend_from_slice(stamp.for_errors().as_bytes());
    push_plain(&mut out, text);
    out.push(b'\n');
    Some(LogLine::Error(out))
}

/// Splits `text` into `ADDRESS - USER ` and `"REQUEST" STATUS BYTES "REFERRER" "AGENT"`, if it has that
/// form.
fn split_access(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let quote = find(text, b" \"")? + 1;
    let (who, what) = text.split_at(quote);
    let mut words = who.splitn(3, |&b| b == b' ');
    let is_client = !words.next()?.is_empty() && words.next()? == b"-" && words.next()?.len() > 1;
    // The status is behind the first quote followed by a status, as a request may contain quotes itself.
    let is_request =
        what.windows(2).enumerate().skip(1).any(|(at, pair)| pair == b"\" " && is_result(&what[at + 2..]));
    (is_client && is_request).then_some((who, what))
}

/// Tells whether `text` begins with `STATUS BYTES "…`.
fn is_result(text: &[u8]) -> bool {
    let mut words = text.splitn(3, |&b| b == b' ');
    let (Some(status), Some(bytes), Some(rest)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let is_number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    status.len() == 3
        && is_number(status)
        && (b'1'..=b'5').contains(&status[0])
        && (bytes == b"-" || is_number(bytes))
        && rest.starts_with(b"\"")
}

/// Time at which syslogd received a line.
#[derive(Debug, PartialEq, Eq)]
struct Stamp<'l> {
    year: i32,
    /// Month; 0 is January.
    month: usize,
    day: u32,
    /// Time as `HH:MM:SS`.
    time: &'l str,
    /// Zone as `+HHMM`, if syslogd writes it.
    zone: Option<String>,
}

impl<'l> Stamp<'l> {
    fn parse(line: &'l [u8], today: Today) -> Option<Stamp<'l>> {
        let head = str::from_utf8(line.get(..line.len().min(40))?).or_else(|error| {
            // Text behind the date may be invalid, or be cut in the middle of a character.
            str::from_utf8(&line[..error.valid_up_to()])
        });
        let head = head.ok()?;
        Stamp::traditional(head, today).or_else(|| Stamp::rfc5424(head))
    }

    /// Parses `Nov  3 04:05:06 `; the missing year is the latest that gives a date in the past.
    fn traditional(head: &'l str, today: Today) -> Option<Stamp<'l>> {
        let month = MONTHS.iter().position(|&month| head.starts_with(month))?;
        let mut words = head.get(3..)?.split_ascii_whitespace();
        let day: u32 = words.next()?.parse().ok()?;
        let time = words.next().filter(|time| is_time(time))?;
        let is_past = (month as u32 + 1, day) <= (today.month, today.day);
        let year = if is_past { today.year } else { today.year - 1 };
        Some(Stamp { year, month, day, time, zone: None })
    }

    /// Parses `2024-05-01T10:00:00.123456+02:00 `.
    fn rfc5424(head: &'l str) -> Option<Stamp<'l>> {
        let word = head.split(' ').next()?;
        let (date, clock) = word.split_once('T')?;
        let mut numbers = date.splitn(3, '-').map(|part| part.parse::<u32>().ok());
        let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let time = clock.get(..8).filter(|time| is_time(time))?;
        let zone = match clock.rfind(['+', '-', 'Z'])? {
            at if clock.get(at..) == Some("Z") => "+0000".to_owned(),
            at => clock.get(at..)?.replace(':', ""),
        };
        let month = usize::try_from(month).ok()?.checked_sub(1).filter(|&month| month < 12)?;
        Some(Stamp { year: i32::try_from(year).ok()?, month, day, time, zone: Some(zone) })
    }

    /// Formats `[DD/Mon/YEAR:HH:MM:SS] `, with the zone if known.
    fn for_access(&self) -> String {
        let zone = self.zone.as_ref().map(|zone| format!(" {zone}")).unwrap_or_default();
        format!("[{:02}/{}/{}:{}{zone}] ", self.day, MONTHS[self.month], self.year, self.time)
    }

    /// Formats `[Mon DD HH:MM:SS YEAR] `.
    fn for_errors(&self) -> String {
        format!("[{} {:02} {} {}] ", MONTHS[self.month], self.day, self.time, self.year)
    }
}

fn is_time(text: &str) -> bool {
    text.len() == 8
        && text.bytes().enumerate().all(|(at, b)| if at % 3 == 2 { b == b':' } else { b.is_ascii_digit() })
}

/// Appends `text` with control characters escaped, which old servers logged as clients sent them.
fn push_plain(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        if byte.is_ascii_control() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TODAY: Today = Today { year: 2026, month: 3, day: 10 };
    const REQUEST: &str = "10.0.0.1 - jef \"GET /a b HTTP/1.1\" 200 1234 \"http://r/\" \"Agent/1 (x; y)\"";

    fn access(line: &str) -> String {
        match convert(line.as_bytes(), TODAY) {
            Some(LogLine::Access(text)) => String::from_utf8(text).unwrap(),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn error(line: &str) -> String {
        match convert(line.as_bytes(), TODAY) {
            Some(LogLine::Error(text)) => String::from_utf8(text).unwrap(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_request_gets_its_date_where_cern_has_it() {
        assert_eq!(
            access(&format!("Mar  3 04:05:06 host thttpd[12]: {REQUEST}")),
            "10.0.0.1 - jef [03/Mar/2026:04:05:06] \"GET /a b HTTP/1.1\" 200 1234 \"http://r/\" \"Agent/1 (x; y)\"\n"
        );
    }

    #[test]
    fn a_date_still_to_come_is_of_last_year() {
        assert!(access(&format!("Mar 10 00:00:00 h thttpd[1]: {REQUEST}")).contains("[10/Mar/2026:"));
        assert!(access(&format!("Mar 11 00:00:00 h thttpd[1]: {REQUEST}")).contains("[11/Mar/2025:"));
        assert!(access(&format!("Dec 31 23:59:59 h thttpd[1]: {REQUEST}")).contains("[31/Dec/2025:"));
    }

    #[test]
    fn a_date_of_rfc_5424_brings_year_and_zone() {
        for (date, shown) in [
            ("2024-05-01T10:00:00.123456+02:00", "[01/May/2024:10:00:00 +0200]"),
            ("2024-12-31T23:59:59-09:30", "[31/Dec/2024:23:59:59 -0930]"),
            ("2024-02-29T00:00:00Z", "[29/Feb/2024:00:00:00 +0000]"),
        ] {
            assert!(access(&format!("{date} host thttpd[12]: {REQUEST}")).contains(shown), "{date}");
        }
    }

    #[test]
    fn requests_with_holes_are_still_requests() {
        for request in [
            "::1 - - \"UNKNOWN  HTTP/1.0\" 408 0 \"\" \"\"",
            "::1 - - \"GET /\\x22x\" y HTTP/1.1\" 304 - \"\" \"a \"quoted\" agent\"",
            "::1 - a user \"GET / HTTP/1.1\" 599 0 \"\" \"\"",
        ] {
            access(&format!("Mar  3 04:05:06 h thttpd[1]: {request}"));
        }
    }

    #[test]
    fn everything_else_is_an_error_line() {
        for text in [
            "started as root without requesting chroot(), warning only",
            "10.0.0.1 URL \"/x\" goes outside the web tree",
            "10.0.0.1 - jef \"GET / HTTP/1.1\" 600 0 \"\" \"\"",
            "10.0.0.1 - jef \"GET / HTTP/1.1\" 20 0 \"\" \"\"",
            "10.0.0.1 - jef \"GET / HTTP/1.1\" 200 x \"\" \"\"",
            "10.0.0.1 - \"GET / HTTP/1.1\" 200 0 \"\" \"\"",
        ] {
            assert_eq!(
                error(&format!("Mar  3 04:05:06 host thttpd[12]: {text}")),
                format!("[Mar 03 04:05:06 2026] {text}\n")
            );
        }
    }

    #[test]
    fn lines_of_others_and_lines_without_a_date_are_left_out() {
        for line in [
            "",
            "Mar  3 04:05:06 host sshd[1]: thttpd",
            "Mar  3 04:05:06 host thttpd: no process id",
            "no date thttpd[1]: text",
            "Mar  3 4:5:6 host thttpd[1]: text",
            "Mar x3 04:05:06 host thttpd[1]: text",
            "2024-13-01T10:00:00Z host thttpd[1]: text",
            "2024-05-01 10:00:00 host thttpd[1]: text",
        ] {
            assert_eq!(convert(line.as_bytes(), TODAY), None, "{line}");
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_logs() {
        assert_eq!(error("Mar  3 04:05:06 h thttpd[1]: a\x1b[2Jb"), "[Mar 03 04:05:06 2026] a\\x1b[2Jb\n");
    }

    proptest! {
        #[test]
        fn any_line_is_converted_without_panic_and_stays_one(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let line = [b"Mar  3 04:05:06 h thttpd[1]: ", &line[..]].concat();
            if let Some(LogLine::Access(text) | LogLine::Error(text)) = convert(&line, TODAY) {
                prop_assert_eq!(text.iter().filter(|b| b.is_ascii_control()).count(), 1);
            }
            let _ = convert(&line[29..], TODAY);
        }
    }
}
