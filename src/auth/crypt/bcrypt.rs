//! bcrypt: `$2a$`, `$2b$` and `$2y$`, which agree on every password this server accepts.

use blowfish::Blowfish;

use super::text64;

/// Length of a salt in characters: 128 bits.
pub const SALT_LETTERS: usize = 22;

/// Number of significant bytes of a password.
pub const LONGEST_PASSWORD: usize = 72;

/// Digest text of `password` after 2^`cost` rounds; `None` for an invalid salt.
///
/// A salt has [`SALT_LETTERS`] characters of the scheme's alphabet. `cost` is below 32.
pub fn digest(cost: u32, salt: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    let mut salt_bytes = [0; 16];
    text64::read_high_first(text64::BCRYPT, salt, &mut salt_bytes)?;
    let cipher = schedule(cost, &salt_bytes, password);
    let mut sum = Vec::with_capacity(24);
    for block in PLAINTEXT {
        let block = (0..64).fold(block, |block, _| cipher.bc_encrypt(block));
        sum.extend(block.iter().flat_map(|half| half.to_be_bytes()));
    }
    // bcrypt's text format omits the last byte.
    Some(text64::high_first(text64::BCRYPT, &sum[..23]))
}

/// Runs the expensive key schedule.
///
/// The key is the password with its terminating NUL. The cipher takes [`LONGEST_PASSWORD`] bytes and
/// repeats a shorter key.
fn schedule(cost: u32, salt: &[u8; 16], password: &[u8]) -> Blowfish {
    let mut key = password.to_vec();
    key.push(0);
    let mut cipher = Blowfish::bc_init_state();
    cipher.salted_expand_key(salt, &key);
    for _ in 0..1u64 << cost {
        cipher.bc_expand_key(&key);
        cipher.bc_expand_key(salt);
    }
    cipher
}

/// Plaintext that bcrypt encrypts: `OrpheanBeholderScryDoubt`.
const PLAINTEXT: [[u32; 2]; 3] =
    [[0x4f72_7068, 0x6561_6e42], [0x6568_6f6c, 0x6465_7253], [0x6372_7944, 0x6f75_6274]];
