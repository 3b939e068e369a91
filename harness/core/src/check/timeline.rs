//! Who is live when, and with which tip: what the plan meant and what nodes did, merged in the
//! order of time.
//!
//! **Live node**: meant to be up by the plan (outside its outages), and up by the events. A live node whose tip is not yet known (it has just come up) is live, and agrees with nobody.
//!
//! All moves of one instant are applied together, so that the order of lines of equal time
//! between different nodes changes no verdict.

use std::collections::BTreeMap;

use peerlab_link::{Nanos, NodeId};

use super::record::{Move, MoveKind, Record};
use super::tree::{BlockId, BlockTree};
use crate::experiment::Ability;
use crate::plan::Plan;

/// All moves of all nodes, sorted by time.
#[derive(Debug)]
pub struct Timeline {
    moves: Vec<Move>,
    start: Vec<NodeState>,
    /// The end of what was observed.
    pub end: Nanos,
}

/// What is known of a node at an instant.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeState {
    meant: bool,
    up: bool,
    /// Whether its probe has no chain to tell of: it is live, and asked about no block.
    pub without_chain: bool,
    /// Its best block; `None` until told since it came up.
    pub tip: Option<BlockId>,
}

impl NodeState {
    /// Meant to be up, and up.
    pub fn live(&self) -> bool {
        self.meant && self.up
    }

    /// Meant to be up, but not up.
    pub fn missing(&self) -> bool {
        self.meant && !self.up
    }

    /// Applies what the node did.
    pub fn apply(&mut self, kind: MoveKind) {
        match kind {
            MoveKind::Up => {
                if !self.up {
                    self.tip = None;
                }
                self.up = true;
            }
            MoveKind::Down { .. } => {
                self.up = false;
                self.tip = None;
            }
            MoveKind::Tip(block) => self.tip = Some(block),
            MoveKind::Said(_) => {}
            MoveKind::Meant(meant) => self.meant = meant,
        }
    }
}

impl Timeline {
    /// Merges the plan's outages and the record's moves. Takes the moves out of the record.
    pub fn of(plan: &Plan, record: &mut Record) -> Timeline {
        let mut moves = meant_by(plan);
        moves.append(&mut record.moves);
        moves.retain(|m| m.node.index() < plan.nodes.len() && m.t <= record.end);
        moves.sort_by_key(|m| m.t); // stable: a node's moves of one instant keep their order
        let start = plan
            .nodes
            .iter()
            .map(|n| NodeState {
                meant: n.starts_up,
                without_chain: plan
                    .groups
                    .get(n.group as usize)
                    .is_some_and(|group| group.probe.ability() < Ability::Chain),
                ..NodeState::default()
            })
            .collect();
        Timeline {
            moves,
            start,
            end: record.end,
        }
    }

    /// The same with what nodes say in the place of their tips.
    #[must_use]
    pub fn of_values(&self) -> Timeline {
        let moves = self.moves.iter().filter_map(|m| match m.kind {
            MoveKind::Tip(_) => None,
            MoveKind::Said(value) => Some(Move {
                kind: MoveKind::Tip(value),
                ..*m
            }),
            MoveKind::Up | MoveKind::Down { .. } | MoveKind::Meant(_) => Some(*m),
        });
        Timeline {
            moves: moves.collect(),
            start: self
                .start
                .iter()
                .map(|state| NodeState {
                    without_chain: false,
                    ..*state
                })
                .collect(),
            end: self.end,
        }
    }

    /// Every node's state before the first move.
    pub fn start(&self) -> &[NodeState] {
        &self.start
    }

    /// The moves, instant by instant, each with all moves of that instant.
    pub fn instants(&self) -> impl Iterator<Item = &[Move]> {
        self.moves.chunk_by(|a, b| a.t == b.t)
    }

    /// Each node's moves, in order.
    pub fn by_node(&self) -> Vec<Vec<Move>> {
        let mut by_node = vec![Vec::new(); self.start.len()];
        for m in &self.moves {
            by_node[m.node.index()].push(*m);
        }
        by_node
    }

    /// Every node's state once all moves up to and including `t` are made.
    pub fn at(&self, t: Nanos) -> Vec<NodeState> {
        let mut states = self.start.clone();
        for m in self.moves.iter().take_while(|m| m.t <= t) {
            states[m.node.index()].apply(m.kind);
        }
        states
    }

    /// Every node's state at the end of the run.
    pub fn at_end(&self) -> Vec<NodeState> {
        self.at(self.end)
    }
}

/// What the plan's outages mean each node to be, as moves.
fn meant_by(plan: &Plan) -> Vec<Move> {
    let mut moves = Vec::new();
    for outage in &plan.outages {
        let mut push = |t, meant| {
            moves.push(Move {
                t,
                node: outage.node,
                kind: MoveKind::Meant(meant),
            });
        };
        push(outage.start, false);
        if let Some(end) = outage.end {
            push(end, true);
        }
    }
    moves
}

