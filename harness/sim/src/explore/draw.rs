//! From an experiment and a seed to a scenario with faults that the seed draws. Each kind of fault
//! is switched on or off, and scaled, for each seed by itself (swarm testing: Groce et al., ISSTA
//! 2012), because faults of all kinds at once hide each other. Faults lie in the phase `faults`;
//! when it ends everything heals, and the settle phase is judged.

use peerlab_link::{Loss, Nanos, NodeId, Shape};
use peerlab_node::io::KEEPALIVE_AFTER;

use super::scenario::{Fault, Scenario};
use peerlab_core::error::{Error, Place, Result};
use peerlab_core::experiment::PERIOD_MIN;
use peerlab_core::experiment::{Disturbance, Down, Expectation, FaultKey, FaultKind, Nodes};
use peerlab_core::plan::Chance;
use peerlab_core::topology::Topology;

/// Length of the phase for faults where the experiment has a shorter one: drawn faults need time
/// to overlap, and blocks to come in between.
const FAULTS_MIN: Nanos = Nanos::from_secs(10);
/// Least time to agree in, once everything is healed. A connection whose other end went without a
/// word, while nothing was to be said, is missed by its keep-alive only; where that end cannot dial
/// by itself (a static graph), it is as good as cut off until then. Then it is opened anew.
const AGREE_MIN: Nanos = Nanos::from_secs(KEEPALIVE_AFTER.as_secs() + 4);
/// Least length of the settle phase: its closing block comes a fifth before the end (`closing_phase`), and
/// is not to be mined by a node that is still cut off.
const SETTLE_MIN: Nanos = Nanos::from_secs(KEEPALIVE_AFTER.as_secs() + 9);
/// At intensity 1 a kind of fault that is switched on comes up to once in this time, on average
/// half as often.
const FAULT_EVERY: Nanos = Nanos::from_secs(10);
/// Most faults of one kind, whatever the intensity and the phase's length.
const FAULTS_PER_KIND_MAX: f64 = 50.0;
/// Largest part of the nodes that one fault takes down or slows.
const VICTIMS_PART: usize = 3;
/// What drawn shapes do at most and at least: beyond, they are partitions, or nothing.
const DELAY_MS: (u64, u64) = (50, 5_000);
const LOSS_PERCENT: (u64, u64) = (1, 50);
const RATE_KBPS: (u64, u64) = (20, 2_000);
/// What slow programs get of a core: with less they are frozen, or nearly as fast as others.
const CPU_PERCENT: (u64, u64) = (2, 50);

/// How much is done to the network: 1 is usual, 0 nothing, 2 twice as much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intensity(pub f64);

/// What a drawn fault is made of.
struct Drawing<'a> {
    all: Nodes,
    scale: f64,
    chance: &'a mut Chance,
}

/// A way to draw a fault, and the label of its stream.
type Draw = (&'static str, fn(&mut Drawing<'_>) -> FaultKind<Nodes>);

/// The ways in which faults of a kind are drawn; each is switched and scaled by itself.
fn ways(key: FaultKey) -> &'static [Draw] {
    match key {
        FaultKey::Partition => &[
            ("partition", |drawing| drawing.partition(false)),
            ("one-way", |drawing| drawing.partition(true)),
        ],
        FaultKey::Down(Down::Kill) => &[("kill", |drawing| drawing.down(Down::Kill))],
        FaultKey::Down(Down::Stop) => &[("stop", |drawing| drawing.down(Down::Stop))],
        FaultKey::Down(Down::Vanish) => &[("vanish", |drawing| drawing.down(Down::Vanish))],
        FaultKey::Down(Down::Freeze) => &[("freeze", |drawing| drawing.down(Down::Freeze))],
        FaultKey::Down(Down::Replace) => &[("replace", |drawing| drawing.down(Down::Replace))],
        FaultKey::Shape => &[
            ("delay", |drawing| drawing.delay()),
            ("loss", |drawing| drawing.loss()),
            ("rate", |drawing| drawing.rate()),
        ],
        FaultKey::Slow => &[("slow", |drawing| drawing.slow())],
        // Of the experiment's own: which outcome is right, only its author knows.
        FaultKey::DoubleSpend => &[],
    }
}

