//! Quantiles by nearest rank: the one definition that every figure of a report uses. The
//! q-th percentile of n values is the value of rank ⌈q·n/100⌉ in ascending order, so it is
//! always a value that was really measured, and p100 is the greatest.

/// The rank, from 1, of a percentile among `count` values; 1 for a percentile of zero.
pub fn rank(percent: u8, count: usize) -> usize {
    (usize::from(percent) * count).div_ceil(100).max(1)
}

/// The percentile of values in ascending order; `None` when there are none.
pub fn nearest_rank<T: Copy>(ascending: &[T], percent: u8) -> Option<T> {
    ascending
        .get(
            rank(percent, ascending.len())
                .min(ascending.len())
                .wrapping_sub(1),
        )
        .copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_one_to_ten() {
        let values: Vec<u32> = (1..=10).collect();
        let at = |q| nearest_rank(&values, q).unwrap();
        assert_eq!(
            [at(0), at(10), at(50), at(90), at(91), at(99), at(100)],
            [1, 1, 5, 9, 10, 10, 10]
        );
    }

    #[test]
    fn of_nothing_there_is_none() {
        assert_eq!(nearest_rank::<u32>(&[], 50), None);
    }

    proptest! {
        #[test]
        fn at_least_that_share_lies_at_or_below(mut values in prop::collection::vec(0u32..50, 1..60), q in 0u8..=100) {
            values.sort_unstable();
            let figure = nearest_rank(&values, q).unwrap();
            let at_or_below = values.iter().filter(|v| **v <= figure).count();
            let below = values.iter().filter(|v| **v < figure).count();
            prop_assert!(at_or_below * 100 >= usize::from(q) * values.len());
            prop_assert!(below == 0 || below * 100 < usize::from(q) * values.len());
        }
    }
}
