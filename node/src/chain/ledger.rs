//! What a chain says at one moment: tree, active chain, coins. A value: copying one costs next to
//! nothing, since copies share whatever is equal, and nothing in it knows where data is kept.

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use imbl::Vector;

use super::coin::CoinSet;
use super::fingerprint::Fingerprint;
use super::tree::HeaderTree;

/// The state of a ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub tree: HeaderTree,
    /// The active chain, by height; genesis first, never empty.
    pub active: Vector<BlockHash>,
    pub coins: CoinSet,
    /// What [`Ledger::compute_fingerprint`] gave when it last came to rest; only kept where states
    /// are shared.
    pub fingerprint: Fingerprint,
}

impl Ledger {
    /// Genesis alone.
    pub fn at_genesis(header: &Header, hash: BlockHash) -> Arc<Ledger> {
        Arc::new(Ledger {
            tree: HeaderTree::new(header),
            active: Vector::unit(hash),
            coins: CoinSet::default(),
            fingerprint: Fingerprint::default(),
        })
    }

    /// The tip of the active chain.
    pub fn tip(&self) -> BlockHash {
        *self
            .active
            .last()
            .unwrap_or_else(|| unreachable!("holds genesis"))
    }

    /// Stands for the whole state: two with the same fingerprint behave alike for ever, however
    /// they came about. Coins and active chain are not in it, since they follow from the tip, nor
    /// is the path to the best header.
    pub fn compute_fingerprint(&self) -> Fingerprint {
        let mut print = self.tree.fingerprint();
        print.absorb(&self.tip());
        print
    }
}
