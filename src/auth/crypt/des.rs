//! DES crypt, crypt(3)'s original scheme: 25 rounds of salted DES over a zero block.
//!
//! The password is the key; only its first eight characters count, and seven bits of each. No crate offers
//! this scheme, since the salt changes DES's expansion step. Bits are numbered from 1 at the most
//! significant end, as in the tables of FIPS 46.

use super::text64;

/// Digest text for two salt characters; `None` if they are not in the alphabet.
pub fn digest(salt: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    let &[first, second] = salt else { return None };
    let swap = salt_mask(text64::bits(text64::CRYPT, first)?, text64::bits(text64::CRYPT, second)?);
    let keys = round_keys(key_of(password));
    // The initial and final permutations of successive encryptions cancel out, and a zero block is its own
    // permutation. Only the last final permutation remains.
    let (mut left, mut right) = (0, 0);
    for _ in 0..25 {
        for &key in &keys {
            (left, right) = (right, left ^ feistel(right, key, swap));
        }
        (left, right) = (right, left);
    }
    let block = permute(u64::from(left) << 32 | u64::from(right), 64, &FINAL);
    Some(text64::high_first(text64::CRYPT, &block.to_be_bytes()))
}

/// DES key of a password: seven bits per character, with zero parity bits.
fn key_of(password: &[u8]) -> u64 {
    let mut key = [0; 8];
    for (byte, &letter) in key.iter_mut().zip(password) {
        *byte = letter << 1;
    }
    u64::from_be_bytes(key)
}

/// Mask for the salted expansion: salt bit `i` swaps bits `i` and `i + 24`.
///
/// The mask uses the numbering of a 24-bit half.
fn salt_mask(first: u8, second: u8) -> u32 {
    (u32::from(second) << 6 | u32::from(first)).reverse_bits() >> 8
}

/// Computes the sixteen 48-bit round keys.
fn round_keys(key: u64) -> [u64; 16] {
    const HALF: u64 = (1 << 28) - 1;
    let chosen = permute(key, 64, &KEY_CHOICE);
    let (mut c, mut d) = (chosen >> 28, chosen & HALF);
    let turn = |half: u64, by: u32| (half << by | half >> (28 - by)) & HALF;
    SHIFTS.map(|by| {
        (c, d) = (turn(c, by), turn(d, by));
        permute(c << 28 | d, 56, &ROUND_CHOICE)
    })
}

/// Round function of DES, with the salt's swap after the expansion.
fn feistel(half: u32, key: u64, swap: u32) -> u32 {
    // Expansion: each of the eight groups is four bits with the neighbour on either side.
    let expanded = (0..8).fold(0u64, |all, at| all << 6 | u64::from(half.rotate_left(4 * at + 5) & 63));
    let moved = (expanded >> 24 ^ expanded) & u64::from(swap);
    let mixed = expanded ^ moved ^ moved << 24 ^ key;
    let chosen = SUBSTITUTIONS.iter().enumerate().fold(0u32, |all, (at, table)| {
        let group = (mixed >> (42 - 6 * at) & 63) as usize;
        let (row, column) = (group >> 4 & 2 | group & 1, group >> 1 & 15);
        all << 4 | u32::from(table[row * 16 + column])
    });
    permute(u64::from(chosen), 32, &MIX) as u32
}

/// Selects bits of a `width`-bit `value` in the order of `table`.
fn permute(value: u64, width: u32, table: &[u8]) -> u64 {
    table.iter().fold(0, |all, &bit| all << 1 | value >> (width - u32::from(bit)) & 1)
}

