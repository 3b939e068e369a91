//! The ways in which a scenario gets smaller. Each gives another scenario that says the same of
//! what is left; whether that still fails is `shrink`'s affair. How small one is, is [`Size`].

use std::collections::BTreeSet;

use peerlab_link::{Loss, Nanos, PathDelay, Shape};

use super::scenario::{Away, Fault, FaultKind, Known, Scenario, region_in};
use crate::plan::PERIOD_MIN;
use crate::plan::spec::{Disturbance, Expectation};
use crate::topology::{
    Access, AccessRates, ETHERNET_FRAMING_BYTES, MTU_DEFAULT, Moment, Phases, Places,
    QUEUE_BYTES_DEFAULT, REGION_DEFAULT,
};

/// What is left of the warm-up, so that real nodes start and find each other before anything is
/// done to them: the shrunk experiment is to run in containers as well.
const WARMUP_LEFT: Nanos = Nanos::from_secs(5);
/// What times are rounded to.
const ROUND_TO: Nanos = Nanos::from_secs(1);

/// How much there is to read; compared from the first figure to the last. Every step of shrinking
/// makes it smaller, which is why shrinking ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Nodes.
    pub nodes: usize,
    /// Faults, absences, blocks and payments.
    pub events: usize,
    /// Expectations.
    pub expectations: usize,
    /// Nodes that faults name, sides of partitions, properties of shapes.
    pub details: usize,
    /// Who knows whom.
    pub acquaintances: usize,
    /// Regions, losses, rates and other limits.
    pub network: usize,
    /// Length of the run.
    pub length: Nanos,
    /// Times that are not whole seconds.
    pub odd_times: usize,
}

impl Scenario {
    /// How much there is to read.
    pub fn size(&self) -> Size {
        Size {
            nodes: self.node_count(),
            events: self.event_count(),
            expectations: self.expect.len(),
            details: self.faults.iter().map(details).sum(),
            acquaintances: self.acquaintance_count(),
            network: self.network_size(),
            length: self.phases.end(),
            odd_times: self
                .times()
                .filter(|time| !time.0.is_multiple_of(ROUND_TO.0))
                .count(),
        }
    }

    /// Without any fault or absence: what must hold then. What is expected of faults is left out.
    #[must_use]
    pub fn calm(&self) -> Scenario {
        let expect = self
            .expect
            .iter()
            .filter_map(|expectation| match expectation.clone() {
                Expectation::Converged {
                    within, lag, hold, ..
                } => Some(Expectation::Converged {
                    within,
                    of: Disturbance::Settle,
                    lag,
                    hold,
                }),
                Expectation::DoubleSpend { .. } => None,
                Expectation::ReorgDepth { max: None, .. } => None,
                Expectation::ReorgDepth { max, .. } => {
                    Some(Expectation::ReorgDepth { min: None, max })
                }
                other => Some(other),
            });
        Scenario {
            expect: expect.collect(),
            faults: Vec::new(),
            away: Vec::new(),
            ..self.clone()
        }
    }

    /// With one expectation only.
    #[must_use]
    pub fn keep_expectation(&self, index: usize) -> Scenario {
        Scenario {
            expect: self.expect.get(index).cloned().into_iter().collect(),
            ..self.clone()
        }
    }

    /// With these faults only; double spends whose partition is gone go with it.
    #[must_use]
    pub fn keep_faults(&self, kept: &[usize]) -> Scenario {
        let there = |index: &usize| match self.faults[*index].kind {
            FaultKind::DoubleSpend { partition } => kept.contains(&partition),
            _ => true,
        };
        let kept: Vec<usize> = kept.iter().copied().filter(there).collect();
        let fault = |index: &usize| {
            let mut fault = self.faults[*index].clone();
            if let FaultKind::DoubleSpend { partition } = &mut fault.kind {
                *partition = kept
                    .iter()
                    .position(|index| index == partition)
                    .unwrap_or(0);
            }
            fault
        };
        Scenario {
            faults: kept.iter().map(fault).collect(),
            ..self.clone()
        }
    }

