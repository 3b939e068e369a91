//! Puts what was seen of the ledger into the order of the record: a block's line comes before
//! the first tip on it and after its parent's. Sans-IO: it says which block must be asked for.

use std::collections::{BTreeMap, VecDeque};

use peerlab_link::{Nanos, NodeId};

use super::io::{BlockFacts, KnownBlocks, Order};
use crate::event::{Block, RunEvent, Tip, What};
use crate::ledger::Premined;

/// How many nodes are asked for a block before its line is given up.
const ASKED_MAX: usize = 5;
/// Questions about blocks that one node is asked at once: one that never answers keeps a task and
/// a connection busy with each for as long as it is waited for.
const QUESTIONS_OF_NODE: usize = 4;
/// Further questions that wait until their node has answered. The latest goes first, since its
/// answer brings the blocks before it along; where there are more, the oldest is given up: nobody
/// but a node that makes blocks up has so many.
const WAITING_OF_NODE: usize = 10_000;

/// A block that is waited for.
#[derive(Debug, Default)]
struct Awaited {
    /// Tips on it, not yet written, in the order in which they were seen.
    tips: Vec<RunEvent>,
    /// When it was first seen.
    first_seen: Option<Nanos>,
    /// Who has it.
    holders: Vec<NodeId>,
    /// How many of the holders were asked.
    asked: usize,
    /// Whether one of them is being asked.
    under_way: bool,
    /// What was answered, while its miner may still become known.
    answer: Option<Vec<BlockFacts>>,
}

impl Awaited {
    /// Whether a holder is to be asked.
    fn is_open(&self) -> bool {
        !self.under_way && self.answer.is_none()
    }
}

/// What one node is asked.
#[derive(Debug, Default)]
struct Questions {
    under_way: usize,
    /// Blocks that it is asked about later, oldest first.
    waiting: VecDeque<String>,
}

/// Puts events into order. Those that are ready are taken out by [`Sequencer::poll_event`].
#[derive(Debug, Default)]
pub struct Sequencer {
    known: KnownBlocks,
    awaited: BTreeMap<String, Awaited>,
    questions: BTreeMap<NodeId, Questions>,
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

