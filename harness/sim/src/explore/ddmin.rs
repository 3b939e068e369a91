//! Delta debugging: the smallest part of a list that still shows something (ddmin, Zeller and
//! Hildebrandt 2002). What is left is minimal in that no single item can be left out.

use peerlab_core::error::Result;

/// The indices below `count` that are kept. `shows` says whether a part, sorted, still shows it;
/// that the whole does is taken for granted.
///
/// # Errors
/// Those of `shows`.
pub fn ddmin(count: usize, mut shows: impl FnMut(&[usize]) -> Result<bool>) -> Result<Vec<usize>> {
    let mut kept: Vec<usize> = (0..count).collect();
    // Most often nothing of the list is needed.
    if kept.is_empty() || shows(&[])? {
        return Ok(Vec::new());
    }
    let mut parts = 2;
    while kept.len() > 1 {
        let parts_now = parts.min(kept.len());
        match smaller(&kept, parts_now, &mut shows)? {
            Some((part, alone)) => {
                kept = part;
                parts = if alone { 2 } else { (parts_now - 1).max(2) };
            }
            None if parts_now == kept.len() => break,
            None => parts = parts_now * 2,
        }
    }
    Ok(kept)
}

/// A part that shows it, and whether it stands alone or is what is left without one.
fn smaller(
    kept: &[usize],
    parts: usize,
    shows: &mut impl FnMut(&[usize]) -> Result<bool>,
) -> Result<Option<(Vec<usize>, bool)>> {
    let bounds = |part: usize| kept.len() * part / parts;
    for part in 0..parts {
        let alone = &kept[bounds(part)..bounds(part + 1)];
        if shows(alone)? {
            return Ok(Some((alone.to_vec(), true)));
        }
    }
    // Of two parts each is what is left without the other.
    if parts > 2 {
        for part in 0..parts {
            let rest = [&kept[..bounds(part)], &kept[bounds(part + 1)..]].concat();
            if shows(&rest)? {
                return Ok(Some((rest, false)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_needed_is_found_and_nothing_else(needed in proptest::collection::btree_set(0usize..60, 0..6)) {
            let kept = ddmin(60, |part| {
                let part: BTreeSet<usize> = part.iter().copied().collect();
                Ok(needed.is_subset(&part))
            });
            prop_assert_eq!(kept.unwrap(), needed.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn no_item_of_what_is_left_can_be_left_out(sums in proptest::collection::vec(0u32..10, 1..30), wanted in 1u32..40) {
            // Not monotonic: a sum has to be met up to a remainder.
            let shows = |part: &[usize]| {
                let sum: u32 = part.iter().map(|index| sums[*index]).sum();
                sum >= wanted && sum % 3 == sums.iter().sum::<u32>() % 3
            };
            prop_assume!(sums.iter().sum::<u32>() >= wanted);
            let kept = ddmin(sums.len(), |part| Ok(shows(part))).unwrap();
            prop_assert!(shows(&kept));
            for left_out in 0..kept.len() {
                let mut fewer = kept.clone();
                fewer.remove(left_out);
                prop_assert!(!shows(&fewer));
            }
        }
    }

    #[test]
    fn an_error_ends_it() {
        let error = || peerlab_core::error::Error::environment("no memory", "a test", "none");
        assert_eq!(ddmin(4, |_| Err(error())), Err(error()));
    }
}
