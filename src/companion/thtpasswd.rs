//! `thtpasswd`: keeps `.htpasswd` files. A change writes a new file beside the old one and puts it in
//! its place in one step, so the server never reads half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::resource::auth::crypt::{self, Scheme};

/// What became of a user's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There was none.
    Added,
    /// It has another password.
    Changed,
}

/// Why a user may not be called that, if so.
pub fn fault_of_name(user: &[u8]) -> Option<&'static str> {
    match user {
        [] => Some("is empty"),
        _ if user.len() > 255 => Some("is longer than 255 bytes"),
        _ if user.contains(&b':') => Some("holds a colon, which ends the name in the file"),
        _ if user.iter().any(|b| b.is_ascii_control() || b.is_ascii_whitespace()) => {
            Some("holds a blank or a control character")
        }
        _ => None,
    }
}

/// The file's text with `user`'s hash set; the first line of the user's is the one that counts and is
/// changed, all others stay as they are.
pub fn with_user(text: &[u8], user: &[u8], hash: &[u8]) -> (Vec<u8>, Change) {
    let mut line = [user, b":", hash].concat();
    line.push(b'\n');
    let mut out = Vec::with_capacity(text.len() + line.len());
    let mut change = Change::Added;
    for old in text.split_inclusive(|&b| b == b'\n') {
        if change == Change::Added && is_of(old, user) {
            out.extend_from_slice(&line);
            change = Change::Changed;
        } else {
            out.extend_from_slice(old);
        }
    }
    if change == Change::Added {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend_from_slice(&line);
    }
    (out, change)
}

/// The file's text without `user`; none if there was no such user.
pub fn without_user(text: &[u8], user: &[u8]) -> Option<Vec<u8>> {
    let lines = text.split_inclusive(|&b| b == b'\n');
    let out: Vec<u8> = lines.filter(|line| !is_of(line, user)).flatten().copied().collect();
    (out.len() < text.len()).then_some(out)
}

/// Does the file let `user` in with `password`?
pub fn verify(text: &[u8], user: &[u8], password: &[u8]) -> bool {
    let line = text.split(|&b| b == b'\n').find(|line| is_of(line, user));
    let hash = line.map(|line| line[user.len() + 1..].split(|&b| b == b':').next().unwrap_or_default());
    hash.is_some_and(|hash| crypt::verify(hash.trim_ascii_end(), password))
}

fn is_of(line: &[u8], user: &[u8]) -> bool {
    line.strip_prefix(user).is_some_and(|rest| rest.first() == Some(&b':'))
}

/// A fresh hash of `password`.
///
/// # Errors
/// The system has no random numbers for the salt.
pub fn hash(scheme: Scheme, password: &[u8]) -> io::Result<Vec<u8>> {
    let mut random = [0; 16];
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut random)?;
    crypt::make(scheme, &random, password).ok_or_else(|| io::Error::other("the hash has no such work factor"))
}

/// Puts `text` in the place of `path`, with the owner and mode of what was there.
///
/// # Errors
/// As the system says; the old file is then as it was.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    // A link is followed to what it stands for: the file is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let old = fs::metadata(&path).ok();
    let (beside, mut file) = create_beside(&path)?;
    let written = (|| {
        if let Some(old) = &old {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        }
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A new file in the directory of `path`, which nobody else has made or can open meanwhile.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or_else(|| io::Error::other("not the name of a file"))?;
    for attempt in 0..100 {
        let mut new = name.to_os_string();
        new.push(format!(".{}.{attempt}", std::process::id()));
        let new = path.with_file_name(new);
        let mode = if path.exists() { 0o600 } else { 0o666 };
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&new) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            answer => return answer.map(|file| (new, file)),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_changes_and_all_others_stay() {
        let text = b"# comment\n\nalice:old:x\nbob:hash";
        let (changed, what) = with_user(text, b"alice", b"new");
        assert_eq!((&changed[..], what), (&b"# comment\n\nalice:new\nbob:hash"[..], Change::Changed));
        let (added, what) = with_user(text, b"ali", b"new");
        assert_eq!(
            (&added[..], what),
            (&b"# comment\n\nalice:old:x\nbob:hash\nali:new\n"[..], Change::Added)
        );
        assert_eq!(without_user(text, b"bob").as_deref(), Some(&b"# comment\n\nalice:old:x\n"[..]));
        assert_eq!(without_user(text, b"ali"), None);
    }

    #[test]
    fn each_scheme_verifies_what_it_made() {
        for scheme in [Scheme::Des, Scheme::Apr1, Scheme::Bcrypt { cost: 4 }, Scheme::Sha512 { rounds: 5000 }]
        {
            let hash = hash(scheme, b"secret").expect("random");
            let (text, _) = with_user(b"", b"u", &hash);
            assert!(verify(&text, b"u", b"secret"), "{scheme:?}");
            assert!(!verify(&text, b"u", b"other"), "{scheme:?}");
            assert!(!verify(&text, b"v", b"secret"), "{scheme:?}");
        }
    }

    #[test]
    fn names_that_would_break_the_file_are_refused() {
        for name in [&b""[..], b"a:b", b"a b", b"a\nb", b"a\0"] {
            assert!(fault_of_name(name).is_some(), "{name:?}");
        }
        assert_eq!(fault_of_name("jürgen".as_bytes()), None);
    }
}