/// The live nodes' tips at an instant, counted: what agreement and forks are read from.
#[derive(Debug)]
pub struct Crowd {
    states: Vec<NodeState>,
    /// Who counts.
    member: Vec<bool>,
    /// Whether a member that stops being live is one no more.
    leaves_for_good: bool,
    tips: BTreeMap<BlockId, u32>,
    tip_unknown: u32,
    live: u32,
}

impl Crowd {
    pub fn everybody(timeline: &Timeline) -> Crowd {
        Crowd::new(timeline.start(), vec![true; timeline.start().len()], false)
    }

    /// Those that are live in `states`, for as long as they stay live.
    pub fn those_live(states: &[NodeState]) -> Crowd {
        Crowd::new(states, states.iter().map(NodeState::live).collect(), true)
    }

    /// Everybody, from these states on.
    pub fn everybody_from(states: &[NodeState]) -> Crowd {
        Crowd::new(states, vec![true; states.len()], false)
    }

    fn new(states: &[NodeState], mut member: Vec<bool>, leaves_for_good: bool) -> Crowd {
        for (member, state) in member.iter_mut().zip(states) {
            *member &= !state.without_chain;
        }
        let mut crowd = Crowd {
            states: states.to_vec(),
            member,
            leaves_for_good,
            tips: BTreeMap::new(),
            tip_unknown: 0,
            live: 0,
        };
        for index in 0..states.len() {
            crowd.count(index, true);
        }
        crowd
    }

    /// Makes a move.
    pub fn apply(&mut self, m: &Move) {
        let index = m.node.index();
        self.count(index, false);
        self.states[index].apply(m.kind);
        if self.leaves_for_good && !self.states[index].live() {
            self.member[index] = false;
        }
        self.count(index, true);
    }

    /// Adds a node's tip to the counts, or takes it off.
    fn count(&mut self, index: usize, add: bool) {
        let state = &self.states[index];
        if !(self.member[index] && state.live()) {
            return;
        }
        let step = |n: &mut u32| *n = if add { *n + 1 } else { n.saturating_sub(1) };
        step(&mut self.live);
        match state.tip {
            None => step(&mut self.tip_unknown),
            Some(tip) => {
                let holders = self.tips.entry(tip).or_default();
                step(holders);
                if *holders == 0 {
                    self.tips.remove(&tip);
                }
            }
        }
    }

    /// How many live nodes count.
    pub fn live(&self) -> u32 {
        self.live
    }

    /// The distinct tips held, with how many hold each.
    pub fn tips(&self) -> impl Iterator<Item = (BlockId, u32)> + '_ {
        self.tips.iter().map(|(tip, holders)| (*tip, *holders))
    }

    /// Whether the known tips all lie on one chain.
    pub fn on_one_chain(&self, tree: &BlockTree) -> bool {
        self.tips.len() <= 1 || tree.on_one_chain(self.tips.keys().copied())
    }

    /// Agreement: at least two live nodes, all tips known, all on one chain, each at most `lag`
    /// blocks below the highest.
    pub fn agrees(&self, tree: &BlockTree, lag: u32) -> bool {
        if self.live < 2 || self.tip_unknown > 0 {
            return false;
        }
        let heights = || self.tips.keys().map(|tip| tree.height(*tip));
        let (low, high) = (heights().min().unwrap_or(0), heights().max().unwrap_or(0));
        high - low <= lag && self.on_one_chain(tree)
    }

    /// The best tip: the highest; of several the one that most hold, then the least hash.
    pub fn best(&self, tree: &BlockTree) -> Option<BlockId> {
        self.tips()
            .max_by(|(a, a_held), (b, b_held)| {
                (tree.height(*a), a_held)
                    .cmp(&(tree.height(*b), b_held))
                    .then_with(|| tree.hash(*b).cmp(tree.hash(*a)))
            })
            .map(|(tip, _)| tip)
    }

    /// The live nodes that do not agree with the best tip: on another chain, more than `lag`
    /// behind, or with a tip unknown.
    pub fn dissenters(&self, tree: &BlockTree, lag: u32) -> Vec<NodeId> {
        let best = self.best(tree);
        let agrees = |tip: Option<BlockId>| match (tip, best) {
            (Some(tip), Some(best)) => {
                tree.height(best) - tree.height(tip) <= lag && tree.is_at_or_below(tip, best)
            }
            _ => false,
        };
        (0..self.states.len())
            .filter(|i| self.member[*i] && self.states[*i].live() && !agrees(self.states[*i].tip))
            .map(|i| NodeId(i as u32))
            .collect()
    }
}
