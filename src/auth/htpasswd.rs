//! Parser of `.htpasswd` files: one `user:hash` per line.
//!
//! As in thttpd, lines without a colon are skipped, comments do not exist (`# x:y` is a user named `# x`),
//! and the first line of a user decides. In addition, a carriage return, trailing blanks and fields after a
//! second colon are ignored.

use crate::sys::without_byte_order_mark;

/// Hash of `user` in the first line with that name, in whatever form.
pub fn hash_of<'f>(file: &'f [u8], user: &[u8]) -> Option<&'f [u8]> {
    lines(file).find(|&(name, _)| name == user).map(|(_, hash)| hash)
}

/// Hash of the first user in the file.
pub fn first_hash(file: &[u8]) -> Option<&[u8]> {
    lines(file).map(|(_, hash)| hash).find(|hash| !hash.is_empty())
}

/// Users with their hashes in file order, without repetitions.
///
/// Lines that begin with `#` are omitted as probable comments, though such a user could log in.
pub fn users(file: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let decides = |user: &[u8], hash| hash_of(file, user).is_some_and(|first| std::ptr::eq(first, hash));
    lines(file).filter(move |&(user, hash)| !user.starts_with(b"#") && decides(user, hash))
}

/// User and hash of every line.
fn lines(file: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    without_byte_order_mark(file).split(|&b| b == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |&b| b == b':');
        Some((fields.next()?, fields.next()?.trim_ascii_end()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &[u8] = b"alice:one\n\nno colon here\nbob:two\r\nbob:three\n# comment:x\ncarol:four:extra:fields\nmallory:\nlast:five";

    fn hash(user: &str) -> Option<&'static str> {
        hash_of(FILE, user.as_bytes()).map(|hash| str::from_utf8(hash).unwrap())
    }

    #[test]
    fn a_user_is_found_by_their_whole_name() {
        assert_eq!(hash("alice"), Some("one"));
        assert_eq!(hash("alic"), None);
        assert_eq!(hash("Alice"), None);
        assert_eq!(hash(""), None);
    }

    #[test]
    fn the_first_line_for_a_user_decides_and_loses_its_carriage_return() {
        assert_eq!(hash("bob"), Some("two"));
    }

    #[test]
    fn fields_after_a_second_colon_are_ignored() {
        assert_eq!(hash("carol"), Some("four"));
    }

    #[test]
    fn a_line_without_colon_is_no_user_and_nothing_is_a_comment() {
        assert_eq!(hash("no colon here"), None);
        assert_eq!(hash("# comment"), Some("x"));
    }

    #[test]
    fn an_empty_hash_and_an_unterminated_last_line_are_read() {
        assert_eq!(hash("mallory"), Some(""));
        assert_eq!(hash("last"), Some("five"));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_user() {
        assert_eq!(hash_of("\u{feff}alice:one\n".as_bytes(), b"alice"), Some(&b"one"[..]));
    }

    #[test]
    fn the_first_hash_is_the_first_that_is_there() {
        assert_eq!(first_hash(b"junk\na:\nb:x\nc:y"), Some(&b"x"[..]));
        assert_eq!(first_hash(b"junk\n"), None);
    }

    proptest! {
        #[test]
        fn any_file_is_searched_without_panic(file in proptest::collection::vec(any::<u8>(), 0..400), user in proptest::collection::vec(any::<u8>(), 0..8)) {
            if let Some(hash) = hash_of(&file, &user) {
                prop_assert!(!hash.contains(&b':') && !hash.contains(&b'\n'));
            }
            let _ = first_hash(&file);
        }
    }
}
