//! MuHash3072 over the coin set, as Bitcoin Core's `gettxoutsetinfo muhash` computes it: each
//! coin is hashed to a number below 2^3072, the set's hash is their product modulo the prime
//! 2^3072 - 1103717. Adding multiplies the numerator, removing multiplies the denominator; only
//! finalising divides.

use bitcoin::hashes::{Hash, hash_newtype, sha256};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use super::num3072::{NUM_BYTES, Num3072};

hash_newtype! {
    /// The hash of a coin set; printed as Bitcoin Core prints it (bytes reversed).
    #[hash_newtype(backward)]
    pub struct UtxoHash(sha256::Hash);
}

/// A running set hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuHash {
    numerator: Num3072,
    denominator: Num3072,
}

impl Default for MuHash {
    /// The hash of the empty set.
    fn default() -> MuHash {
        MuHash {
            numerator: Num3072::ONE,
            denominator: Num3072::ONE,
        }
    }
}

impl MuHash {
    /// Adds an element: a coin as Bitcoin Core serialises it.
    pub fn insert(&mut self, data: &[u8]) {
        self.numerator = self.numerator.times(&number_of(data));
    }

    /// Removes an element.
    pub fn remove(&mut self, data: &[u8]) {
        self.denominator = self.denominator.times(&number_of(data));
    }

    /// The hash of the set. Costs a modular division.
    pub fn finalize(&self) -> UtxoHash {
        let quotient = self.numerator.times(&self.denominator.inverse());
        UtxoHash::hash(&quotient.to_bytes())
    }

    /// Whether two running hashes are of the same set, without dividing.
    pub fn same_set(&self, other: &MuHash) -> bool {
        self.numerator.times(&other.denominator) == other.numerator.times(&self.denominator)
    }

    /// Numerator and denominator, little-endian.
    pub fn to_parts(&self) -> ([u8; NUM_BYTES], [u8; NUM_BYTES]) {
        (self.numerator.to_bytes(), self.denominator.to_bytes())
    }

    /// The reverse of [`MuHash::to_parts`].
    pub fn from_parts(numerator: &[u8; NUM_BYTES], denominator: &[u8; NUM_BYTES]) -> MuHash {
        MuHash {
            numerator: Num3072::from_bytes(numerator),
            denominator: Num3072::from_bytes(denominator),
        }
    }
}

/// A number below 2^3072 from SHA-256 stretched by ChaCha20.
fn number_of(data: &[u8]) -> Num3072 {
    let key = sha256::Hash::hash(data).to_byte_array();
    let mut stream = [0u8; NUM_BYTES];
    ChaCha20Rng::from_seed(key).fill_bytes(&mut stream);
    Num3072::from_bytes(&stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_int(value: u8) -> [u8; 32] {
        let mut data = [0u8; 32];
        data[0] = value;
        data
    }

    #[test]
    fn bitcoin_cores_test_vector() {
        // Bitcoin Core, src/test/crypto_tests.cpp, muhash_tests: {0} * {1} / {2}.
        let mut hash = MuHash::default();
        hash.insert(&from_int(0));
        hash.insert(&from_int(1));
        hash.remove(&from_int(2));
        assert_eq!(
            hash.finalize().to_string(),
            "10d312b100cbd32ada024a6646e40d3482fcff103668d2625f10002a607d5863"
        );
    }

    #[test]
    fn the_empty_set_hashes_as_in_bitcoin_core() {
        assert_eq!(
            MuHash::default().finalize().to_string(),
            "dd5ad2a105c2d29495f577245c357409002329b9f4d6182c0af3dc2f462555c8"
        );
    }

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let mut left = MuHash::default();
        let mut right = MuHash::default();
        for value in 0..20 {
            left.insert(&from_int(value));
            right.insert(&from_int(19 - value));
        }
        assert_eq!(left.finalize(), right.finalize());
        left.insert(&from_int(99));
        assert!(!left.same_set(&right));
        left.remove(&from_int(99));
        assert!(left.same_set(&right));
        assert_eq!(left.finalize(), right.finalize());
        let (numerator, denominator) = left.to_parts();
        assert_eq!(MuHash::from_parts(&numerator, &denominator), left);
    }
}
