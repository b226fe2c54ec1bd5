//! Text from outside, made safe to show on a terminal.

/// `bytes` as text on one line: control characters are escaped, so that nothing written in a file can
/// forge a line of our output, and bytes that are no UTF-8 are shown as `\xNN`.
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
