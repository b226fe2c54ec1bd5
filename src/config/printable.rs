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
