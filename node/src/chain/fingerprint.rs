//! A 128-bit stand-in for a state of the ledger, kept up to date at every change, so that equal
//! states are found among many. Not a cryptographic hash: who can choose hashes of blocks freely
//! could make two states look alike, so it is only used where all nodes are one's own.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

/// Odd constants without pattern: digits of pi.
const KEYS: [u64; 4] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7345,
    0xa409_3822_299f_31d1,
    0x082e_fa98_ec4e_6c89,
];

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64, u64);

impl Fingerprint {
    /// Of a block and a few bits that say how it stands.
    pub fn of(hash: &BlockHash, bits: u64) -> Fingerprint {
        let mut print = Fingerprint(KEYS[0] ^ bits, KEYS[1].wrapping_add(bits));
        print.absorb(hash);
        print
    }

    /// Adds a part of which only the presence matters, not the order.
    pub fn add(&mut self, part: Fingerprint) {
        self.0 = self.0.wrapping_add(part.0);
        self.1 = self.1.wrapping_add(part.1);
    }

    /// Undoes [`Fingerprint::add`].
    pub fn subtract(&mut self, part: Fingerprint) {
        self.0 = self.0.wrapping_sub(part.0);
        self.1 = self.1.wrapping_sub(part.1);
    }

    /// Adds what comes next in an order that matters.
    pub fn absorb(&mut self, hash: &BlockHash) {
        let bytes = hash.to_byte_array();
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at * 8 + i]));
        let (low, high) = (self.0, self.1);
        self.0 = fold(low ^ word(0), KEYS[2] ^ word(1)) ^ fold(high ^ word(2), KEYS[3] ^ word(3));
        self.1 = fold(high ^ word(1), KEYS[1] ^ word(2)) ^ fold(low ^ word(3), KEYS[0] ^ word(0));
    }

    /// As [`Fingerprint::absorb`], for a number.
    pub fn absorb_number(&mut self, number: u64) {
        let (low, high) = (self.0, self.1);
        self.0 = fold(low ^ number, KEYS[2]) ^ high;
        self.1 = fold(high ^ number, KEYS[3]).wrapping_add(low);
    }
}

/// Multiplies to 128 bits and folds both halves into one.
pub fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn block(n: u32) -> BlockHash {
        BlockHash::hash(&n.to_le_bytes())
    }

    #[test]
    fn every_bit_counts_and_sums_forget_the_order() {
        let prints = (0..1_000).flat_map(|n| (0..16).map(move |bits| (n, bits)));
        let distinct: BTreeSet<_> = prints
            .map(|(n, bits)| Fingerprint::of(&block(n), bits))
            .map(|print| (print.0, print.1))
            .collect();
        assert_eq!(distinct.len(), 16_000);
        let mut left = Fingerprint::default();
        let mut right = Fingerprint::default();
        (0..9).for_each(|n| left.add(Fingerprint::of(&block(n), 0)));
        (0..10)
            .rev()
            .for_each(|n| right.add(Fingerprint::of(&block(n), 0)));
        assert_ne!(left, right);
        right.subtract(Fingerprint::of(&block(9), 0));
        assert_eq!(left, right);
        let mut turned = left;
        left.absorb(&block(1));
        left.absorb(&block(2));
        turned.absorb(&block(2));
        turned.absorb(&block(1));
        assert_ne!(left, turned);
        let mut numbered = left;
        numbered.absorb_number(1);
        left.absorb_number(2);
        assert_ne!(left, numbered);
    }
}
