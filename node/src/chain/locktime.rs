//! When a transaction may be mined: absolute locktimes against the median time past (BIP113), and
//! relative ones by sequence numbers (BIP68).

use bitcoin::{Sequence, Transaction};

/// Locktimes below are heights, from here on they are Unix times.
const LOCKTIME_THRESHOLD: u32 = 500_000_000;

/// A sequence number with this bit is no relative locktime (BIP68).
const SEQUENCE_DISABLED: u32 = 1 << 31;

/// A sequence number with this bit counts time, otherwise blocks.
const SEQUENCE_IS_TIME: u32 = 1 << 22;

/// The bits of a sequence number that count.
const SEQUENCE_VALUE: u32 = 0xffff;

/// A unit of relative time is 512 seconds.
const SEQUENCE_TIME_SHIFT: u32 = 9;

/// The lowest transaction version whose sequence numbers are relative locktimes.
const MIN_SEQUENCE_VERSION: u32 = 2;

/// Whether the absolute locktime allows a transaction in a block at `height` whose parent has
/// this median time past.
pub fn is_final(tx: &Transaction, height: u32, parent_median_time: u32) -> bool {
    let lock = tx.lock_time.to_consensus_u32();
    let now = if lock < LOCKTIME_THRESHOLD {
        height
    } else {
        parent_median_time
    };
    lock == 0 || lock < now || tx.input.iter().all(|input| input.sequence == Sequence::MAX)
}

/// Whether the relative locktimes allow a transaction in a block at `height` whose parent has
/// this median time past. `coin_heights` are the heights of the coins that it spends, in the order
/// of its inputs; `median_time_at` gives the median time past of the active chain's block at a
/// height below `height`.
pub fn sequence_locks_met(
    tx: &Transaction,
    coin_heights: &[u32],
    height: u32,
    parent_median_time: u32,
    median_time_at: impl Fn(u32) -> u32,
) -> bool {
    if tx.version.0.cast_unsigned() < MIN_SEQUENCE_VERSION {
        return true;
    }
    tx.input
        .iter()
        .zip(coin_heights)
        .all(|(input, &coin_height)| {
            let sequence = input.sequence.to_consensus_u32();
            let value = sequence & SEQUENCE_VALUE;
            if sequence & SEQUENCE_DISABLED != 0 {
                true
            } else if sequence & SEQUENCE_IS_TIME != 0 {
                // Counted from the median time past of the block before the coin's.
                let since = u64::from(median_time_at(coin_height.saturating_sub(1)));
                u64::from(parent_median_time) >= since + (u64::from(value) << SEQUENCE_TIME_SHIFT)
            } else {
                u64::from(height) >= u64::from(coin_height) + u64::from(value)
            }
        })
}
