//! A small language for the checks' tests: a story of a few nodes, told as a plan and its
//! events. A story is healthy unless it says otherwise: all nodes start at `go` on the pre-mined
//! tip, the host keeps up, everybody's ledger is read at the end, and the run comes to its end.
//! Phases: warmup to 20 s, faults to 60 s, settle to 90 s.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use peerlab_link::proto::{Action, DropReason, Lateness, NodeCounters, NodeUsage, Seen, Timed};
use peerlab_link::{Loss, Nanos, Network, NodeId, NodeLink, PathDelay};

use super::{Judgement, Verdict, judge};
use crate::event::{
    Block, HostCpu, HostFacts, LedgerState, PeerSums, RunEvent, Started, StateDigest, Tip, What,
};
use crate::experiment::{Disturbance, Down, Expectation, FaultKind, Image, Launch, Probe};
use crate::plan::Plan;
use crate::plan::spec::{
    Cause, Fault, Group, Ledger, Node, Outage, Peers, Phase, Work, WorkloadAction,
};

/// Where the pre-mined chain ends.
const BASE: (&str, u32) = ("base", 100);
/// How long a block takes to the first other node, and from each to the next.
const HOP_MS: u64 = 100;
/// Bytes per second that each node sends and receives.
const BYTES_PER_S: u64 = 10_000;

/// An instant or a length, from seconds.
pub fn secs(s: f64) -> Nanos {
    Nanos((s * 1e9).round() as u64)
}

/// A story in the making.
#[derive(Clone)]
pub struct Story {
    pub plan: Plan,
    events: Vec<RunEvent>,
    heights: BTreeMap<String, u32>,
    /// Which block every node holds in the end; `None` when it is down.
    tips: Vec<Option<String>>,
    /// Nodes that say nothing, or something else, when ledgers are read.
    ledgers: BTreeMap<u32, Option<StateDigest>>,
    lateness: Nanos,
    cpu_pressure: Option<f64>,
    fidelity_told: bool,
    /// From when to when other programs took so many of the two CPUs.
    others: Vec<(f64, f64, f64)>,
    overload_drops: u64,
    ended: Option<bool>,
    rates: BTreeMap<u32, u64>,
    traffic_until: Nanos,
}

impl Story {
    pub fn of(nodes: u32) -> Story {
        let mut story = Story {
            plan: plan(nodes),
            events: Vec::new(),
            heights: BTreeMap::from([(BASE.0.to_owned(), BASE.1)]),
            tips: vec![Some(BASE.0.to_owned()); nodes as usize],
            ledgers: BTreeMap::new(),
            lateness: Nanos::ZERO,
            cpu_pressure: Some(20.0),
            fidelity_told: true,
            others: Vec::new(),
            overload_drops: 0,
            ended: Some(false),
            rates: BTreeMap::new(),
            traffic_until: secs(90.0),
        };
        story.tell(
            Nanos::ZERO,
            What::Started(Started {
                format: crate::event::FORMAT,
                engine: "sim".into(),
                version: "0.1.0".into(),
                unix_nanos: 1_790_000_000_000_000_000,
                bring_up: secs(1.2),
                base: story.tip_of(BASE.0),
            }),
        );
        let host = HostFacts {
            os: "Debian GNU/Linux 13".into(),
            kernel: "6.12.0".into(),
            cpus: 2,
            memory_bytes: 8_000_000_000,
            engine_version: String::new(),
            ..HostFacts::default()
        };
        story.tell(Nanos::ZERO, What::Host(host));
        for phase in story.plan.phases.clone() {
            story.tell(phase.start, What::Phase { name: phase.name });
        }
        for node in 0..nodes {
            story.comes_up(0.0, node, BASE.0);
        }
        story
    }

    pub fn expect(mut self, expectation: Expectation) -> Story {
        self.plan.expect.push(expectation);
        self
    }

