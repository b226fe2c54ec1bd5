//! Password hashes as crypt(3) writes them: DES, `$1$`, `$apr1$`, `$2a$`/`$2b$`/`$2y$`, `$5$`, `$6$`.
//!
//! The server asks [`verify`], `thtpasswd` also [`make`]. In Rust, not libc's crypt(3): a static
//! binary cannot count on finding one, and must know the same hashes wherever it runs.

mod bcrypt;
mod des;
mod md5;
mod sha;
pub(super) mod text64;

pub use bcrypt::LONGEST_PASSWORD as BCRYPT_LONGEST_PASSWORD;

/// A way to hash, with its work factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// crypt(3)'s original; only eight characters of the password count.
    Des,
    /// `$1$`
    Md5,
    /// `$apr1$`, known to Apache's and nginx's tools.
    Apr1,
    /// `$2y$` over 2^cost rounds; only 72 bytes of the password count.
    Bcrypt {
        /// 4 to [`MOST_BCRYPT_COST`].
        cost: u32,
    },
    /// `$5$`
    Sha256 {
        /// [`SHA_ROUNDS`] unless the hash says otherwise.
        rounds: u32,
    },
    /// `$6$`
    Sha512 {
        /// [`SHA_ROUNDS`] unless the hash says otherwise.
        rounds: u32,
    },
}

/// Rounds of a SHA hash that does not name them.
pub const SHA_ROUNDS: u32 = 5000;

/// A hash that asks for more rounds never matches: checking it would hold a core for seconds, and
/// where users write their own `.htpasswd`, one of them could stop the server.
pub const MOST_SHA_ROUNDS: u32 = 10_000_000;

/// Highest cost accepted for bcrypt, which is the highest that Apache's htpasswd makes.
pub const MOST_BCRYPT_COST: u32 = 17;

impl Scheme {
    /// Is the work factor one that the scheme knows and the server bears?
    fn is_bearable(self) -> bool {
        match self {
            Scheme::Des | Scheme::Md5 | Scheme::Apr1 => true,
            Scheme::Bcrypt { cost } => (4..=MOST_BCRYPT_COST).contains(&cost),
            Scheme::Sha256 { rounds } | Scheme::Sha512 { rounds } => {
                (1000..=MOST_SHA_ROUNDS).contains(&rounds)
            }
        }
    }
}

/// A hash taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stored<'h> {
    scheme: Scheme,
    salt: &'h [u8],
    digest: &'h [u8],
}

/// Is `password` the one that `hash` was made from? A hash of an unknown form never matches.
/// Takes the same time wherever the digests differ.
pub fn verify(hash: &[u8], password: &[u8]) -> bool {
    let Some(stored) = parse(hash) else { return false };
    digest(stored.scheme, stored.salt, password).is_some_and(|digest| same(&digest, stored.digest))
}

/// What to say of a hash that [`verify`] does not understand; none of one that it does, and none where no
/// password is wanted: an empty field, `*` or `!`. Nothing of the hash itself is said but its kind.
pub fn trouble(hash: &[u8]) -> Option<String> {
    const INSTEAD: &str = "set the password anew with thtpasswd";
    // A text of thirteen letters passes for DES, unless one is none of crypt(3)'s.
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
        None => format!("what stands for the hash is none, perhaps the password itself; {INSTEAD}"),
    })
}

/// The letters that tell a hash's kind: `$y$`, `{SHA}`.
fn kind(hash: &[u8]) -> Option<&str> {
    let end = match hash.first()? {
        b'$' => hash[1..].iter().position(|&b| b == b'$')?,
        b'{' => hash.iter().skip(1).position(|&b| b == b'}')?,
        _ => return None,
    };
    let is_plain = (1..=10).contains(&end) && hash[1..=end].iter().all(u8::is_ascii_alphanumeric);
    str::from_utf8(&hash[..end + 2]).ok().filter(|_| is_plain)
}

/// Would [`verify`] take milliseconds rather than microseconds?
pub fn is_slow(hash: &[u8]) -> bool {
    parse(hash).is_some_and(|stored| !matches!(stored.scheme, Scheme::Des | Scheme::Md5 | Scheme::Apr1))
}

