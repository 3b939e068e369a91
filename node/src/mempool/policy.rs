//! What this node relays and mines beyond what the consensus demands. Kept modest: no dust rule,
//! no script standardness (bare, unknown or large scripts are relayed), no replacement; a private
//! network is for trying things out. What is here protects the node.

use bitcoin::Amount;

/// Fee rate below which a transaction is not taken, in satoshi per 1000 virtual bytes (Bitcoin
/// Core's `-minrelaytxfee`: 1 sat/vB).
pub const MIN_RELAY_FEE_SAT_PER_KVB: u64 = 1_000;

/// Weight of a transaction, at most (Bitcoin Core's standardness). Keeps the cost of verifying
/// its scripts within a second or so.
pub const MAX_TX_WEIGHT: u64 = 400_000;

/// Bytes of a transaction without witness, at least: 64 bytes could pass for an inner node of the
/// merkle tree.
pub const MIN_TX_BASE_BYTES: usize = 65;

/// Signature operations of a transaction, at most (a fifth of a block's, as in Bitcoin Core).
pub const MAX_TX_SIGOPS_COST: u64 = 16_000;

/// Unconfirmed transactions in a chain, at most, counted both up and down with the transaction
/// itself (Bitcoin Core's `-limitancestorcount` and `-limitdescendantcount`).
pub const MAX_PACKAGE_COUNT: usize = 25;

/// Virtual bytes of such a chain, at most (Bitcoin Core's `-limitancestorsize`).
pub const MAX_PACKAGE_VBYTES: u64 = 101_000;

/// Bytes that the pool's transactions take, at most. Bitcoin Core's `-maxmempool` is 300 MB; a
/// node of a test network has a few megabytes in all.
pub const MAX_POOL_BYTES: usize = 5_000_000;

/// Transactions in the pool, at most: bounds the bookkeeping, some 500 bytes each.
pub const MAX_POOL_COUNT: usize = 20_000;

/// The fee that a transaction of this size must pay at a rate (rounded up).
pub fn fee_at_rate(sat_per_kvb: u64, vsize: u64) -> Amount {
    Amount::from_sat(sat_per_kvb.saturating_mul(vsize).div_ceil(1_000))
}