    pub fn tell(&mut self, t: Nanos, what: What) {
        self.events.push(RunEvent { t, what });
    }

    fn tip_of(&self, block: &str) -> Tip {
        Tip {
            hash: block.to_owned(),
            height: self.heights[block],
        }
    }

    /// The node switches to a block.
    pub fn takes(&mut self, t: f64, node: u32, block: &str) {
        self.tips[node as usize] = Some(block.to_owned());
        let tip = self.tip_of(block);
        self.tell(
            secs(t),
            What::Tip {
                node: NodeId(node),
                tip,
            },
        );
    }

    /// A block exists; its miner has it, nobody else.
    pub fn mines(&mut self, t: f64, miner: u32, block: &str, prev: &str) {
        self.mines_with(t, miner, block, prev, &[]);
    }

    /// The same, with transactions.
    pub fn mines_with(&mut self, t: f64, miner: u32, block: &str, prev: &str, txids: &[&str]) {
        self.heights
            .insert(block.to_owned(), self.heights[prev] + 1);
        let what = What::Block(Block {
            tip: self.tip_of(block),
            prev: prev.to_owned(),
            miner: Some(NodeId(miner)),
            size: 250,
            txs: txids.len() as u32 + 1,
            txids: txids.iter().map(|t| (*t).to_owned()).collect(),
        });
        self.tell(secs(t), what);
        self.takes(t, miner, block);
    }

    /// The block reaches these nodes in turn, 100 ms apart, the first 100 ms from `t`.
    pub fn reaches(&mut self, t: f64, block: &str, nodes: impl IntoIterator<Item = u32>) {
        for (hop, node) in nodes.into_iter().enumerate() {
            self.takes(
                t + (hop as u64 + 1) as f64 * HOP_MS as f64 / 1e3,
                node,
                block,
            );
        }
    }

    /// A block is mined and reaches everybody.
    pub fn spreads(&mut self, t: f64, miner: u32, block: &str, prev: &str) {
        self.mines(t, miner, block, prev);
        let others: Vec<u32> = self.nodes().filter(|n| *n != miner).collect();
        self.reaches(t, block, others);
    }

    /// The plan has the node mine; whether it does is told apart.
    pub fn means_to_mine(&mut self, t: f64, node: u32) {
        self.plan.workload.push(WorkloadAction {
            at: secs(t),
            work: Work::Mine { node: NodeId(node) },
        });
    }

    pub fn nodes(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.plan.nodes.len() as u32
    }

    /// The network splits; `heal` is when the plan heals it, and when that happens.
    pub fn partition(&mut self, from: f64, heal: Option<f64>, groups: &[&[u32]]) -> u32 {
        let fault = self.partition_planned(from, heal, groups);
        if let Some(heal) = heal {
            self.tell(secs(heal), What::FaultEnded { fault });
        }
        fault
    }

    /// The same, but the heal is only planned.
    pub fn partition_planned(&mut self, from: f64, heal: Option<f64>, groups: &[&[u32]]) -> u32 {
        let fault = self.plan.faults.len() as u32;
        let ids = |g: &&[u32]| g.iter().map(|n| NodeId(*n)).collect::<Vec<_>>();
        self.plan.faults.push(Fault {
            start: secs(from),
            end: heal.map(secs),
            cause: Cause::Fault(FaultKind::Partition {
                sides: groups.iter().map(ids).collect(),
                one_way: false,
            }),
            label: format!("partition {fault}"),
        });
        self.tell(secs(from), What::FaultBegan { fault });
        fault
    }

    /// The plan orders something; what came of it is told apart. Gives the line.
    pub fn orders(&mut self, t: f64, action: Action) -> u32 {
        let at = secs(t);
        self.plan.fault_schedule.push(Timed { at, action });
        self.plan.fault_schedule.len() as u32 - 1
    }

