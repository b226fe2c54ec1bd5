//! Command line of `thtpasswd`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::super::Refusal;
use crate::auth::crypt::{HashScheme, SHA_ROUNDS};

/// Number of rounds of a new SHA-512 hash: ten times crypt(3)'s default, which has stood since 2007.
///
/// The server caches the result of a hash, so that an expensive one slows guessing but not serving.
const NEW_ROUNDS: u32 = 10 * SHA_ROUNDS;

/// Cost of a new bcrypt hash.
const NEW_COST: u32 = 10;

/// Usage text, also for `--help`.
pub const USAGE: &str = "\
Usage: thtpasswd [-c] [-i] [-6 [-r rounds] | -5 | -B [-C cost] | -m | -1 | -d] passwordfile username
       thtpasswd -n [-i] [hash option] username
       thtpasswd -v [-i] passwordfile username
       thtpasswd -D passwordfile username
The -c flag creates a new file, -D deletes the user, -v verifies a password, -n prints the line only.
-i reads the password from standard input. Hashes: -6 SHA-512 (the default), -5 SHA-256, -B bcrypt,
-m Apache's MD5, -1 MD5, -d DES.";

/// Action of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAction {
    /// Add the user, or change the password.
    Update,
    /// `-c`: create the file.
    Create,
    /// `-D`: delete the user.
    Delete,
    /// `-v`: verify the password.
    Verify,
    /// `-n`: print the line.
    Print,
}

/// Parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordArguments {
    /// Action to take.
    pub action: PasswordAction,
    /// Hash scheme.
    pub scheme: HashScheme,
    /// Set to read the password from standard input without a prompt, even on a terminal.
    pub from_stdin: bool,
    /// Password file; empty with [`PasswordAction::Print`].
    pub file: PathBuf,
    /// User name, free of characters that would break a line.
    pub user: Vec<u8>,
}

impl PasswordArguments {
    /// Parses the arguments, without the program's name.
    ///
    /// # Errors
    /// Usage, or the fault of the user name.
    pub fn parse(arguments: &[OsString]) -> Result<PasswordArguments, Refusal> {
        let (flags, operands) = Flags::parse(arguments)?;
        let action = flags.action.unwrap_or(PasswordAction::Update);
        let (file, user) = match operands {
            [user] if action == PasswordAction::Print => (PathBuf::new(), user),
            [file, user] if action != PasswordAction::Print => (PathBuf::from(file), user),
            _ => return Err(usage()),
        };
        let user = user.as_bytes().to_vec();
        // Every name in the file can be deleted, valid or not.
        if action != PasswordAction::Delete {
            check_user(&user)?;
        }
        Ok(PasswordArguments { action, scheme: flags.scheme()?, from_stdin: flags.from_stdin, file, user })
    }

    /// User name for messages.
    pub fn shown_user(&self) -> String {
        String::from_utf8_lossy(&self.user).into_owned()
    }
}

/// Checks that a name fits its line and the server's log line, and is no comment.
fn check_user(user: &[u8]) -> Result<(), Refusal> {
    let fits = |&b: &u8| b != b':' && b != b' ' && !b.is_ascii_control();
    if user.is_empty() || user.len() > 255 || user.starts_with(b"#") || !user.iter().all(fits) {
        return Err(Refusal::new(
            "A user name has 1 to 255 bytes, no colon, blank or control character, and no # in front.",
        ));
    }
    Ok(())
}

fn usage() -> Refusal {
    Refusal::new(USAGE)
}

/// Refusal of a flag, given without its first dash.
///
/// The flag stands below the usage, so that it is the line in view.
fn no_flag(flag: &str) -> Refusal {
    Refusal::new(format!("{USAGE}\nThere is no flag -{flag}."))
}

#[derive(Default)]
struct Flags {
    action: Option<PasswordAction>,
    /// Letter of the hash scheme.
    hash: Option<u8>,
    rounds: Option<u32>,
    cost: Option<u32>,
    from_stdin: bool,
}

impl Flags {
    /// Parses flags, single or combined (`-ci`), up to the first operand or `--`.
    fn parse(mut arguments: &[OsString]) -> Result<(Flags, &[OsString]), Refusal> {
        let mut flags = Flags::default();
        while let Some((first, rest)) = arguments.split_first() {
            let Some(mut letters) = first.as_bytes().strip_prefix(b"-").filter(|letters| !letters.is_empty())
            else {
                break;
            };
            arguments = rest;
            if letters == b"-" {
                break;
            }
            if let Some(word) = letters.strip_prefix(b"-") {
                return Err(no_flag(&format!("-{}", word.escape_ascii())));
            }
            while let Some((&letter, after)) = letters.split_first() {
                letters = after;
                if matches!(letter, b'r' | b'C') {
                    let value =
                        if after.is_empty() { next(&mut arguments)? } else { OsStr::from_bytes(after) };
                    flags.number(letter, value)?;
                    break;
                }
                flags.letter(letter)?;
            }
        }
        Ok((flags, arguments))
    }

