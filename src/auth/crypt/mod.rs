//! Password hashes of crypt(3): DES, `$1$`, `$apr1$`, `$2a$`/`$2b$`/`$2y$`, `$5$`, `$6$`.
//!
//! The server calls [`verify`]; `thtpasswd` also calls [`make`]. libc's crypt(3) is not used, since a
//! static binary may find none, and must accept equal hashes on every system.

mod bcrypt;
mod des;
mod md5;
mod sha;
pub(super) mod text64;

pub use bcrypt::LONGEST_PASSWORD as BCRYPT_LONGEST_PASSWORD;

use crate::log::decimal::parse_decimal;

/// Hash scheme with its work factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashScheme {
    /// DES, crypt(3)'s original; only eight characters of the password count.
    Des,
    /// MD5, `$1$`.
    Md5,
    /// MD5, `$apr1$`, as written by Apache's and nginx's tools.
    Apr1,
    /// `$2y$` over 2^cost rounds; only 72 bytes of the password count.
    Bcrypt {
        /// 4 to [`MOST_BCRYPT_COST`].
        cost: u32,
    },
    /// SHA-256, `$5$`.
    Sha256 {
        /// Number of rounds; [`SHA_ROUNDS`] unless the hash names another.
        rounds: u32,
    },
    /// SHA-512, `$6$`.
    Sha512 {
        /// Number of rounds; [`SHA_ROUNDS`] unless the hash names another.
        rounds: u32,
    },
}

/// Number of rounds of a SHA hash that names none.
pub const SHA_ROUNDS: u32 = 5000;

/// Maximum number of rounds; a hash with more never matches.
///
/// Checking such a hash would occupy a core for seconds. Users who write their own `.htpasswd` could then
/// stop the server.
pub const MOST_SHA_ROUNDS: u32 = 10_000_000;

/// Maximum cost of bcrypt, equal to the maximum of Apache's htpasswd.
pub const MOST_BCRYPT_COST: u32 = 17;

impl HashScheme {
    /// Tells whether the work factor is valid for the scheme and within the server's limits.
    fn is_bearable(self) -> bool {
        match self {
            HashScheme::Des | HashScheme::Md5 | HashScheme::Apr1 => true,
            HashScheme::Bcrypt { cost } => (4..=MOST_BCRYPT_COST).contains(&cost),
            HashScheme::Sha256 { rounds } | HashScheme::Sha512 { rounds } => {
                (1000..=MOST_SHA_ROUNDS).contains(&rounds)
            }
        }
    }
}

/// Parsed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stored<'h> {
    scheme: HashScheme,
    salt: &'h [u8],
    digest: &'h [u8],
}

/// Tells whether `hash` was made from `password`. A hash of an unknown form never matches.
///
/// The comparison takes constant time.
pub fn verify(hash: &[u8], password: &[u8]) -> bool {
    let Some(stored) = parse(hash) else { return false };
    digest(stored.scheme, stored.salt, password).is_some_and(|digest| same(&digest, stored.digest))
}

/// Error text for a hash that [`verify`] does not support; `None` for a supported one.
///
/// Entries that disable a password (empty, `*`, `!`) are no error. Only the kind of the hash is shown.
pub fn trouble(hash: &[u8]) -> Option<String> {
    const INSTEAD: &str = "set the password anew with thtpasswd";
    // A text of thirteen characters counts as DES, unless it has one outside crypt(3)'s alphabet.
    let is_text = !hash.starts_with(b"$") && !hash.iter().all(|b| text64::CRYPT.contains(b));
    if hash.is_empty() || matches!(hash[0], b'*' | b'!') || (parse(hash).is_some() && !is_text) {
        return None;
    }
    if parse_any(hash).is_some() && !is_text {
        return Some(format!("the hash asks for more or fewer rounds than are allowed; {INSTEAD}"));
    }
    let kind = match kind(hash) {
        Some("$y$" | "$gy$") => "yescrypt",
        Some("$7$") => "scrypt",
        Some("$argon2i$" | "$argon2id$" | "$argon2d$") => "Argon2",
        Some("{SHA}" | "{SSHA}") => "unsalted or LDAP SHA-1",
        Some("$1$" | "$apr1$" | "$2a$" | "$2b$" | "$2y$" | "$5$" | "$6$") => "incomplete",
        _ => "unknown",
    };
    Some(match self::kind(hash) {
        Some(prefix) => format!("the hash {prefix} ({kind}) is not understood; {INSTEAD}"),
        None if is_bsdi(hash) => format!("the hash _ (BSDi's extended DES) is not understood; {INSTEAD}"),
        None => format!("what stands for the hash is none, perhaps the password itself; {INSTEAD}"),
    })
}

/// Tells whether the hash is BSDi's: `_`, four characters of rounds, four of salt and eleven of digest.
fn is_bsdi(hash: &[u8]) -> bool {
    hash.len() == 20 && hash[0] == b'_' && hash[1..].iter().all(|byte| text64::CRYPT.contains(byte))
}

/// Prefix that tells the kind of a hash: `$y$`, `{SHA}`.
fn kind(hash: &[u8]) -> Option<&str> {
    let end = match hash.first()? {
        b'$' => hash[1..].iter().position(|&b| b == b'$')?,
        b'{' => hash.iter().skip(1).position(|&b| b == b'}')?,
        _ => return None,
    };
    let is_plain = (1..=10).contains(&end) && hash[1..=end].iter().all(u8::is_ascii_alphanumeric);
    str::from_utf8(&hash[..end + 2]).ok().filter(|_| is_plain)
}

