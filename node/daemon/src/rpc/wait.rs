//! Waiting for a block: what the `waitfor...` methods wait for, apart from how they wait.

use std::time::Duration;

use bitcoin::BlockHash;
use serde_json::{Value, json};

/// The best block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
}

impl Tip {
    /// As the `waitfor...` methods answer it.
    pub fn to_json(self) -> Value {
        json!({ "hash": self.hash.to_string(), "height": self.height })
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Any tip but this.
    Other(BlockHash),
    /// This very tip.
    Block(BlockHash),
    /// A tip at this height or above.
    Height(i64),
}

/// A caller who waits for the tip to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipWait {
    /// For what.
    pub until: Until,
    /// After which the tip of that moment is answered anyway; `None` waits for ever.
    pub timeout: Option<Duration>,
}

impl TipWait {
    /// Whether this tip ends the wait.
    pub fn is_over(&self, tip: &Tip) -> bool {
        match self.until {
            Until::Other(hash) => tip.hash != hash,
            Until::Block(hash) => tip.hash == hash,
            Until::Height(height) => i64::from(tip.height) >= height,
        }
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    #[test]
    fn each_wait_ends_at_its_tip() {
        let [old, new] = [1, 2].map(|byte| BlockHash::from_byte_array([byte; 32]));
        let tip = Tip {
            hash: new,
            height: 5,
        };
        let over = |until| {
            TipWait {
                until,
                timeout: None,
            }
            .is_over(&tip)
        };
        assert!(over(Until::Other(old)));
        assert!(!over(Until::Other(new)));
        assert!(over(Until::Block(new)));
        assert!(!over(Until::Block(old)));
        assert!(over(Until::Height(5)));
        assert!(over(Until::Height(-1)));
        assert!(!over(Until::Height(6)));
    }
}