    /// With these absences only.
    #[must_use]
    pub fn keep_away(&self, kept: &[usize]) -> Scenario {
        Scenario {
            away: kept.iter().map(|index| self.away[*index]).collect(),
            ..self.clone()
        }
    }

    /// With these payments only.
    #[must_use]
    pub fn keep_payments(&self, kept: &[usize]) -> Scenario {
        Scenario {
            payments: kept.iter().map(|index| self.payments[*index]).collect(),
            ..self.clone()
        }
    }

    /// Indices of the blocks that may be left out: all but those that decide.
    pub fn spare_blocks(&self) -> Vec<usize> {
        let spare = |index: &usize| !self.decides(self.blocks[*index].at);
        (0..self.blocks.len()).filter(spare).collect()
    }

    /// Without these blocks.
    #[must_use]
    pub fn without_blocks(&self, gone: &BTreeSet<usize>) -> Scenario {
        let kept = self
            .blocks
            .iter()
            .enumerate()
            .filter(|(index, _)| !gone.contains(index));
        Scenario {
            blocks: kept.map(|(_, block)| *block).collect(),
            ..self.clone()
        }
    }

    /// How many times somebody knows somebody.
    pub fn acquaintance_count(&self) -> usize {
        match &self.known {
            Known::Each(known) => known.iter().map(Vec::len).sum(),
            Known::Seeds(seeds) => seeds.len(),
            Known::Edges(edges) => edges.len(),
        }
    }

    /// Whether everybody can hear of everybody at first.
    pub fn is_connected(&self) -> bool {
        let count = self.node_count() as u32;
        let pairs: Vec<(u32, u32)> = match &self.known {
            Known::Each(known) => {
                let of = |(node, known): (usize, &Vec<u32>)| -> Vec<(u32, u32)> {
                    known.iter().map(|other| (node as u32, *other)).collect()
                };
                known.iter().enumerate().flat_map(of).collect()
            }
            // Everybody asks the same.
            Known::Seeds(seeds) => match seeds.first() {
                Some(seed) => (0..count).map(|node| (node, *seed)).collect(),
                None => Vec::new(),
            },
            Known::Edges(edges) => edges.clone(),
        };
        let mut parts: Vec<u32> = (0..count).collect();
        for (a, b) in pairs {
            let (a, b) = (parts[a as usize], parts[b as usize]);
            parts
                .iter_mut()
                .filter(|part| **part == a)
                .for_each(|part| *part = b);
        }
        parts.iter().all(|part| *part == parts[0])
    }

    /// With these acquaintances only.
    #[must_use]
    pub fn keep_acquaintances(&self, kept: &[usize]) -> Scenario {
        let kept: BTreeSet<usize> = kept.iter().copied().collect();
        let mut number = 0..;
        let mut keep = || {
            number
                .next()
                .is_some_and(|number: usize| kept.contains(&number))
        };
        let mut smaller = self.clone();
        match &mut smaller.known {
            Known::Each(known) => known.iter_mut().for_each(|known| known.retain(|_| keep())),
            Known::Seeds(seeds) => seeds.retain(|_| keep()),
            Known::Edges(edges) => edges.retain(|_| keep()),
        }
        smaller
    }

    /// Without some nodes, and without what names them. Whoever knew one of them knows whom that
    /// one knew instead, so that the graph stays in one piece.
    #[must_use]
    pub fn without_nodes(&self, gone: &BTreeSet<u32>) -> Scenario {
        let mut smaller = self.clone();
        for node in gone.iter().rev() {
            smaller.remove_node(*node);
        }
        smaller.drop_empty();
        smaller
    }