/// The hash of `password`, salted with as much of `random` as the scheme takes.
/// None if the scheme's work factor is out of its bounds.
pub fn make(scheme: Scheme, random: &[u8; 16], password: &[u8]) -> Option<Vec<u8>> {
    if !scheme.is_bearable() {
        return None;
    }
    let letters = |count: usize| -> Vec<u8> {
        random[..count].iter().map(|&b| text64::CRYPT[usize::from(b & 63)]).collect()
    };
    let (prefix, salt) = match scheme {
        Scheme::Des => (String::new(), letters(2)),
        Scheme::Md5 => ("$1$".into(), letters(8)),
        Scheme::Apr1 => ("$apr1$".into(), letters(8)),
        Scheme::Bcrypt { cost } => (format!("$2y${cost:02}$"), text64::high_first(text64::BCRYPT, random)),
        Scheme::Sha256 { rounds } => (sha_prefix('5', rounds), letters(16)),
        Scheme::Sha512 { rounds } => (sha_prefix('6', rounds), letters(16)),
    };
    let digest = digest(scheme, &salt, password)?;
    let between: &[u8] = if matches!(scheme, Scheme::Des | Scheme::Bcrypt { .. }) { b"" } else { b"$" };
    Some([prefix.as_bytes(), &salt, between, &digest].concat())
}

/// `$5$` or `$6$`, with the rounds when they are not the ones understood.
fn sha_prefix(id: char, rounds: u32) -> String {
    if rounds == SHA_ROUNDS { format!("${id}$") } else { format!("${id}$rounds={rounds}$") }
}

/// Takes a hash apart; None if its form is unknown or its work factor out of bounds.
fn parse(hash: &[u8]) -> Option<Stored<'_>> {
    parse_any(hash).filter(|stored| stored.scheme.is_bearable())
}

/// Takes a hash apart, by its prefix.
fn parse_any(hash: &[u8]) -> Option<Stored<'_>> {
    let Some(rest) = hash.strip_prefix(b"$") else {
        return (hash.len() == 13).then(|| Stored {
            scheme: Scheme::Des,
            salt: &hash[..2],
            digest: &hash[2..],
        });
    };
    let (id, rest) = split(rest)?;
    match id {
        b"1" => salted(Scheme::Md5, rest, 8),
        b"apr1" => salted(Scheme::Apr1, rest, 8),
        b"2a" | b"2b" | b"2y" => parse_bcrypt(rest),
        b"5" | b"6" => {
            let (rounds, rest) = parse_rounds(rest)?;
            salted(if id == b"5" { Scheme::Sha256 { rounds } } else { Scheme::Sha512 { rounds } }, rest, 16)
        }
        _ => None,
    }
}

/// `SALT$DIGEST` with a salt of at most `longest` characters.
fn salted(scheme: Scheme, text: &[u8], longest: usize) -> Option<Stored<'_>> {
    let (salt, digest) = split(text)?;
    (salt.len() <= longest).then_some(Stored { scheme, salt, digest })
}

/// `COST$` and the salt with the digest right after it.
fn parse_bcrypt(text: &[u8]) -> Option<Stored<'_>> {
    let (cost, rest) = split(text)?;
    let cost = number(cost).filter(|_| cost.len() == 2)?;
    let (salt, digest) = rest.split_at_checked(bcrypt::SALT_LETTERS)?;
    Some(Stored { scheme: Scheme::Bcrypt { cost }, salt, digest })
}

/// The rounds a SHA hash asks for, and what follows them.
fn parse_rounds(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(text) = text.strip_prefix(b"rounds=") else { return Some((SHA_ROUNDS, text)) };
    let (rounds, rest) = split(text)?;
    Some((number(rounds)?, rest))
}

/// Digits only.
fn number(text: &[u8]) -> Option<u32> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// The texts before and after the first `$`.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&b| b == b'$')?;
    Some((&text[..at], &text[at + 1..]))
}

/// The digest text a hash of `scheme` and `salt` has for `password`.
fn digest(scheme: Scheme, salt: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    match scheme {
        Scheme::Des => des::digest(salt, password),
        Scheme::Md5 => Some(md5::digest(b"$1$", salt, password)),
        Scheme::Apr1 => Some(md5::digest(b"$apr1$", salt, password)),
        Scheme::Bcrypt { cost } => bcrypt::digest(cost, salt, password),
        Scheme::Sha256 { rounds } => sha::digest256(rounds, salt, password),
        Scheme::Sha512 { rounds } => sha::digest512(rounds, salt, password),
    }
}

/// Compares without stopping at the first difference: how long it takes tells an attacker nothing
/// but the length, which the scheme fixes anyway.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests;
