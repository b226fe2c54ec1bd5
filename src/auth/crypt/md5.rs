//! MD5 crypt: `$1$` of the BSDs and Linux, and Apache's `$apr1$`, which differs only in its prefix.

use md5::{Digest, Md5};

use super::text64;

/// Digest text for `password`. `magic` is `$1$` or `$apr1$`; a salt has at most eight characters.
pub fn digest(magic: &[u8], salt: &[u8], password: &[u8]) -> Vec<u8> {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut start = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for at in (0..password.len()).step_by(inner.len()) {
        start.update(&inner[..inner.len().min(password.len() - at)]);
    }
    let mut bits = password.len();
    while bits > 0 {
        // Empty passwords are refused by the caller, so a first byte exists.
        start.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    let mut sum = start.finalize();
    for round in 0..1000 {
        sum = stretch(round, &sum, salt, password);
    }
    text(&sum.into())
}

/// Computes one of the thousand rounds; the round's number selects the parts that are hashed.
fn stretch(
    round: u32,
    sum: &md5::digest::Output<Md5>,
    salt: &[u8],
    password: &[u8],
) -> md5::digest::Output<Md5> {
    let odd = round % 2 == 1;
    let mut next = Md5::new();
    next.update(if odd { password } else { sum });
    if !round.is_multiple_of(3) {
        next.update(salt);
    }
    if !round.is_multiple_of(7) {
        next.update(password);
    }
    next.update(if odd { sum } else { password });
    next.finalize()
}

/// Digest text, with the bytes in the scheme's own order.
fn text(sum: &[u8; 16]) -> Vec<u8> {
    let mut text = Vec::with_capacity(22);
    for (a, b, c) in [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)] {
        let group = u32::from(sum[a]) << 16 | u32::from(sum[b]) << 8 | u32::from(sum[c]);
        text64::push_low_first(&mut text, group, 4);
    }
    text64::push_low_first(&mut text, u32::from(sum[11]), 2);
    text
}