    fn remove_node(&mut self, gone: u32) {
        let heir = self.heir(gone);
        let mut index = gone as usize;
        for group in &mut self.groups {
            if index < group.count as usize {
                group.count -= 1;
                if let Places::Each(regions) = &mut group.regions {
                    regions.remove(index);
                }
                break;
            }
            index -= group.count as usize;
        }
        self.groups.retain(|group| group.count > 0);
        let renamed = |node: u32| if node > gone { node - 1 } else { node };
        self.known.remove(gone, renamed);
        // Blocks that decide must be mined by somebody.
        let deciding: Vec<Nanos> = self
            .blocks
            .iter()
            .map(|block| block.at)
            .filter(|at| self.decides(*at))
            .collect();
        self.blocks
            .retain(|block| block.node != gone || deciding.contains(&block.at));
        for block in &mut self.blocks {
            block.node = renamed(if block.node == gone { heir } else { block.node });
        }
        self.payments.retain(|payment| payment.node != gone);
        self.payments
            .iter_mut()
            .for_each(|payment| payment.node = renamed(payment.node));
        self.away.retain(|away| away.node != gone);
        self.away
            .iter_mut()
            .for_each(|away| away.node = renamed(away.node));
        let forget = |nodes: &mut Vec<u32>| {
            nodes.retain(|node| *node != gone);
            nodes.iter_mut().for_each(|node| *node = renamed(*node));
        };
        for fault in &mut self.faults {
            match &mut fault.kind {
                FaultKind::Partition { sides, .. } => sides.iter_mut().for_each(forget),
                FaultKind::Down { nodes, .. } | FaultKind::Shape { nodes, .. } => forget(nodes),
                FaultKind::DoubleSpend { .. } => {}
            }
        }
        for expectation in &mut self.expect {
            if let Expectation::NodesUp { min } = expectation {
                *min = min.saturating_sub(1).max(1);
            }
        }
    }

    /// Who mines in the place of a node that goes: another miner, or anybody, who stays up.
    fn heir(&self, gone: u32) -> u32 {
        let fit = |node: &u32| *node != gone && !self.ends_down(*node);
        let miner = self
            .blocks
            .iter()
            .map(|block| block.node)
            .find(|node| fit(node));
        miner
            .or_else(|| self.all_nodes().into_iter().find(fit))
            .unwrap_or(0)
    }

    /// Drops faults that do nothing any more.
    fn drop_empty(&mut self) {
        for fault in &mut self.faults {
            if let FaultKind::Partition { sides, one_way } = &mut fault.kind {
                // Without its first side a one-way partition would mean another.
                if *one_way && sides.first().is_some_and(Vec::is_empty) {
                    sides.clear();
                }
                sides.retain(|side| !side.is_empty());
            }
        }
        let does = |fault: &Fault| match &fault.kind {
            FaultKind::Partition { sides, .. } => sides.len() >= 2,
            FaultKind::Down { nodes, .. } => !nodes.is_empty(),
            FaultKind::Shape { nodes, shape } => !nodes.is_empty() && *shape != Shape::default(),
            FaultKind::DoubleSpend { .. } => true,
        };
        let kept: Vec<usize> = (0..self.faults.len())
            .filter(|index| does(&self.faults[*index]))
            .collect();
        *self = self.keep_faults(&kept);
    }

    /// The same with one fault changed.
    #[must_use]
    pub fn with_fault(&self, index: usize, change: impl FnOnce(&mut Fault)) -> Scenario {
        let mut smaller = self.clone();
        change(&mut smaller.faults[index]);
        smaller.drop_empty();
        smaller
    }

    /// Simpler networks, the simplest first.
    pub fn simpler_networks(&self) -> Vec<Scenario> {
        let simplify: [fn(&mut Scenario); 6] = [
            |it| {
                it.one_latency();
                it.no_losses();
                it.no_limits();
            },
            Scenario::one_latency,
            Scenario::no_losses,
            Scenario::no_limits,
            Scenario::no_jitter,
            |it| {
                it.one_latency();
                it.no_limits();
            },
        ];
        let simpler = |simplify: fn(&mut Scenario)| {
            let mut simpler = self.clone();
            simplify(&mut simpler);
            simpler
        };
        simplify.into_iter().map(simpler).collect()
    }

