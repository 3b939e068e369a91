//! Puts what was seen of the ledger into the order of the record: a block's line comes before
//! the first tip on it and after its parent's. Sans-IO: it says which block must be asked for.

use std::collections::{BTreeMap, VecDeque};

use peerlab_link::{Nanos, NodeId};

use super::io::{BlockFacts, KnownBlocks, Order};
use crate::event::{Block, RunEvent, Tip, What};
use crate::ledger::Premined;

/// How many nodes are asked for a block before its line is given up.
const ASKED_MAX: usize = 5;

/// A block that is waited for.
#[derive(Debug, Default)]
struct Awaited {
    /// Tips on it, not yet written, in the order in which they were seen.
    tips: Vec<RunEvent>,
    /// Who has it.
    holders: Vec<NodeId>,
    /// How many of the holders were asked.
    asked: usize,
    /// What was answered, while its miner may still become known.
    answer: Option<Vec<BlockFacts>>,
}

/// Puts events into order. Those that are ready are taken out by [`Sequencer::poll_event`].
#[derive(Debug, Default)]
pub struct Sequencer {
    known: KnownBlocks,
    awaited: BTreeMap<String, Awaited>,
    first_seen: BTreeMap<String, Nanos>,
    miners: BTreeMap<String, NodeId>,
    /// Winners that have been asked and have not answered.
    mining: usize,
    ready: VecDeque<RunEvent>,
}

impl Sequencer {
    /// Only the pre-mined chain is known.
    pub fn new(premined: &Premined) -> Sequencer {
        let sequencer = Sequencer::default();
        for hash in &premined.hashes {
            sequencer.known.insert(hash.to_string());
        }
        sequencer
    }

    /// The next line that is ready.
    pub fn poll_event(&mut self) -> Option<RunEvent> {
        self.ready.pop_front()
    }

    /// A line that has nothing to wait for.
    pub fn event(&mut self, t: Nanos, what: What) {
        self.ready.push_back(RunEvent { t, what });
    }

    /// A node's best block was seen. Its block may have to be asked for.
    #[must_use = "the block must be asked for"]
    pub fn tip(&mut self, t: Nanos, node: NodeId, tip: Tip) -> Option<Order> {
        let hash = tip.hash.clone();
        let what = What::Tip { node, tip };
        if self.known.contains(&hash) {
            self.event(t, what);
            return None;
        }
        let awaited = self.awaited.entry(hash.clone()).or_default();
        awaited.tips.push(RunEvent { t, what });
        self.holds(t, node, &hash)
    }

    /// A winner is asked to mine.
    pub fn mining(&mut self) {
        self.mining += 1;
    }

    /// A winner has answered, with a block or without.
    #[must_use = "the block must be asked for"]
    pub fn mined(&mut self, t: Nanos, node: NodeId, hash: Option<String>) -> Option<Order> {
        self.mining = self.mining.saturating_sub(1);
        let unknown = hash.filter(|hash| !self.known.contains(hash));
        let question = unknown.and_then(|hash| {
            self.miners.insert(hash.clone(), node);
            self.holds(t, node, &hash)
        });
        self.write_answered();
        question
    }

    /// A question was answered: the block first, then its unknown ancestors. Empty when the
    /// node could not tell.
    #[must_use = "another node must be asked"]
    pub fn answered(&mut self, hash: &str, blocks: Vec<BlockFacts>) -> Option<Order> {
        let awaited = self.awaited.get_mut(hash)?;
        if !blocks.is_empty() {
            awaited.answer = Some(blocks);
            self.write_answered();
            return None;
        }
        let may_ask = awaited.asked < ASKED_MAX;
        let question = may_ask.then(|| self.ask(hash)).flatten();
        if question.is_none() {
            tracing::warn!("no node could tell about block {hash}");
            self.release(hash);
        }
        question
    }

    /// A block's facts are known without having been asked for.
    pub fn block(&mut self, t: Nanos, facts: BlockFacts, miner: Option<NodeId>) {
        if self.known.contains(&facts.hash) {
            return;
        }
        if let Some(miner) = miner {
            self.miners.insert(facts.hash.clone(), miner);
        }
        self.write_block(facts, t);
    }

    /// Writes every line that still waits, whether its block is known or not.
    pub fn finish(&mut self) {
        self.mining = 0;
        self.write_answered();
        let rest: Vec<String> = self.awaited.keys().cloned().collect();
        for hash in rest {
            self.release(&hash);
        }
    }

    /// A node has a block whose line is not written: asks it, unless another was asked.
    fn holds(&mut self, t: Nanos, node: NodeId, hash: &str) -> Option<Order> {
        let first = self.first_seen.entry(hash.to_owned()).or_insert(t);
        *first = t.min(*first);
        let awaited = self.awaited.entry(hash.to_owned()).or_default();
        awaited.holders.push(node);
        let is_first = awaited.asked == 0;
        is_first.then(|| self.ask(hash)).flatten()
    }

    /// Asks the first node known to have the block, and then the latest: the others may have gone
    /// meanwhile.
    fn ask(&mut self, hash: &str) -> Option<Order> {
        let awaited = self.awaited.get_mut(hash)?;
        let node = match awaited.asked {
            0 => awaited.holders.first().copied(),
            _ => awaited.holders.pop(),
        };
        awaited.asked += 1;
        Some(Order::AskBlocks {
            node: node?,
            hash: hash.to_owned(),
            known: self.known.clone(),
        })
    }