    /// What came of it.
    pub fn effect(&mut self, t: f64, line: u32, result: Result<Seen, &str>) {
        let (seen, error) = match result {
            Ok(seen) => (Some(seen), None),
            Err(error) => (None, Some(error.to_owned())),
        };
        self.tell(secs(t), What::Effect { line, seen, error });
    }

    /// The record is of this format.
    pub fn format(&mut self, format: u32) {
        let started = self.events.iter_mut().map(|event| &mut event.what);
        for what in started {
            if let What::Started(started) = what {
                started.format = format;
            }
        }
    }

    /// Two transactions of a double spend are given to two nodes.
    pub fn double_spend(&mut self, t: f64, given: &[(u32, &str)]) -> u32 {
        let fault = self.plan.faults.len() as u32;
        self.plan.faults.push(Fault {
            start: secs(t),
            end: None,
            cause: Cause::Fault(FaultKind::DoubleSpend { partition: 0 }),
            label: "double spend".into(),
        });
        let first = |i: usize| given.get(i).map(|(n, _)| NodeId(*n)).into_iter().collect();
        self.plan.workload.push(WorkloadAction {
            at: secs(t),
            work: Work::DoubleSpend {
                fault,
                output: 0,
                sides: [first(0), first(1)],
            },
        });
        for (node, txid) in given {
            let what = What::Transaction {
                node: NodeId(*node),
                txid: (*txid).to_owned(),
                double_spend: Some(fault),
                refused: None,
            };
            self.tell(secs(t), what);
        }
        fault
    }

    /// The plan takes the node down, and back at `until` with the tip that it had.
    pub fn outage(&mut self, from: f64, until: f64, node: u32) {
        self.plan.outages.push(Outage {
            node: NodeId(node),
            start: secs(from),
            end: Some(secs(until)),
            how: Down::Kill,
        });
        self.goes_down(from, node, Some(Down::Kill));
        let tip = self.tips[node as usize].clone().unwrap();
        self.comes_up(until, node, &tip);
    }

    pub fn goes_down(&mut self, t: f64, node: u32, how: Option<Down>) {
        let what = What::NodeDown {
            node: NodeId(node),
            how,
            status: Some(-9),
            reason: None,
        };
        self.tell(secs(t), what);
    }

    pub fn comes_up(&mut self, t: f64, node: u32, tip: &str) {
        self.tell(secs(t), What::NodeUp { node: NodeId(node) });
        self.takes(t, node, tip);
    }

    /// The node goes down unasked and stays down.
    pub fn dies(&mut self, t: f64, node: u32) {
        self.goes_down(t, node, None);
        self.tips[node as usize] = None;
    }

    /// A block that the plan wants is not mined.
    pub fn misses(&mut self, t: f64, node: u32, reason: &str) {
        let (node, reason) = (NodeId(node), reason.into());
        self.tell(secs(t), What::MineMissed { node, reason });
    }

    /// The node gives no answer once the plan is over.
    pub fn unanswered(&mut self, node: u32, reason: &str) {
        let (node, reason) = (NodeId(node), reason.into());
        let end = self.plan.end();
        self.tell(end, What::Unanswered { node, reason });
    }

    /// When ledgers are read the node tells this state, or nothing.
    pub fn ledger(&mut self, node: u32, digest: Option<StateDigest>) {
        self.ledgers.insert(node, digest);
    }

    pub fn late_host(&mut self, lateness: f64) {
        self.lateness = secs(lateness);
    }

    pub fn busy_cpu(&mut self, percent: f64) {
        self.cpu_pressure = Some(percent);
    }

    /// Other programs take so many of the two CPUs.
    pub fn others_compute(&mut self, from: f64, to: f64, cpus: f64) {
        self.others.push((from, to, cpus));
    }