    /// One region, one delay without jitter: the longest that there is, in whole milliseconds.
    fn one_latency(&mut self) {
        let used =
            |region: u16| (0..self.node_count() as u32).any(|node| self.region_of(node) == region);
        let used: Vec<bool> = (0..self.regions.len() as u16).map(used).collect();
        let between = |(from, row): (usize, &Vec<PathDelay>)| {
            let there = |to: &usize| used[from] && used[*to];
            (0..row.len()).filter(there).map(|to| row[to].base).max()
        };
        let longest = self
            .paths
            .iter()
            .enumerate()
            .filter_map(between)
            .max()
            .unwrap_or_default();
        let millis = longest.0.div_ceil(1_000_000);
        self.regions = vec![REGION_DEFAULT.into()];
        self.paths = vec![vec![PathDelay {
            base: Nanos::from_millis(millis),
            jitter: Nanos::ZERO,
        }]];
        for group in &mut self.groups {
            let region = region_in(group, 0) as usize;
            let rates = group.access.rates.get(region).copied().unwrap_or_default();
            group.access.rates = vec![rates];
            group.regions = Places::Each(vec![0; group.count as usize]);
        }
    }

    fn no_jitter(&mut self) {
        self.paths
            .iter_mut()
            .flatten()
            .for_each(|path| path.jitter = Nanos::ZERO);
    }

    fn no_losses(&mut self) {
        self.groups
            .iter_mut()
            .for_each(|group| group.loss = Loss::None);
    }

    fn no_limits(&mut self) {
        (self.mtu, self.framing_bytes) = (MTU_DEFAULT, ETHERNET_FRAMING_BYTES);
        self.filler_bytes = 0;
        for group in &mut self.groups {
            group.access = Access {
                rates: vec![AccessRates::default(); self.regions.len()],
                queue_bytes: QUEUE_BYTES_DEFAULT,
            };
            (group.cpu_millis, group.memory_bytes) = (None, None);
        }
    }

    fn network_size(&self) -> usize {
        let jitters = self
            .paths
            .iter()
            .flatten()
            .filter(|path| path.jitter > Nanos::ZERO)
            .count();
        let of_group = |group: &crate::topology::Group| {
            let unlimited = |rates: &AccessRates| *rates == AccessRates::default();
            usize::from(group.loss != Loss::None)
                + usize::from(!group.access.rates.iter().all(unlimited))
                + usize::from(group.access.queue_bytes != QUEUE_BYTES_DEFAULT)
                + usize::from(group.cpu_millis.is_some())
                + usize::from(group.memory_bytes.is_some())
        };
        self.regions.len()
            + jitters
            + usize::from(self.filler_bytes != 0)
            + usize::from(self.mtu != MTU_DEFAULT)
            + usize::from(self.framing_bytes != ETHERNET_FRAMING_BYTES)
            + self.groups.iter().map(of_group).sum::<usize>()
    }

    /// Without a stretch of time that lies within one phase. What lay in it is gone; what reached
    /// into it is shorter. The blocks that decide move with the finish.
    #[must_use]
    pub fn cut(&self, from: Nanos, until: Nanos) -> Scenario {
        let length = until.saturating_sub(from);
        let moved = |at: Nanos| {
            if at < from {
                at
            } else if at < until {
                from
            } else {
                at.saturating_sub(length)
            }
        };
        let left = |moments: &[Moment]| -> Vec<Moment> {
            let left = moments
                .iter()
                .filter(|moment| moment.at < from || moment.at >= until);
            left.map(|moment| Moment {
                at: moved(moment.at),
                node: moment.node,
            })
            .collect()
        };
        let is_deciding = |block: &&Moment| self.decides(block.at);
        let deciding: Vec<u32> = self
            .blocks
            .iter()
            .filter(is_deciding)
            .map(|block| block.node)
            .collect();
        let others: Vec<Moment> = self
            .blocks
            .iter()
            .filter(|block| !self.decides(block.at))
            .copied()
            .collect();
        let away = self.away.iter().map(|away| Away {
            start: moved(away.start),
            end: moved(away.end),
            ..*away
        });
        let fault = |fault: &Fault| Fault {
            start: moved(fault.start),
            end: fault.end.map(moved),
            kind: fault.kind.clone(),
        };
        let mut smaller = Scenario {
            phases: cut_phases(self.phases, from, length),
            blocks: left(&others),
            payments: left(&self.payments),
            away: away
                .filter(|away| away.end.saturating_sub(away.start) >= PERIOD_MIN)
                .collect(),
            faults: self.faults.iter().map(fault).collect(),
            ..self.clone()
        };
        let lasts = |fault: &Fault| {
            let instant = matches!(fault.kind, FaultKind::DoubleSpend { .. });
            let long = |end: Nanos| end.saturating_sub(fault.start) >= PERIOD_MIN;
            instant || fault.end.is_none_or(long)
        };
        let kept: Vec<usize> = (0..smaller.faults.len())
            .filter(|index| lasts(&smaller.faults[*index]))
            .collect();
        smaller = smaller.keep_faults(&kept);
        smaller.set_deciding(&deciding);
        smaller
    }

