//! SHA crypt: `$5$` (SHA-256) and `$6$` (SHA-512).

use sha_crypt::{Params, sha256_crypt, sha512_crypt};

use super::text64;

/// `$5$` digest text; None if `rounds` lies outside the scheme's bounds.
pub fn digest256(rounds: u32, salt: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    let sum = sha256_crypt(password, salt, Params::new(rounds).ok()?);
    let mut text = text_of_triples(&sum, 10, |triple, at| (at + 2 * triple) % 3);
    text64::push_low_first(&mut text, u32::from(sum[31]) << 8 | u32::from(sum[30]), 3);
    Some(text)
}

/// `$6$` digest text; None if `rounds` lies outside the scheme's bounds.
pub fn digest512(rounds: u32, salt: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    let sum = sha512_crypt(password, salt, Params::new(rounds).ok()?);
    let mut text = text_of_triples(&sum, 21, |triple, at| (at + triple) % 3);
    text64::push_low_first(&mut text, u32::from(sum[63]), 2);
    Some(text)
}

/// Digest text made of byte groups: the `n`th group takes byte `n` from each third of the sum.
///
/// `turn` gives the order of the thirds.
fn text_of_triples(sum: &[u8], third: usize, turn: impl Fn(usize, usize) -> usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(86);
    for triple in 0..third {
        let group =
            (0..3).fold(0u32, |word, at| word << 8 | u32::from(sum[triple + third * turn(triple, at)]));
        text64::push_low_first(&mut text, group, 4);
    }
    text
}
