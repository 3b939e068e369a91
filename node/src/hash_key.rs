//! Hashes as keys of ordered maps: words that compare as the hash's bytes do. Comparing bytes costs a
//! call each; of words mostly the first one decides.

/// A hash of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HashKey([u64; 4]);

impl HashKey {
    /// The key of a block's or a transaction's hash.
    pub(crate) fn of(hash: &impl AsRef<[u8; 32]>) -> HashKey {
        let bytes = hash.as_ref();
        HashKey(std::array::from_fn(|word| {
            u64::from_be_bytes(std::array::from_fn(|at| bytes[word * 8 + at]))
        }))
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::Txid;
    use bitcoin::hashes::Hash;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_in_the_order_of_the_hashes(
            mut one in any::<[u8; 32]>(), other in any::<[u8; 32]>(), same in 0..32usize,
        ) {
            // Hashes that differ late, as well.
            one[..same].copy_from_slice(&other[..same]);
            let (one, other) = (Txid::from_byte_array(one), Txid::from_byte_array(other));
            prop_assert_eq!(HashKey::of(&one).cmp(&HashKey::of(&other)), one.cmp(&other));
        }
    }
}