    /// Puts the blocks that decide where the finish wants them.
    fn set_deciding(&mut self, miners: &[u32]) {
        self.clear_quiets();
        let at = self.deciding_times();
        let blocks = at
            .into_iter()
            .zip(miners)
            .map(|(at, node)| Moment { at, node: *node });
        self.blocks.extend(blocks);
        self.blocks.sort_by_key(|block| block.at);
    }

    /// Stretches of time whose lack would make the run shorter, the longest first. The settle phase
    /// stays as it is: a network that is given less time may fail for that reason alone.
    pub fn spare_stretches(&self) -> Vec<(Nanos, Nanos)> {
        let Phases { warmup, faults, .. } = self.phases;
        let bounds = [
            (Nanos::ZERO, warmup, WARMUP_LEFT),
            (warmup, warmup.saturating_add(faults), Nanos::ZERO),
        ];
        let mut stretches = Vec::new();
        for (start, end, left) in bounds {
            let spare = end.saturating_sub(start).saturating_sub(left);
            for eighths in [8, 7, 6, 4, 2, 1] {
                let part = Nanos(spare.0 * eighths / 8);
                let part = Nanos(part.0 - part.0 % ROUND_TO.0);
                if part > Nanos::ZERO {
                    stretches.push((end.saturating_sub(part), end));
                    stretches.push((start, start.saturating_add(part)));
                }
            }
        }
        stretches.sort_by_key(|(from, until)| std::cmp::Reverse(until.saturating_sub(*from)));
        stretches.dedup();
        stretches
    }

    /// Every time in it, once.
    fn times(&self) -> impl Iterator<Item = Nanos> {
        let moments = self
            .blocks
            .iter()
            .chain(&self.payments)
            .map(|moment| moment.at);
        let away = self.away.iter().flat_map(|away| [away.start, away.end]);
        let faults = self
            .faults
            .iter()
            .flat_map(|fault| [Some(fault.start), fault.end]);
        let phases = [self.phases.warmup, self.phases.faults, self.phases.settle];
        moments.chain(away).chain(faults.flatten()).chain(phases)
    }

    /// Events whose times are not whole seconds, by number (see [`Self::round`]).
    pub fn odd_events(&self) -> Vec<usize> {
        let counts = [
            self.blocks.len(),
            self.payments.len(),
            self.away.len(),
            self.faults.len(),
        ];
        let all: Vec<usize> = (0..counts.iter().sum()).collect();
        let size = self.size();
        all.into_iter()
            .filter(|event| self.round(&[*event]).size() < size)
            .collect()
    }

