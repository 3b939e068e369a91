//! Exploring, with judges that follow a script in place of a simulator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use peerlab_link::proto::Action;
use peerlab_link::{Change, Nanos};
use proptest::prelude::*;

use peerlab_core::conduct::Stop;

use super::*;
use peerlab_core::error::{Error, Kind, Result};
use peerlab_core::experiment::{Down, Expectation, FaultKind};
use peerlab_core::plan::spec::{self, Peers, Work};
use peerlab_core::plan::{Plan, compile};
use peerlab_core::topology::{self, Topology};

const SIMULATIONS_MAX: usize = 20_000;

fn shipped(name: &str) -> Topology {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../topologies");
    let text = std::fs::read_to_string(top.join(name)).unwrap();
    topology::parse(name, &text).unwrap_or_else(|error| panic!("{}", error.render()))
}

fn base(name: &str) -> Base {
    Base::new(shipped(name), Intensity(1.0)).unwrap()
}

/// The scenario that is read back from a scenario's file.
fn read_back(scenario: &Scenario) -> Scenario {
    let text = yaml(scenario, "A head\n\nof three lines.");
    let topology = topology::parse("x.yaml", &text)
        .unwrap_or_else(|error| panic!("{}\n{text}", error.render()));
    Scenario::of(&topology, topology.seed).unwrap()
}

fn fails(plan: &Plan, check: &str) -> Vec<Failure> {
    let index = plan
        .expect
        .iter()
        .position(|expectation| matches!(expectation, Expectation::SameLedger));
    index
        .map(|index| Failure {
            index,
            check: check.to_owned(),
            measured: true,
            sentence: "Two ledgers differ.".into(),
        })
        .into_iter()
        .collect()
}

struct Nobody;

impl Watch for Nobody {
    fn shrunk(&self, _: usize, _: Size) {}
}

impl Audience for Nobody {
    fn judged(&self, _: u64, _: usize) {}

    fn fails(&self, _: &FailingSeed) {}
}

/// What a script can ask of a plan.
#[derive(Clone, Copy, Debug, Default)]
struct Script {
    nodes: usize,
    blocks: usize,
    payments: usize,
    partitions: usize,
    kills: usize,
    outages: usize,
    acquaintances: usize,
}

impl Script {
    fn of(plan: &Plan) -> Script {
        let tasks = |is: fn(&Work) -> bool| {
            plan.workload
                .iter()
                .filter(|action| is(&action.work))
                .count()
        };
        let faults =
            |is: fn(&spec::Fault) -> bool| plan.faults.iter().filter(|fault| is(fault)).count();
        let known = plan.nodes.iter().map(|node| {
            let (Peers::Fixed(known) | Peers::Bootstrap(known) | Peers::Seeds(known)) = &node.peers;
            known.len()
        });
        Script {
            nodes: plan.nodes.len(),
            blocks: tasks(|work| matches!(work, Work::Mine { .. })),
            payments: tasks(|work| matches!(work, Work::Transaction { .. })),
            partitions: faults(|fault| fault.sides().is_some()),
            kills: faults(|fault| fault.kind().is_some_and(|kind| kind.down().is_some())),
            outages: faults(|fault| fault.kind().is_none()),
            acquaintances: known.sum(),
        }
    }

    fn is_met_by(&self, plan: &Plan) -> bool {
        let there = Script::of(plan);
        there.nodes >= self.nodes
            && there.blocks >= self.blocks
            && there.payments >= self.payments
            && there.partitions >= self.partitions
            && there.kills >= self.kills
            && there.outages >= self.outages
            && there.acquaintances >= self.acquaintances
    }
}

#[test]
fn a_scenario_is_the_plan_of_its_experiment() {
    for name in [
        "quickstart.yaml",
        "churn-partition.yaml",
        "p2p-graph.yaml",
        "client-server.yaml",
    ] {
        for seed in [1, 2, 99] {
            let topology = shipped(name);
            let drawn = compile(&topology, seed).unwrap();
            let written = plan_of(&Scenario::of(&topology, seed).unwrap()).unwrap();
            assert_eq!(written.workload, drawn.workload, "{name}");
            assert_eq!(written.fault_schedule, drawn.fault_schedule, "{name}");
            assert_eq!(written.outages, drawn.outages, "{name}");
            assert_eq!(written.network, drawn.network, "{name}");
            assert_eq!(written.expect, drawn.expect, "{name}");
            let peers = |plan: &Plan| {
                plan.nodes
                    .iter()
                    .map(|node| node.args.clone())
                    .collect::<Vec<_>>()
            };
            assert_eq!(peers(&written), peers(&drawn), "{name}");
            assert_eq!(written.ledger.outputs, drawn.ledger.outputs, "{name}");
        }
    }
}

