//! Text encodings of digests: six bits per character, in two alphabets.
//!
//! The MD5 and SHA schemes write groups of three bytes, lowest bits first. DES and bcrypt write the highest
//! bits first, and bcrypt has another alphabet.

/// Alphabet of crypt(3): DES, MD5 and SHA digests and salts.
pub const CRYPT: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Alphabet of bcrypt.
pub const BCRYPT: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Value of `letter` in `alphabet`: six bits.
pub fn bits(alphabet: &[u8; 64], letter: u8) -> Option<u8> {
    // An alphabet has 64 letters, so every position fits into a byte.
    alphabet.iter().position(|&one| one == letter).map(|at| at as u8)
}

/// Appends `letters` characters for the low bits of `group`, lowest first.
pub fn push_low_first(text: &mut Vec<u8>, mut group: u32, letters: usize) {
    for _ in 0..letters {
        text.push(CRYPT[(group & 63) as usize]);
        group >>= 6;
    }
}

/// Encodes `bytes` with the highest bits first; the last character is padded with zero bits.
pub fn high_first(alphabet: &[u8; 64], bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() * 4 / 3 + 1);
    for group in bytes.chunks(3) {
        let word =
            group.iter().enumerate().fold(0u32, |word, (at, &byte)| word | u32::from(byte) << (16 - 8 * at));
        text.extend((0..=group.len()).map(|at| alphabet[(word >> (18 - 6 * at) & 63) as usize]));
    }
    text
}

/// Decodes text of [`high_first`] into `bytes`, whose length decides the expected length.
///
/// Unused bits in the last character are ignored. `None` if `text` has another length or an invalid
/// character.
pub fn read_high_first(alphabet: &[u8; 64], text: &[u8], bytes: &mut [u8]) -> Option<()> {
    if text.len() != (bytes.len() * 8).div_ceil(6) {
        return None;
    }
    for (letters, group) in text.chunks(4).zip(bytes.chunks_mut(3)) {
        let mut word = 0;
        for (at, &letter) in letters.iter().enumerate() {
            word |= u32::from(bits(alphabet, letter)?) << (18 - 6 * at);
        }
        group.copy_from_slice(&word.to_be_bytes()[1..=group.len()]);
    }
    Some(())
}