    /// With the times of these events rounded to whole seconds: starts down, ends up. Blocks are
    /// numbered first, then payments, absences and faults. Blocks that decide stay.
    #[must_use]
    pub fn round(&self, events: &[usize]) -> Scenario {
        let events: BTreeSet<usize> = events.iter().copied().collect();
        let settle = self.phases.settle_start();
        let down = |at: Nanos| Nanos(at.0 - at.0 % ROUND_TO.0);
        let up = |at: Nanos| Nanos(at.0.next_multiple_of(ROUND_TO.0)).min(settle);
        let mut rounded = self.clone();
        let mut numbers = 0..;
        let mut chosen = || {
            numbers
                .next()
                .is_some_and(|number: usize| events.contains(&number))
        };
        for block in &mut rounded.blocks {
            if chosen() && !self.decides(block.at) {
                block.at = down(block.at);
            }
        }
        for payment in &mut rounded.payments {
            if chosen() {
                payment.at = down(payment.at);
            }
        }
        for away in &mut rounded.away {
            if chosen() {
                (away.start, away.end) = (down(away.start), up(away.end));
            }
        }
        for fault in &mut rounded.faults {
            if chosen() {
                let instant = matches!(fault.kind, FaultKind::DoubleSpend { .. });
                fault.start = down(fault.start);
                fault.end = fault
                    .end
                    .map(|end| if instant { down(end) } else { up(end) });
            }
        }
        rounded.blocks.sort_by_key(|block| block.at);
        rounded.payments.sort_by_key(|payment| payment.at);
        rounded.away.sort_by_key(|away| (away.node, away.start));
        rounded
    }
}

fn cut_phases(phases: Phases, from: Nanos, length: Nanos) -> Phases {
    let mut cut = phases;
    let phase = if from < phases.warmup {
        &mut cut.warmup
    } else if from < phases.settle_start() {
        &mut cut.faults
    } else {
        &mut cut.settle
    };
    *phase = phase.saturating_sub(length);
    cut
}

fn details(fault: &Fault) -> usize {
    match &fault.kind {
        // How the nodes are spread over the sides is no detail; their number is.
        FaultKind::Partition { sides, one_way } => sides.len() + usize::from(*one_way),
        FaultKind::Down { nodes, .. } => nodes.len(),
        FaultKind::Shape { nodes, shape } => {
            let Shape {
                rate_bps,
                loss,
                delay,
                jitter,
            } = shape;
            let there = [
                rate_bps.is_some(),
                loss.is_some(),
                delay.is_some(),
                jitter.is_some(),
            ];
            nodes.len() + there.into_iter().filter(|there| *there).count()
        }
        FaultKind::DoubleSpend { .. } => 0,
    }
}

impl Known {
    /// Removes a node; those who knew it get to know whom it knew.
    fn remove(&mut self, gone: u32, renamed: impl Fn(u32) -> u32) {
        match self {
            Known::Each(known) => {
                let inherited = known.remove(gone as usize);
                for (index, known) in known.iter_mut().enumerate() {
                    let own = index as u32 + u32::from(index as u32 >= gone);
                    if let Some(place) = known.iter().position(|node| *node == gone) {
                        known.remove(place);
                        for heir in inherited.iter().rev() {
                            if *heir != own && *heir != gone && !known.contains(heir) {
                                known.insert(place, *heir);
                            }
                        }
                    }
                    known.iter_mut().for_each(|node| *node = renamed(*node));
                }
            }
            Known::Seeds(seeds) => {
                seeds.retain(|node| *node != gone);
                if seeds.is_empty() {
                    seeds.push(u32::from(gone == 0));
                }
                seeds.iter_mut().for_each(|node| *node = renamed(*node));
            }
            Known::Edges(edges) => {
                let other = |(a, b): &(u32, u32)| match gone {
                    _ if *a == gone => Some(*b),
                    _ if *b == gone => Some(*a),
                    _ => None,
                };
                let neighbours: Vec<u32> = edges.iter().filter_map(other).collect();
                edges.retain(|(a, b)| *a != gone && *b != gone);
                for pair in neighbours.windows(2) {
                    let (a, b) = (pair[0], pair[1]);
                    if a != b && !edges.contains(&(a, b)) && !edges.contains(&(b, a)) {
                        edges.push((a, b));
                    }
                }
                edges
                    .iter_mut()
                    .for_each(|(a, b)| (*a, *b) = (renamed(*a), renamed(*b)));
                edges.sort_by_key(|(from, _)| *from);
            }
        }
    }
}