    /// Writes the blocks that were told of and whose miner is known, or will not be.
    fn write_answered(&mut self) {
        let ready: Vec<String> = self
            .awaited
            .iter()
            .filter(|(hash, awaited)| {
                let settled = self.mining == 0 || self.miners.contains_key(*hash);
                awaited.answer.is_some() && settled
            })
            .map(|(hash, _)| hash.clone())
            .collect();
        for hash in ready {
            let answer = self.awaited.get_mut(&hash).and_then(|a| a.answer.take());
            let first_seen = self.first_seen.get(&hash).copied().unwrap_or_default();
            for block in answer.unwrap_or_default().into_iter().rev() {
                self.write_block(block, first_seen);
            }
            // The node answered with another block than the one asked for.
            self.release(&hash);
        }
    }

    fn write_block(&mut self, block: BlockFacts, not_later_than: Nanos) {
        if self.known.contains(&block.hash) {
            return;
        }
        let seen = self.first_seen.remove(&block.hash);
        let what = What::Block(Block {
            tip: Tip {
                hash: block.hash.clone(),
                height: block.height,
            },
            prev: block.prev,
            miner: self.miners.remove(&block.hash),
            size: block.size,
            txs: block.tx.len() as u32,
            txids: block.tx.into_iter().skip(1).collect(),
        });
        let t = seen.map_or(not_later_than, |seen| seen.min(not_later_than));
        self.event(t, what);
        self.release(&block.hash);
    }

    /// The block's line is written, or given up: the tips on it follow.
    fn release(&mut self, hash: &str) {
        self.known.insert(hash.to_owned());
        let awaited = self.awaited.remove(hash).unwrap_or_default();
        self.ready.extend(awaited.tips);
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

    fn facts(name: &str, prev: &str, height: u32) -> BlockFacts {
        BlockFacts {
            hash: name.into(),
            height,
            prev: prev.into(),
            size: 300,
            tx: vec!["coinbase".into()],
        }
    }

    fn lines(sequencer: &mut Sequencer) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(event) = sequencer.poll_event() {
            lines.push(match event.what {
                What::Block(Block { tip, miner, .. }) => format!(
                    "{} block {} by {:?}",
                    event.t.0,
                    tip.hash,
                    miner.map(|m| m.0)
                ),
                What::Tip { node, tip } => format!("{} tip {} of {node}", event.t.0, tip.hash),
                other => format!("{other:?}"),
            });
        }
        lines
    }

    /// Whom the order asks for a block.
    fn asked(order: Option<Order>) -> Option<u32> {
        match order? {
            Order::AskBlocks { node, .. } => Some(node.0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tip_waits_for_its_block_and_the_block_for_its_parents() {
        let mut c = Sequencer::new(&Premined::mine(0));
        assert_eq!(asked(c.tip(Nanos(10), NodeId(1), tip("b", 2))), Some(1));
        let again = c.tip(Nanos(11), NodeId(2), tip("b", 2));
        assert_eq!(asked(again), None, "asked once");
        assert_eq!(lines(&mut c), Vec::<String>::new());
        let blocks = vec![facts("b", "a", 2), facts("a", "g", 1)];
        assert_eq!(asked(c.answered("b", blocks)), None);
        assert_eq!(
            lines(&mut c),
            [
                "10 block a by None",
                "10 block b by None",
                "10 tip b of 1",
                "11 tip b of 2"
            ]
        );
        assert_eq!(asked(c.tip(Nanos(12), NodeId(3), tip("a", 1))), None);
        assert_eq!(lines(&mut c), ["12 tip a of 3"]);
    }

    #[test]
    fn a_block_waits_for_its_miner_to_be_known() {
        let mut c = Sequencer::new(&Premined::mine(0));
        c.mining();
        let question = c.tip(Nanos(10), NodeId(4), tip("a", 1));
        assert!(question.is_some());
        assert_eq!(asked(c.answered("a", vec![facts("a", "g", 1)])), None);
        assert_eq!(lines(&mut c), Vec::<String>::new());
        assert_eq!(asked(c.mined(Nanos(9), NodeId(3), Some("a".into()))), None);
        assert_eq!(lines(&mut c), ["9 block a by Some(3)", "10 tip a of 4"]);
    }

    #[test]
    fn a_winner_that_fails_does_not_hold_others_blocks_back_for_ever() {
        let mut c = Sequencer::new(&Premined::mine(0));
        c.mining();
        assert!(c.tip(Nanos(10), NodeId(4), tip("a", 1)).is_some());
        assert_eq!(asked(c.answered("a", vec![facts("a", "g", 1)])), None);
        assert_eq!(asked(c.mined(Nanos(20), NodeId(3), None)), None);
        assert_eq!(lines(&mut c), ["10 block a by None", "10 tip a of 4"]);
    }

    #[test]
    fn another_holder_is_asked_when_the_first_cannot_tell() {
        let mut c = Sequencer::new(&Premined::mine(0));
        assert!(c.tip(Nanos(10), NodeId(1), tip("a", 1)).is_some());
        assert_eq!(asked(c.tip(Nanos(11), NodeId(2), tip("a", 1))), None);
        assert_eq!(asked(c.answered("a", vec![])), Some(2));
        assert_eq!(asked(c.answered("a", vec![])), Some(1));
        assert_eq!(asked(c.answered("a", vec![])), None, "nobody is left");
        assert_eq!(lines(&mut c), ["10 tip a of 1", "11 tip a of 2"]);
    }

    #[test]
    fn at_the_end_nothing_stays_back() {
        let mut c = Sequencer::new(&Premined::mine(0));
        c.mining();
        assert!(c.tip(Nanos(10), NodeId(1), tip("a", 1)).is_some());
        assert!(c.tip(Nanos(11), NodeId(2), tip("x", 1)).is_some());
        assert_eq!(asked(c.answered("a", vec![facts("a", "g", 1)])), None);
        c.finish();
        assert_eq!(
            lines(&mut c),
            ["10 block a by None", "10 tip a of 1", "11 tip x of 2"]
        );
    }
}
