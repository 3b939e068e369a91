//! The block tree as the events tell it: parent links, ancestry, what a switch of tips leaves
//! behind. It knows nothing of nodes and time.

use std::collections::BTreeMap;

use peerlab_link::{Nanos, NodeId};

use crate::event::{Block, Tip};

/// A block of the run: its index in the order in which the events first name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(u32);

/// What its own line said of a block.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// When it was first seen.
    pub t: Nanos,
    /// Who mined it, if known.
    pub miner: Option<NodeId>,
    /// Bytes, serialised.
    pub size: u64,
    /// Transactions, the coinbase included.
    pub txs: u32,
}

#[derive(Debug)]
struct Row {
    hash: String,
    height: u32,
    parent: Option<BlockId>,
    described: Option<Described>,
}

/// All blocks that the events name. A block may be named by a tip before its own line comes.
///
/// A parent link is taken only where the heights differ by exactly one, so that no damaged file
/// can make a cycle. Blocks below the pre-mined tip have no lines of their own; they count as
/// ancestors of it.
#[derive(Debug, Default)]
pub struct BlockTree {
    by_hash: BTreeMap<String, BlockId>,
    rows: Vec<Row>,
    base: Option<BlockId>,
    /// Blocks whose parent link was refused.
    pub bad_links: u32,
}

impl BlockTree {
    /// The block of this name.
    pub fn name(&mut self, tip: &Tip) -> BlockId {
        if let Some(id) = self.by_hash.get(&tip.hash) {
            return *id;
        }
        let id = BlockId(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
        self.by_hash.insert(tip.hash.clone(), id);
        self.rows.push(Row {
            hash: tip.hash.clone(),
            height: tip.height,
            parent: None,
            described: None,
        });
        id
    }

    /// The pre-mined tip that every node starts from.
    pub fn set_base(&mut self, tip: &Tip) {
        let id = self.name(tip);
        self.base = Some(id);
    }

    /// A block's own line. The earliest one counts, should there be two.
    pub fn describe(&mut self, t: Nanos, block: &Block) -> BlockId {
        let id = self.name(&block.tip);
        let height = self.height(id);
        let row = &mut self.rows[id.index()];
        if row.described.is_some_and(|earlier| earlier.t <= t) {
            return id;
        }
        row.described = Some(Described {
            t,
            miner: block.miner,
            size: block.size,
            txs: block.txs,
        });
        let Some(parent_height) = block.tip.height.checked_sub(1) else {
            return id;
        };
        let parent = self.name(&Tip {
            hash: block.prev.clone(),
            height: parent_height,
        });
        if self.height(parent) == parent_height && height == block.tip.height {
            self.rows[id.index()].parent = Some(parent);
        } else {
            self.bad_links += 1;
        }
        id
    }

    /// How many blocks are named.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Every block.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = BlockId> + use<> {
        (0..self.rows.len() as u32).map(BlockId)
    }

    /// Every block with a line of its own: those mined in the run.
    pub fn mined(&self) -> impl Iterator<Item = (BlockId, Described)> + '_ {
        self.ids()
            .filter_map(|id| Some((id, self.rows[id.index()].described?)))
    }

    /// The block's height.
    pub fn height(&self, id: BlockId) -> u32 {
        self.rows[id.index()].height
    }

    /// The block's hash.
    pub fn hash(&self, id: BlockId) -> &str {
        &self.rows[id.index()].hash
    }

    /// The block's parent, where known.
    pub fn parent(&self, id: BlockId) -> Option<BlockId> {
        self.rows[id.index()].parent
    }

    /// What its own line said, if there was one.
    pub fn described(&self, id: BlockId) -> Option<Described> {
        self.rows[id.index()].described
    }

    /// Blocks that tips name, above the base, but that no line describes: they hang in the air.
    pub fn undescribed(&self) -> usize {
        let base_height = self.base_height();
        self.rows
            .iter()
            .filter(|r| r.described.is_none() && r.height > base_height)
            .count()
    }

    /// The height of the pre-mined tip, or 0.
    pub fn base_height(&self) -> u32 {
        self.base.map_or(0, |b| self.height(b))
    }

    /// Whether the block is part of the pre-mined chain: the base, or below it.
    fn premined(&self, id: BlockId) -> bool {
        let row = &self.rows[id.index()];
        Some(id) == self.base
            || (self.base.is_some() && row.described.is_none() && row.height < self.base_height())
    }

    /// The block itself and its ancestors, downwards, as far as links are known.
    pub fn downwards(&self, from: BlockId) -> impl Iterator<Item = BlockId> + '_ {
        std::iter::successors(Some(from), |id| self.parent(*id))
    }

    /// Whether `lower` is `upper` or an ancestor of it.
    pub fn is_at_or_below(&self, lower: BlockId, upper: BlockId) -> bool {
        if lower == upper {
            return true;
        }
        let height = self.height(lower);
        if height >= self.height(upper) {
            return false;
        }
        let premined = self.premined(lower);
        for id in self.downwards(upper) {
            if id == lower || (premined && self.premined(id)) {
                return true;
            }
            if self.height(id) < height {
                return false;
            }
        }
        false
    }

    /// Whether these blocks all lie on one chain. `blocks` may be in any order.
    pub fn on_one_chain(&self, blocks: impl Iterator<Item = BlockId>) -> bool {
        let mut blocks: Vec<BlockId> = blocks.collect();
        blocks.sort_unstable_by_key(|id| self.height(*id));
        blocks
            .windows(2)
            .all(|pair| self.is_at_or_below(pair[0], pair[1]))
    }

    /// How many blocks of the chain of `from` are not on the chain of `to`: the depth of the
    /// reorganisation that a node undergoes between these two tips. Zero when `to` extends
    /// `from`.
    pub fn left_behind(&self, from: BlockId, to: BlockId) -> u32 {
        let mut depth = 0;
        for id in self.downwards(from) {
            if self.is_at_or_below(id, to) {
                break;
            }
            if self.premined(id) {
                // Both lie in the pre-mined chain, `to` lower.
                depth += self.height(id).saturating_sub(self.height(to));
                break;
            }
            depth += 1;
        }
        depth
    }
}

