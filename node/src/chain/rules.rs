//! The numbers of the consensus: regtest as Bitcoin Core has it, and where they come from.
//! Checks that use them live in the files beside this one.
//!
//! Soft forks: Bitcoin Core's regtest has BIP34, BIP65, BIP66 and CSV (BIP68, 112, 113) from
//! height 1, segwit from 0 and Taproot always. Only genesis is below height 1, and genesis is
//! never validated, so every block here is under every rule. BIP30 is enforced always, as on any
//! chain whose BIP34 activation block is not pinned.

use bitcoin::{Amount, CompactTarget};
use bitcoinconsensus::{VERIFY_ALL_PRE_TAPROOT, VERIFY_TAPROOT};

/// The one difficulty of regtest: there is no retargeting, half of all hashes are below it.
pub const REGTEST_BITS: u32 = 0x207f_ffff;

/// Blocks between halvings on regtest (main: 210,000).
pub const SUBSIDY_HALVING_BLOCKS: u32 = 150;

/// Subsidy before the first halving.
pub const INITIAL_SUBSIDY: Amount = Amount::from_sat(50 * 100_000_000);

/// Confirmations that a coinbase output needs before it may be spent.
pub const COINBASE_MATURITY_BLOCKS: u32 = 100;

/// BIP141's limit on a block.
pub const MAX_BLOCK_WEIGHT: u64 = 4_000_000;

/// BIP141's limit on signature operations in a block; a legacy one counts four.
pub const MAX_BLOCK_SIGOPS_COST: u64 = 80_000;

/// How many weight units a byte outside the witness costs (BIP141).
pub const WITNESS_SCALE: u64 = 4;

/// How far a header's time may be ahead of this node's clock.
pub const MAX_FUTURE_SECS: u32 = 2 * 60 * 60;

/// Blocks whose times make the median time past (BIP113).
pub const MEDIAN_TIME_SPAN: usize = 11;

/// The lowest block version after BIP34, BIP66 and BIP65.
pub const MIN_BLOCK_VERSION: i32 = 4;

/// Bytes of a coinbase's scriptSig, at least.
pub const MIN_COINBASE_SCRIPT_BYTES: usize = 2;

/// Bytes of a coinbase's scriptSig, at most.
pub const MAX_COINBASE_SCRIPT_BYTES: usize = 100;

/// Scripts longer than this can never be run, so an output with one is never a coin.
pub const MAX_SCRIPT_BYTES: usize = 10_000;

/// The script rules of every block.
pub const SCRIPT_FLAGS: u32 = VERIFY_ALL_PRE_TAPROOT | VERIFY_TAPROOT;

/// The difficulty that every header must state.
pub fn required_bits() -> CompactTarget {
    CompactTarget::from_consensus(REGTEST_BITS)
}

/// New money in the block at `height`.
pub fn subsidy(height: u32) -> Amount {
    let halvings = height / SUBSIDY_HALVING_BLOCKS;
    // A shift by 64 or more is undefined upstream, so the subsidy is zero from there.
    Amount::from_sat(INITIAL_SUBSIDY.to_sat().checked_shr(halvings).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subsidy_halves_every_150_blocks_and_ends() {
        assert_eq!(subsidy(1), INITIAL_SUBSIDY);
        assert_eq!(subsidy(149), INITIAL_SUBSIDY);
        assert_eq!(subsidy(150).to_sat(), INITIAL_SUBSIDY.to_sat() / 2);
        assert_eq!(subsidy(300).to_sat(), INITIAL_SUBSIDY.to_sat() / 4);
        assert_eq!(subsidy(150 * 33), Amount::ZERO);
        assert_eq!(subsidy(150 * 64), Amount::ZERO);
        assert_eq!(subsidy(u32::MAX), Amount::ZERO);
    }
}
