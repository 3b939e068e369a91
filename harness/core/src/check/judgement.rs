//! The whole judgement of a run: every verdict, every figure, and what they come to.
//!
//! What they come to:
//! 1. **Failed** when a verdict failed *regardless of the host*: in a way that no slow host can cause (two
//!    ledger states under one tip, both halves of a double spend in one chain, an expectation
//!    about something that the plan does not even have).
//! 2. Else **inconclusive** when the run was cut short, the host could not keep up (`fidelity`), or a
//!    fault had no effect (`effects`): then neither success nor failure says anything about the network.
//! 3. Else **failed** when any verdict failed or was not measured, else **passed**.

use std::collections::{BTreeMap, BTreeSet};

use peerlab_link::Nanos;
use serde::Serialize;

use super::bandwidth::{self, Bandwidth, MessageShare};
use super::charts::{Charts, charts};
use super::compact::{self, CompactBlocks};
use super::convergence::{self, Convergence, Terms};
use super::double_spend::{self, DoubleSpend};
use super::effects::{self, WithoutEffect};
use super::fidelity::{self, Fidelity};
use super::forks::{self, Forks};
use super::missed::{Missed, MissedKind};
use super::propagation::{self, GroupDelay, Propagation, Spread};
use super::record::{DeadNode, Partition, Record};
use super::run::Run;
use super::timeline::NodeState;
use super::verdict::{Evidence, Status, Verdict};
use super::waiting::{self, Waiting};
use super::why::Reasons;
use crate::event::{HostFacts, RunEvent};
use crate::experiment::Disturbance;
use crate::plan::{Plan, spec};
use crate::words;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every expectation held.
    Passed,
    /// An expectation failed: the network is at fault.
    Failed,
    /// The run proves nothing.
    Inconclusive,
}

/// A run, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// What it came to.
    pub outcome: Outcome,
    /// Why the run proves nothing; empty when the host kept up, every fault took effect and the run
    /// came to its end.
    pub inconclusive_because: Vec<String>,
    /// What else a reader should know: things that no expectation asks about.
    pub warnings: Vec<String>,
    /// The tries before this one, which proved nothing; they decide nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier_tries: Vec<EarlierTry>,
    pub run: RunFacts,
    /// One for each of the plan's expectations, in their order.
    pub verdicts: Vec<Verdict>,
    pub figures: Figures,
    /// What is drawn.
    #[serde(skip)]
    pub charts: Charts,
}

/// A try of a run that was made again, since it proved nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EarlierTry {
    /// Its record, as a folder below the run's.
    pub folder: String,
    pub inconclusive_because: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunFacts {
    pub name: String,
    pub seed: u64,
    /// `docker`, `local` or `sim`; empty when the run never started.
    pub engine: String,
    /// Version of Peerlab that ran it; empty when the run never started.
    pub peerlab_version: String,
    /// How many nodes the plan has.
    pub nodes: u32,
    /// Wall clock at `go`, nanoseconds since the Unix epoch.
    pub started_unix_ns: u64,
    /// From the first create to all gates open.
    pub bring_up_ns: Nanos,
    /// How long the plan is.
    pub planned_ns: Nanos,
    /// How long was observed.
    pub observed_ns: Nanos,
    /// Where the nodes ran.
    pub host: HostFacts,
    /// SHA-256 of the file of events, in hex, where the engine promises that the same plan gives
    /// the same file, byte for byte, on any machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Nodes live at the end.
    pub live_at_end: u32,
    /// Nodes meant to be up at the end, by name, that were not.
    pub missing_at_end: Vec<String>,
    /// Nodes that went down unasked.
    pub deaths: Vec<DeadNode>,
    /// Blocks that the plan wanted and that were not mined.
    pub mine_missed: u32,
    /// Transactions that nodes took.
    pub transactions_accepted: u64,
    /// Transactions that the plan wanted and that nodes did not take.
    pub transactions_refused: u64,
    /// Why not, of both: the most frequent reasons.
    pub missed: Vec<Missed>,
    /// Each partition, from split to agreement.
    pub partitions: Vec<PartitionStory>,
    /// From the start of the settle phase to agreement; `None` when the run did not come to it.
    pub settle: Option<Convergence>,
    /// Forks and reorganisations.
    pub forks: Forks,
    /// Every double spend.
    pub double_spends: Vec<DoubleSpend>,
    /// Blocks' propagation: the whole run first, then each phase that has blocks.
    pub propagation: Vec<Propagation>,
    /// How late blocks come to the nodes of each group, over the whole run.
    pub group_delays: Vec<GroupDelay>,
    /// Bandwidth: the whole run first, then each phase that was measured.
    pub bandwidth: Vec<Bandwidth>,
    /// Message types by bytes, most first.
    pub messages: Vec<MessageShare>,
    /// How compact blocks served each group.
    pub compact_blocks: Vec<CompactBlocks>,
    /// Connections of a node, on average over those that told, in both directions.
    pub connections_mean: Option<f64>,
    /// Dropped packets by reason.
    pub drops: BTreeMap<String, u64>,
    /// How well the host kept up.
    pub fidelity: Fidelity,
    /// What was ordered of the network and its nodes and had no effect.
    pub without_effect: Vec<WithoutEffect>,
}

