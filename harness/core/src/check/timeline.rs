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
use crate::plan::spec::Node;

/// All moves of all nodes, sorted by time, and the blocks that they speak of.
#[derive(Debug)]
pub struct Timeline<'a> {
    pub tree: &'a BlockTree,
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
            MoveKind::Untold => self.tip = None,
            MoveKind::Meant(meant) => self.meant = meant,
        }
    }
}

impl<'a> Timeline<'a> {
    /// Merges the plan's outages and what nodes did.
    pub fn of(plan: &Plan, record: &'a Record, moves: Vec<Move>) -> Timeline<'a> {
        let meant = |t: Option<Nanos>, node, meant| {
            let kind = MoveKind::Meant(meant);
            t.map(|t| Move { t, node, kind })
        };
        let outages = plan.outages.iter();
        let meant = outages.flat_map(|o| {
            [
                meant(Some(o.start), o.node, false),
                meant(o.end, o.node, true),
            ]
        });
        let mut moves: Vec<Move> = meant.flatten().chain(moves).collect();
        moves.retain(|m| m.node.index() < plan.nodes.len() && m.t <= record.end);
        moves.sort_by_key(|m| m.t); // stable: a node's moves of one instant keep their order
        let state = |node: &Node| NodeState {
            meant: node.starts_up,
            without_chain: plan
                .groups
                .get(node.group as usize)
                .is_some_and(|group| group.probe.ability() < Ability::Chain),
            ..NodeState::default()
        };
        Timeline {
            tree: &record.tree,
            moves,
            start: plan.nodes.iter().map(state).collect(),
            end: record.end,
        }
    }

    /// The same with what nodes say in the place of their best blocks.
    #[must_use]
    pub fn of_values(&self, record: &'a Record) -> Timeline<'a> {
        let others = self
            .moves
            .iter()
            .filter(|m| !matches!(m.kind, MoveKind::Tip(_)));
        let said = record
            .said
            .iter()
            .filter(|m| m.node.index() < self.start.len());
        let mut moves: Vec<Move> = others.chain(said).copied().collect();
        moves.sort_by_key(|m| m.t);
        let mut start = self.start.clone();
        for state in &mut start {
            state.without_chain = false;
        }
        Timeline {
            tree: &record.values,
            moves,
            start,
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

    /// When each node was live, as `[from, until)`; a stay that lasts to the end of the run has no
    /// end of its own.
    pub fn stays(&self) -> Vec<Vec<(Nanos, Nanos)>> {
        const OPEN: Nanos = Nanos(u64::MAX);
        let mut states = self.start.clone();
        let at_first = |s: &NodeState| Vec::from_iter(s.live().then_some((Nanos::ZERO, OPEN)));
        let mut stays: Vec<Vec<(Nanos, Nanos)>> = states.iter().map(at_first).collect();
        for m in &self.moves {
            let (state, own) = (&mut states[m.node.index()], &mut stays[m.node.index()]);
            let was_live = state.live();
            state.apply(m.kind);
            if state.live() && !was_live {
                own.push((m.t, OPEN));
            } else if let Some(last) = own.last_mut().filter(|_| was_live && !state.live()) {
                last.1 = m.t;
            }
        }
        stays
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

    /// The nodes that are so at the end of the run.
    pub fn at_end(&self, are: fn(&NodeState) -> bool) -> Vec<NodeId> {
        let states = self.at(self.end).into_iter().zip(0..);
        let wanted = states.filter(|(state, _)| are(state));
        wanted.map(|(_, id)| NodeId(id)).collect()
    }
}

/// The live nodes' tips at an instant, counted: what agreement and forks are read from.
#[derive(Debug)]
pub struct Crowd<'a> {
    tree: &'a BlockTree,
    states: Vec<NodeState>,
    /// Who counts.
    member: Vec<bool>,
    /// Whether a member that stops being live is one no more.
    leaves_for_good: bool,
    tips: BTreeMap<BlockId, u32>,
    tip_unknown: u32,
    live: u32,
}

impl<'a> Crowd<'a> {
    /// Everybody, from these states on.
    pub fn everybody(tree: &'a BlockTree, states: Vec<NodeState>) -> Crowd<'a> {
        Crowd::new(tree, states, false)
    }

    /// Those that are live in `states`, for as long as they stay live.
    pub fn those_live(tree: &'a BlockTree, states: Vec<NodeState>) -> Crowd<'a> {
        Crowd::new(tree, states, true)
    }

    fn new(tree: &'a BlockTree, states: Vec<NodeState>, leaves_for_good: bool) -> Crowd<'a> {
        let counts = |s: &NodeState| !s.without_chain && (s.live() || !leaves_for_good);
        let mut crowd = Crowd {
            tree,
            member: states.iter().map(counts).collect(),
            states,
            leaves_for_good,
            tips: BTreeMap::new(),
            tip_unknown: 0,
            live: 0,
        };
        for index in 0..crowd.states.len() {
            crowd.count(index, true);
        }
        crowd
    }

    /// Makes all moves of an instant.
    pub fn apply(&mut self, instant: &[Move]) {
        for m in instant {
            let index = m.node.index();
            self.count(index, false);
            self.states[index].apply(m.kind);
            if self.leaves_for_good && !self.states[index].live() {
                self.member[index] = false;
            }
            self.count(index, true);
        }
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

    /// The distinct tips held.
    pub fn tips(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.tips.keys().copied()
    }

    /// Whether the known tips all lie on one chain.
    pub fn on_one_chain(&self) -> bool {
        self.tree.on_one_chain(self.tips())
    }

    /// Agreement: at least two live nodes, all tips known, all on one chain, each at most `lag`
    /// blocks below the highest.
    pub fn agrees(&self, lag: u32) -> bool {
        if self.live < 2 || self.tip_unknown > 0 {
            return false;
        }
        let heights = || self.tips().map(|tip| self.tree.height(tip));
        let (low, high) = (heights().min().unwrap_or(0), heights().max().unwrap_or(0));
        high - low <= lag && self.on_one_chain()
    }

    /// The best tip: the highest; of several the one that most hold, then the least hash.
    pub fn best(&self) -> Option<BlockId> {
        let rank = |(tip, held): &(&BlockId, &u32)| {
            let hash = std::cmp::Reverse(self.tree.hash(**tip));
            (self.tree.height(**tip), **held, hash)
        };
        self.tips.iter().max_by_key(rank).map(|(tip, _)| *tip)
    }

    /// The live nodes that do not agree with the best tip: on another chain, more than `lag`
    /// behind, or with a tip unknown.
    pub fn dissenters(&self, lag: u32) -> Vec<NodeId> {
        let best = self.best();
        let agrees = |tip: Option<BlockId>| match (tip, best) {
            (Some(tip), Some(best)) => {
                let behind = self.tree.height(best) - self.tree.height(tip);
                behind <= lag && self.tree.is_at_or_below(tip, best)
            }
            _ => false,
        };
        (0..self.states.len())
            .filter(|i| self.member[*i] && self.states[*i].live() && !agrees(self.states[*i].tip))
            .map(|i| NodeId(i as u32))
            .collect()
    }
}