    /// Each second so far each of these nodes computed so long, and waited so long for a CPU.
    pub fn computes(&mut self, nodes: impl IntoIterator<Item = u32>, times: &[(f64, f64)]) {
        for node in nodes.into_iter().map(NodeId) {
            let mut usage = NodeUsage::default();
            let mut waited = Nanos::ZERO;
            for (second, (cpu, wait)) in (1u32..).zip(times) {
                usage.cpu = usage.cpu.saturating_add(secs(*cpu));
                waited = waited.saturating_add(secs(*wait));
                usage.waited = Some(waited);
                self.tell(secs(f64::from(second)), What::Usage { node, usage });
            }
        }
    }

    pub fn overload(&mut self, packets: u64) {
        self.overload_drops = packets;
    }

    pub fn fidelity_never_told(&mut self) {
        self.fidelity_told = false;
    }

    /// The node sends and receives so much.
    pub fn bytes_per_s(&mut self, node: u32, rate: u64) {
        self.rates.insert(node, rate);
    }

    pub fn no_traffic_after(&mut self, t: f64) {
        self.traffic_until = secs(t);
    }

    /// The run is cut short: what comes later is not told.
    pub fn killed(&mut self, t: f64) {
        self.ended = None;
        self.events.retain(|e| e.t <= secs(t));
        self.traffic_until = self.traffic_until.min(secs(t));
    }

    pub fn interrupted(&mut self) {
        self.ended = Some(true);
    }

    /// All events, in the order of time.
    pub fn events(&self) -> Vec<RunEvent> {
        let mut all = self.events.clone();
        let mut at = |t: Nanos, what: What| all.push(RunEvent { t, what });
        let mut t = secs(1.0);
        while t <= self.traffic_until {
            at(
                t,
                What::Traffic {
                    nodes: self.counters(t),
                },
            );
            if self.fidelity_told {
                let lateness = Lateness {
                    packets: 1000,
                    late: if self.lateness > Lateness::LATE {
                        20
                    } else {
                        0
                    },
                    p50: Nanos(self.lateness.0 / 2),
                    p99: self.lateness,
                    max: Nanos(self.lateness.0 * 2),
                    away: Nanos::ZERO,
                };
                at(
                    t,
                    What::Fidelity {
                        lateness,
                        cpu_pressure: self.cpu_pressure,
                        host_cpu: Some(self.host_cpu(t)),
                    },
                );
            }
            t = t.saturating_add(secs(1.0));
        }
        if let Some(interrupted) = self.ended {
            for node in self.nodes() {
                let Some(tip) = &self.tips[node as usize] else {
                    continue;
                };
                let digest = match self.ledgers.get(&node) {
                    Some(None) => continue,
                    Some(Some(other)) => other.clone(),
                    None => StateDigest::Muhash(format!("state of {tip}")),
                };
                let (node, tip) = (NodeId(node), self.tip_of(tip));
                let digest = Some(digest);
                let state = LedgerState { tip, digest };
                at(secs(90.1), What::Ledger { node, state });
            }
            let sent = BTreeMap::from([("block".to_owned(), 6000), ("inv".to_owned(), 2000)]);
            let sums = PeerSums {
                outbound: 2,
                inbound: 2,
                received: sent.clone(),
                sent,
                compact: None,
            };
            for node in self.nodes().map(NodeId) {
                let sums = sums.clone();
                at(secs(89.0), What::Peers { node, sums });
            }
            at(secs(90.2), What::Ended { interrupted });
        }
        all.sort_by_key(|e| e.t);
        all
    }

    /// What was computed by then on two CPUs: a hundredth of one by harness and fabric, and by nodes,
    /// gates and others what is told of them.
    fn host_cpu(&self, t: Nanos) -> HostCpu {
        let own = t.as_secs_f64() / 100.0;
        let mut nodes = BTreeMap::new();
        for event in self.events.iter().filter(|event| event.t <= t) {
            if let What::Usage { node, usage } = &event.what {
                let took = usage.cpu.saturating_add(usage.gate_cpu);
                nodes.insert(*node, took.as_secs_f64());
            }
        }
        let others = self.others.iter().map(|(from, to, cpus)| {
            let lasted = t.as_secs_f64().min(*to) - from;
            lasted.max(0.0) * cpus
        });
        HostCpu {
            cpus: 2,
            busy: secs(own + nodes.values().sum::<f64>() + others.sum::<f64>()),
            own: secs(own),
        }
    }

