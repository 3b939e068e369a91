//! What a header must satisfy by itself and after its parent.

use bitcoin::block::Header;
use bitcoin::{BlockHash, Target};

use super::error::HeaderError;
use super::rules::{MAX_FUTURE_SECS, MIN_BLOCK_VERSION, REGTEST_BITS, required_bits};

/// Proof of work at the one difficulty of regtest.
pub fn check_work(header: &Header, hash: &BlockHash) -> Result<(), HeaderError> {
    // The stated target is compared before it is used, so no stated target is ever trusted.
    if header.bits.to_consensus() != REGTEST_BITS {
        return Err(HeaderError::BadBits);
    }
    if !Target::from_compact(required_bits()).is_met_by(*hash) {
        return Err(HeaderError::HighHash);
    }
    Ok(())
}

/// Time and version, given the parent's median time past and this node's clock.
pub fn check_in_context(
    header: &Header,
    parent_median_time: u32,
    unix_secs: u32,
) -> Result<(), HeaderError> {
    if header.time <= parent_median_time {
        return Err(HeaderError::TimeTooOld);
    }
    if is_too_new(header, unix_secs) {
        return Err(HeaderError::TimeTooNew);
    }
    let version = header.version.to_consensus();
    if version < MIN_BLOCK_VERSION {
        return Err(HeaderError::BadVersion(version.cast_unsigned()));
    }
    Ok(())
}

/// Whether a header is too far ahead of this node's clock: the one rule that a clock decides.
pub fn is_too_new(header: &Header, unix_secs: u32) -> bool {
    header.time > unix_secs.saturating_add(MAX_FUTURE_SECS)
}
