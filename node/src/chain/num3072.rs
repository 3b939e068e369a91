//! Numbers modulo the prime 2^3072 - 1103717, as MuHash3072 needs them: multiplication in fixed
//! memory (two for every coin that comes or goes), and the inverse (once for every hash that is asked
//! for).

use std::sync::LazyLock;

use num_bigint::BigUint;

/// Bytes of a number below 2^3072.
pub const NUM_BYTES: usize = 384;

/// 64-bit digits of such a number.
const DIGITS: usize = NUM_BYTES / 8;

/// 2^3072 minus the modulus, which is the largest 3072-bit safe prime.
const PRIME_DIFFERENCE: u64 = 1_103_717;

/// The modulus.
static PRIME: LazyLock<BigUint> =
    LazyLock::new(|| (BigUint::from(1u32) << (NUM_BYTES * 8)) - PRIME_DIFFERENCE);

/// A number below the modulus; digits little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Num3072([u64; DIGITS]);

impl Num3072 {
    /// One.
    pub const ONE: Num3072 = {
        let mut digits = [0; DIGITS];
        digits[0] = 1;
        Num3072(digits)
    };

    /// Reads a number, little-endian, and reduces it.
    pub fn from_bytes(bytes: &[u8; NUM_BYTES]) -> Num3072 {
        let mut number = Num3072([0; DIGITS]);
        for (digit, bytes) in number.0.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *digit = u64::from_le_bytes(*bytes);
        }
        number.reduce_once();
        number
    }

    /// Writes the number, little-endian.
    pub fn to_bytes(self) -> [u8; NUM_BYTES] {
        let mut bytes = [0; NUM_BYTES];
        for (bytes, digit) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *bytes = digit.to_le_bytes();
        }
        bytes
    }

    /// The product.
    pub fn times(&self, other: &Num3072) -> Num3072 {
        let mut wide = [0u64; 2 * DIGITS];
        for (place, left) in self.0.iter().enumerate() {
            let row = &mut wide[place..=place + DIGITS];
            let (row, last) = row.split_at_mut(DIGITS);
            let mut carry = 0;
            for (digit, right) in row.iter_mut().zip(&other.0) {
                // At most (2^64 - 1)^2 + 2 * (2^64 - 1), which is 2^128 - 1.
                let sum =
                    u128::from(*left) * u128::from(*right) + u128::from(*digit) + u128::from(carry);
                *digit = sum as u64;
                carry = (sum >> 64) as u64;
            }
            last[0] = carry;
        }
        let (low, high) = wide.split_at(DIGITS);
        let mut product = Num3072([0; DIGITS]);
        product.0.copy_from_slice(low);
        // 2^3072 is congruent to the difference: the high half is folded onto the low one, and
        // what overflows by that once more.
        let mut overflow = product.add_scaled(high);
        while overflow > 0 {
            overflow = product.add_scaled(&[overflow]);
        }
        product.reduce_once();
        product
    }

    /// The number by which this one gives one; zero for zero.
    pub fn inverse(&self) -> Num3072 {
        let inverse = BigUint::from_bytes_le(&self.to_bytes())
            .modinv(&PRIME)
            .unwrap_or_default();
        let mut bytes = [0; NUM_BYTES];
        let digits = inverse.to_bytes_le();
        bytes[..digits.len()].copy_from_slice(&digits);
        Num3072::from_bytes(&bytes)
    }

    /// Adds digits times the difference; returns what overflows.
    fn add_scaled(&mut self, digits: &[u64]) -> u64 {
        let mut carry = 0;
        let digits = digits.iter().copied().chain(std::iter::repeat(0));
        for (digit, other) in self.0.iter_mut().zip(digits) {
            let sum = u128::from(other) * u128::from(PRIME_DIFFERENCE)
                + u128::from(*digit)
                + u128::from(carry);
            *digit = sum as u64;
            carry = (sum >> 64) as u64;
        }
        carry
    }

    /// Brings a number below 2^3072 below the modulus.
    fn reduce_once(&mut self) {
        let high_full = self.0[1..].iter().all(|digit| *digit == u64::MAX);
        if high_full && self.0[0] >= PRIME_DIFFERENCE.wrapping_neg() {
            self.0[1..].fill(0);
            self.0[0] = self.0[0].wrapping_add(PRIME_DIFFERENCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn big(number: &Num3072) -> BigUint {
        BigUint::from_bytes_le(&number.to_bytes())
    }

    /// Mostly noise, often with runs of ones or zeros, where carries are long.
    fn numbers() -> impl Strategy<Value = [u8; NUM_BYTES]> {
        let noise = proptest::collection::vec(any::<u8>(), NUM_BYTES);
        (noise, 0..=NUM_BYTES, prop_oneof![Just(0u8), Just(0xff)]).prop_map(
            |(noise, from, fill)| {
                let mut bytes = [fill; NUM_BYTES];
                bytes[..from].copy_from_slice(&noise[..from]);
                bytes
            },
        )
    }

    proptest! {
        #[test]
        fn products_are_those_of_plain_arithmetic(left in numbers(), right in numbers()) {
            let expected = BigUint::from_bytes_le(&left) * BigUint::from_bytes_le(&right) % &*PRIME;
            let product = Num3072::from_bytes(&left).times(&Num3072::from_bytes(&right));
            prop_assert_eq!(big(&product), expected);
        }
    }

    #[test]
    fn the_edges_of_the_modulus_reduce() {
        let all_ones = [0xff; NUM_BYTES];
        let number = Num3072::from_bytes(&all_ones);
        assert_eq!(big(&number), BigUint::from(PRIME_DIFFERENCE - 1));
        let below = (&*PRIME - 1u32).to_bytes_le().try_into().unwrap();
        let below = Num3072::from_bytes(&below);
        assert_eq!(big(&below), &*PRIME - 1u32);
        assert_eq!(below.times(&below), Num3072::ONE);
        let prime: [u8; NUM_BYTES] = PRIME.to_bytes_le().try_into().unwrap();
        assert_eq!(big(&Num3072::from_bytes(&prime)), BigUint::ZERO);
    }

    #[test]
    fn a_number_times_its_inverse_is_one() {
        let number = Num3072::from_bytes(&[0x5a; NUM_BYTES]);
        assert_eq!(number.times(&number.inverse()), Num3072::ONE);
        let zero = Num3072::from_bytes(&[0; NUM_BYTES]);
        assert_eq!(zero.inverse(), zero);
    }
}
