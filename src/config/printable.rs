//! Text from outside, escaped for terminals and logs.

/// Converts `bytes` to one line of text.
///
/// Control characters are escaped, so that text in a file cannot forge a line of output. Bytes that are not
/// UTF-8 become `\xNN`.
pub fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_ascii_control() {
                // As in a log line.
                shown.push_str(&[char as u8].escape_ascii().to_string());
            } else if char.is_control() {
                shown.extend(char.escape_default());
            } else {
                shown.push(char);
            }
        }
        shown.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    shown
}

/// Bytes that a message keeps of the beginning of a text, and as many of its end.
const END: usize = 200;
/// Maximum number of lines in a list of faults; a binary file named by mistake has thousands.
pub const MOST_LINES: usize = 50;
/// Maximum number of lines behind a hint, which must not scroll off a terminal.
const MOST_LINES_WITH_HINT: usize = 8;

/// Converts `text` from outside to one line of bounded length, for a message.
///
/// A long text loses its middle: it begins with the place, and ends with the reason.
pub fn shortened(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    if text.len() <= 2 * END {
        return printable(text);
    }
    let beginning = &text[..start_of_character(text, END)];
    let end = &text[start_of_character(text, text.len() - END)..];
    format!("{}...{}", printable(beginning), printable(end))
}

/// The position `at`, or that of the character around it.
fn start_of_character(text: &[u8], at: usize) -> usize {
    let is_start = |at: &usize| text[*at] & 0b1100_0000 != 0b1000_0000;
    (at - 3..=at).rev().find(is_start).unwrap_or(at)
}

/// Joins `lines` of a message behind its `hint`; beyond the maximum, their number stands for them.
pub fn joined(hint: Option<&str>, lines: &mut dyn Iterator<Item = String>) -> String {
    let most = if hint.is_some() { MOST_LINES_WITH_HINT } else { MOST_LINES };
    let mut shown: Vec<String> = hint.map(str::to_owned).into_iter().collect();
    shown.extend(lines.take(most));
    if let more @ 1.. = lines.count() {
        shown.push(format!("... and {more} more"));
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        let short = "x".repeat(2 * END);
        assert_eq!(shortened(&short), short);
        let long = ["conf:1: ", &"x".repeat(20_000_000), ": not a size"].concat();
        let shown = shortened(&long);
        assert_eq!(shown.len(), 2 * END + 3);
        assert!(shown.starts_with("conf:1: xxx") && shown.ends_with("xxx: not a size"), "{shown}");
    }

    #[test]
    fn a_character_is_not_cut() {
        for before in 0..4 {
            let text = ["x".repeat(before), "\u{1f980}".repeat(1000)].concat();
            assert!(!shortened(&text).contains("\\x"), "{}", shortened(&text));
        }
    }

    #[test]
    fn of_many_lines_the_first_are_told() {
        let told = |hint, count: usize| joined(hint, &mut (0..count).map(|line| line.to_string()));
        assert_eq!(told(None, 2), "0\n1");
        assert_eq!(told(None, MOST_LINES).lines().count(), MOST_LINES);
        assert!(told(None, 1000).ends_with("\n49\n... and 950 more"));
        assert_eq!(told(Some("a hint"), 2), "a hint\n0\n1");
        assert!(told(Some("a hint"), 1000).ends_with("\n7\n... and 992 more"));
    }

    proptest! {
        #[test]
        fn any_bytes_become_one_bounded_line(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let shown = shortened(&text);
            prop_assert!(!shown.chars().any(char::is_control) && shown.len() <= 8 * END + 3, "{shown}");
        }
    }
}