/// Rotation of the key halves before each round.
const SHIFTS: [u32; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

/// Permuted choice 1.
#[rustfmt::skip]
const KEY_CHOICE: [u8; 56] = [
    57, 49, 41, 33, 25, 17,  9,  1, 58, 50, 42, 34, 26, 18,
    10,  2, 59, 51, 43, 35, 27, 19, 11,  3, 60, 52, 44, 36,
    63, 55, 47, 39, 31, 23, 15,  7, 62, 54, 46, 38, 30, 22,
    14,  6, 61, 53, 45, 37, 29, 21, 13,  5, 28, 20, 12,  4,
];

/// Permuted choice 2.
#[rustfmt::skip]
const ROUND_CHOICE: [u8; 48] = [
    14, 17, 11, 24,  1,  5,  3, 28, 15,  6, 21, 10,
    23, 19, 12,  4, 26,  8, 16,  7, 27, 20, 13,  2,
    41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48,
    44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

/// The permutation that ends the round function.
#[rustfmt::skip]
const MIX: [u8; 32] = [
    16,  7, 20, 21, 29, 12, 28, 17,  1, 15, 23, 26,  5, 18, 31, 10,
     2,  8, 24, 14, 32, 27,  3,  9, 19, 13, 30,  6, 22, 11,  4, 25,
];

/// The final permutation.
#[rustfmt::skip]
const FINAL: [u8; 64] = [
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31,
    38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45, 13, 53, 21, 61, 29,
    36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27,
    34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41,  9, 49, 17, 57, 25,
];

/// The eight S-boxes, four rows of sixteen each.
#[rustfmt::skip]
const SUBSTITUTIONS: [[u8; 64]; 8] = [
    [
        14,  4, 13,  1,  2, 15, 11,  8,  3, 10,  6, 12,  5,  9,  0,  7,
         0, 15,  7,  4, 14,  2, 13,  1, 10,  6, 12, 11,  9,  5,  3,  8,
         4,  1, 14,  8, 13,  6,  2, 11, 15, 12,  9,  7,  3, 10,  5,  0,
        15, 12,  8,  2,  4,  9,  1,  7,  5, 11,  3, 14, 10,  0,  6, 13,
    ],
    [
        15,  1,  8, 14,  6, 11,  3,  4,  9,  7,  2, 13, 12,  0,  5, 10,
         3, 13,  4,  7, 15,  2,  8, 14, 12,  0,  1, 10,  6,  9, 11,  5,
         0, 14,  7, 11, 10,  4, 13,  1,  5,  8, 12,  6,  9,  3,  2, 15,
        13,  8, 10,  1,  3, 15,  4,  2, 11,  6,  7, 12,  0,  5, 14,  9,
    ],
    [
        10,  0,  9, 14,  6,  3, 15,  5,  1, 13, 12,  7, 11,  4,  2,  8,
        13,  7,  0,  9,  3,  4,  6, 10,  2,  8,  5, 14, 12, 11, 15,  1,
        13,  6,  4,  9,  8, 15,  3,  0, 11,  1,  2, 12,  5, 10, 14,  7,
         1, 10, 13,  0,  6,  9,  8,  7,  4, 15, 14,  3, 11,  5,  2, 12,
    ],
    [
         7, 13, 14,  3,  0,  6,  9, 10,  1,  2,  8,  5, 11, 12,  4, 15,
        13,  8, 11,  5,  6, 15,  0,  3,  4,  7,  2, 12,  1, 10, 14,  9,
        10,  6,  9,  0, 12, 11,  7, 13, 15,  1,  3, 14,  5,  2,  8,  4,
         3, 15,  0,  6, 10,  1, 13,  8,  9,  4,  5, 11, 12,  7,  2, 14,
    ],
    [
         2, 12,  4,  1,  7, 10, 11,  6,  8,  5,  3, 15, 13,  0, 14,  9,
        14, 11,  2, 12,  4,  7, 13,  1,  5,  0, 15, 10,  3,  9,  8,  6,
         4,  2,  1, 11, 10, 13,  7,  8, 15,  9, 12,  5,  6,  3,  0, 14,
        11,  8, 12,  7,  1, 14,  2, 13,  6, 15,  0,  9, 10,  4,  5,  3,
    ],
    [
        12,  1, 10, 15,  9,  2,  6,  8,  0, 13,  3,  4, 14,  7,  5, 11,
        10, 15,  4,  2,  7, 12,  9,  5,  6,  1, 13, 14,  0, 11,  3,  8,
         9, 14, 15,  5,  2,  8, 12,  3,  7,  0,  4, 10,  1, 13, 11,  6,
         4,  3,  2, 12,  9,  5, 15, 10, 11, 14,  1,  7,  6,  0,  8, 13,
    ],
    [
         4, 11,  2, 14, 15,  0,  8, 13,  3, 12,  9,  7,  5, 10,  6,  1,
        13,  0, 11,  7,  4,  9,  1, 10, 14,  3,  5, 12,  2, 15,  8,  6,
         1,  4, 11, 13, 12,  3,  7, 14, 10, 15,  6,  8,  0,  5,  9,  2,
         6, 11, 13,  8,  1,  4, 10,  7,  9,  5,  0, 15, 14,  2,  3, 12,
    ],
    [
        13,  2,  8,  4,  6, 15, 11,  1, 10,  9,  3, 14,  5,  0, 12,  7,
         1, 15, 13,  8, 10,  3,  7,  4, 12,  5,  6, 11,  0, 14,  9,  2,
         7, 11,  4,  1,  9, 12, 14,  2,  0,  6, 10, 13, 15,  3,  5,  8,
         2,  1, 14,  7,  4, 10,  8, 13, 15, 12,  9,  0,  3,  5,  6, 11,
    ],
];