/// Experiments that have all ways of discovery, churn, and a partition that never heals.
const WRITTEN: [&str; 5] = [
    "quickstart.yaml",
    "churn-partition.yaml",
    "p2p-graph.yaml",
    "client-server.yaml",
    "negative/partition-never-heals.yaml",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn what_is_drawn_is_read_back_from_its_file(
        name in proptest::sample::select(&WRITTEN[..]),
        intensity in 0.0f64..4.0,
        seed: u64,
    ) {
        let base = Base::new(shipped(name), Intensity(intensity)).unwrap();
        let scenario = base.draw(seed).unwrap();
        prop_assert_eq!(read_back(&scenario), scenario);
    }
}

#[test]
fn drawn_faults_lie_in_their_phase_and_the_closing_phase_is_fair() {
    let base = base("quickstart.yaml");
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let scenario = base.draw(seed).unwrap();
        assert!(scenario.is_fair(), "{seed}");
        let (first, last) = (scenario.phases.warmup, scenario.phases.settle_start());
        for fault in &scenario.faults {
            let end = fault.end.unwrap();
            assert!(
                first <= fault.start && fault.start < end && end <= last,
                "{fault:?}"
            );
            kinds.insert(match &fault.kind {
                FaultKind::Down { how, .. } => format!("{how:?}"),
                FaultKind::Partition { one_way, .. } => format!("partition {one_way}"),
                FaultKind::Shape { shape, .. } => format!(
                    "shape {} {} {}",
                    shape.delay.is_some(),
                    shape.loss.is_some(),
                    shape.rate_bps.is_some()
                ),
                FaultKind::Slow { .. } | FaultKind::DoubleSpend { .. } => {
                    fault.kind.key().word().to_owned()
                }
            });
        }
    }
    assert_eq!(kinds.len(), 11, "{kinds:?}");
}

#[test]
fn no_intensity_leaves_the_experiments_own_faults() {
    let topology = shipped("quickstart.yaml");
    let own = topology.faults.len();
    let none = Base::new(topology.clone(), Intensity(0.0)).unwrap();
    let much = Base::new(topology, Intensity(3.0)).unwrap();
    let faults = |base: &Base| -> usize {
        (0..50)
            .map(|seed| base.draw(seed).unwrap().faults.len())
            .sum()
    };
    assert_eq!(faults(&none), own * 50);
    assert!(faults(&much) > own * 50 + 200, "{}", faults(&much));
}

#[test]
fn an_experiment_that_expects_nothing_of_the_end_is_refused() {
    let mut topology = shipped("quickstart.yaml");
    topology
        .expect
        .retain(|expectation| matches!(expectation, Expectation::Propagation { .. }));
    let error = Base::new(topology, Intensity(1.0)).unwrap_err();
    assert_eq!(error.kind, Kind::Input);
    insta::assert_snapshot!(error.render());
}

#[test]
fn the_same_seeds_fail_whatever_the_number_of_threads() {
    let base = base("quickstart.yaml");
    let judge = |plan: &Plan| -> Result<Vec<Failure>> {
        let needed = Script {
            partitions: 3,
            ..Script::default()
        };
        Ok(if needed.is_met_by(plan) {
            fails(plan, "same_ledger")
        } else {
            Vec::new()
        })
    };
    let limits = Limits {
        seeds: Some(60),
        out_of_time: &|| false,
    };
    let stop = Stop::never();
    let found = |jobs| search(&base, &judge, 5, limits, jobs, &stop, &Nobody).unwrap();
    let one = found(1);
    assert_eq!(one.judged, 60);
    assert!(
        !one.failing.is_empty() && one.failing.len() < 60,
        "{}",
        one.failing.len()
    );
    for jobs in [2, 7] {
        assert_eq!(found(jobs), one);
    }
}

