//! What a chain says at one moment: tree, active chain, coins. A value: copying one costs next to
//! nothing, since copies share whatever is equal, and nothing in it knows where data is kept.

use std::sync::Arc;

use bitcoin::BlockHash;
use imbl::Vector;

use super::coin::CoinSet;
use super::fingerprint::Fingerprint;
use super::genesis::GENESIS;
use super::tree::HeaderTree;

/// The state of a ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub tree: HeaderTree,
    active: Vector<BlockHash>,
    /// The last of these.
    tip: BlockHash,
    pub coins: CoinSet,
    /// What [`Ledger::compute_fingerprint`] gave when it last came to rest; only kept where states
    /// are shared.
    pub fingerprint: Fingerprint,
}

impl Ledger {
    /// Genesis alone.
    pub fn at_genesis() -> Arc<Ledger> {
        let (hash, block) = &*GENESIS;
        Arc::new(Ledger {
            tree: HeaderTree::new(&block.header),
            active: Vector::unit(*hash),
            tip: *hash,
            coins: CoinSet::default(),
            fingerprint: Fingerprint::default(),
        })
    }

    /// The tip of the active chain.
    pub fn tip(&self) -> BlockHash {
        self.tip
    }

    /// The active chain, by height; genesis first, never empty.
    pub fn active(&self) -> &Vector<BlockHash> {
        &self.active
    }

    /// Replaces the active chain, unless by nothing.
    pub fn set_active(&mut self, active: Vector<BlockHash>) {
        if let Some(tip) = active.last() {
            self.tip = *tip;
            self.active = active;
        }
    }

    /// Puts a block on the tip.
    pub fn push_tip(&mut self, hash: BlockHash) {
        self.active.push_back(hash);
        self.tip = hash;
    }

    /// Takes the tip off; genesis stays.
    pub fn pop_tip(&mut self) {
        self.active.truncate((self.active.len() - 1).max(1));
        if let Some(tip) = self.active.last() {
            self.tip = *tip;
        }
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