    fn letter(&mut self, letter: u8) -> Result<(), Refusal> {
        let action = match letter {
            b'c' => PasswordAction::Create,
            b'D' => PasswordAction::Delete,
            b'v' => PasswordAction::Verify,
            b'n' => PasswordAction::Print,
            b'i' => {
                self.from_stdin = true;
                return Ok(());
            }
            b'1' | b'5' | b'6' | b's' | b'B' | b'd' | b'm' if self.hash.is_none_or(|one| one == letter) => {
                self.hash = Some(letter);
                return Ok(());
            }
            b'1' | b'5' | b'6' | b's' | b'B' | b'd' | b'm' => return Err(usage()),
            _ => return Err(no_flag(&letter.escape_ascii().to_string())),
        };
        match self.action.replace(action) {
            Some(other) if other != action => Err(usage()),
            _ => Ok(()),
        }
    }

    fn number(&mut self, letter: u8, value: &OsStr) -> Result<(), Refusal> {
        let number = value.to_str().and_then(|text| text.parse().ok()).ok_or_else(usage)?;
        match letter {
            b'r' => self.rounds = Some(number),
            _ => self.cost = Some(number),
        }
        Ok(())
    }

    fn scheme(&self) -> Result<HashScheme, Refusal> {
        let letter = self.hash.unwrap_or(if self.cost.is_some() { b'B' } else { b'6' });
        let rounds = self.rounds.unwrap_or(NEW_ROUNDS);
        let scheme = match letter {
            b'1' => HashScheme::Md5,
            b'm' => HashScheme::Apr1,
            b'd' => HashScheme::Des,
            b'5' => HashScheme::Sha256 { rounds },
            b'B' => HashScheme::Bcrypt { cost: self.cost.unwrap_or(NEW_COST) },
            _ => HashScheme::Sha512 { rounds },
        };
        let takes_rounds = matches!(scheme, HashScheme::Sha256 { .. } | HashScheme::Sha512 { .. });
        let takes_cost = matches!(scheme, HashScheme::Bcrypt { .. });
        if (self.rounds.is_some() && !takes_rounds) || (self.cost.is_some() && !takes_cost) {
            return Err(usage());
        }
        Ok(scheme)
    }
}

/// Takes the next argument as the value of a flag.
fn next<'a>(arguments: &mut &'a [OsString]) -> Result<&'a OsStr, Refusal> {
    let (value, rest) = arguments.split_first().ok_or_else(usage)?;
    *arguments = rest;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<PasswordArguments, Refusal> {
        PasswordArguments::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn understood(line: &str) -> (PasswordAction, HashScheme, bool, String, String) {
        let i = parse(line).unwrap_or_else(|refusal| panic!("{line}: {}", refusal.message));
        (i.action, i.scheme, i.from_stdin, i.file.display().to_string(), i.shown_user())
    }

    #[test]
    fn thttpds_two_forms_are_understood() {
        let default = HashScheme::Sha512 { rounds: 50_000 };
        assert_eq!(
            understood("file jef"),
            (PasswordAction::Update, default, false, "file".into(), "jef".into())
        );
        assert_eq!(
            understood("-c file jef"),
            (PasswordAction::Create, default, false, "file".into(), "jef".into())
        );
    }

    #[test]
    fn flags_may_stand_together_and_two_dashes_end_them() {
        let (action, scheme, from_stdin, ..) = understood("-ciB file jef");
        assert_eq!(
            (action, scheme, from_stdin),
            (PasswordAction::Create, HashScheme::Bcrypt { cost: 10 }, true)
        );
        assert_eq!(understood("-D -- -file -jef").3, "-file");
    }

    #[test]
    fn every_hash_has_its_letter() {
        for (flags, scheme) in [
            ("-1", HashScheme::Md5),
            ("-m", HashScheme::Apr1),
            ("-d", HashScheme::Des),
            ("-s", HashScheme::Sha512 { rounds: 50_000 }),
            ("-6 -r 5000", HashScheme::Sha512 { rounds: 5000 }),
            ("-5r 1000", HashScheme::Sha256 { rounds: 1000 }),
            ("-r7000", HashScheme::Sha512 { rounds: 7000 }),
            ("-C 12", HashScheme::Bcrypt { cost: 12 }),
        ] {
            assert_eq!(understood(&format!("{flags} file jef")).1, scheme, "{flags}");
        }
    }

    #[test]
    fn an_unknown_flag_is_named_below_the_usage() {
        let told = parse("-cx file jef").unwrap_err().message;
        assert_eq!(told.lines().last(), Some("There is no flag -x."));
        let told = parse("--version").unwrap_err().message;
        assert_eq!(told.lines().last(), Some("There is no flag --version."));
        assert!(told.starts_with(USAGE));
    }

    #[test]
    fn invalid_arguments_are_answered_with_usage() {
        for line in [
            "",
            "file",
            "file jef more",
            "-n file jef",
            "-cD file jef",
            "-5 -6 file jef",
            "-B -r 5000 file jef",
            "-6 -C 10 file jef",
            "-r",
            "-r many file jef",
            "-C -1 file jef",
        ] {
            assert_eq!(parse(line), Err(usage()), "{line}");
        }
    }

    #[test]
    fn a_name_that_would_break_its_line_is_refused() {
        for user in ["", "a:b", "a b", "a\nb", "a\x7f", "#a", &"x".repeat(256)] {
            let arguments = ["file", user].map(OsString::from);
            assert!(PasswordArguments::parse(&arguments).is_err(), "{user:?}");
        }
        assert!(PasswordArguments::parse(&["-D", "file", "a b"].map(OsString::from)).is_ok());
    }
}