#[test]
fn a_search_ends_by_time_by_an_interrupt_and_by_an_error() {
    let base = base("quickstart.yaml");
    let stop = Stop::never();
    let good = |_: &Plan| -> Result<Vec<Failure>> { Ok(Vec::new()) };
    let limits = Limits {
        seeds: None,
        out_of_time: &|| true,
    };
    let found = search(&base, &good, 1, limits, 2, &stop, &Nobody).unwrap();
    assert_eq!(found, Found::default());

    let unlimited = Limits {
        seeds: None,
        out_of_time: &|| false,
    };
    let asked = AtomicUsize::new(0);
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Stop::when({
        let stopped = stopped.clone();
        move || stopped.load(Ordering::SeqCst)
    });
    let third = |plan: &Plan| -> Result<Vec<Failure>> {
        if asked.fetch_add(1, Ordering::SeqCst) == 2 {
            stopped.store(true, Ordering::SeqCst);
            return Err(Error::interrupted("interrupted"));
        }
        Ok(fails(plan, "same_ledger"))
    };
    let found = search(&base, &third, 1, unlimited, 1, &stop, &Nobody).unwrap();
    assert!(found.interrupted);
    assert_eq!((found.judged, found.failing.len()), (2, 2));

    let stop = Stop::never();
    let broken = |_: &Plan| -> Result<Vec<Failure>> {
        Err(Error::environment("no memory", "a test", "none"))
    };
    let error = search(&base, &broken, 8, unlimited, 2, &stop, &Nobody).unwrap_err();
    assert_eq!(error.reports[0].causes, ["a test", "this came of seed 8"]);
}

fn shrunk(scenario: &Scenario, judge: &dyn Judge) -> Shrunk {
    let failures = judge.failures(&plan_of(scenario).unwrap()).unwrap();
    shrink(scenario, &failures[0], judge, SIMULATIONS_MAX, &Nobody).unwrap()
}

/// A network whose ledgers differ once a node was killed during a partition.
fn partition_and_kill(plan: &Plan) -> Result<Vec<Failure>> {
    let splits = |fault: &&spec::Fault| fault.sides().is_some();
    let kills = |fault: &&spec::Fault| fault.kind().and_then(FaultKind::down) == Some(Down::Kill);
    let during = |split: &spec::Fault, kill: &spec::Fault| {
        split.start <= kill.start && split.end.is_none_or(|end| kill.start < end)
    };
    let met = plan.faults.iter().filter(splits).any(|split| {
        plan.faults
            .iter()
            .filter(kills)
            .any(|kill| during(split, kill))
    });
    Ok(if met {
        fails(plan, "same_ledger")
    } else {
        Vec::new()
    })
}

#[test]
fn a_failure_is_shrunk_to_what_it_needs() {
    let base = base("churn-partition.yaml");
    let judge = |plan: &Plan| partition_and_kill(plan);
    let failing = |seed: &u64| {
        let plan = plan_of(&base.draw(*seed).unwrap()).unwrap();
        !partition_and_kill(&plan).unwrap().is_empty()
    };
    let seed = (0..).find(failing).unwrap();
    let whole = base.draw(seed).unwrap();
    let shrunk = shrunk(&whole, &judge);
    assert!(shrunk.finished && shrunk.needs_events);
    let telling = Telling {
        name: "churn-partition".into(),
        command: "peerlab".into(),
        file: "topologies/churn-partition.yaml".into(),
        options: String::new(),
    };
    let file = yaml(
        &shrunk.scenario,
        &telling.head(seed, &shrunk, "shrunk.yaml"),
    );
    insta::assert_snapshot!(file);
    insta::assert_snapshot!(telling.shrunk(seed, &shrunk, "runs/x/shrunk.yaml"));
}

#[test]
fn what_fails_without_faults_is_shrunk_all_the_same_and_said_so() {
    let base = base("quickstart.yaml");
    let judge = |plan: &Plan| -> Result<Vec<Failure>> {
        let needed = Script {
            nodes: 3,
            blocks: 4,
            ..Script::default()
        };
        Ok(if needed.is_met_by(plan) {
            fails(plan, "same_ledger")
        } else {
            Vec::new()
        })
    };
    let shrunk = shrunk(&base.draw(3).unwrap(), &judge);
    assert!(!shrunk.needs_events);
    let size = shrunk.scenario.size();
    assert_eq!((size.nodes, size.events), (3, 4));
}

