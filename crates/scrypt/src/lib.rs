//! scrypt (RFC 7914) with r = 8 and p = 1, which is how cosign encrypts keys, in a quarter of its memory.
//!
//! scrypt fills a table of N blocks and then reads it N times at places that only its course tells. The usual
//! implementations keep the whole table: 64 MiB for N = 65,536, more than three times what the agent needs otherwise,
//! and a limit on its memory would have to leave room for it. This one keeps each fourth block and makes those between
//! again: 16 MiB, and 3.5 instead of 2 times N steps. Keeping each sixth takes 11 MiB and a third more time.
//!
//! It is a crate of its own so that it is optimised in debug builds too, where it would take seconds.

use std::mem::swap;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use wide::u32x4;

/// The parameter r: blocks of 1 KiB.
const R: usize = 8;
/// Of so many blocks one is kept.
const SPACING: usize = 4;
const LANES: usize = 2 * R;
const LANE_BYTES: usize = 64;

/// The state of Salsa20, its four diagonals one after the other, so that a round works on all columns at once.
type Lane = [u32x4; 4];
type Block = [Lane; LANES];

/// Which word of a lane stands where.
const DIAGONALS: [usize; 16] = [0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11];

/// Derives 32 bytes with N = 2 to the power of `log_n`, r = 8 and p = 1. Slow on purpose; takes a quarter of 2 to the
/// power of `log_n + 10` bytes of memory.
pub fn derive_key(password: &[u8], salt: &[u8], log_n: u8) -> [u8; 32] {
    let mut bytes = [0; LANES * LANE_BYTES];
    derive(PBKDF2_HMAC_SHA256, NonZeroU32::MIN, salt, password, &mut bytes);
    let mut block = read(&bytes);
    mix_memory(&mut block, 1 << log_n);
    write(&block, &mut bytes);
    let mut key = [0; 32];
    derive(PBKDF2_HMAC_SHA256, NonZeroU32::MIN, &bytes, password, &mut key);
    key
}

/// `scryptROMix` (RFC 7914 §5). Two blocks take turns, 2 N times, so that the result is in `block`.
fn mix_memory(block: &mut Block, n: usize) {
    let mut kept: Vec<Block> = Vec::with_capacity(n.div_ceil(SPACING));
    let mut spare = *block;
    let (mut this, mut next) = (&mut *block, &mut spare);
    for number in 0..n {
        if number % SPACING == 0 {
            kept.push(*this);
        }
        mix(|lane| this[lane], next);
        swap(&mut this, &mut next);
    }
    let (entry, later) = (&mut this.clone(), &mut this.clone());
    let (mut entry, mut later) = (entry, later);
    for _ in 0..n {
        let place = this[LANES - 1][0].as_array()[0] as usize % n;
        let near = &kept[place / SPACING];
        let steps = place % SPACING;
        if steps == 0 {
            mix(|lane| xor(&near[lane], &this[lane]), next);
        } else {
            mix(|lane| near[lane], entry);
            for _ in 1..steps {
                mix(|lane| entry[lane], later);
                swap(&mut entry, &mut later);
            }
            mix(|lane| xor(&entry[lane], &this[lane]), next);
        }
        swap(&mut this, &mut next);
    }
}

/// `scryptBlockMix` (RFC 7914 §4) of a block whose lanes `input` gives. Code of its own for each `input` and no more: a
/// larger function runs slower.
#[inline(never)]
fn mix(input: impl Fn(usize) -> Lane, output: &mut Block) {
    let mut lane = input(LANES - 1);
    for number in 0..LANES {
        lane = salsa(xor(&lane, &input(number)));
        output[number / 2 + number % 2 * R] = lane;
    }
}

/// Salsa20/8 (RFC 7914 §3).
#[inline(always)]
fn salsa(input: Lane) -> Lane {
    let [mut a, mut b, mut c, mut d] = input;
    for _ in 0..8 {
        b ^= turned::<7>(a + d);
        c ^= turned::<9>(b + a);
        d ^= turned::<13>(c + b);
        a ^= turned::<18>(d + c);
        // Columns become rows.
        (b, c, d) = (shifted::<1>(d), shifted::<2>(c), shifted::<3>(b));
    }
    [a + input[0], b + input[1], c + input[2], d + input[3]]
}

#[inline(always)]
fn turned<const BITS: u32>(words: u32x4) -> u32x4 {
    (words << BITS) | (words >> (32 - BITS))
}

#[inline(always)]
fn shifted<const BY: usize>(words: u32x4) -> u32x4 {
    let words = words.to_array();
    u32x4::new([words[BY % 4], words[(BY + 1) % 4], words[(BY + 2) % 4], words[(BY + 3) % 4]])
}

#[inline(always)]
fn xor(lane: &Lane, other: &Lane) -> Lane {
    [lane[0] ^ other[0], lane[1] ^ other[1], lane[2] ^ other[2], lane[3] ^ other[3]]
}

fn read(bytes: &[u8; LANES * LANE_BYTES]) -> Block {
    let mut block = [[u32x4::ZERO; 4]; LANES];
    for (lane, bytes) in block.iter_mut().zip(bytes.as_chunks::<LANE_BYTES>().0) {
        let words = bytes.as_chunks::<4>().0;
        let word = |number: usize| u32::from_le_bytes(words[DIAGONALS[number]]);
        for (number, part) in lane.iter_mut().enumerate() {
            *part = u32x4::new(std::array::from_fn(|column| word(4 * number + column)));
        }
    }
    block
}

fn write(block: &Block, bytes: &mut [u8; LANES * LANE_BYTES]) {
    for (lane, bytes) in block.iter().zip(bytes.as_chunks_mut::<LANE_BYTES>().0) {
        let words = bytes.as_chunks_mut::<4>().0;
        for (number, word) in lane.iter().flat_map(u32x4::as_array).enumerate() {
            words[DIAGONALS[number]] = word.to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_vector_of_rfc_7914_with_this_block_size() {
        let expected = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2";
        assert_eq!(hex(&derive_key(b"pleaseletmein", b"SodiumChloride", 14)), expected);
    }

    #[test]
    fn few_blocks_are_enough() {
        assert_ne!(derive_key(b"a", b"salt", 1), derive_key(b"a", b"salt", 2));
        assert_ne!(derive_key(b"a", b"salt", 1), derive_key(b"b", b"salt", 1));
    }
}
