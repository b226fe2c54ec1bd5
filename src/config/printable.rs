//! Text from outside, escaped for terminals and logs.

/// Converts `bytes` to one line of text.
///
/// Control characters are escaped, so that text in a file cannot forge a line of output. Bytes that are not
/// UTF-8 become `\xNN`.
pub fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() {
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
const MOST_LINES: usize = 50;

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

/// Joins `lines` of a message; beyond the maximum, their number stands for them.
pub fn joined(lines: impl IntoIterator<Item = String>) -> String {
    let mut lines = lines.into_iter();
    let mut text = lines.by_ref().take(MOST_LINES).collect::<Vec<_>>().join("\n");
    if let more @ 1.. = lines.count() {
        text.push_str(&format!("\n... and {more} more"));
    }
    text
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
        let lines = |count: usize| (0..count).map(|line| line.to_string());
        assert_eq!(joined(lines(2)), "0\n1");
        assert_eq!(joined(lines(MOST_LINES)).lines().count(), MOST_LINES);
        assert!(joined(lines(1000)).ends_with("\n49\n... and 950 more"));
    }

    proptest! {
        #[test]
        fn any_bytes_become_one_bounded_line(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let shown = shortened(&text);
            prop_assert!(!shown.chars().any(char::is_control) && shown.len() <= 8 * END + 3, "{shown}");
        }
    }
}