/// An experiment whose faults seeds draw.
#[derive(Clone, Debug)]
pub struct Base {
    topology: Topology,
    intensity: Intensity,
}

impl Base {
    /// Prepares an experiment: its phase for faults gets a length, it gets the time that sound nodes
    /// need to agree after any faults, and only those of its expectations stay that drawn faults
    /// leave fair. These are agreement after `settle`, equal ledgers, double spends, nodes up; and
    /// what is expected of the phase `warmup`.
    ///
    /// # Errors
    /// [`peerlab_core::error::Kind::Input`]: no expectation is left, or there are too few nodes.
    pub fn new(mut topology: Topology, intensity: Intensity) -> Result<Base> {
        topology.retain_expectations(Expectation::holds_after_any_faults);
        if topology.expect.is_empty() {
            return Err(Error::input(format!("there is nothing to look for in `{}`", topology.name))
                .because("none of its expectations speaks of what must hold after any faults")
                .hint("add `converged: { within: 20s, of: settle }` or `same_ledger: { at: end }` to `expect`"));
        }
        if topology.node_count() < 2 {
            return Err(Error::input("one node cannot disagree with itself")
                .because(format!("`{}` has a single node", topology.name))
                .hint("explore an experiment with at least two"));
        }
        topology.phases.faults = topology.phases.faults.max(FAULTS_MIN);
        give_time(&mut topology);
        Ok(Base {
            topology,
            intensity,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.topology.name
    }

    /// Where the expectations that stay are written, in their order.
    pub fn expect_places(&self) -> Vec<Place> {
        self.topology.expect_places()
    }

    /// The scenario of a seed.
    ///
    /// # Errors
    /// As `compile`.
    pub fn draw(&self, seed: u64) -> Result<Scenario> {
        let mut scenario = Scenario::of(&self.topology, seed)?;
        for (label, draw) in FaultKey::ALL.into_iter().flat_map(ways) {
            let mut chance = Chance::new(seed, &format!("explore/{label}"));
            let faults = draw_faults(&scenario, *draw, self.intensity, &mut chance);
            scenario.faults.extend(faults);
        }
        // Indices of partitions stay right: the experiment's own faults come first.
        let own = self.topology.faults.len();
        scenario.faults[own..].sort_by_key(|fault| (fault.start, fault.end));
        let mut miners: Vec<u32> = scenario.blocks.iter().map(|block| block.node).collect();
        miners.sort_unstable();
        miners.dedup();
        scenario.make_fair(&miners, &mut Chance::new(seed, "explore/finish"));
        Ok(scenario)
    }
}

/// Lengthens what is shorter than sound nodes need: times to agree, and the settle phase with them.
fn give_time(topology: &mut Topology) {
    let mut longer = Nanos::ZERO;
    for expectation in &mut topology.expect {
        if let Expectation::Converged {
            within,
            of: Disturbance::Settle,
            ..
        } = expectation
        {
            longer = longer.max(AGREE_MIN.saturating_sub(*within));
            *within = (*within).max(AGREE_MIN);
        }
    }
    let settle = topology.phases.settle.saturating_add(longer);
    topology.phases.settle = settle.max(SETTLE_MIN);
}

fn draw_faults(
    scenario: &Scenario,
    draw: fn(&mut Drawing<'_>) -> FaultKind<Nodes>,
    intensity: Intensity,
    chance: &mut Chance,
) -> Vec<Fault> {
    let (on, scale) = (chance.unit() < 0.5, chance.unit());
    let length = scenario.phases.faults.as_secs_f64() / FAULT_EVERY.as_secs_f64();
    let most = libm::ceil(intensity.0 * scale * length).clamp(0.0, FAULTS_PER_KIND_MAX) as usize;
    if !on || most == 0 {
        return Vec::new();
    }
    let count = 1 + chance.below(most);
    let mut drawing = Drawing {
        all: scenario.all_nodes().into_iter().map(NodeId).collect(),
        scale,
        chance,
    };
    let mut fault = |_| {
        let (start, end) = draw_times(scenario, drawing.chance);
        Fault {
            start,
            end: Some(end),
            kind: draw(&mut drawing),
        }
    };
    (0..count).map(&mut fault).collect()
}

impl Drawing<'_> {
    /// A part of the nodes.
    fn victims(&mut self) -> Nodes {
        let most = (self.scale * (self.all.len() / VICTIMS_PART) as f64) as usize;
        let count = 1 + self.chance.below(most.max(1));
        sorted(self.chance.choose(&self.all, count))
    }

    fn down(&mut self, how: Down) -> FaultKind<Nodes> {
        FaultKind::Down {
            nodes: self.victims(),
            how,
        }
    }

    fn partition(&mut self, one_way: bool) -> FaultKind<Nodes> {
        let count = 1 + self.chance.below((self.all.len() / 2).max(1));
        let side = sorted(self.chance.choose(&self.all, count));
        let mut rest = self.all.clone();
        rest.retain(|node| !side.contains(node));
        let mut sides = vec![side, rest];
        if one_way && self.chance.bits() & 1 == 1 {
            sides.reverse();
        }
        FaultKind::Partition { sides, one_way }
    }

    fn delay(&mut self) -> FaultKind<Nodes> {
        self.shape(|chance, shape| {
            shape.delay = Some(Nanos::from_millis(spread(DELAY_MS, chance)));
        })
    }

    fn loss(&mut self) -> FaultKind<Nodes> {
        self.shape(|chance, shape| {
            let lost = u64::from(Loss::ONE) * spread(LOSS_PERCENT, chance) / 100;
            let chance = lost as u32;
            shape.loss = Some(Loss::Bernoulli { chance });
        })
    }

    fn rate(&mut self) -> FaultKind<Nodes> {
        self.shape(|chance, shape| shape.rate_bps = Some(1_000 * spread(RATE_KBPS, chance)))
    }

    fn slow(&mut self) -> FaultKind<Nodes> {
        FaultKind::Slow {
            cpu_millis: 10 * spread(CPU_PERCENT, self.chance) as u32,
            nodes: self.victims(),
        }
    }

    fn shape(&mut self, worsen: impl FnOnce(&mut Chance, &mut Shape)) -> FaultKind<Nodes> {
        let mut shape = Shape::default();
        worsen(self.chance, &mut shape);
        FaultKind::Shape {
            nodes: self.victims(),
            shape,
        }
    }
}

/// When a fault begins and ends, in milliseconds: short ones are as likely as long ones.
fn draw_times(scenario: &Scenario, chance: &mut Chance) -> (Nanos, Nanos) {
    let millis = |time: Nanos| time.0 / 1_000_000;
    let (first, last) = (
        millis(scenario.phases.warmup),
        millis(scenario.phases.settle_start()),
    );
    // The phase may begin and end within a millisecond.
    let first = first + u64::from(!scenario.phases.warmup.0.is_multiple_of(1_000_000));
    let shortest = millis(PERIOD_MIN);
    let latest = last.saturating_sub(shortest).max(first);
    let start = first + chance.below((latest - first + 1) as usize) as u64;
    let longest = ((last - first) / 2).max(shortest);
    let end = (start + spread((shortest, longest), chance)).min(last);
    (Nanos::from_millis(start), Nanos::from_millis(end))
}

/// Between two numbers, each order of magnitude as likely as the next.
fn spread((least, most): (u64, u64), chance: &mut Chance) -> u64 {
    let (low, high) = (libm::log(least as f64), libm::log(most as f64));
    let drawn = libm::exp(low + chance.unit() * (high - low));
    (libm::round(drawn) as u64).clamp(least, most)
}

fn sorted(mut nodes: Nodes) -> Nodes {
    nodes.sort_unstable();
    nodes
}