/// Tells whether [`verify`] would take milliseconds instead of microseconds.
pub fn is_slow(hash: &[u8]) -> bool {
    parse(hash)
        .is_some_and(|stored| !matches!(stored.scheme, HashScheme::Des | HashScheme::Md5 | HashScheme::Apr1))
}

/// Hash of `password`, with as much of `random` as the scheme's salt takes.
///
/// `None` if the work factor is out of bounds.
pub fn make(scheme: HashScheme, random: &[u8; 16], password: &[u8]) -> Option<Vec<u8>> {
    if !scheme.is_bearable() {
        return None;
    }
    let letters = |count: usize| -> Vec<u8> {
        random[..count].iter().map(|&b| text64::CRYPT[usize::from(b & 63)]).collect()
    };
    let (prefix, salt) = match scheme {
        HashScheme::Des => (String::new(), letters(2)),
        HashScheme::Md5 => ("$1$".into(), letters(8)),
        HashScheme::Apr1 => ("$apr1$".into(), letters(8)),
        HashScheme::Bcrypt { cost } => {
            (format!("$2y${cost:02}$"), text64::high_first(text64::BCRYPT, random))
        }
        HashScheme::Sha256 { rounds } => (sha_prefix('5', rounds), letters(16)),
        HashScheme::Sha512 { rounds } => (sha_prefix('6', rounds), letters(16)),
    };
    let digest = digest(scheme, &salt, password)?;
    let between: &[u8] =
        if matches!(scheme, HashScheme::Des | HashScheme::Bcrypt { .. }) { b"" } else { b"$" };
    Some([prefix.as_bytes(), &salt, between, &digest].concat())
}

/// Prefix `$5$` or `$6$`, with the rounds unless they are the default.
fn sha_prefix(id: char, rounds: u32) -> String {
    if rounds == SHA_ROUNDS { format!("${id}$") } else { format!("${id}$rounds={rounds}$") }
}

/// Parses a hash; `None` if its form is unknown or its work factor out of bounds.
fn parse(hash: &[u8]) -> Option<Stored<'_>> {
    parse_any(hash).filter(|stored| stored.scheme.is_bearable())
}

/// Parses a hash by its prefix.
fn parse_any(hash: &[u8]) -> Option<Stored<'_>> {
    let Some(rest) = hash.strip_prefix(b"$") else {
        return (hash.len() == 13).then(|| Stored {
            scheme: HashScheme::Des,
            salt: &hash[..2],
            digest: &hash[2..],
        });
    };
    let (id, rest) = split(rest)?;
    match id {
        b"1" => salted(HashScheme::Md5, rest, 8),
        b"apr1" => salted(HashScheme::Apr1, rest, 8),
        b"2a" | b"2b" | b"2y" => parse_bcrypt(rest),
        b"5" | b"6" => {
            let (rounds, rest) = parse_rounds(rest)?;
            salted(
                if id == b"5" { HashScheme::Sha256 { rounds } } else { HashScheme::Sha512 { rounds } },
                rest,
                16,
            )
        }
        _ => None,
    }
}

/// Parses `SALT$DIGEST` with a salt of at most `longest` characters.
fn salted(scheme: HashScheme, text: &[u8], longest: usize) -> Option<Stored<'_>> {
    let (salt, digest) = split(text)?;
    (salt.len() <= longest).then_some(Stored { scheme, salt, digest })
}

/// Parses `COST$` and the salt with the digest right behind it.
fn parse_bcrypt(text: &[u8]) -> Option<Stored<'_>> {
    let (cost, rest) = split(text)?;
    let cost = number(cost).filter(|_| cost.len() == 2)?;
    let (salt, digest) = rest.split_at_checked(bcrypt::SALT_LETTERS)?;
    Some(Stored { scheme: HashScheme::Bcrypt { cost }, salt, digest })
}

/// Number of rounds in a SHA hash, and the remaining text.
fn parse_rounds(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(text) = text.strip_prefix(b"rounds=") else { return Some((SHA_ROUNDS, text)) };
    let (rounds, rest) = split(text)?;
    Some((number(rounds)?, rest))
}

/// Parses digits only.
fn number(text: &[u8]) -> Option<u32> {
    u32::try_from(parse_decimal(text)?).ok()
}

/// Splits the text at its first `$`.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&b| b == b'$')?;
    Some((&text[..at], &text[at + 1..]))
}

/// Digest text for `password` with `scheme` and `salt`.
fn digest(scheme: HashScheme, salt: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    match scheme {
        HashScheme::Des => des::digest(salt, password),
        HashScheme::Md5 => Some(md5::digest(b"$1$", salt, password)),
        HashScheme::Apr1 => Some(md5::digest(b"$apr1$", salt, password)),
        HashScheme::Bcrypt { cost } => bcrypt::digest(cost, salt, password),
        HashScheme::Sha256 { rounds } => sha::digest256(rounds, salt, password),
        HashScheme::Sha512 { rounds } => sha::digest512(rounds, salt, password),
    }
}

/// Compares in constant time, so that the time does not reveal the position of a difference.
///
/// The length is fixed by the scheme.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests;