#[test]
fn what_would_fail_without_faults_as_well_is_not_taken() {
    let base = base("quickstart.yaml");
    // A partition, or a graph that is too thin: the second would be an impossible experiment.
    let judge = |plan: &Plan| -> Result<Vec<Failure>> {
        let there = Script::of(plan);
        let met = there.partitions > 0 || there.acquaintances < 3;
        Ok(if met {
            fails(plan, "same_ledger")
        } else {
            Vec::new()
        })
    };
    let shrunk = shrunk(&base.draw(3).unwrap(), &judge);
    assert!(shrunk.needs_events);
    let size = shrunk.scenario.size();
    assert!(size.acquaintances >= 3, "{size:?}");
    assert_eq!(shrunk.scenario.faults.len(), 1);
}

#[test]
fn what_hangs_on_a_moment_is_not_taken() {
    let base = base("quickstart.yaml");
    let whole = base.draw(3).unwrap();
    let first = whole.blocks[0].at;
    // A partition, or a block at one instant and no other: real nodes would not meet it.
    let judge = |plan: &Plan| -> Result<Vec<Failure>> {
        let mines = |action: &spec::WorkloadAction| matches!(action.work, Work::Mine { .. });
        let mut blocks = plan.workload.iter().filter(|action| mines(action));
        let met = Script::of(plan).partitions > 0 || blocks.any(|action| action.at == first);
        Ok(if met {
            fails(plan, "same_ledger")
        } else {
            Vec::new()
        })
    };
    let shrunk = shrunk(&whole, &judge);
    assert!(!shrunk.needs_events);
    assert_eq!(shrunk.scenario.faults.len(), 1);
}

#[test]
fn an_interrupt_leaves_the_smallest_so_far_and_so_does_a_bound() {
    let base = base("quickstart.yaml");
    let whole = base.draw(3).unwrap();
    let asked = AtomicUsize::new(0);
    let judge = |plan: &Plan| -> Result<Vec<Failure>> {
        if asked.fetch_add(1, Ordering::SeqCst) > 8 {
            return Err(Error::interrupted("interrupted"));
        }
        Ok(fails(plan, "same_ledger"))
    };
    let interrupted = shrunk(&whole, &judge);
    assert!(!interrupted.finished);
    assert!(interrupted.scenario.size() < whole.size());

    let judge = |plan: &Plan| -> Result<Vec<Failure>> { Ok(fails(plan, "same_ledger")) };
    let failure = fails(&plan_of(&whole).unwrap(), "same_ledger").remove(0);
    let bounded = shrink(&whole, &failure, &judge, 6, &Nobody).unwrap();
    assert!(!bounded.finished);
    assert_eq!(bounded.simulations, 6);
}

#[test]
fn a_failure_that_does_not_come_again_is_an_error() {
    let whole = base("quickstart.yaml").draw(3).unwrap();
    let failure = fails(&plan_of(&whole).unwrap(), "same_ledger").remove(0);
    let judge = |_: &Plan| -> Result<Vec<Failure>> { Ok(Vec::new()) };
    shrink(&whole, &failure, &judge, 20, &Nobody).unwrap_err();
}

#[test]
fn what_was_found_is_told() {
    let telling = Telling {
        name: "quickstart".into(),
        command: "peerlab".into(),
        file: "topologies/quickstart.yaml".into(),
        options: " --fault-intensity 2".into(),
    };
    let failing = |seed| FailingSeed {
        seed,
        failures: ["converged", "same_ledger"]
            .map(|check| Failure {
                index: 0,
                check: check.into(),
                measured: true,
                sentence: "peers-3 was on another tip.".into(),
            })
            .to_vec(),
    };
    let found = |seeds: std::ops::Range<u64>, interrupted| Found {
        judged: 100,
        failing: seeds.map(failing).collect(),
        interrupted,
    };
    let texts = [
        summary(&telling, &found(0..0, false)),
        summary(&telling, &found(7..9, false)),
        summary(&telling, &found(0..14, true))
            .lines()
            .take(4)
            .collect::<Vec<_>>()
            .join("\n"),
        summary(&telling, &found(0..14, true))
            .lines()
            .rev()
            .take(2)
            .collect::<Vec<_>>()
            .join("\n"),
        telling.failing(&failing(7)),
        head(&telling, &failing(7)),
    ];
    insta::assert_snapshot!(texts.join("\n----\n"));
}