/// A phase, by its name, or the whole run, and what is known of its costs.
pub type PhaseCosts<'a> = (
    Option<&'a str>,
    Option<&'a Propagation>,
    Option<&'a Bandwidth>,
    Option<&'a Waiting>,
);

impl Judgement {
    /// What each phase cost, in the plan's order, and then the whole run.
    pub fn costs(&self) -> impl Iterator<Item = PhaseCosts<'_>> {
        let phases = self.charts.phases.iter().map(|p| Some(p.label.as_str()));
        phases.chain([None]).map(|phase| {
            let Figures {
                propagation,
                bandwidth,
                fidelity,
                ..
            } = &self.figures;
            let propagation = propagation.iter().find(|p| p.phase.as_deref() == phase);
            let bandwidth = bandwidth.iter().find(|b| b.phase.as_deref() == phase);
            let mut waiting = fidelity.waiting.iter();
            let waiting = waiting.find(|w| w.within.as_deref() == phase);
            (phase, propagation, bandwidth, waiting)
        })
    }
}

impl Outcome {
    /// In capitals, as reports show it.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Passed => "PASSED",
            Outcome::Failed => "FAILED",
            Outcome::Inconclusive => "INCONCLUSIVE",
        }
    }
}

/// A partition, from split to agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionStory {
    /// Index into the plan's faults.
    pub fault: u32,
    /// As the plan tells it.
    pub label: String,
    /// Nodes of each side.
    pub sides: Vec<usize>,
    /// When it took effect.
    pub from_ns: Nanos,
    /// When it healed; `None` when it never did.
    pub healed_ns: Option<Nanos>,
    /// From then to agreement that lasted; `None` when that never came.
    pub agreed_after_ns: Option<Nanos>,
    /// Branches that the nodes were on at most at one time; 1 when they never forked, 0
    /// where nobody tells of a chain.
    pub branches: u32,
    /// Blocks of the longest losing branch.
    pub depth: u32,
    /// Blocks of the losing branches.
    pub stale_blocks: u32,
}