    fn counters(&self, t: Nanos) -> Vec<NodeCounters> {
        self.nodes()
            .map(|n| {
                let rate = self.rates.get(&n).copied().unwrap_or(BYTES_PER_S);
                let bytes = (u128::from(rate) * u128::from(t.0) / 1_000_000_000) as u64;
                let mut drops = [0; DropReason::COUNT];
                drops[DropReason::Partition as usize] = 7;
                drops[DropReason::Overload as usize] = self.overload_drops;
                NodeCounters {
                    tx_packets: bytes / 500,
                    tx_bytes: bytes,
                    rx_packets: bytes / 500,
                    rx_bytes: bytes,
                    device_tx_bytes: bytes,
                    device_rx_bytes: bytes,
                    drops,
                }
            })
            .collect()
    }

    pub fn judge(&self) -> Judgement {
        judge(&self.plan, self.events().into_iter())
    }

    /// The verdict on one expectation.
    pub fn verdict(&self, expectation: Expectation) -> Verdict {
        let mut judgement = self.clone().expect(expectation).judge();
        judgement.verdicts.pop().unwrap()
    }
}

/// The expectation of agreement within so many seconds of each heal, for 10 s together.
pub fn converged_of_heal(within: f64) -> Expectation {
    Expectation::Converged {
        within: secs(within),
        of: Disturbance::Heal,
        lag: 1,
        hold: secs(10.0),
    }
}

/// The same of the settle phase.
pub fn converged_of_settle(within: f64) -> Expectation {
    Expectation::Converged {
        within: secs(within),
        of: Disturbance::Settle,
        lag: 1,
        hold: secs(10.0),
    }
}

fn plan(nodes: u32) -> Plan {
    let phase = |name: &str, start, end| Phase {
        name: name.into(),
        start: secs(start),
        end: secs(end),
    };
    let ip = |id: u32| Ipv4Addr::from(0x0a00_0001 + id);
    Plan {
        version: Plan::VERSION,
        name: "story".into(),
        seed: 7,
        phases: vec![
            phase("warmup", 0.0, 20.0),
            phase("faults", 20.0, 60.0),
            phase("settle", 60.0, 90.0),
        ],
        groups: vec![Group {
            name: "peers".into(),
            image: Image::Peerlab,
            command: Vec::new(),
            probe: Probe::BitcoinRpc { port: 18443 },
            cpu_millis: None,
            memory_bytes: None,
            ready: None,
        }],
        nodes: (0..nodes)
            .map(|id| Node {
                id: NodeId(id),
                name: format!("peers-{id}"),
                group: 0,
                ip: ip(id),
                hash_power: 1.0,
                starts_up: true,
                peers: Peers::Fixed(Vec::new()),
                args: Vec::new(),
                launch: Launch::default(),
            })
            .collect(),
        network: Network {
            seed: 7,
            mtu: 1500,
            framing_bytes: 38,
            nodes: (0..nodes)
                .map(|id| NodeLink {
                    ip: ip(id),
                    region: 0,
                    up_bps: None,
                    down_bps: None,
                    queue_bytes: 1 << 16,
                    loss: Loss::None,
                })
                .collect(),
            regions: vec!["here".into()],
            paths: vec![vec![PathDelay::default()]],
        },
        ledger: Ledger {
            block_interval: Some(secs(10.0)),
            premined_blocks: 100,
            outputs: 10,
            filler_bytes: 0,
        },
        fault_schedule: Vec::new(),
        outages: Vec::new(),
        workload: Vec::new(),
        faults: Vec::new(),
        expect: Vec::new(),
        cpus: None,
        message_work: None,
        block_work_percent: None,
    }
}