/// Whether a single event, node or acquaintance can be left out and it still fails.
fn can_be_smaller(scenario: &Scenario, judge: &dyn Judge, guarded: bool) -> Option<String> {
    let fails = |scenario: &Scenario| {
        let of = |scenario: &Scenario| {
            let Ok(plan) = plan_of(scenario) else {
                return false;
            };
            !judge.failures(&plan).unwrap().is_empty()
        };
        scenario.is_fair()
            && scenario.is_connected()
            && of(scenario)
            && (!guarded
                || (plan_of(&scenario.fault_free_control()).is_ok()
                    && !of(&scenario.fault_free_control())))
    };
    let without = |count: usize, gone: usize| -> Vec<usize> {
        (0..count).filter(|index| *index != gone).collect()
    };
    let mut smaller: Vec<(String, Scenario)> = Vec::new();
    let mut each = |what: &str, count: usize, with: &dyn Fn(usize) -> Scenario| {
        smaller.extend((0..count).map(|gone| (format!("{what} {gone}"), with(gone))));
    };
    let it = scenario;
    each("fault", it.faults.len(), &|gone| {
        it.keep_faults(&without(it.faults.len(), gone))
    });
    each("outage", it.outages.len(), &|gone| {
        it.keep_outages(&without(it.outages.len(), gone))
    });
    each("payment", it.payments.len(), &|gone| {
        it.keep_payments(&without(it.payments.len(), gone))
    });
    let spare = it.spare_block_count();
    each("block", spare, &|gone| {
        it.keep_spare_blocks(&without(spare, gone))
    });
    let known = it.acquaintance_count();
    each("acquaintance", known, &|gone| {
        it.keep_acquaintances(&without(known, gone))
    });
    if it.node_count() > 2 {
        each("node", it.node_count(), &|gone| {
            it.keep_nodes(&without(it.node_count(), gone))
        });
    }
    smaller
        .into_iter()
        .find(|(_, scenario)| fails(scenario))
        .map(|(what, _)| what)
}

prop_compose! {
    fn script()(
        nodes in 0usize..6,
        blocks in 0usize..8,
        payments in 0usize..4,
        partitions in 0usize..2,
        kills in 0usize..3,
        outages in 0usize..2,
        acquaintances in 0usize..6,
    ) -> Script {
        Script { nodes, blocks, payments, partitions, kills, outages, acquaintances }
    }
}