/// Judges a run from its plan and its events, in one pass over these.
pub fn judge(plan: &Plan, events: impl Iterator<Item = RunEvent>) -> Judgement {
    let mut record = Record::of(plan, events);
    let run = Run::of(plan, &mut record);
    let forks = forks::measure(&run);
    let (spreads, received) = propagation::spreads(&run);
    let double_spends = double_spend::all(&run);
    let evidence = Evidence {
        run: &run,
        forks: &forks,
        spreads: &spreads,
        double_spends: &double_spends,
    };
    let verdicts: Vec<Verdict> = plan.expect.iter().map(|e| evidence.judge(e)).collect();
    let figures = figures(&run, forks, double_spends, &spreads, &received);
    let inconclusive_because = inconclusive_because(run.record, &figures);
    Judgement {
        outcome: outcome(&verdicts, &inconclusive_because),
        warnings: warnings(&run, &figures, &verdicts),
        inconclusive_because,
        // Nothing of them is in this record.
        earlier_tries: Vec::new(),
        run: run_facts(plan, run.record),
        charts: charts(&run),
        verdicts,
        figures,
    }
}

fn figures(
    run: &Run<'_>,
    forks: Forks,
    double_spends: Vec<DoubleSpend>,
    spreads: &[Spread],
    received: &[Vec<Nanos>],
) -> Figures {
    let (plan, record) = (run.plan, run.record);
    let terms = Terms::usual(plan);
    let agreement = |of| {
        let measure = |e| convergence::measure(&run.timeline, e, terms);
        let endings = convergence::endings(run, of);
        endings.iter().map(measure).collect::<Vec<Convergence>>()
    };
    let heals = agreement(Disturbance::Heal);
    let (waiting, worst_waiting) = waiting::measure(run);
    let story = |p| partition_story(p, &heals, &forks);
    let named = plan.phases.iter().map(|p| Some(p.name.as_str()));
    let phases: Vec<Option<&str>> = std::iter::once(None).chain(named).collect();
    let connections = record
        .peers
        .values()
        .map(|(_, sums)| f64::from(sums.outbound.saturating_add(sums.inbound)));
    Figures {
        live_at_end: run.timeline.at_end(NodeState::live).len() as u32,
        missing_at_end: run.names(&run.timeline.at_end(NodeState::missing)),
        deaths: record.deaths.clone(),
        mine_missed: record.missed.of(MissedKind::Block),
        transactions_accepted: record.transactions_accepted,
        transactions_refused: u64::from(record.missed.of(MissedKind::Transaction)),
        missed: record.missed.reasons(),
        partitions: run.partitions.iter().map(story).collect(),
        settle: agreement(Disturbance::Settle).pop(),
        forks,
        double_spends,
        propagation: phases
            .iter()
            .map(|p| propagation::summarise(run, spreads, *p))
            .filter(|p| p.phase.is_none() || p.blocks > 0)
            .collect(),
        group_delays: propagation::group_delays(plan, received),
        bandwidth: phases
            .iter()
            .filter_map(|p| bandwidth::measure(run, *p).ok())
            .collect(),
        messages: bandwidth::message_shares(record),
        compact_blocks: compact::by_group(plan, record),
        connections_mean: (!record.peers.is_empty())
            .then(|| connections.sum::<f64>() / record.peers.len() as f64),
        drops: bandwidth::drops(record),
        fidelity: Fidelity {
            waiting,
            worst_waiting,
            ..fidelity::measure(record)
        },
        without_effect: effects::without_effect(run),
    }
}

/// The rule at the head of this file.
fn outcome(verdicts: &[Verdict], inconclusive_because: &[String]) -> Outcome {
    let failed = |v: &&Verdict| v.status != Status::Held;
    if verdicts.iter().filter(failed).any(|v| v.regardless_of_host) {
        return Outcome::Failed;
    }
    if !inconclusive_because.is_empty() {
        return Outcome::Inconclusive;
    }
    match verdicts.iter().find(failed) {
        Some(_) => Outcome::Failed,
        None => Outcome::Passed,
    }
}

