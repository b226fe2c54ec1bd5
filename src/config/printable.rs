//! Text from outside, made safe to show on a terminal.

/// `bytes` as text on one line, control characters escaped, so that nothing written in a file can
/// forge a line of our output.
pub fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for char in String::from_utf8_lossy(bytes).chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}