    /// The same where nodes have a history besides, which ends with this block.
    #[must_use]
    pub fn after(self, history: Option<&Tip>) -> Sequencer {
        if let Some(tip) = history {
            self.known.insert(tip.hash.clone());
        }
        self
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

    /// A node has answered a question: the block first, then its unknown ancestors. Empty when it
    /// could not tell.
    #[must_use = "nodes must be asked"]
    pub fn answered(&mut self, node: NodeId, hash: &str, blocks: Vec<BlockFacts>) -> Vec<Order> {
        if let Some(questions) = self.questions.get_mut(&node) {
            questions.under_way = questions.under_way.saturating_sub(1);
        }
        let again = self.take_answer(hash, blocks);
        let next = self.ask_next(node);
        again.into_iter().chain(next).collect()
    }

    /// Another holder is asked where there was no answer.
    fn take_answer(&mut self, hash: &str, blocks: Vec<BlockFacts>) -> Option<Order> {
        let awaited = self.awaited.get_mut(hash)?;
        awaited.under_way = false;
        if !blocks.is_empty() {
            awaited.answer = Some(blocks);
            self.write_answered();
            return None;
        }
        let may_ask = awaited.asked < ASKED_MAX;
        // The latest: the others may have gone meanwhile.
        let Some(holder) = may_ask.then(|| awaited.holders.pop()).flatten() else {
            tracing::warn!("no node could tell about block {hash}");
            self.release(hash);
            return None;
        };
        self.ask(hash, holder)
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

    /// A node has a block whose line is not written: asks it, unless another is being asked.
    fn holds(&mut self, t: Nanos, node: NodeId, hash: &str) -> Option<Order> {
        let awaited = self.awaited.entry(hash.to_owned()).or_default();
        awaited.first_seen = Some(awaited.first_seen.map_or(t, |first| first.min(t)));
        awaited.holders.push(node);
        awaited.is_open().then(|| self.ask(hash, node)).flatten()
    }

    /// Asks a node about a block, now or once it has answered others.
    fn ask(&mut self, hash: &str, node: NodeId) -> Option<Order> {
        let questions = self.questions.entry(node).or_default();
        if questions.under_way >= QUESTIONS_OF_NODE {
            questions.waiting.push_back(hash.to_owned());
            if questions.waiting.len() > WAITING_OF_NODE
                && let Some(oldest) = questions.waiting.pop_front()
                && self.awaited.get(&oldest).is_some_and(Awaited::is_open)
            {
                self.release(&oldest);
            }
            return None;
        }
        let awaited = self.awaited.get_mut(hash)?;
        questions.under_way += 1;
        awaited.asked += 1;
        awaited.under_way = true;
        Some(Order::AskBlocks {
            node,
            hash: hash.to_owned(),
            known: self.known.clone(),
        })
    }

    /// Asks a node the latest question that waits for it.
    fn ask_next(&mut self, node: NodeId) -> Option<Order> {
        loop {
            let hash = self.questions.get_mut(&node)?.waiting.pop_back()?;
            // Others may have told about it meanwhile.
            if self.awaited.get(&hash).is_some_and(Awaited::is_open) {
                return self.ask(&hash, node);
            }
        }
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
            let Some(awaited) = self.awaited.get_mut(&hash) else {
                continue;
            };
            let first_seen = awaited.first_seen.unwrap_or_default();
            for block in awaited.answer.take().unwrap_or_default().into_iter().rev() {
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
        let seen = self.awaited.get(&block.hash).and_then(|a| a.first_seen);
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

    /// What a node says about a block, and whom the one order after it asks.
    fn answered(c: &mut Sequencer, node: u32, hash: &str, blocks: Vec<BlockFacts>) -> Option<u32> {
        let mut orders = c.answered(NodeId(node), hash, blocks);
        assert!(orders.len() <= 1, "{orders:?}");
        asked(orders.pop())
    }

    #[test]
    fn a_tip_waits_for_its_block_and_the_block_for_its_parents() {
        let mut c = Sequencer::new(&Premined::mine(0));
        assert_eq!(asked(c.tip(Nanos(10), NodeId(1), tip("b", 2))), Some(1));
        let again = c.tip(Nanos(11), NodeId(2), tip("b", 2));
        assert_eq!(asked(again), None, "asked once");
        assert_eq!(lines(&mut c), Vec::<String>::new());
        let blocks = vec![facts("b", "a", 2), facts("a", "g", 1)];
        assert_eq!(answered(&mut c, 1, "b", blocks), None);
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
        assert_eq!(answered(&mut c, 4, "a", vec![facts("a", "g", 1)]), None);
        assert_eq!(lines(&mut c), Vec::<String>::new());
        assert_eq!(asked(c.mined(Nanos(9), NodeId(3), Some("a".into()))), None);
        assert_eq!(lines(&mut c), ["9 block a by Some(3)", "10 tip a of 4"]);
    }

    #[test]
    fn a_winner_that_fails_does_not_hold_others_blocks_back_for_ever() {
        let mut c = Sequencer::new(&Premined::mine(0));
        c.mining();
        assert!(c.tip(Nanos(10), NodeId(4), tip("a", 1)).is_some());
        assert_eq!(answered(&mut c, 4, "a", vec![facts("a", "g", 1)]), None);
        assert_eq!(asked(c.mined(Nanos(20), NodeId(3), None)), None);
        assert_eq!(lines(&mut c), ["10 block a by None", "10 tip a of 4"]);
    }

    #[test]
    fn another_holder_is_asked_when_the_first_cannot_tell() {
        let mut c = Sequencer::new(&Premined::mine(0));
        assert!(c.tip(Nanos(10), NodeId(1), tip("a", 1)).is_some());
        assert_eq!(asked(c.tip(Nanos(11), NodeId(2), tip("a", 1))), None);
        assert_eq!(answered(&mut c, 1, "a", vec![]), Some(2));
        assert_eq!(answered(&mut c, 2, "a", vec![]), Some(1));
        assert_eq!(answered(&mut c, 1, "a", vec![]), None, "nobody is left");
        assert_eq!(lines(&mut c), ["10 tip a of 1", "11 tip a of 2"]);
    }

    #[test]
    fn a_node_that_invents_blocks_is_asked_about_few_of_them_at_once() {
        let mut c = Sequencer::new(&Premined::mine(0));
        let made_up =
            |c: &mut Sequencer, name: &str| asked(c.tip(Nanos(1), NodeId(1), tip(name, 9)));
        let bound = QUESTIONS_OF_NODE;
        for number in 0..bound {
            assert_eq!(made_up(&mut c, &format!("x{number}")), Some(1));
        }
        for name in ["p", "q", "r"] {
            assert_eq!(made_up(&mut c, name), None);
        }
        // Who else has one of them is asked at once.
        assert_eq!(asked(c.tip(Nanos(2), NodeId(2), tip("q", 9))), Some(2));
        assert_eq!(answered(&mut c, 2, "q", vec![facts("q", "g", 9)]), None);
        // As soon as there is room, the latest comes first, and what is known is not asked about.
        let lost = |c: &mut Sequencer, name: &str| {
            let orders = c.answered(NodeId(1), name, vec![facts(name, "g", 9)]);
            let mut asked_about = orders.into_iter().map(|order| match order {
                Order::AskBlocks { hash, .. } => hash,
                other => panic!("{other:?}"),
            });
            asked_about.next()
        };
        assert_eq!(lost(&mut c, "x0").as_deref(), Some("r"));
        assert_eq!(lost(&mut c, "x1").as_deref(), Some("p"));
        assert_eq!(lost(&mut c, "x2"), None);
        assert_eq!(made_up(&mut c, "s"), Some(1));
    }

    #[test]
    fn blocks_that_are_made_up_without_end_are_given_up() {
        let mut c = Sequencer::new(&Premined::mine(0));
        for number in 0..2 * WAITING_OF_NODE {
            let _ = c.tip(Nanos(1), NodeId(1), tip(&format!("{number}"), 9));
        }
        assert_eq!(c.awaited.len(), QUESTIONS_OF_NODE + WAITING_OF_NODE);
        assert_eq!(lines(&mut c).len(), WAITING_OF_NODE - QUESTIONS_OF_NODE);
    }

    #[test]
    fn at_the_end_nothing_stays_back() {
        let mut c = Sequencer::new(&Premined::mine(0));
        c.mining();
        assert!(c.tip(Nanos(10), NodeId(1), tip("a", 1)).is_some());
        assert!(c.tip(Nanos(11), NodeId(2), tip("x", 1)).is_some());
        assert_eq!(answered(&mut c, 4, "a", vec![facts("a", "g", 1)]), None);
        c.finish();
        assert_eq!(
            lines(&mut c),
            ["10 block a by None", "10 tip a of 1", "11 tip x of 2"]
        );
    }
}