impl BlockId {
    /// The index into tables of blocks.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(name: &str, height: u32) -> Tip {
        Tip {
            hash: name.into(),
            height,
        }
    }

    /// base(100) - a1 - a2 - a3, and base - b1 - b2.
    fn two_branches() -> BlockTree {
        let mut tree = BlockTree::default();
        tree.set_base(&tip("base", 100));
        for (name, prev, height) in [
            ("a2", "a1", 102), // before its parent's line
            ("a1", "base", 101),
            ("b1", "base", 101),
            ("b2", "b1", 102),
            ("a3", "a2", 103),
        ] {
            describe(&mut tree, name, prev, height);
        }
        tree
    }

    fn describe(tree: &mut BlockTree, name: &str, prev: &str, height: u32) {
        let block = Block {
            tip: tip(name, height),
            prev: prev.into(),
            miner: None,
            size: 1,
            txs: 1,
            txids: Vec::new(),
        };
        tree.describe(Nanos(1), &block);
    }

    fn id(tree: &mut BlockTree, name: &str) -> BlockId {
        tree.name(&tip(name, 0))
    }

    #[test]
    fn ancestry_follows_parent_links() {
        let mut tree = two_branches();
        let [base, a1, a3, b2] = ["base", "a1", "a3", "b2"].map(|n| id(&mut tree, n));
        assert!(tree.is_at_or_below(base, a3));
        assert!(tree.is_at_or_below(a1, a3));
        assert!(!tree.is_at_or_below(a3, a1));
        assert!(!tree.is_at_or_below(a1, b2));
        assert!(tree.on_one_chain([a3, base, a1].into_iter()));
        assert!(!tree.on_one_chain([a3, b2].into_iter()));
    }

    #[test]
    fn a_switch_leaves_behind_what_the_new_chain_lacks() {
        let mut tree = two_branches();
        let [base, a1, a3, b2] = ["base", "a1", "a3", "b2"].map(|n| id(&mut tree, n));
        assert_eq!(tree.left_behind(b2, a3), 2);
        assert_eq!(tree.left_behind(a3, b2), 3);
        assert_eq!(tree.left_behind(a1, a3), 0);
        assert_eq!(tree.left_behind(a3, base), 3);
        assert_eq!(tree.left_behind(base, base), 0);
    }

    #[test]
    fn a_node_that_loads_the_premined_chain_is_on_it() {
        let mut tree = two_branches();
        let [base, a3] = ["base", "a3"].map(|n| id(&mut tree, n));
        let genesis = tree.name(&tip("genesis", 0));
        assert!(tree.is_at_or_below(genesis, a3));
        assert_eq!(tree.left_behind(genesis, a3), 0);
        assert_eq!(tree.left_behind(base, genesis), 100);
        assert_eq!(tree.undescribed(), 0);
    }

    #[test]
    fn a_block_without_a_line_is_on_no_chain() {
        let mut tree = two_branches();
        let [base, a3] = ["base", "a3"].map(|n| id(&mut tree, n));
        let stranger = tree.name(&tip("stranger", 102));
        assert!(!tree.is_at_or_below(stranger, a3));
        assert!(!tree.is_at_or_below(base, stranger));
        assert_eq!(tree.undescribed(), 1);
        assert_eq!(tree.left_behind(stranger, a3), 1);
    }

    #[test]
    fn links_that_would_make_a_cycle_are_refused() {
        let mut tree = BlockTree::default();
        tree.set_base(&tip("base", 0));
        describe(&mut tree, "x", "y", 5);
        describe(&mut tree, "y", "x", 6);
        assert_eq!(tree.bad_links, 1);
        let [x, y] = ["x", "y"].map(|n| id(&mut tree, n));
        assert!(tree.downwards(x).count() <= 2 && tree.downwards(y).count() <= 2);
    }
}