prop_compose! {
    fn experiment()(
        peers in 2u32..7,
        session in 1u32..20,
        offline in 1u32..10,
        how in prop_oneof![Just("kill"), Just("vanish"), Just("stop"), Just("freeze"), Just("replace")],
        fault in prop_oneof![Just("kill"), Just("vanish"), Just("stop"), Just("freeze"), Just("replace")],
        at in 10u32..28,
        network in prop_oneof![
            Just("latency: internet-2019"),
            Just("latency: 33.25ms jitter 2ms, mtu: 1400, framing: none"),
            Just("latency: { a: { a: 5ms, b: 90ms jitter 1ms }, b: { b: 7ms } }, loss: 0.1%"),
        ],
        discovery in prop_oneof![
            Just("mode: pure"), Just("mode: hybrid, bootstrap: 2"), Just("graph: ring"),
            Just("graph: complete"), Just("mode: pure, bootstrap: [miners-0]"),
        ],
        extra in prop_oneof![
            Just(""), Just(", access: { up: 1234567 bit/s, queue: 70 kB }"), Just(", loss: 3%, cpu: 0.5"),
            Just(", command: [\"-x={{ ip }}\", \"# 'y'\"]"),
            Just(", loss: gilbert-elliott(enter 1% leave 20.5% bad 50%), memory: 64 MB"),
        ],
    ) -> String {
        format!(
            "name: x\nphases: {{ warmup: 10s, faults: 20s, settle: 20s }}\n\
             nodes: {{ miners: {{ count: 2, hashpower: 1 }}, peers: {{ count: {peers}{extra} }} }}\n\
             network: {{ {network}, discovery: {{ {discovery} }} }}\n\
             ledger: {{ block_interval: 3s, transactions: 30/min }}\n\
             churn:\n  - nodes: peers\n    how: {how}\n\
             \x20   session: exponential(mean {session}s)\n    offline: exponential(mean {offline}s)\n\
             faults:\n  - {{ at: {at}s, for: 1500ms, {fault}: random 2 of peers }}\n\
             \x20 - {{ at: 11s, until: 27.125s, partition: [[random 30% of all], [miners-1]] }}\n\
             \x20 - {{ at: 12s, double_spend: {{ across: partition }} }}\n\
             \x20 - {{ at: 15s, for: 5s, shape: {{ nodes: peers, loss: 5%, rate: 77 kbit/s }} }}\n\
             expect:\n  - converged: {{ within: 9s, of: settle, lag: 2 }}\n  - same_ledger: {{ at: end }}\n\
             \x20 - double_spend: {{ confirmed: 1 }}\n  - nodes_up: {{ min: 100% }}\n\
             \x20 - bandwidth: {{ p95: < 81 kB/s, max: < 1 MB/s, phase: warmup }}\n",
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_scenario_is_read_back_from_its_file(text in experiment(), seed: u64) {
        // Choices such as two of two peers on one side and another can exclude each other.
        let Ok(topology) = topology::parse("x.yaml", &text) else { return Ok(()) };
        let Ok(own) = Scenario::of(&topology, seed) else { return Ok(()) };
        prop_assert_eq!(&read_back(&own), &own);
        let drawn = Base::new(topology, Intensity(1.5)).unwrap().draw(seed).unwrap();
        prop_assert_eq!(&read_back(&drawn), &drawn);
        prop_assert!(drawn.is_fair());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn shrinking_ends_keeps_the_failure_and_leaves_nothing_out_twice(
        text in experiment(), seed in 0u64..1000, script in script(),
    ) {
        let Ok(topology) = topology::parse("x.yaml", &text) else { return Ok(()) };
        let Ok(base) = Base::new(topology, Intensity(1.0)) else { return Ok(()) };
        let Ok(whole) = base.draw(seed) else { return Ok(()) };
        let judge = |plan: &Plan| -> Result<Vec<Failure>> {
            Ok(if script.is_met_by(plan) { fails(plan, "same_ledger") } else { Vec::new() })
        };
        prop_assume!(script.is_met_by(&plan_of(&whole).unwrap()));
        let first = shrunk(&whole, &judge);
        prop_assert!(first.finished, "{} simulations", first.simulations);
        prop_assert!(script.is_met_by(&plan_of(&first.scenario).unwrap()));
        prop_assert!(first.scenario.size() <= whole.size());
        prop_assert_eq!(can_be_smaller(&first.scenario, &judge, first.needs_events), None);
        prop_assert_eq!(&read_back(&first.scenario), &first.scenario);
        prop_assert_eq!(&shrunk(&whole, &judge), &first);
    }
}

#[test]
fn a_partition_in_a_shrunk_plan_holds_every_node() {
    let judge = |plan: &Plan| partition_and_kill(plan);
    let base = base("quickstart.yaml");
    let failing = |seed: &u64| {
        !partition_and_kill(&plan_of(&base.draw(*seed).unwrap()).unwrap())
            .unwrap()
            .is_empty()
    };
    let seed = (0..).find(failing).unwrap();
    let shrunk = shrunk(&base.draw(seed).unwrap(), &judge);
    let plan = plan_of(&shrunk.scenario).unwrap();
    let split = plan
        .fault_schedule
        .iter()
        .find_map(|timed| match &timed.action {
            Action::Link(Change::Partition { groups, .. }) => {
                Some(groups.iter().map(Vec::len).sum::<usize>())
            }
            _ => None,
        });
    assert_eq!(split, Some(plan.nodes.len()));
    assert!(plan.end() < Nanos::from_secs(60));
    assert!(
        shrunk.scenario.size().nodes <= 3,
        "{:?}",
        shrunk.scenario.size()
    );
}

#[test]
fn nodes_have_the_time_to_miss_connections_that_went_without_a_word() {
    // A node vanishes a second before everything is healed; those that have a connection to it have
    // nothing to say to it, and it does not know them.
    let scenario = base("p2p-graph.yaml").draw(3125).unwrap();
    let judge = Simulator::new(Stop::never());
    let failures = judge.failures(&plan_of(&scenario).unwrap()).unwrap();
    assert_eq!(failures, []);
}
