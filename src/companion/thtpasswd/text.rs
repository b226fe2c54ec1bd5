//! Changes to the text of a password file. Pure; all other bytes are kept.
//!
//! As in the server, the first line with a user's name before its first colon counts (see
//! [`htpasswd`](crate::auth)), and a byte order mark is no part of it. Here, a line that starts with `#` is a
//! comment.

use crate::sys::without_byte_order_mark;

/// Hash of `user`.
pub fn hash_of<'t>(text: &'t [u8], user: &[u8]) -> Option<&'t [u8]> {
    let line = without_byte_order_mark(text).split(|&b| b == b'\n').find(|line| is_of(line, user))?;
    line.get(user.len() + 1..)?.split(|&b| b == b':').next().map(<[u8]>::trim_ascii_end)
}

/// Sets `hash` for `user`, in the user's first line or in a new one at the end.
///
/// Fields after the hash are kept.
pub fn with_hash(text: &[u8], user: &[u8], hash: &[u8]) -> Vec<u8> {
    let (mark, text) = split_mark(text);
    let mut new = mark.to_vec();
    let mut found = false;
    for line in text.split_inclusive(|&b| b == b'\n') {
        if !found && is_of(line, user) {
            found = true;
            let after = &line[user.len() + 1..];
            let rest = after.iter().position(|&b| b == b':').unwrap_or(after.trim_ascii_end().len());
            new.extend_from_slice(&[&line[..=user.len()], hash, &after[rest..]].concat());
        } else {
            new.extend_from_slice(line);
        }
    }
    if !found {
        if text.last().is_some_and(|&b| b != b'\n') {
            new.push(b'\n');
        }
        new.extend_from_slice(&[user, b":", hash, b"\n"].concat());
    }
    new
}

/// Removes all lines of `user`, as removing only the first would make a second one count.
///
/// `None` if there is no such line.
pub fn without(text: &[u8], user: &[u8]) -> Option<Vec<u8>> {
    let (mark, lines) = split_mark(text);
    let lines = lines.split_inclusive(|&b| b == b'\n').filter(|line| !is_of(line, user));
    let kept: Vec<u8> = [mark].into_iter().chain(lines).flatten().copied().collect();
    (kept.len() < text.len()).then_some(kept)
}

/// Splits a byte order mark off.
fn split_mark(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.len() - without_byte_order_mark(text).len())
}

fn is_of(line: &[u8], user: &[u8]) -> bool {
    !line.starts_with(b"#") && line.starts_with(user) && line.get(user.len()) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::htpasswd;
    use proptest::prelude::*;

    const FILE: &[u8] =
        b"# users:none\n\nalice:one\nbob:two:Bob, of course\r\nalice:shadowed\njunk\nlast:five";

    #[test]
    fn the_users_first_line_has_their_hash() {
        assert_eq!(hash_of(FILE, b"alice"), Some(&b"one"[..]));
        assert_eq!(hash_of(FILE, b"bob"), Some(&b"two"[..]));
        assert_eq!(hash_of(FILE, b"last"), Some(&b"five"[..]));
        assert_eq!(hash_of(FILE, b"ali"), None);
        assert_eq!(hash_of(FILE, b"# users"), None);
    }

    #[test]
    fn a_changed_hash_leaves_every_other_byte() {
        let new = with_hash(FILE, b"bob", b"NEW");
        let expected = String::from_utf8_lossy(FILE).replace("bob:two", "bob:NEW");
        assert_eq!(String::from_utf8_lossy(&new), expected);
    }

    #[test]
    fn of_two_lines_the_first_is_changed() {
        let new = with_hash(FILE, b"alice", b"NEW");
        assert_eq!(hash_of(&new, b"alice"), Some(&b"NEW"[..]));
        assert!(String::from_utf8_lossy(&new).contains("alice:shadowed\n"));
    }

    #[test]
    fn a_new_user_comes_behind_an_unterminated_last_line() {
        let new = with_hash(FILE, b"carol", b"NEW");
        assert_eq!(new, [FILE, b"\ncarol:NEW\n"].concat());
        assert_eq!(with_hash(b"", b"carol", b"NEW"), b"carol:NEW\n");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_user() {
        let file = "\u{feff}alice:one\nbob:two\n";
        assert_eq!(hash_of(file.as_bytes(), b"alice"), Some(&b"one"[..]));
        let new = with_hash(file.as_bytes(), b"alice", b"NEW");
        assert_eq!(String::from_utf8_lossy(&new), "\u{feff}alice:NEW\nbob:two\n");
        assert_eq!(htpasswd::hash_of(&new, b"alice"), Some(&b"NEW"[..]), "the server reads it so");
        assert_eq!(without(file.as_bytes(), b"alice"), Some("\u{feff}bob:two\n".into()));
    }

    #[test]
    fn a_deleted_user_is_gone_from_every_line() {
        let new = without(FILE, b"alice").unwrap();
        assert_eq!(new, b"# users:none\n\nbob:two:Bob, of course\r\njunk\nlast:five");
        assert_eq!(without(FILE, b"nobody"), None);
        assert_eq!(without(FILE, b"# users"), None);
    }

    proptest! {
        #[test]
        fn hashes_that_were_set_are_read_by_the_server(text in "\u{feff}?([ab:#\\r\\n]{0,12}\n){0,6}[ab:]{0,4}", user in "[ab]{1,2}") {
            let new = with_hash(text.as_bytes(), user.as_bytes(), b"H");
            prop_assert_eq!(hash_of(&new, user.as_bytes()), Some(&b"H"[..]));
            prop_assert_eq!(htpasswd::hash_of(&new, user.as_bytes()), Some(&b"H"[..]));
            let gone = without(&new, user.as_bytes()).unwrap();
            prop_assert_eq!(hash_of(&gone, user.as_bytes()), None);
        }
    }
}