fn inconclusive_because(record: &Record, figures: &Figures) -> Vec<String> {
    let mut inconclusive_because = Vec::new();
    match record.ended {
        Some(false) => {}
        Some(true) => inconclusive_because.push(format!(
            "the run was interrupted after {}",
            words::instant(record.end)
        )),
        None => inconclusive_because.push(format!(
            "the events stop after {} without their last line: the run was killed, or its engine failed",
            words::instant(record.end)
        )),
    }
    inconclusive_because.extend(figures.fidelity.inconclusive_because());
    inconclusive_because.extend(effects::sentences(&figures.without_effect));
    inconclusive_because
}

fn warnings(run: &Run<'_>, figures: &Figures, verdicts: &[Verdict]) -> Vec<String> {
    let (record, tree) = (run.record, run.tree());
    let why = Reasons::of(run.plan, record);
    let mut warnings = Vec::new();
    if verdicts.is_empty() {
        warnings.push("the experiment states no expectation: nothing could fail".to_owned());
    }
    let missing = &figures.missing_at_end;
    let died: BTreeSet<String> = figures.deaths.iter().map(|d| d.node.clone()).collect();
    let (stayed, back): (Vec<String>, Vec<String>) =
        died.into_iter().partition(|name| missing.contains(name));
    let others: Vec<String> = missing
        .iter()
        .filter(|m| !stayed.contains(m))
        .cloned()
        .collect();
    for (what, names) in [
        ("went down unasked and stayed down", stayed),
        ("went down unasked, and was up again at the end", back),
        ("meant to be up at the end, but down", others),
    ] {
        if !names.is_empty() {
            warnings.push(format!("{what}: {}", why.named(&names)));
        }
    }
    for label in effects::idle_partitions(run) {
        warnings.push(format!("no packet was dropped by the {label}"));
    }
    if tree.undescribed() > 0 {
        warnings.push(format!(
            "{} named by tips, but never described: they count as a chain of their own",
            words::count(tree.undescribed() as u64, "block")
        ));
    }
    if tree.bad_links > 0 {
        warnings.push(format!(
            "{} between blocks with heights that do not fit was ignored",
            words::count(u64::from(tree.bad_links), "parent link")
        ));
    }
    if record.started.is_none() {
        warnings.push("the events do not begin with the line of a run's start".to_owned());
    }
    warnings
}

fn run_facts(plan: &Plan, record: &Record) -> RunFacts {
    let started = record.started.as_ref();
    RunFacts {
        name: plan.name.clone(),
        seed: plan.seed,
        engine: started.map_or_else(String::new, |s| s.engine.clone()),
        peerlab_version: started.map_or_else(String::new, |s| s.version.clone()),
        nodes: node_count(plan),
        started_unix_ns: started.map_or(0, |s| s.unix_nanos),
        bring_up_ns: started.map_or(Nanos::ZERO, |s| s.bring_up),
        planned_ns: plan.end(),
        observed_ns: record.end,
        host: record.host.clone(),
        trace: None,
    }
}

/// Nodes that were ever meant to be up.
fn node_count(plan: &Plan) -> u32 {
    let never = |outage: &&spec::Outage| outage.start == Nanos::ZERO && outage.end.is_none();
    let never = plan.outages.iter().filter(never).count();
    plan.nodes.len().saturating_sub(never) as u32
}

fn partition_story(partition: &Partition, heals: &[Convergence], forks: &Forks) -> PartitionStory {
    let fault = Some(partition.fault);
    let unforked = u32::from(forks.tells_of_a_chain());
    let mine = || forks.episodes.iter().filter(|e| e.partition == fault);
    PartitionStory {
        fault: partition.fault,
        label: partition.label.clone(),
        sides: partition.side_sizes(),
        from_ns: partition.from,
        healed_ns: partition.healed,
        agreed_after_ns: heals
            .iter()
            .find(|h| h.fault == fault)
            .and_then(|h| h.time_ns),
        branches: mine().map(|e| e.branches).max().unwrap_or(unforked),
        depth: mine().map(|e| e.depth).max().unwrap_or(0),
        stale_blocks: mine().map(|e| e.stale_blocks).sum(),
    }
}
